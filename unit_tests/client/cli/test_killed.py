"""kill -9 in the middle of linking, recovering, resetting and removing, at exactly known places.

The process kills itself there: what it has done before is done, what comes after is not.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.client.cli.test_devices import join, words_in
from unit_tests.client.cli.test_link import expect_errors
from unit_tests.support.processes import Program, World, environment, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

KILL = """
import functools, importlib, inspect, os, signal, sys

module, path, when, *arguments = sys.argv[1:]
owner = importlib.import_module(module)
*outer, name = path.split(".")
for each in outer:
    owner = getattr(owner, each)
usual = getattr(owner, name)


def die(at):
    if at == when:
        os.kill(os.getpid(), signal.SIGKILL)


@functools.wraps(usual)
def step(*given, **options):
    die("before")
    result = usual(*given, **options)
    die("after")
    return result


@functools.wraps(usual)
async def waited(*given, **options):
    die("before")
    result = await usual(*given, **options)
    die("after")
    return result


setattr(owner, name, waited if inspect.iscoroutinefunction(usual) else step)
sys.argv[1:] = arguments
from jim.client.cli.main import main

sys.exit(main())
"""
"""Runs `jim`, and dies before or after a function of it is called for the first time."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        assert running.client("bob").finish("3") == 0
        yield running


def dying(here: World, home: str, step: str, when: str, *arguments: str) -> Program:
    module, _, path = step.partition(":")
    address = f"127.0.0.1:{here.port}"
    program = Program(
        *(sys.executable, "-c", KILL, module, path, when, *arguments),
        env=environment(here.home(home), JIM_NAME="alice", JIM_SERVER=address),
    )
    here._programs.append(program)
    return program


def killed(program: Program, *lines: str) -> None:
    assert program.finish(*lines) == -signal.SIGKILL, program.errors


def ids(here: World, home: str) -> dict[str, bool]:
    listed = here.jim(home, "devices", "--json", JIM_NAME="alice")
    assert listed.wait() == 0, listed.errors
    return {each["id"]: each["this"] for each in map(json.loads, listed.lines)}


def talks(here: World, home: str, text: str) -> None:
    """Both ways, and nothing is missing."""
    sent = here.jim(home, "send", "bob", text, JIM_NAME="alice")
    assert sent.wait() == 0, sent.errors
    bob = here.client("bob")
    bob.expect(text)
    assert bob.finish("1", "alice", f"answer to {text}", "3") == 0
    heard = here.jim(home, "listen", "--count", "1", "--timeout", "20", JIM_NAME="alice")
    assert heard.wait() == 0, heard.errors
    assert any(f"answer to {text}" in line for line in heard.lines)
    verified = here.jim(home, "verify", JIM_NAME="alice")
    assert verified.wait() == 0, verified.lines
    places = list(here.home(home).rglob("device.key*"))
    assert len(places) == 1


RECOVERING = [
    ("jim.client.account_store:AccountStore.begin", "before"),
    ("jim.client.account_store:AccountStore.begin", "after"),
    ("jim.client.login:_recover", "before"),
    ("jim.client.login:_added_link", "after"),
    ("jim.client.login:_recover", "after"),
    ("jim.client.login:log_in", "after"),
]


@pytest.mark.parametrize(("step", "when"), RECOVERING)
def test_recovering_an_empty_machine(here: World, step: str, when: str) -> None:
    words, address = join(here, "alice"), f"127.0.0.1:{here.port}"
    killed(dying(here, "laptop", step, when, "recover", "alice", address), words)
    again = here.jim("laptop", "recover", "alice", address)
    assert again.finish(words) == 0, again.errors
    assert len(ids(here, "laptop")) == 2
    talks(here, "laptop", "recovered")


REPLACING = [
    ("recover", "jim.client.key_opener:KeyOpener.read_or_make", "after"),
    ("recover", "jim.client.account_store:AccountStore.become", "after"),
    ("recover", "jim.client.renewal:take", "before"),
    ("recover", "jim.client.login:_recover", "after"),
    ("reset", "jim.client.account_store:AccountStore.become", "after"),
    ("reset", "jim.client.renewal:take", "before"),
    ("reset", "jim.client.renewal:take", "after"),
    ("reset", "jim.client.login:_recover", "after"),
    ("link", "jim.client.renewal:take", "before"),
    ("link", "jim.client.renewal:take", "after"),
]


@pytest.mark.parametrize(("command", "step", "when"), REPLACING)
def test_a_removed_device_comes_back(here: World, command: str, step: str, when: str) -> None:
    words, address = join(here, "alice"), f"127.0.0.1:{here.port}"
    assert here.jim("laptop", "recover", "alice", address).finish(words) == 0
    (laptop,) = (each for each, is_this in ids(here, "laptop").items() if is_this)
    assert here.jim("alice", "devices", "remove", laptop, "--yes").wait() == 0
    assert here.jim("laptop", "listen", JIM_NAME="alice").wait() == 4
    if command == "link":
        killed(dying(here, "laptop", step, when, "link", "alice", address))
        new = here.jim("laptop", "link", "alice", address)
        code = new.expect(r"^[a-z2-7]{4}( [a-z2-7]{2,4}){6}$")[-1]
        assert here.jim("alice", "link", "--approve", *code.split(), "--yes").wait() == 0
        assert new.wait() == 0
    else:
        flags = (command, "alice", address, *(("--yes",) if command == "reset" else ()))
        killed(dying(here, "laptop", step, when, *flags), words)
        again = here.jim("laptop", *flags)
        assert again.finish(words) == 0, again.errors
        if command == "reset":
            words = words_in(again)
    present = ids(here, "laptop")
    assert laptop not in present
    assert len(present) == (1 if command == "reset" else 2)
    talks(here, "laptop", "back again")
    if command == "reset":
        assert here.jim("tablet", "recover", "alice", address).finish(words) == 0


