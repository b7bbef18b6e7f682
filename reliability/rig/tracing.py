"""Start a program under strace, which kills it or lies to it at one chosen system call.

strace counts each kind of call of each thread by itself: the K-th `pwrite64` is the K-th of
whichever thread gets there first. With `paths` only calls that touch these files are counted.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reliability.injectors.system import found

if TYPE_CHECKING:
    from collections.abc import Sequence

WRITTEN_WITHIN_S: Final = 3.0
"""strace may end a moment after the program; on an idle machine it takes a few milliseconds."""

_CALL: Final = re.compile(r"(\d+) +(\w+)\(")
_MARKS: Final = ("(INJECTED)", "(DELAYED)")


class Trace(Struct, frozen=True):
    """A way to start a program; its `prefix` goes before the command.

    Attributes:
        file: where strace writes what it sees.
        calls: names of system calls that are watched.
        inject: what happens at which of them, as strace spells it: `fdatasync:error=EIO:when=3`;
            empty only watches.
        paths: files that count; empty counts all.
    """

    file: Path
    calls: tuple[str, ...]
    inject: str = ""
    paths: tuple[Path, ...] = ()

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before the command; `-D` makes the program itself our child."""
        words = [found("strace"), "-D", "-f", "-qq", "-o", str(self.file)]
        words += ["-e", f"trace={','.join(self.calls)}"]
        if self.inject:
            words += ["-e", f"inject={self.inject}"]
        if ":signal=" not in self.inject:
            # Stops only at what is watched, ten times faster; signals do not get through then.
            words.append("--seccomp-bpf")
        for path in self.paths:
            words += ["-P", str(path)]
        return tuple(words)

    def counts(self) -> dict[int, Counter[str]]:
        """Count the calls seen, for each thread."""
        found: dict[int, Counter[str]] = {}
        for line in self._lines():
            if match := _CALL.match(line):
                found.setdefault(int(match[1]), Counter())[match[2]] += 1
        return found

    def most(self) -> Counter[str]:
        """Count each kind of call of the thread that made most of it: the last K to be met."""
        found: Counter[str] = Counter()
        for counter in self.counts().values():
            found |= counter
        return found

    def fired(self) -> int:
        """Count the calls that were answered by strace; waits for it to have written them down."""
        give_up_s = time.monotonic() + WRITTEN_WITHIN_S
        while not (count := self.answered()) and time.monotonic() < give_up_s:
            time.sleep(0.02)
        return count

    def answered(self) -> int:
        """Count the calls that strace has written down as answered by it until now."""
        return sum(any(mark in line for mark in _MARKS) for line in self._lines())

    def _lines(self) -> Sequence[str]:
        try:
            return self.file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ()
