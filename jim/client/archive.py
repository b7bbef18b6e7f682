"""Write a few files as a tar and read exactly these again: nothing else that may be in a tar.

The form is plain tar (POSIX ustar with GNU sizes), so that `tar` alone unpacks it. It is written
piece by piece; reading takes the members in their order, by their exact names, and no more bytes
than each of them may have.
"""

from __future__ import annotations

import io
import tarfile
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from jim.common.files import FILE_MODE, new_private
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PIECE_BYTES: Final = 65536
"""Read and written at once: the size of age's own pieces."""

END: Final = bytes(2 * tarfile.BLOCKSIZE)
"""What a tar ends with."""


class Member(NamedTuple):
    """A file in an archive: its name, and how many bytes it may have when it is read."""

    name: str
    limit_bytes: int


class Packing(io.RawIOBase):
    """The tar of some files, to be read once; `progress` hears of every piece that is taken."""

    def __init__(
        self, files: Iterable[tuple[str, Path]], progress: Callable[[int], object]
    ) -> None:
        """Take name and place of each file."""
        self._pieces = _pieces(files)
        self._rest = memoryview(b"")
        self._progress = progress

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Give the next bytes, none at the end."""
        wanted = memoryview(buffer).cast("B")
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._progress(len(piece))
            self._rest = memoryview(piece)
        size = min(len(wanted), len(self._rest))
        wanted[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _pieces(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    for name, path in files:
        with path.open("rb") as file:
            header = tarfile.TarInfo(name)
            header.size, header.mode = path.stat().st_size, FILE_MODE
            yield header.tobuf(tarfile.GNU_FORMAT)
            left = header.size
            while left:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise OSError(f"{path}: it has become shorter while it was read")
                left -= len(piece)
                yield piece
            yield bytes(-header.size % tarfile.BLOCKSIZE)
    yield END


def unpack(source: IO[bytes], members: Iterable[Member], folder: Path) -> None:
    """Write the members, 0600, into a directory in which none of them is.

    Raises:
        BackupInvalid: with `reason` content, if the archive is not exactly these files.
        OSError: of the source or the directory.
    """
    for member in members:
        header = _header(source.read(tarfile.BLOCKSIZE))
        if header.name != member.name or not header.isreg():
            raise _invalid(f"{member.name} was expected")
        if not 0 <= header.size <= member.limit_bytes:
            raise _invalid(f"{member.name} has a size that it cannot have")
        with new_private(folder / member.name) as target:
            _copy(source, target, header.size)
        source.read(-header.size % tarfile.BLOCKSIZE)
    if source.read(len(END) + 1) != END:
        raise _invalid("there is more behind its end")


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from None


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size:
        piece = source.read(min(PIECE_BYTES, size))
        if not piece:
            raise _invalid("it ends too early")
        target.write(piece)
        size -= len(piece)


def _invalid(detail: str) -> BackupInvalid:
    return BackupInvalid(f"the archive is none of ours: {detail}", reason="content")
