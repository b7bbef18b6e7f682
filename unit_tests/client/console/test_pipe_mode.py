"""Pipe mode: the seed's lines in, one line for each message out, honest exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jim.client.console.commands import COMMANDS
from unit_tests.support.processes import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def control(tmp_path: Path) -> Path:
    path = tmp_path / "control"
    os.mkfifo(path)
    return path


def arguments(name: str = "alice") -> list[str]:
    return [sys.executable, "-m", "unit_tests.support.fake_client", "pipe", name]


def environment(control: Path | None = None, **settings: Any) -> dict[str, str]:
    settings.setdefault("language", "en")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JIM_TEST_FAKE": json.dumps(settings)}
    return env if control is None else {**env, "JIM_TEST_CONTROL": str(control)}


def piped(text: str, name: str = "alice", **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(name),
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        env=environment(**settings),
        check=False,
    )


@pytest.fixture
def talking(control: Path) -> Iterator[tuple[Program, Any]]:
    program = Program(*arguments(), env=environment(control))
    with control.open("w", encoding="utf-8", buffering=1) as steps:
        yield program, lambda **step: steps.write(json.dumps(step) + "\n")
    if program.process.poll() is None:
        program.kill()


def test_the_seeds_session_without_any_prompt() -> None:
    done = piped("1\nbob\nhi\n3\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "JIM 0.0, console messenger. You are alice; server localhost:7777.",
        "Connection to the server established.",
        "Supported commands:",
        *(f"{c.number}. {c.words[0]} - {c.summary}" for c in COMMANDS if c.number),
        "Disconnecting from the server...",
    ]


def test_the_screen_of_the_seed_in_russian() -> None:
    done = piped("3\n", language="ru")
    shown = done.stdout.splitlines()
    assert "Соединение с сервером установлено." in shown
    assert "Отключение от сервера..." in shown
    assert "1. message - отправить сообщение. Кому и текст будет запрошены отдельно." in shown


@pytest.mark.parametrize("ending", ["", "3", "3\n", "exit\n", "выход\n"])
def test_the_end_of_the_input_ends_it_like_3(ending: str) -> None:
    assert piped(f"message\nbob\nhi\n{ending}").returncode == 0


def test_the_first_line_is_the_name_if_none_was_given() -> None:
    done = piped("carol\n3\n", name="-")
    assert "You are carol" in done.stdout
    assert piped("\n", name="-").returncode == 2


def test_an_unknown_recipient_is_5_and_named_on_stderr() -> None:
    done = piped("1\nnobody\nhi\n1\nbob\nstill sent\n3\n")
    assert done.returncode == 5
    assert "! Not sent to nobody: hi (Nobody on this server has this name." in done.stderr
    assert piped("1\nno name\nhi\n3\n").returncode == 5
    assert piped("1\n\nhi\n3\n").returncode == 5


def test_a_message_that_is_not_stored_in_time_is_not_0() -> None:
    done = piped("1\nbob\nhi\n3\n", online=False, timeout_s=0.5)
    assert done.returncode == 3
    assert "No connection to the server." in done.stderr
    assert "1 message is not sent yet; it is kept" in done.stderr


def test_without_a_server_and_anything_to_send_it_ends_at_once_with_3() -> None:
    done = piped("3\n", online=False)
    assert done.returncode == 3
    assert "Nothing answers at this address and port." in done.stderr


def test_the_words_and_the_fingerprint_go_to_stderr() -> None:
    done = piped("3\n", words=True)
    words = " ".join(f"word{n}" for n in range(1, 13))
    assert words in done.stderr.splitlines()
    assert "aaaa bbbb cccc dddd" in done.stderr
    assert "word1" not in done.stdout


def test_any_unicode_and_no_unicode() -> None:
    raw = b"1\nbob\n\xff\xfe broken \xd0\n3\n"
    done = subprocess.run(
        arguments(), input=raw, capture_output=True, timeout=30, env=environment(), check=False
    )
    assert done.returncode == 0


def test_a_message_is_one_line_at_once_and_harmless(talking: tuple[Program, Any]) -> None:
    program, do = talking
    program.expect("3. exit")
    do(do="receive", text="one\ntwo\x1b[2J")
    program.expect("^Message from bob: one\\\\ntwo‹1B›\\[2J$")
    do(do="receive", text="слово")
    program.expect("^Message from bob: слово$")
    assert program.finish("3") == 0


def test_commands_are_answered_in_their_order(talking: tuple[Program, Any]) -> None:
    program, _do = talking
    program.say("1", "bob", "hi", "/history bob", "/who", "2", "nonsense")
    program.expect("alice: hi$")
    program.expect("Here: bob")
    program.expect("/history NAME")
    assert program.finish("3") == 0
    assert any("Unknown command: nonsense." in line for line in program.errors)


def test_the_end_of_the_client_ends_it_with_its_status(talking: tuple[Program, Any]) -> None:
    program, do = talking
    program.expect("3. exit")
    do(do="fatal", code="auth_failed")
    assert program.wait() == 4
    assert any("alice: The server did not accept" in line for line in program.errors)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(talking: tuple[Program, Any], number: int) -> None:
    program, _do = talking
    program.expect("3. exit")
    program.process.send_signal(number)
    assert program.wait() == 130
    assert program.errors == []


def test_a_reader_that_goes_away_ends_it_like_sigpipe(control: Path) -> None:
    process = subprocess.Popen(
        arguments(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(control)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with control.open("w", encoding="utf-8", buffering=1) as steps:
        process.stdout.readline()
        process.stdout.close()
        steps.write(json.dumps({"do": "receive", "text": "to nobody"}) + "\n")
        assert process.wait(30) == 141
    process.stdin.close()


def test_a_reader_that_stalls_does_not_stop_the_exit(control: Path) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        arguments(), stdin=subprocess.PIPE, stdout=write, env=environment(control)
    )
    os.close(write)
    assert process.stdin is not None
    with control.open("w", encoding="utf-8", buffering=1) as steps:
        for _ in range(40):
            steps.write(json.dumps({"do": "receive", "text": "x" * 8000}) + "\n")
        os.read(read, 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    process.stdin.close()
    os.close(read)
