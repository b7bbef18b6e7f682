"""The commands about devices as processes against a real server: list, remove, rename, reset."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit_tests.support.processes import Program

WORDS = re.compile(r"\w+( \w+){11}")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def words_in(program: Program) -> str:
    """The recovery words that a program has told on its standard error."""
    return next(line for line in program.errors if WORDS.fullmatch(line))


def join(here: World, name: str, *flags: str) -> str:
    """Register somebody; gives the words."""
    program = here.client(name, *flags)
    assert program.finish("3") == 0
    return words_in(program)


def recover(here: World, home: str, words: str, *flags: str) -> Program:
    program = here.jim(home, "recover", "alice", f"127.0.0.1:{here.port}", *flags)
    assert program.finish(words) == 0, program.errors
    return program


def devices(here: World, home: str) -> list[dict[str, object]]:
    listed = here.jim(home, "devices", "--json", JIM_NAME="alice")
    assert listed.wait() == 0, listed.errors
    return [json.loads(line) for line in listed.lines]


def look_for(program: Program, name: str) -> None:
    """Look at the list of devices until one is called so."""
    deadline = time.monotonic() + 20
    while not any(name in line for line in program.lines):
        assert time.monotonic() < deadline, program.lines
        program.say("/devices")
        time.sleep(0.2)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_words_of_either_language_bring_the_account_to_an_empty_machine(
    here: World, language: str
) -> None:
    words = join(here, "alice", "--lang", language)
    assert ("а" <= words[0] <= "я") == (language == "ru")
    recovered = recover(here, "laptop", words, "--lang", language)
    start = "Your other devices:" if language == "en" else "Другие ваши устройства:"
    assert recovered.lines[1] == start
    talk = "To talk from here" if language == "en" else "Писать отсюда"
    assert recovered.lines[3:] == [f"{talk}: jim 127.0.0.1:{here.port} -n alice"]
    assert len(devices(here, "laptop")) == 2


def test_what_is_lost_can_be_removed_with_the_recovery(here: World) -> None:
    words = join(here, "alice")
    recover(here, "phone", words)
    first, second = devices(here, "phone")
    assert (first["this"], second["this"]) == (False, True)
    recovered = recover(here, "laptop", words, "--remove", str(first["id"])[:8])
    assert recovered.lines[-2].startswith(f"Removed from your account: {first['id']}")
    assert devices(here, "laptop")[0]["id"] == second["id"]
    out = here.jim("alice", "listen", "--timeout", "10")
    assert out.wait() == 4
    assert "This device was removed from its account" in "".join(out.errors)
    assert here.jim("alice", "history", "alice").wait() == 0
    again = here.jim("laptop", "devices", JIM_NAME="alice")
    assert again.wait() == 0
    assert [line.endswith("this device") for line in again.lines] == [False, True]
    last = recover(here, "tablet", words, "--remove-others")
    assert len(last.lines) == 7
    (only,) = devices(here, "tablet")
    assert only["this"]


def test_a_device_is_removed_and_renamed_by_a_script(here: World) -> None:
    words = join(here, "alice")
    recover(here, "laptop", words)
    first, second = (str(each["id"]) for each in devices(here, "laptop"))
    named = here.jim("laptop", "devices", "rename", second, "my laptop", JIM_NAME="alice")
    assert named.wait() == 0
    assert named.lines == [f'{second} is called "my laptop" now, on all your devices.']
    alice = here.client("alice")
    alice.expect("established")
    look_for(alice, '"my laptop"')
    assert alice.finish("3") == 0
    for mistake in (("remove",), ("rename", second), ("remove", second, "x"), ("remove", "zzzz")):
        wrong = here.jim("alice", "devices", *mistake)
        assert wrong.wait() == 2, mistake
    unsure = here.jim("alice", "devices", "remove", first[:6])
    assert unsure.finish() == 2
    assert unsure.errors == ["jim: Nothing was removed."]
    removed = here.jim("alice", "devices", "remove", "my laptop")
    assert removed.wait() == 0
    assert len(devices(here, "alice")) == 1
    itself = here.jim("alice", "devices", "remove", first, "--yes")
    assert itself.wait() == 0


def test_devices_are_listed_and_renamed_beside_a_running_client(here: World) -> None:
    words = join(here, "alice")
    recover(here, "laptop", words)
    first, _ = (str(each["id"]) for each in devices(here, "laptop"))
    alice = here.client("alice")
    alice.expect("established")
    assert len(devices(here, "alice")) == 2
    assert here.jim("alice", "devices", "rename", first, "the one at home").wait() == 0
    laptop = here.client("laptop", "-n", "alice")
    laptop.expect("established")
    look_for(laptop, '"the one at home"')
    assert laptop.finish("3") == 0
    assert here.jim("alice", "devices", "remove", first).wait() == 1
    assert alice.finish("3") == 0


def test_the_list_without_a_server_is_the_last_one_known(here: World) -> None:
    join(here, "alice")
    before = devices(here, "alice")
    here.kill_server()
    listed = here.jim("alice", "devices")
    assert listed.wait() == 0
    assert str(before[0]["id"]) in listed.lines[0]
    assert "No connection" in listed.errors[0]
    removing = here.jim("alice", "devices", "remove", "x", "--timeout", "1")
    assert removing.wait() == 3


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_reset_is_meant_and_gives_new_words(here: World, language: str) -> None:
    words = join(here, "alice", "--lang", language)
    address = f"127.0.0.1:{here.port}"
    unsure = here.jim("laptop", "reset", "alice", address)
    assert unsure.finish(words) == 2
    assert unsure.errors == ["jim: Nothing was done."]
    bob = here.client("bob")
    bob.say("1", "alice", "before")
    reset = here.jim("laptop", "reset", "alice", address, "--yes", "--lang", language)
    assert reset.finish(words) == 0, reset.errors
    new = words_in(reset)
    assert new != words
    old = here.jim("thief", "recover", "alice", address)
    assert old.finish(words) == 4
    assert here.client("alice").finish("3") == 4
    assert len(devices(here, "laptop")) == 1
    recover(here, "alice", new)
    assert len(devices(here, "laptop")) == 2
    assert bob.finish("3") == 0


@pytest.mark.parametrize("delay_s", [0.6, 1.0, 1.4, 2.0])
def test_killed_in_a_reset_the_next_one_goes_on(here: World, delay_s: float) -> None:
    """At any moment: the words that were told last are the account's, and if none the old ones."""
    words, address = join(here, "alice"), f"127.0.0.1:{here.port}"
    program = here.jim("laptop", "reset", "alice", address, "--yes")
    program.say(words)
    time.sleep(delay_s)
    program.kill()
    told = [line for line in program.errors if WORDS.fullmatch(line)]
    again = here.jim("laptop", "reset", "alice", address, "--yes")
    assert again.finish(*(told or [words])) == 0, again.errors
    assert len(devices(here, "laptop")) == 1
    recover(here, "tablet", words_in(again))


