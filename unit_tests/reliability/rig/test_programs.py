from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from reliability.rig.programs import Ended, Launch, Program, environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

ECHO = "import sys\nprint('ready')\nfor line in sys.stdin: print('got', line, end='')\nsys.exit(3)"
TORN = "import os, time\nos.write(1, b'whole\\ntorn')\ntime.sleep(60)"


def python(code: str, home: Path, launch: Launch | None = None) -> Program:
    return Program([sys.executable, "-c", code], home, launch or Launch())


def test_it_says_what_it_is_told_and_how_it_ended(tmp_path: Path) -> None:
    program = python(ECHO, tmp_path)
    program.expect("ready")
    assert program.say("hello")
    assert program.expect("got") == "got hello"
    assert program.status is None
    assert program.finish() == 3
    assert not program.say("too late")


def test_a_program_that_ends_does_not_keep_anybody_waiting(tmp_path: Path) -> None:
    program = python("import sys\nsys.exit('it is broken')", tmp_path)
    with pytest.raises(Ended, match="it is broken"):
        program.expect("ready")
    assert program.wait() == 1


def test_a_line_that_a_kill_has_torn_off_is_no_line(tmp_path: Path) -> None:
    taken: list[str] = []
    came = threading.Event()

    def take(line: str) -> None:
        taken.append(line)
        came.set()

    program = Program([sys.executable, "-c", TORN], tmp_path, on_line=take)
    assert came.wait(20)
    assert program.kill() == -9
    assert taken == ["whole"]


def test_a_prefix_becomes_the_program(tmp_path: Path) -> None:
    launch = Launch(prefix=("env", "GREETING=salut"), env={"OTHER": "x"})
    code = "import os\nprint(os.environ['GREETING'], os.environ['OTHER'], os.getpid())"
    program = python(code, tmp_path, launch)
    assert program.expect("salut") == f"salut x {program.pid}"
    assert program.wait() == 0


def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIM_SERVER_PORT", "1")
    found = environment(tmp_path / "home", {"PYTHONPATH": "first"})
    assert "JIM_SERVER_PORT" not in found
    assert found["HOME"] == str(tmp_path / "home")
    assert found["PYTHONPATH"].startswith("first:")


@pytest.mark.skipif(sys.platform != "linux", reason="pipes have another size elsewhere")
def test_one_that_nobody_reads_stands_still(tmp_path: Path) -> None:
    taken: list[str] = []
    came = threading.Event()

    def take(line: str) -> None:
        taken.append(line)
        came.set()

    code = "import os\nfor n in range(100): os.write(1, b'x' * 1000 + b'\\n')"
    program = Program([sys.executable, "-c", f"input()\n{code}"], tmp_path, on_line=take)
    program.narrow(4096)
    program.stall()
    program.say("")
    assert came.wait(20)
    with pytest.raises(subprocess.TimeoutExpired):
        program._process.wait(0.3)
    program.read_on()
    assert program.wait() == 0
    assert len(taken) == 100
