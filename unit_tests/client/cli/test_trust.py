"""Verifying and allowing as processes: at two prompts, and in scripts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit_tests.support.processes import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def terminal(here: World, *arguments: str, columns: int = 80) -> Terminal:
    env = environment(here.home("alice"), TERM="xterm", JIM_NAME="alice")
    env["JIM_SERVER"] = f"127.0.0.1:{here.port}"
    return Terminal([sys.executable, "-m", "jim.client", *arguments], env, columns)


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
    wrong_name = [(command, "no/name") for command in ("trust", "plain", "history")]
    for command, nobody in (("trust", "admin"), *wrong_name):  # reserved, and no name at all
        reserved = here.jim("alice", command, nobody)
        assert reserved.wait() == 5, (command, nobody, reserved.errors)
        assert reserved.errors[-1].startswith(f"jim: {nobody}: ")
        assert "Choose another" not in reserved.errors[-1]
    assert here.jim("alice", "trust", "alice").wait() == 1
    assert here.jim("alice", "plain", "Alice").wait() == 1
    assert here.jim("alice", "trust", "bob", "--accept").wait() == 0


def test_keys_are_dropped_by_who_says_so_twice(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    assert here.client("alice").finish("1", "bob", "hello", "3") == 0
    unsure = here.jim("alice", "trust", "bob", "--forget")
    assert unsure.finish("bob") == 1
    assert any("WARNING" in line for line in unsure.lines)
    assert unsure.lines[-1] == "Nothing was changed."
    asking = terminal(here, "trust", "bob", "--forget")
    asking.expect("type the name (bob):")
    asking.line("bob")
    asking.expect("are dropped")
    assert asking.wait() == 0
    nothing = here.jim("alice", "trust", "bob", "--forget", "--yes")
    assert nothing.wait() == 0
    assert nothing.lines == ["No keys of bob are known here: there is nothing to drop."]
    assert here.jim("alice", "send", "bob", "again").wait() == 0
    assert here.jim("alice", "trust", "bob", "--forget", "--yes").wait() == 0
    told = here.jim("alice", "history", "bob")
    assert told.wait() == 0
    assert sum("You have dropped the keys of bob" in line for line in told.lines) == 2


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


def test_questions_at_a_terminal(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.client("bob").finish("1", "alice", "hello", "3") == 0
    same = terminal(here, "trust", "bob")
    for typed in ("yess", "maybe", "н"):  # a typing error is no answer, the third one is no
        same.until(lambda: same.current == "Is it the same? (yes, no)")
        same.line(typed)
    same.expect("WARNING")
    assert same.wait() == 1
    for nothing in ("\r", "\x04"):
        same = terminal(here, "trust", "bob")
        same.expect("Is it the same?")
        same.send(nothing)
        assert same.wait() == 0
        assert "Nothing was changed." in same.rows, "not on a line of its own"
    for command, question in (("trust", "Is it the same?"), ("plain", "Allow it?")):
        given_up = terminal(here, command, "bob")
        given_up.expect(question)
        given_up.send("\x03")
        assert given_up.wait() == 130
    allowed = terminal(here, "plain", "bob")
    for typed in ("on or off?", "y"):
        allowed.until(lambda: allowed.current == "Allow it? (yes, no)")
        allowed.line(typed)
    allowed.expect("are allowed")
    assert allowed.wait() == 0
    assert record(here.jim("alice", "trust", "bob", "--json"))["plain"] is True


def test_a_narrow_terminal_breaks_no_word(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    meaning = "can read an unencrypted message, change it, or write one in the name of bob."
    nobody = (
        "jim: no/name: A name has letters and digits and, inside, the signs - _ . and no others."
    )
    for command, text in ((("plain", "bob"), meaning), (("trust", "no/name"), nobody)):
        shown = terminal(here, *command, columns=40)
        if command[0] == "plain":
            shown.expect("Allow it?")
            shown.line("")
        shown.wait()
        assert text in " ".join(shown.everything.split())


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