def terminal(here: World, home: str, *arguments: str) -> Terminal:
    env = environment(here.home(home), TERM="xterm", JIM_NAME="alice")
    env["JIM_SERVER"] = f"127.0.0.1:{here.port}"
    return Terminal([sys.executable, "-m", "jim.client", *arguments], env, columns=200)


def test_at_a_terminal_every_question_is_asked(here: World) -> None:
    words = join(here, "alice")
    recover(here, "phone", words)
    first, second = (str(each["id"]) for each in devices(here, "phone"))
    asking = terminal(here, "laptop", "recover", "alice", f"127.0.0.1:{here.port}")
    asking.expect("The twelve recovery words")
    asking.line(words)
    asking.expect(f"Remove {first}")
    asking.line("no")
    asking.expect(f"Remove {second}")
    asking.line("maybe")
    asking.expect(f"Remove {second}", 2)
    asking.line("y")
    asking.expect(f"Removed from your account: {second}")
    assert asking.wait() == 0
    left = devices(here, "laptop")
    assert [each["id"] for each in left][:1] == [first]
    assert len(left) == 2
    itself = terminal(here, "laptop", "devices", "remove", str(left[1]["id"]))
    itself.expect("This is the device in front of you")
    itself.line("yes")
    itself.expect("Nothing was removed")
    assert itself.wait() == 2
    resetting = terminal(here, "tablet", "reset", "alice", f"127.0.0.1:{here.port}")
    resetting.expect("THE LAST RESORT")
    resetting.line("alicia")
    resetting.expect("Nothing was done")
    assert resetting.wait() == 2
    resetting = terminal(here, "tablet", "reset", "alice", f"127.0.0.1:{here.port}")
    resetting.expect("type the name again")
    resetting.line("Alice")
    resetting.expect("The twelve recovery words")
    resetting.line(words)
    resetting.expect("RECOVERY WORDS")
    assert resetting.wait() == 0
    assert len(devices(here, "tablet")) == 1


def test_a_person_is_asked_before_another_device_goes(here: World) -> None:
    words = join(here, "alice")
    recover(here, "phone", words)
    _, phone = (str(each["id"]) for each in devices(here, "phone"))
    for typed, status in (("\r", 2), ("н\r", 2), ("\x03", 130), ("maybe\ry\r", 0)):
        assert len(devices(here, "alice")) == 2
        asking = terminal(here, "alice", "devices", "remove", phone[:5])
        asking.expect("Remove it? (yes, no)")
        assert phone in asking.everything
        asking.send(typed)
        assert asking.wait() == status, asking.everything
    assert len(devices(here, "alice")) == 1
