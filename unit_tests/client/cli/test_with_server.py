"""The subcommands as processes against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.crypto.keys import SigningKey, format_pin
from unit_tests.support.processes import ROOT, World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def records(lines: list[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines]


def test_what_send_has_collected_is_shown_by_the_next_client_once(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.client("bob").finish("1", "alice", "for alice", "3") == 0
    assert here.jim("alice", "send", "bob", "collects the mail too").wait() == 0
    alice = here.client("alice")
    alice.expect("^Message from bob: for alice$")
    assert alice.finish("3") == 0
    again = here.client("alice")
    again.expect("established")
    assert again.finish("3") == 0
    assert not any("for alice" in line for line in again.lines)


def test_a_recovered_account_shows_what_comes_into_its_new_store(here: World) -> None:
    alice = here.client("alice")
    assert alice.finish("3") == 0
    words = alice.errors[1 + next(n for n, s in enumerate(alice.errors) if "RECOVERY" in s)]
    old = [part for number in range(5) for part in ("1", "alice", f"old {number}")]
    assert here.client("bob").finish(*old, "1", "alice", "the last old one", "3") == 0
    seeing = here.client("alice")
    seeing.expect("the last old one")
    assert seeing.finish("3") == 0
    for store in here.home("alice").rglob("store.db*"):
        store.rename(store.with_name(f"old-{store.name}"))
    assert here.jim("alice", "recover", "alice", f"127.0.0.1:{here.port}").finish(words) == 0
    assert here.client("bob").finish("1", "alice", "into the new store", "3") == 0
    again = here.client("alice")
    again.expect("into the new store")
    assert again.finish("3") == 0


def test_listen_begins_after_a_number_or_with_what_was_not_shown(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    for text in ("one", "two", "three"):
        assert here.jim("alice", "send", "bob", text).wait() == 0
    first = here.jim("bob", "listen", "--json", "--count", "2", "--timeout", "20")
    assert first.wait() == 0
    got = records(first.lines)
    assert [record["text"] for record in got] == ["one", "two"]
    rest = here.jim("bob", "listen", "--count", "1", "--timeout", "20")
    assert rest.wait() == 0
    assert rest.lines == ["Message from alice: three"]
    after = here.jim("bob", "listen", "--json", "--after", str(got[0]["id"]), "--count", "2")
    assert after.wait() == 0
    assert [record["text"] for record in records(after.lines)] == ["two", "three"]


def test_listen_that_runs_out_of_time(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    # Long enough to be online by then on a loaded machine, which is what tells 6 from 3.
    assert here.jim("bob", "listen", "--timeout", "4").wait() == 0
    assert here.jim("bob", "listen", "--timeout", "4", "--count", "1").wait() == 6
    here.kill_server()
    assert here.jim("bob", "listen", "--timeout", "1", "--count", "1").wait() == 3


def test_listen_into_head_ends_like_sigpipe(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    for number in range(3):
        assert here.jim("alice", "send", "bob", f"message {number}").wait() == 0
    env = environment(here.home("bob"), JIM_NAME="bob", JIM_SERVER=f"127.0.0.1:{here.port}")
    command = (
        f'"{sys.executable}" -m jim.client listen --timeout 30 | head -1; exit ${{PIPESTATUS[0]}}'
    )
    with subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"Message from alice: message 0\n"
        assert here.jim("alice", "send", "bob", "one more").wait() == 0
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (141, b"", b"")


def test_whoami_and_history_need_no_server(here: World) -> None:
    assert here.client("alice").finish("1", "alice", "a note\nto", "3") == 0
    here.kill_server()
    who = here.jim("alice", "whoami", "--json")
    assert who.wait() == 0
    (record,) = records(who.lines)
    assert (record["name"], record["server"]) == ("alice", f"127.0.0.1:{here.port}")
    history = here.jim("alice", "history", "alice")
    assert history.wait() == 0
    assert history.lines[0].endswith("alice: a note")
    nobody = here.jim("alice", "history", "nobody")  # a reserved word, like a name that is free
    assert nobody.wait() == 0
    assert (nobody.lines, nobody.errors) == ([], ["jim: No messages with nobody."])


def test_a_machine_without_an_account_says_how_to_make_one(here: World) -> None:
    env = {"JIM_NAME": "", "JIM_SERVER": ""}
    for command in (("whoami",), ("history", "bob"), ("send", "bob", "x"), ("listen",)):
        stranger = here.jim("stranger", *command, **env)
        assert stranger.wait() == 2, command
        assert "jim [SERVER] -n NAME" in "".join(stranger.errors)


@pytest.mark.parametrize(("flags", "answer"), [((), ""), (("-n", "alice"), None), ((), "Alice")])
def test_without_an_address_it_goes_where_the_account_is(
    here: World, flags: tuple[str, ...], answer: str | None
) -> None:
    assert here.client("alice").finish("3") == 0
    env = environment(here.home("alice"), TERM="xterm")
    at_prompt = Terminal([sys.executable, "-m", "jim.client", *flags], env)
    if answer is not None:
        at_prompt.expect("Enter your user name (Enter: alice):")
        at_prompt.line(answer)
    at_prompt.expect("established")
    at_prompt.line("3")
    assert at_prompt.wait() == 0
    piped = here.jim("alice", *flags, JIM_NAME="", JIM_SERVER="")
    assert piped.finish(*([] if flags else ["alice"]), "1", "alice", "a note", "3") == 0


def test_several_accounts_are_listed(here: World) -> None:
    for name in ("alice", "anna"):
        shared = here.jim("alice", "127.0.0.1", str(here.port), "-n", name)
        assert shared.finish("3") == 0
    which = here.jim("alice", "whoami", JIM_NAME="", JIM_SERVER="")
    assert which.wait() == 2
    assert "alice" in which.errors[0]
    assert "anna" in which.errors[0]


def test_doctor_finds_everything_in_order_and_what_is_not(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    healthy = here.jim("alice", "doctor", "--json")
    assert healthy.wait() == 0
    statuses = {record["name"]: record["status"] for record in records(healthy.lines)}
    assert set(statuses.values()) == {"ok"}
    names = "data disk key store locale terminal server identity round_trip clock policy"
    assert set(statuses) == set(names.split())
    key = next(here.home("alice").rglob("device.key"))
    key.chmod(0o644)
    here.kill_server()
    ill = here.jim("alice", "doctor")
    assert ill.wait() == 1
    failed = [line for line in ill.lines if line.startswith("fail")]
    assert len(failed) == 2
    assert any("chmod" in line for line in ill.lines)


def test_a_pin_decides_at_the_first_contact(here: World) -> None:
    address = ("127.0.0.1", str(here.port))
    no_key = here.jim("alice", *address, "--pin", "a" * 52)
    assert no_key.finish("3") == 2
    assert "52 characters" in "".join(no_key.errors)
    other = here.jim("alice", *address, "--pin", format_pin(SigningKey.generate().public))
    assert other.finish("3") == 4
    assert "identity" in "".join(other.errors)
    assert here.jim("alice", *address).finish("3") == 0  # the wrong pin has done no lasting harm
    known = next(here.home("alice").rglob("known_servers")).read_text(encoding="utf-8")
    right = here.jim("bob", *address, "--pin", known.split()[2])
    assert right.finish("3") == 0


def test_recovery_words_are_read_from_several_lines(here: World) -> None:
    alice = here.client("alice")
    assert alice.finish("3") == 0
    words = next(line.split() for line in alice.errors if len(line.split()) == 12)
    laptop = here.jim("laptop", "recover", "alice", f"127.0.0.1:{here.port}")
    assert laptop.finish(" ".join(words[:5]), "", " ".join(words[5:])) == 0
    assert "alice is on this machine now." in laptop.lines[0]
    nothing = here.jim("phone", "recover", "alice", f"127.0.0.1:{here.port}")
    assert nothing.finish("") == 2


def test_a_client_that_is_open_keeps_a_second_one_out(here: World) -> None:
    alice = here.client("alice")
    alice.expect("established")
    second = here.client("alice")
    assert second.finish("3") == 1
    assert "Another client already works with this account" in "".join(second.errors)
    assert alice.finish("3") == 0


def test_it_starts_from_any_directory_and_quickly(here: World, tmp_path: Path) -> None:
    env = environment(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, str(ROOT / "my_client.py"), "--version"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    modules = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jim.client", "--version"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stderr
    for heavy in ("prompt_toolkit", "asyncio", "nacl", "sqlite3", "msgspec", "ssl"):
        assert f"| {heavy}{os.linesep}" not in modules, heavy
        assert f" {heavy}\n" not in modules, heavy
