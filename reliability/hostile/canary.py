"""Look for a planted text wherever it must not be, in every form that programs give to texts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CYRILLIC: Final = "абвгдежзийклмнопрстуфхцчшщыэюя"
LATIN: Final = "abcdefghijklmnopqrstuvwxyz"

LETTERS: Final = 24
"""Of a canary: 110 bits, so that nothing contains one by chance."""

READ_BYTES: Final = 4 * 1024 * 1024
"""Of a memory at once."""


def latin() -> str:
    """Make a text that exists nowhere else."""
    return "".join(secrets.choice(LATIN) for _ in range(LETTERS))


def cyrillic() -> str:
    """Make one in letters that take two bytes."""
    return "".join(secrets.choice(CYRILLIC) for _ in range(LETTERS))


def forms(text: str) -> dict[str, bytes]:
    """Give a text in every form in which it might be somewhere."""
    plain = text.encode()
    found = {
        "UTF-8": plain,
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "UTF-32": text.encode("utf-32-le"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "JSON": json.dumps(text)[1:-1].encode(),
    }
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("URL", base64.urlsafe_b64encode)):
            found[f"{name} + {shift}"] = _inner(encode(bytes(shift) + plain), shift, len(plain))
    return found


def _inner(encoded: bytes, shift: int, length: int) -> bytes:
    """Give the signs that depend on nothing but the text, wherever it stands in what is encoded."""
    return encoded[-(-shift * 8 // 6) : (shift + length) * 8 // 6]


def find(data: bytes | bytearray, texts: Iterable[str]) -> list[str]:
    """Give which texts are in there, and in which form."""
    return [
        f"{text} as {name}"
        for text in texts
        for name, form in forms(text).items()
        if data.find(form) >= 0
    ]


def find_in_files(directory: Path, texts: Iterable[str], pattern: str = "*") -> list[str]:
    """Look into every file below a directory, and at its name."""
    texts, found = list(texts), []
    for path in sorted(directory.rglob(pattern)):
        if path.is_file():
            there = find(path.read_bytes(), texts) + find(str(path).encode(), texts)
            found += [f"{path.name}: {each}" for each in there]
    return found


def find_in_memory(pid: int, texts: Iterable[str]) -> list[str]:
    """Look into everything that a process could leave in a core dump. Linux, with the right to.

    Raises:
        OSError: there is no such right here, or no such system.
    """
    texts, found = list(texts), set()
    longest = max(len(form) for text in texts for form in forms(text).values())
    process = Path("/proc", str(pid))
    with (process / "maps").open() as maps, (process / "mem").open("rb", buffering=0) as memory:
        for start, end in _readable(maps):
            for place in range(start, end, READ_BYTES):
                memory.seek(place)
                # What a device or the kernel maps cannot be read, nor be in a core dump.
                with contextlib.suppress(OSError, ValueError):
                    size = min(READ_BYTES + longest, end - place)
                    found |= set(find(memory.read(size), texts))
    return sorted(found)


def _readable(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    for line in maps:
        addresses, rights, *_ = line.split()
        if rights.startswith("r") and not line.rstrip().endswith(("[vvar]", "[vsyscall]")):
            start, end = (int(each, 16) for each in addresses.split("-"))
            yield start, end


class Tap:
    """A wire between clients and a port of the loopback that keeps every byte of both ways."""

    def __init__(self, target_port: int) -> None:
        """Take where it leads."""
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self.taken = bytearray()
        """What went either way, the pieces one after the other."""

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the tap is closed")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Begin to carry."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Accept nobody any more."""
        if self._server is not None:
            self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, target = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(self._carry(reader, target), self._carry(behind, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.taken += data
                writer.write(data)
                await writer.drain()
        writer.close()
