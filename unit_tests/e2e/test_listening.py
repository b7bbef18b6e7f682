"""`jim listen` as a script uses it: everything once, whoever else writes and whatever is killed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from unit_tests.e2e.test_conversations import here, texts_from

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


def _fresh(listener: Program, before: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a listener has printed, without the one line that its killed predecessor may have."""
    found = [json.loads(line) for line in listener.lines if line.endswith("}")]
    return found[1:] if before and found[:1] == before[-1:] else found