REMOVING = [
    ("jim.client.own_devices:OwnDevices._extend", "before"),
    ("jim.client.own_devices:OwnDevices._extend", "after"),
    ("jim.client.accounts:Account.learn_own", "after"),
]


@pytest.mark.parametrize(("step", "when"), REMOVING)
@pytest.mark.parametrize("whose", ["other", "this"])
def test_removing(here: World, whose: str, step: str, when: str) -> None:
    words, address = join(here, "alice"), f"127.0.0.1:{here.port}"
    assert here.jim("laptop", "recover", "alice", address).finish(words) == 0
    before = ids(here, "alice")
    (chosen,) = (each for each, is_this in before.items() if is_this == (whose == "this"))
    remove = ("devices", "remove", chosen, "--yes")
    killed(dying(here, "alice", step, when, *remove))
    again = here.jim("alice", *remove)
    status = again.wait()
    if whose == "this" and when == "after":
        assert status == 4, "it is out already"
        assert "removed from its account" in "".join(again.errors)
    elif when == "after":
        assert status == 2, "there is no such device any more"
    else:
        assert status == 0, again.errors
    left = "laptop" if whose == "this" else "alice"
    assert chosen not in ids(here, left)
    assert len(ids(here, left)) == 1
    talks(here, left, "still here")
    out = "alice" if whose == "this" else "laptop"
    assert here.jim(out, "listen", "--timeout", "20", JIM_NAME="alice").wait() == 4
    assert here.jim(out, "history", "bob", JIM_NAME="alice").wait() == 0


LINKING = [
    ("alice", "jim.client.courier:Courier.hand_over", "after"),
    ("alice", "jim.client.linking:propose", "after"),
    ("alice", "jim.client.linking:take_in", "after"),
    ("alice", "jim.client.courier:Courier.taken_in", "after"),
    ("laptop", "jim.client.linking:_prove", "before"),
    ("laptop", "jim.client.linking:_prove", "after"),
    ("laptop", "jim.client.linking:_joined", "before"),
    ("laptop", "jim.client.linking:_joined", "after"),
    ("laptop", "jim.client.joining:join", "after"),
]


@pytest.mark.parametrize(("who", "step", "when"), LINKING)
def test_linking(here: World, who: str, step: str, when: str) -> None:
    join(here, "alice")
    talks(here, "alice", "before")
    code_shown = r"^[a-z2-7]{4}( [a-z2-7]{2,4}){6}$"
    link = ("link", "alice", f"127.0.0.1:{here.port}")
    dies = who == "laptop"
    new = dying(here, "laptop", step, when, *link) if dies else here.jim("laptop", *link)
    approve = ("link", "--yes", "--approve", *new.expect(code_shown)[-1].split())
    if not dies:
        killed(dying(here, "alice", step, when, *approve))
    else:
        here.jim("alice", *approve, "--timeout", "1").wait()
        assert new.wait() == -signal.SIGKILL
        new = here.jim("laptop", *link)
    if len(ids(here, "alice")) == 1:
        approve = ("link", "--yes", "--approve", *new.expect(code_shown)[-1].split())
        old = here.jim("alice", *approve)
        assert old.wait() == 0, old.errors
    running = here.client("alice")  # the history goes on from there
    if not (step.endswith((":_joined", ":join")) and when == "after"):
        assert new.wait() == 0, new.errors
    else:
        assert new.wait() == 2, "it is in the account already"
        laptop = here.client("laptop", "-n", "alice")
        expect_errors(laptop, "history of your other device")
        assert laptop.finish("3") == 0
    assert running.finish("3") == 0
    assert len(ids(here, "alice")) == 2
    talks(here, "laptop", "linked")
    history = [here.jim(home, "history", "bob", JIM_NAME="alice") for home in ("laptop", "alice")]
    assert [each.wait() for each in history] == [0, 0]
    assert any("before" in line for line in history[0].lines)


def test_recovering_while_the_server_is_away(here: World) -> None:
    words, address = join(here, "alice"), f"127.0.0.1:{here.port}"
    assert here.jim("laptop", "recover", "alice", address).finish(words) == 0
    (laptop,) = (each for each, is_this in ids(here, "laptop").items() if is_this)
    assert here.jim("alice", "devices", "remove", laptop, "--yes").wait() == 0
    assert here.jim("laptop", "listen", JIM_NAME="alice").wait() == 4
    here.kill_server()
    for home in ("laptop", "tablet"):
        away = here.jim(home, "recover", "alice", address, "--timeout", "2")
        assert away.finish(words) == 3
        assert "Nothing was changed" in "".join(away.errors)
    if not list(here.home("tablet").rglob("device.key")):
        assert not list(here.home("tablet").rglob("store.db"))
    here.start_server()
    for home in ("laptop", "tablet"):
        back = here.jim(home, "recover", "alice", address)
        assert back.finish(words) == 0, back.errors
        talks(here, home, f"from the {home}")
    assert len(ids(here, "alice")) == 3
