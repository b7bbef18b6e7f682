"""Real processes, TLS, files: what people type is on the right screen, once, come what may."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import DEADLINE_S, Program, World, environment, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120), pytest.mark.e2e]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def texts_from(program: Program, sender: str) -> list[str]:
    """What the screen shows from somebody, without the times."""
    prefix = f"Message from {sender}: "
    return [line.split(prefix, 1)[1] for line in program.lines if prefix in line]


def test_three_people_and_a_message_is_only_for_its_addressee(here: World) -> None:
    alice, bob, carol = (here.client(name) for name in ("alice", "bob", "carol"))
    for person in (alice, bob, carol):
        person.expect("Connection to the server established")
    alice.say("1", "bob", "for bob alone")
    bob.expect("for bob alone")
    bob.say("message", "alice", "ответ")
    alice.expect("ответ")
    carol.say("1", "carol", "to myself")
    assert alice.finish("3") == bob.finish("3") == carol.finish("3") == 0
    assert texts_from(bob, "alice") == ["for bob alone"]
    assert texts_from(alice, "bob") == ["ответ"]
    assert not texts_from(carol, "alice")
    assert not texts_from(carol, "bob")


def test_one_shot_from_a_pipe_is_stored_and_waits_for_its_addressee(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    for number in range(3):
        alice = here.client("alice")
        assert alice.finish("1", "bob", f"while you were away {number}", "3") == 0
    bob = here.client("bob")
    bob.expect("while you were away", 3)
    assert texts_from(bob, "alice") == [f"while you were away {n}" for n in range(3)]
    assert bob.finish("3") == 0
    again = here.client("bob")
    again.expect("Connection to the server established")
    assert again.finish("3") == 0
    assert texts_from(again, "alice") == []


def test_an_unknown_addressee_is_named_and_ends_with_5(here: World) -> None:
    alice = here.client("alice")
    assert alice.finish("1", "nobody", "hello?", "3") == 5
    assert any("nobody" in line for line in alice.errors + alice.lines)


def test_any_text_arrives_as_it_was_typed_or_harmless(here: World) -> None:
    bob = here.client("bob")
    bob.expect("Connection to the server established")
    alice = here.client("alice")
    plain = ["Привет, мир!", "日本語", "👍🏽 ❤️", "שלום", '{"action":"quit"}', "a" * 5000]
    for text in plain:
        alice.say("1", "bob", text)
    alice.say("1", "bob", "red \x1b[31m alert \x07 \x9b2J end")
    shown = bob.expect("end$")
    assert alice.finish("3") == 0
    assert bob.finish("3") == 0
    assert texts_from(bob, "alice")[: len(plain)] == plain
    assert not set("\x1b\x07\x9b") & set("".join(bob.lines))
    assert "red" in shown[-1]


def test_a_paste_of_200_kilobytes_arrives_whole(here: World) -> None:
    here.client("bob").finish("3")
    paste = "".join(f'строка {n}: кавычки " и \\ слэш, ' for n in range(4600))
    assert len(paste.encode()) > 200_000
    assert here.client("alice").finish("1", "bob", paste, "3") == 0
    listen = here.jim("bob", "listen", "--json")
    listen.expect(r"строка 4599")
    assert listen.stop() == 130
    received = [json.loads(line)["text"] for line in listen.lines]
    assert "".join(received) == paste


def test_a_killed_server_loses_and_doubles_nothing(here: World) -> None:
    bob = here.client("bob")
    bob.expect("Connection to the server established")
    alice = here.client("alice")
    alice.expect("Connection to the server established")
    dice = random.Random(7)
    sent = []
    for life in range(4):
        for number in range(15):
            sent.append(f"life {life} message {number}")
            alice.say("1", "bob", sent[-1])
        bob.expect(f"life {life} message {dice.randrange(15)}$")
        here.kill_server()
        alice.say("1", "bob", f"written while the server was dead {life}")
        sent.append(f"written while the server was dead {life}")
        here.start_server()
    bob.expect("while the server was dead 3$")
    assert alice.finish("3") == 0
    assert bob.finish("3") == 0
    assert texts_from(bob, "alice") == sent


def test_killed_clients_lose_nothing_and_repeat_at_most_their_last_line(here: World) -> None:
    here.client("bob").finish("3")
    dice = random.Random(11)
    sent: list[str] = []
    lives: list[list[str]] = []
    for life in range(5):
        alice, bob = here.client("alice"), here.client("bob")
        texts = [f"life {life} number {number}" for number in range(20)]
        for text in texts:
            alice.say("1", "bob", text)
        bob.expect(f"life {life} number {dice.randrange(20)}$")
        bob.kill()
        lives.append(texts_from(bob, "alice"))
        assert alice.finish("3") == 0
        sent += texts
    bob = here.client("bob")
    bob.expect("Connection to the server established")
    if not lives[-1] or lives[-1][-1] != sent[-1]:
        bob.expect(f"{sent[-1]}$")
    assert bob.finish("3") == 0
    lives.append(texts_from(bob, "alice"))
    shown: list[str] = []
    for lines in lives:
        repeated = bool(shown) and lines[:1] == shown[-1:]
        shown += lines[1:] if repeated else lines
    assert shown == sent
    history = here.jim("bob", "history", "alice", "--limit", "1000", "--json")
    assert history.wait() == 0
    kept = [json.loads(line)["text"] for line in history.lines]
    assert kept == sent


def test_a_sender_killed_with_a_full_outbox_sends_it_in_the_next_life(here: World) -> None:
    here.client("bob").finish("3")
    alice = here.client("alice")
    alice.expect("Connection to the server established")
    here.kill_server()
    for number in range(30):
        alice.say("1", "bob", f"queued {number}")
    alice.say("2")
    alice.expect("help", 2)
    alice.kill()
    here.start_server()
    assert here.client("alice").finish("3") == 0
    bob = here.client("bob")
    bob.expect("queued 29$")
    assert bob.finish("3") == 0
    assert texts_from(bob, "alice") == [f"queued {number}" for number in range(30)]


def test_a_taken_name_is_refused_and_the_owner_stays(here: World, tmp_path: Path) -> None:
    alice = here.client("alice")
    alice.expect("Connection to the server established")
    thief = here.jim("thief", "--name", "alice")
    assert thief.finish("3") == 4
    assert any("alice" in line for line in thief.errors)
    lookalike = here.jim("other", "--name", "а1iсе".replace("1", "l"))
    assert lookalike.finish("3") in (2, 4)
    alice.say("1", "alice", "still me")
    assert alice.finish("3") == 0


def test_another_server_at_the_address_stops_the_client_loudly(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.server is not None
    here.server.stop()
    data = here.directory / "server" / "data"
    data.rename(data.with_name("old data"))
    here.start_server()
    alice = here.client("alice")
    assert alice.finish("1", "alice", "x", "3") == 4
    assert any("identity" in line.lower() for line in alice.errors)
    sending = here.jim("alice", "send", "alice", "queued all the same")
    assert sending.wait() == 4
    assert any("is kept" in line for line in sending.errors)


def test_a_renewed_certificate_is_no_alarm(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.server is not None
    assert here.server.stop() == 0
    for certificate in (here.directory / "server" / "data").glob("tls*"):
        certificate.unlink()
    here.start_server()
    assert here.client("alice").finish("1", "alice", "x", "3") == 0


def test_the_account_comes_back_on_an_empty_machine_with_its_words(here: World) -> None:
    alice = here.client("alice")
    assert alice.finish("3") == 0
    announced = next(n for n, line in enumerate(alice.errors) if "RECOVERY WORDS" in line)
    words = alice.errors[announced + 1].split()
    assert len(words) == 12
    assert here.client("bob").finish("1", "alice", "are you back?", "3") == 0
    laptop = here.jim("laptop", "recover", "alice", f"127.0.0.1:{here.port}")
    assert laptop.finish(" ".join(words)) == 0
    assert here.client("bob").finish("1", "alice", "welcome", "3") == 0
    listen = here.jim("laptop", "listen", "--count", "2", "--timeout", "20", "--name", "alice")
    assert listen.wait() == 0
    # Sealed for the device that is lost, the first one comes once bob's client has sealed it anew.
    assert sorted(texts_from(listen, "bob")) == ["are you back?", "welcome"]
    history = here.jim("laptop", "history", "bob", "--name", "alice")
    assert history.wait() == 0
    assert [line.rpartition(": ")[2] for line in history.lines][-2:] == ["are you back?", "welcome"]
    wrong = here.jim("phone", "recover", "alice", f"127.0.0.1:{here.port}")
    assert wrong.finish(" ".join(reversed(words))) != 0


def test_send_ends_with_0_only_when_stored_and_a_key_makes_it_idempotent(here: World) -> None:
    here.client("bob").finish("3")
    for _ in range(3):
        assert here.jim("alice", "send", "bob", "nightly backup done", "--id", "job-1").wait() == 0
    assert here.jim("alice", "send", "nobody", "x").wait() == 5
    here.kill_server()
    assert here.jim("alice", "send", "bob", "too early", "--timeout", "1").wait() in (3, 6)
    here.start_server()
    from_pipe = here.jim("alice", "send", "bob")
    assert from_pipe.finish("two", "lines") == 0
    listen = here.jim("bob", "listen", "--json", "--count", "3", "--timeout", "20")
    assert listen.wait() == 0
    got = [json.loads(line)["text"] for line in listen.lines]
    assert got == ["nightly backup done", "too early", "two\nlines"]


def test_send_works_beside_a_running_client_of_the_same_account(here: World) -> None:
    here.client("bob").finish("3")
    alice = here.client("alice")
    alice.expect("Connection to the server established")
    assert here.jim("alice", "send", "bob", "from the shell").wait() == 0
    assert alice.finish("1", "bob", "from the client", "3") == 0
    bob = here.client("bob")
    bob.expect("from the client$")
    assert bob.finish("3") == 0
    assert texts_from(bob, "alice") == ["from the shell", "from the client"]


def test_a_server_told_to_stop_says_goodbye_and_ends_with_0(here: World) -> None:
    alice = here.client("alice")
    alice.expect("Connection to the server established")
    assert here.server is not None
    assert here.server.stop() == 0
    here.start_server()
    assert alice.finish("1", "alice", "after the pause", "3") == 0


def test_a_restored_database_loses_nothing_once_it_is_resynced(here: World) -> None:
    for name in ("alice", "bob", "carol"):
        assert here.client(name).finish("3") == 0
    assert here.jim("carol", "send", "bob", "before").wait() == 0
    here.jim("bob", "listen", "--count", "1").wait()
    data = here.directory / "server" / "data"
    assert here.server is not None
    assert here.server.stop() == 0
    shutil.copytree(data, here.directory / "copy")
    here.start_server()
    for number in range(3):
        assert here.jim("carol", "send", "bob", f"after {number}").wait() == 0
    here.jim("bob", "listen", "--count", "3").wait()
    assert here.server.stop() == 0
    shutil.rmtree(data)
    (here.directory / "copy").rename(data)
    assert here.operate("resync").wait() == 0
    here.start_server()
    for number in range(5):
        assert here.jim("alice", "send", "bob", f"new {number}").wait() == 0
    assert here.jim("carol", "send", "bob", "and more").wait() == 0
    listen = here.jim("bob", "listen", "--count", "6", "--timeout", "20")
    listen.expect("and more")
    listen.wait()
    assert texts_from(listen, "alice") == [f"new {number}" for number in range(5)]
    assert texts_from(listen, "carol") == ["and more"]


def test_a_database_without_its_key_is_refused_and_left_alone(here: World) -> None:
    assert here.server is not None
    assert here.server.stop() == 0
    key = here.directory / "server" / "data" / "identity.key"
    key.rename(key.with_name("identity.old"))
    refused = here.operate("-p", str(here.port))
    assert refused.wait() == 1
    assert any("identity.key" in line for line in refused.errors)
    assert not key.exists()


def test_a_mistyped_data_directory_makes_no_server(here: World) -> None:
    for command in ("fingerprint", "invite"):
        elsewhere = here.directory / "mistyped"
        program = here.operate(command, "--data-dir", str(elsewhere))
        assert program.wait() == 1
        assert not elsewhere.exists()


def shell(here: World, owner: str, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell as a user; `jim` in it is the command."""
    env = environment(
        here.home(owner), JIM_NAME=owner, JIM_SERVER=f"127.0.0.1:{here.port}", PY=sys.executable
    )
    script = f'jim() {{ "$PY" -m jim.client "$@"; }}; {line}'
    return subprocess.run(
        ["sh", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_streams_that_are_closed_or_full_stop_nothing_half_way(here: World) -> None:
    here.client("bob").finish("3")
    assert shell(here, "alice", "jim send bob once >&-").returncode == 0
    history = shell(here, "alice", "jim history bob")
    assert history.stdout.count("once") == 1
    full = shell(here, "alice", "jim history bob >/dev/full")
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    closed = shell(here, "alice", "jim send bob <&-")
    assert closed.returncode == 2
    assert "Traceback" not in closed.stderr
    ascii_only = shell(here, "alice", "PYTHONIOENCODING=ascii jim --lang ru --help")
    assert ascii_only.returncode == 0


def test_words_that_the_server_refuses_end_with_4(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    wrong = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    refused = shell(here, "x", f"echo {wrong} | jim recover alice $JIM_SERVER")
    assert refused.returncode == 4
    assert "alice is on this machine" not in refused.stdout


def test_listening_under_a_name_of_somebody_else_ends_with_4(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    result = shell(here, "thief", "jim listen --name alice --timeout 20")
    assert result.returncode == 4
    assert result.stderr


def test_a_place_that_cannot_be_written_is_named(here: World) -> None:
    result = shell(here, "alice", "jim send bob hi --data-dir /proc/nowhere --timeout 20")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "internal" not in result.stderr


def test_the_client_waits_for_a_short_command_that_has_the_account(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    here.kill_server()
    command = here.jim("alice", "send", "alice", "slow", "--timeout", "2")
    lock = next(here.home("alice").rglob("lock"))
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with lock.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                break
    client = here.client("alice")
    here.start_server()
    assert client.finish("1", "alice", "typed", "3") == 0
    command.wait()


def test_a_file_without_ca_certificates_is_refused_at_once(here: World) -> None:
    result = shell(here, "alice", "jim send bob hi --ca-file /dev/null --timeout 20")
    assert result.returncode == 2
    assert "--ca-file" in result.stderr
