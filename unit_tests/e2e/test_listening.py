"""`jim listen` as a script uses it: everything once, whoever else writes and whatever is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jim.client.console.explain import Exit
from unit_tests.e2e.test_conversations import here, texts_from
from unit_tests.support.processes import ROOT, environment

if TYPE_CHECKING:
    from unit_tests.support.processes import Program, World

__all__ = ["here"]

pytestmark = [pytest.mark.timeout(120), pytest.mark.e2e]


def test_what_waits_behind_an_own_message_is_listened_to(here: World) -> None:
    for name in ("alice", "bob"):
        assert here.client(name).finish("3") == 0
    for text in ("first", "second"):
        assert here.jim("bob", "send", "alice", text).wait() == 0
    # Queued before it has collected those: a lower number here, a later place in the conversation.
    assert here.jim("alice", "send", "bob", "answer").wait() == 0
    one = here.jim("alice", "listen", "--count", "1", "--timeout", "60")
    assert one.wait() == 0
    rest = here.jim("alice", "listen", "--count", "1", "--timeout", "60")
    assert rest.wait() == 0
    assert [texts_from(each, "bob") for each in (one, rest)] == [["first"], ["second"]]


def test_a_listener_killed_among_several_people_leaves_nothing_out(here: World) -> None:
    here.client("bob").finish("3")
    dice = random.Random(12)
    names = [f"peer{number}" for number in range(4)]
    people = {name: here.client(name) for name in names}
    sent: set[str] = set()
    shown: list[dict[str, object]] = []
    for life in range(6):
        for number in range(40):
            name = dice.choice(names)
            people[name].say(f"@bob {name} {life} {number}")
            sent.add(f"{name} {life} {number}")
        if life % 2:  # an own message: a low number here, a late place in the conversation
            assert here.jim("bob", "send", dice.choice(names), "answer").wait() == 0
        listener = here.jim("bob", "listen", "--json")
        listener.expect('"message"', dice.randint(1, 20))
        listener.kill()
        shown += _fresh(listener, shown)
    for person in people.values():
        assert person.finish("3") == 0
    rest = here.jim("bob", "listen", "--json", "--timeout", "10")
    assert rest.wait() == 0
    shown += _fresh(rest, shown)
    ids = [int(str(message["id"])) for message in shown]
    assert ids == sorted(set(ids))
    assert {message["text"] for message in shown} == sent


def test_looking_back_by_number_shows_nothing_again_later(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    for text in ("one", "two"):
        assert here.jim("alice", "send", "bob", text).wait() == 0
    assert here.jim("bob", "listen", "--count", "2", "--timeout", "60").wait() == 0
    back = here.jim("bob", "listen", "--after", "0", "--count", "1", "--timeout", "60")
    assert back.wait() == 0
    assert texts_from(back, "alice") == ["one"]
    assert here.jim("alice", "send", "bob", "three").wait() == 0
    rest = here.jim("bob", "listen", "--count", "1", "--timeout", "60")
    assert rest.wait() == 0
    assert texts_from(rest, "alice") == ["three"]


@pytest.mark.parametrize("away", [">&-", ">/dev/null"])
@pytest.mark.parametrize("mode", ["listen --count 1 --timeout 60", "-n bob --timeout 5 </dev/null"])
def test_what_nobody_can_read_was_not_shown(here: World, mode: str, away: str) -> None:
    assert here.client("bob").finish("3") == 0
    assert here.jim("alice", "send", "bob", "one").wait() == 0
    program = "-m jim.client" if mode.startswith("listen") else f"{ROOT}/my_client.py"
    target = "" if mode.startswith("listen") else f"127.0.0.1 {here.port} "
    command = f'"{sys.executable}" {program} {target}{mode} {away}'
    env = environment(here.home("bob"), JIM_NAME="bob", JIM_SERVER=f"127.0.0.1:{here.port}")
    subprocess.run(["bash", "-c", command], env=env, timeout=60, check=True, capture_output=True)
    rest = here.jim("bob", "listen", "--count", "1", "--timeout", "60")
    assert rest.wait() == 0
    assert texts_from(rest, "alice") == ["one"]


def test_a_listener_whose_reader_stands_still_ends_and_leaves_the_rest(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    texts = [f"{number} {'x' * 9000}" for number in range(40)]  # far more than a pipe takes
    alice = here.client("alice")
    alice.say(*(f"@bob {text}" for text in texts))
    assert alice.finish("3") == 0
    seen: list[str] = []
    while len(seen) < len(texts):
        status, lines = _stalled(here)
        assert status == Exit.INTERRUPTED
        # It ends within a moment, in which the last one may be torn off.
        found = [json.loads(line)["text"] for line in lines if line.endswith("}\n")]
        assert found, "it never gets anywhere"
        seen += found[1:] if seen[-1:] == found[:1] else found
    assert seen == texts


def _stalled(here: World) -> tuple[int, list[str]]:
    """Run a listener whose output is read only after it was asked to end."""
    env = environment(here.home("bob"), JIM_NAME="bob", JIM_SERVER=f"127.0.0.1:{here.port}")
    command = [sys.executable, "-m", "jim.client", "listen", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        first = listener.stdout.readline()
        time.sleep(0.3)  # the pipe fills; no harm is done if it does not
        listener.terminate()
        status = listener.wait(30)
        return status, [first, *listener.stdout]


def test_a_listener_waits_for_a_send_that_has_the_account(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    here.kill_server()
    sending = here.jim("bob", "send", "alice", "x", "--timeout", "2")
    time.sleep(0.7)  # it has the account now, or has not yet; both are tried
    listener = here.jim("bob", "listen", "--count", "0")
    assert listener.wait() == 0, listener.errors
    assert sending.wait() == Exit.NO_CONNECTION


def _fresh(listener: Program, before: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a listener has printed, without the one line that its killed predecessor may have."""
    found = [json.loads(line) for line in listener.lines if line.endswith("}")]
    return found[1:] if before and found[:1] == before[-1:] else found
