from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from reliability.rig.terminals import COLUMNS, ROWS, TerminalProgram, plain

if TYPE_CHECKING:
    from pathlib import Path

TALKS = """
import os, sys
print(all(os.isatty(n) for n in (0, 1, 2)), *os.get_terminal_size())
for line in sys.stdin:
    print("got", line.strip(), file=sys.stderr)
    if line.strip() == "3":
        sys.exit(4)
"""
WAITS = (
    "import sys, time\nprint('whole')\nsys.stdout.write('torn')\nsys.stdout.flush()\ntime.sleep(60)"
)


def at_terminal(code: str, home: Path) -> TerminalProgram:
    return TerminalProgram([sys.executable, "-c", code], home)


@pytest.mark.e2e
def test_it_runs_at_a_terminal_and_leaves_when_it_is_told(tmp_path: Path) -> None:
    program = at_terminal(TALKS, tmp_path)
    assert program.expect("True") == f"True {COLUMNS} {ROWS}"
    program.say("hello")
    program.expect("got hello")
    assert program.finish() == 4
    assert program.lines[-1] == "got 3"


@pytest.mark.e2e
def test_what_it_printed_before_a_kill_is_read(tmp_path: Path) -> None:
    taken: list[str] = []
    program = TerminalProgram([sys.executable, "-c", WAITS], tmp_path, on_line=taken.append)
    while not taken:
        assert program.status is None
    assert program.kill() == -9
    assert taken == ["whole"]


def test_what_a_terminal_obeys_is_taken_away() -> None:
    assert plain("\x1b[0;1m\x1b[?25lMessage\x1b[K from\x1b7 \x1b>привет\r") == "Message from привет"
