"""Verifying and allowing as processes: at two prompts, and in scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit_tests.support.processes import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def record(program: Program) -> dict[str, object]:
    assert program.wait() == 0, program.errors
    return json.loads(program.lines[-1])  # type: ignore[no-any-return]


def test_a_number_is_compared_in_scripts(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.client("bob").finish("1", "alice", "hello", "3") == 0
    ours = record(here.jim("alice", "trust", "bob", "--json"))
    theirs = record(here.jim("bob", "trust", "alice", "--json"))
    assert ours["number"] == theirs["number"]
    assert (ours["verified"], ours["devices"], ours["plain"]) == (False, 1, False)
    digits = str(theirs["number"])
    wrong = digits[1:] + digits[0]
    refused = here.jim("alice", "trust", "bob", "--number", wrong)
    assert refused.wait() == 1
    assert any("WARNING" in line for line in refused.errors)
    assert here.jim("alice", "trust", "bob", "--number", digits.replace(" ", "")).wait() == 0
    assert record(here.jim("alice", "trust", "bob", "--json"))["verified"] is True
    shown = here.jim("alice", "trust", "bob")
    assert shown.wait() == 0
    assert "bob: encrypted, verified" in shown.lines
    assert here.jim("alice", "trust", "nemo").wait() == 5
    assert here.jim("alice", "trust", "alice").wait() == 1
    assert here.jim("alice", "trust", "bob", "--accept").wait() == 0


def test_what_is_allowed_beside_a_running_client(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    alice = here.client("alice")
    alice.say("1", "bob", "hello")
    alice.expect("established")
    asked = here.jim("alice", "plain", "bob")
    assert asked.wait() == 0
    assert any("can read an unencrypted message" in line for line in asked.lines)
    assert here.jim("alice", "plain", "bob", "on").wait() == 0
    alice.say("/plain bob")
    alice.expect("are allowed. To forbid them")
    alice.say("/plain bob off", "/verify bob")
    alice.expect(r"^\d{5}( \d{5}){11}$")
    assert alice.finish("3") == 0


def test_emoji_at_two_prompts(here: World) -> None:
    alice, bob = here.client("alice"), here.client("bob")
    alice.expect("established")
    bob.expect("established")
    alice.say("/verify bob emoji")
    bob.expect("alice asks to compare emoji")
    bob.say("/verify alice emoji")
    ours = alice.expect("^  .*, .*, .*, .*, .*, .*, ")
    theirs = bob.expect("^  .*, .*, .*, .*, .*, .*, ")
    assert ours == theirs
    alice.say("/verify bob yes")
    bob.say("/verify alice yes")
    alice.expect("bob is verified")
    bob.expect("alice is verified")
    assert alice.finish("3") == 0
    assert bob.finish("3") == 0
    assert record(here.jim("alice", "trust", "bob", "--json"))["verified"] is True
