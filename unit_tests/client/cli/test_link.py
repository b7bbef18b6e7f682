"""`jim link` on both devices, as processes against a real server that may be killed in between."""

from __future__ import annotations

import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import DEADLINE_S, Program, World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CODE = r"^[a-z2-7]{4}( [a-z2-7]{2,4}){6}$"
DIGITS = r"^  (\d{5} ?){4}$"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """A server, and alice who has talked to bob."""
    with world(tmp_path) as running:
        assert running.client("bob").finish("3") == 0
        assert running.client("alice").finish("1", "bob", "from alice", "3") == 0
        assert running.client("bob").finish("1", "alice", "from bob", "3") == 0
        seeing = running.client("alice")
        seeing.expect("from bob")
        assert seeing.finish("3") == 0
        yield running


def new_device(here: World, *flags: str, name: str = "alice") -> Program:
    address = f"127.0.0.1:{here.port}"
    return here.jim("laptop", "link", name, address, *flags, JIM_NAME="")


def code_of(program: Program, count: int = 1) -> str:
    return program.expect(CODE, count)[-1]


def approve(here: World, code: str, *flags: str) -> Program:
    return here.jim("alice", "link", *flags, "--approve", *code.split())


def history(here: World, home: str) -> list[str]:
    program = here.jim(home, "history", "bob", JIM_NAME="alice")
    assert program.wait() == 0
    return [line.split(": ", 1)[1] for line in program.lines]


def listen(here: World, home: str, count: int = 1) -> list[str]:
    flags = ("--count", str(count), "--timeout", "20")
    program = here.jim(home, "listen", *flags, JIM_NAME="alice")
    assert program.wait() == 0
    return [line.split(": ", 1)[1] for line in program.lines]


def expect_errors(program: Program, text: str) -> None:
    """Wait until something stands on standard error."""
    end = time.monotonic() + DEADLINE_S
    while not any(text in line for line in program.errors):
        assert time.monotonic() < end, program.errors
        time.sleep(0.05)


def test_a_device_is_linked_and_has_the_history(here: World) -> None:
    new = new_device(here)
    old = approve(here, code_of(new), "--yes")
    assert old.wait() == 0
    assert new.wait() == 0
    assert new.expect(DIGITS) == old.expect(DIGITS)
    assert any("127.0.0.1" in line for line in old.errors)
    assert new.expect("history of your other device is here: 2 messages")
    assert new.lines[-1] == f"To talk from here: jim 127.0.0.1:{here.port} -n alice"
    assert any("fingerprint" in line for line in new.errors)
    assert history(here, "laptop") == history(here, "alice") != []
    assert here.client("bob").finish("1", "alice", "to both", "3") == 0
    assert listen(here, "laptop") == listen(here, "alice") == ["to both"]
    assert here.jim("laptop", "send", "bob", "from the laptop", JIM_NAME="alice").wait() == 0
    bob = here.client("bob")
    bob.expect("from the laptop")
    assert bob.finish("3") == 0
    for home in ("laptop", "alice"):
        assert here.jim(home, "verify", JIM_NAME="alice").wait() == 0


def test_nothing_is_taken_in_by_accident(here: World) -> None:
    new = new_device(here)
    code = code_of(new)
    unasked = approve(here, code)
    assert unasked.finish("yes") == 2
    assert any("--yes" in line for line in unasked.errors)
    assert approve(here, "abcd efgh").wait() == 2
    wrong = approve(here, code[:-1] + ("a" if code[-1] != "a" else "b"), "--yes")
    assert wrong.wait() == 1
    assert any("shows this code" in line for line in wrong.errors)
    running = here.client("alice")
    running.expect("established")
    beside = approve(here, code, "--yes")
    assert beside.wait() == 1
    assert any(f"/link {code}" in line for line in beside.errors)
    running.say(f"/link {code}")
    expect_errors(running, "--approve CODE --yes")
    assert running.finish("3") == 0
    assert new.process.poll() is None


def test_ends_that_are_told(here: World) -> None:
    assert here.jim("laptop", "link", JIM_NAME="").wait() == 2
    late = new_device(here, "--timeout", "3")
    assert late.wait() == 6
    there = here.jim("alice", "link", "alice", f"127.0.0.1:{here.port}")
    assert there.wait() == 2
    assert any("already" in line for line in there.errors)
    waits = here.jim("laptop", "send", "bob", "x", JIM_NAME="alice")
    assert waits.wait() == 4
    assert any("jim link" in line for line in waits.errors)


