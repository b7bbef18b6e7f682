"""Part four: a lying server against the client's programs, as processes.

It sends messages made to hurt a terminal, then frames that are none. The programs must show the
messages without a control character, come back after every fault, and end when they are told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING, Final

from reliability.hostile import corpus, utf8
from reliability.hostile.client_check import NAME
from reliability.hostile.liar import Liar, Script, delivery
from reliability.hostile.report import Section
from reliability.rig.programs import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS: Final = {
    "listen": ("-m", "jim.client", "listen"),
    "listen --json": ("-m", "jim.client", "listen", "--json"),
    "pipe": (str(ROOT / "my_client.py"),),
}
ODD_FRAMES: Final = (b"\xff", b'{"action":"ok"}', b"[" * 100_000)
"""After the odd messages, each on a connection of its own; the client comes back after each."""

ENDS: Final = (0, 130)
"""Statuses of a program that was told to end: by the end of its input, or by a signal."""

PROGRAM_S: Final = 30.0
"""For a program to come back, and to end: seconds here; only one that hangs reaches it."""

FORBIDDEN: Final = frozenset(chr(code) for code in (*range(9), *range(11, 32), *range(127, 160)))
"""Control characters but tab and newline: none of them may reach a terminal from a message."""


async def check_programs(directory: Path) -> Section:
    """Show the client's programs messages made to hurt a terminal, then a frame that is none."""
    section = Section("client programs, lying server")
    for name, arguments in PROGRAMS.items():
        home = directory / name.replace(" ", "")
        home.mkdir(parents=True)
        async with Liar(home) as liar:
            await _check_program(name, arguments, home, liar, section)
    return section


async def _check_program(
    name: str, arguments: tuple[str, ...], home: Path, liar: Liar, section: Section
) -> None:
    odd = _odd_deliveries()
    section.cases += len(odd) + len(ODD_FRAMES)
    liar.scripts.put_nowait(Script("odd messages", "active", b"\n".join(odd)))
    for content in ODD_FRAMES:
        liar.scripts.put_nowait(Script("odd frames", "active", content))
    found = await _run(arguments, home, liar)
    if found is None:
        section.violate(f"{name}: does not end")
        return
    status, output, errors = found
    section.count(f"{name}: exit {status}")
    section.figures[f"lines of {name}"] = float(len(output.splitlines()))
    if status not in ENDS:
        section.violate(f"{name}: ended with status {status}")
    logs = [path.read_text(encoding="utf-8") for path in (home / "log").glob("*")]
    for line in "\n".join([output, errors, *logs]).splitlines():
        if "Traceback" in line:
            section.violate(f"{name}: {line}")
    _check_output(name, output, len(odd), section)


def _check_output(name: str, output: str, count: int, section: Section) -> None:
    found = sorted({f"U+{ord(sign):04X}" for sign in output if sign in FORBIDDEN})
    if found:
        section.violate(f"{name}: control characters reach the terminal: {', '.join(found)}")
    lines = len(output.splitlines())
    if lines < count // 2:
        section.violate(f"{name}: shows only {lines} of {count} messages")


async def _run(arguments: tuple[str, ...], home: Path, liar: Liar) -> tuple[int, str, str] | None:
    """Run a program through all scripts; gives status, output and errors, None if it hangs."""
    place = ("127.0.0.1", str(liar.port))
    if "listen" in arguments:
        place = ("--server", ":".join(place))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments, *place, "-n", NAME),
        env=environment(home, {}),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    streams = (process.stdout, process.stderr)
    reading = asyncio.gather(*(stream.read() for stream in streams if stream is not None))
    await _until_told(liar, process)
    try:
        async with asyncio.timeout(PROGRAM_S):
            output, errors = await reading
            status = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return status, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


async def _until_told(liar: Liar, process: Process) -> None:
    """Let the program meet every script, then end it: its input first, SIGTERM for who has none."""
    for _ in range(1 + len(ODD_FRAMES)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROGRAM_S):
                await liar.ended.get()
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


def _odd_deliveries() -> list[bytes]:
    texts = [
        *corpus.naughty_strings(),
        *(odd.content.decode() for odd in utf8.cases() if odd.valid),
    ]
    texts += ["\x1b[2J\x1b]0;owned\x07", "\r\n\x08\x08", "\x9b31m", "a\u2028b\u0085c", "\x00"]
    return [delivery(number, f"bob{number % 3}", text) for number, text in enumerate(texts, 1)]