def test_killed_while_waiting_either_side_goes_on(here: World) -> None:
    first = new_device(here)
    before = code_of(first)
    first.kill()
    new = new_device(here)
    code = code_of(new)
    assert code != before
    here.kill_server()
    here.start_server()
    expect_errors(new, "Connected again")
    old = approve(here, code, "--yes")
    assert old.wait() == 0
    assert new.wait() == 0
    assert history(here, "laptop") == history(here, "alice") != []


@pytest.mark.parametrize("which", ["old", "new", "server"])
def test_killed_in_the_middle_of_the_history(here: World, which: str) -> None:
    long = [part for n in range(16) for part in ("1", "bob", f"long {n} " + "x" * 4000)]
    assert here.client("alice").finish(*long, "3") == 0
    new = new_device(here)
    old = approve(here, code_of(new), "--yes")
    expect_errors(old, "History to the new device")
    if which == "server":
        here.kill_server()
        here.start_server()
    else:
        (old if which == "old" else new).kill()
    if which == "old":
        again = here.client("alice")  # goes on by itself
        expect_errors(again, "has your history")
        assert again.finish("3") == 0
    else:
        assert old.wait() == 0
    if which == "new":
        here.client("laptop", "-n", "alice").finish("3")
    else:
        assert new.wait() == 0
    expected = history(here, "alice")
    assert len(expected) == 18
    end = time.monotonic() + DEADLINE_S
    while history(here, "laptop") != expected:
        assert time.monotonic() < end
        here.client("laptop", "-n", "alice").finish("3")
    for home in ("laptop", "alice"):
        assert here.jim(home, "verify", JIM_NAME="alice").wait() == 0


def at_terminal(here: World, owner: str, *arguments: str, columns: int = 80) -> Terminal:
    env = environment(here.home(owner), TERM="xterm-256color", JIM_NAME="")
    program = [sys.executable, "-m", "jim.client", "link", *arguments]
    return Terminal(program, {**env, "LC_ALL": "C.UTF-8"}, columns, 40)


def test_on_terminals_there_is_a_picture_a_clock_and_a_question(here: World) -> None:
    new = at_terminal(here, "laptop", "alice", f"127.0.0.1:{here.port}", columns=40)
    new.expect("The code is good for 9:5")
    new.expect("█ ▄▄▄▄▄ █")  # a corner of the picture, light on dark
    assert max(len(row) for row in new.everything.split("\n")) <= 40
    found = re.search(r"^/link ([a-z2-7 ]+)$", new.everything, re.MULTILINE)
    assert found is not None
    code = found.group(1)
    for answer, status in (("\x03", 130), ("no\r", 2), ("yess\ry\r", 0)):
        old = at_terminal(here, "alice", "-n", "alice", "--approve", *code.split())
        old.expect("Take this device in? (yes, no)")
        old.send(answer)
        assert old.wait() == status
    assert new.wait() == 0
    new.expect("history of your other device")


def test_ctrl_c_says_how_it_goes_on(here: World) -> None:
    new = at_terminal(here, "laptop", "alice", f"127.0.0.1:{here.port}")
    new.expect("The code is good for 9:5")
    new.send("\x03")
    assert new.wait() == 130
    new.expect("Nothing is lost")


def places(here: World, home: str) -> list[str]:
    return sorted(path.name for path in here.home(home).rglob("accounts/*/*"))


def test_whoever_gives_up_leaves_nothing_behind(here: World) -> None:
    for give_up in ("\x03", signal.SIGTERM, signal.SIGHUP):
        new = at_terminal(here, "laptop", "alice", f"127.0.0.1:{here.port}", columns=40)
        new.expect("The code is good for 9:5")
        assert places(here, "laptop") == ["alice"]
        if isinstance(give_up, str):
            new.send(give_up)
        else:
            new.kill(give_up)
        assert new.wait() == 130
        assert places(here, "laptop") == []
    assert here.jim("laptop", "link", "alcie", "--timeout", "1", JIM_NAME="").wait() == 6
    assert places(here, "laptop") == []


def test_what_a_killed_one_leaves_confuses_nobody(here: World) -> None:
    killed = new_device(here, name="alcie")
    code_of(killed)
    killed.kill()
    for command in (("whoami",), ("devices",), ("send", "bob", "hi")):
        alone = here.jim("laptop", *command, JIM_NAME="")
        assert alone.wait() == 4
        assert any("waits to be taken in" in line for line in alone.errors)
    export = here.jim("laptop", "export", "--jsonl", JIM_NAME="")
    assert export.wait() == 1
    assert "does not know its own account yet" in export.errors[-1]
    assert here.client("laptop", "-n", "carol").finish("3") == 0
    known = here.jim("laptop", "whoami", JIM_NAME="")
    assert known.wait() == 0
    assert known.lines[0] == "name: carol"
