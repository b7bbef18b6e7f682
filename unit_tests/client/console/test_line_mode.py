"""Line mode on a real pseudo-terminal: what a person sees while messages arrive."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from unit_tests.support.terminal import FakeTerminal

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "Enter a command or its number:"
RECIPIENT = "Enter the recipient of the message:"
TEXT = "Enter the text of the message:"

Start = Callable[..., FakeTerminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[FakeTerminal] = []

    def begin(**settings: Any) -> FakeTerminal:
        terminal = FakeTerminal("line", tmp_path, **settings)
        running.append(terminal)
        terminal.until(lambda: terminal.current.startswith(settings.get("prompt", PROMPT)))
        return terminal

    yield begin
    for terminal in running:
        terminal.close()


def ask(terminal: FakeTerminal, *lines: str) -> None:
    """Type lines, each after its question has been asked."""
    for line, question in zip(lines, (PROMPT, RECIPIENT, TEXT), strict=False):
        terminal.until(lambda asked=question: terminal.current.startswith(asked), question)  # type: ignore[misc]
        terminal.line(line)


def test_the_first_screen_reads_as_the_seeds(start: Start) -> None:
    terminal = start(words=True)
    terminal.expect("3. exit")
    shown = terminal.everything
    order = ["console messenger", "established", "fingerprint", "RECOVERY WORDS", "12. word12"]
    places = [shown.index(text) for text in [*order, "Supported commands:", "1. message"]]
    assert places == sorted(places)
    terminal.until(lambda: terminal.current == PROMPT)


def test_what_is_being_typed_stays_whole_while_messages_arrive(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "bob")
    terminal.until(lambda: terminal.current == TEXT)
    typed = "половина, and half"
    for number, letter in enumerate(typed):
        terminal.send(letter)
        terminal.do("receive", text=f"message number {number:02}")
    last = f"message number {len(typed) - 1:02}"
    terminal.expect(last)
    terminal.until(lambda: terminal.current == f"{TEXT} {typed}", typed)
    received = [row for row in terminal.everything.splitlines() if "message number" in row]
    assert received == [f"Message from bob: message number {n:02}" for n in range(len(typed))]
    terminal.line(" sent")
    terminal.expect(f"✓✓ bob: {typed} sent")


def test_the_dialogue_leaves_its_questions_and_answers_on_the_screen(start: Start) -> None:
    terminal = start(language="ru", prompt="Введите команду или ее номер:")
    terminal.expect("3. exit")
    terminal.line("1")
    terminal.until(lambda: terminal.current == "Введите получателя сообщения:")
    terminal.line("bob")
    terminal.until(lambda: terminal.current == "Введите текст сообщения:")
    terminal.line("привет, Боб")
    terminal.expect("✓✓ bob: привет, Боб")
    terminal.expect("✓✓ bob (зашифровано): привет, Боб")  # in the status line
    shown = terminal.everything
    assert "Введите получателя сообщения: bob\n" in shown
    assert "Введите текст сообщения: привет, Боб\n" in shown


def test_attacks_never_reach_the_terminal_raw(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    attacks = ["\x1b]52;c;cm0=\x07", "\x1b[2J\x1b[H", "\x9b2J", "a\rb", "\x1b[?1049h", "\u202egpj"]
    for attack in attacks:
        terminal.do("receive", text=f"{attack} end", **{"from": f"bo{attack}b"})
    terminal.expect("end", len(attacks))
    for sequence in (b"\x1b]52", b"\x1b[2J", "\x9b".encode(), b"\x1b[?1049h", "\u202e".encode()):
        assert sequence not in terminal.raw
    terminal.until(lambda: terminal.current == PROMPT)


def test_a_small_window_and_a_resize(start: Start) -> None:
    terminal = start(columns=80, rows=24)
    terminal.expect("3. exit")
    terminal.send("half typed")
    terminal.until(lambda: "half typed" in terminal.current)
    terminal.resize(40, 12)
    terminal.do("receive", text="after the resize " * 5)
    terminal.expect("after the resize")
    terminal.until(lambda: "half typed" in "".join(terminal.rows))
    terminal.send("\x15")
    terminal.line("@bob still works")
    terminal.expect("✓✓ bob: still works")


@pytest.mark.parametrize("size", [(40, 12), (20, 8)])
def test_narrow_terminals_work(start: Start, size: tuple[int, int]) -> None:
    terminal = start(columns=size[0], rows=size[1], prompt="")
    terminal.expect("3. exit")
    terminal.line("@bob hi")
    terminal.expect("✓✓ bob: hi")
    terminal.line("3")
    assert terminal.wait() == 0


def test_200_kilobytes_are_pasted_without_a_hang_and_sent_in_parts(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "bob")
    terminal.until(lambda: terminal.current == TEXT)
    terminal.paste("строка с текстом и «кавычками»\n" * 3700)
    terminal.expect("[paste 1: ")
    terminal.send(" tail")
    terminal.until(lambda: "tail" in "".join(terminal.rows))
    terminal.send("\r")
    terminal.expect("The text is long: it goes as 13 messages.")
    terminal.until(lambda: told_as_delivered(terminal.everything) == 13, "13 delivered")


def told_as_delivered(shown: str) -> int:
    """Count what is told of messages to bob, together or singly: as their answers came."""
    counted = re.findall(r"^✓✓ bob: (\d+) messages delivered$", shown, re.MULTILINE)
    return sum(map(int, counted)) + len(re.findall(r"^✓✓ bob: строка", shown, re.MULTILINE))


def test_a_paste_of_several_lines_is_one_message(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "bob")
    terminal.until(lambda: terminal.current == TEXT)
    terminal.paste("one\ntwo\r\nthree")
    terminal.until(lambda: "three" in terminal.current)
    terminal.send("\r")
    terminal.expect("✓✓ bob: one↵two↵three")


def test_a_paste_at_the_command_prompt_sends_nothing(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.paste("some text\nfrom somewhere")
    terminal.send("\r")
    terminal.expect("Unknown command: some.")
    terminal.expect("Nothing was sent.")
    assert "✓" not in terminal.everything


def test_ctrl_c_clears_gives_up_and_twice_leaves(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "bob")
    terminal.until(lambda: terminal.current == TEXT)
    terminal.send("wrong")
    terminal.until(lambda: "wrong" in terminal.current)
    terminal.send("\x03")
    terminal.expect("Nothing was sent.")
    terminal.until(lambda: terminal.current == PROMPT)
    terminal.expect("Ctrl+C again: leave")
    terminal.send("\x03")
    assert terminal.wait() == 130
    assert "Disconnecting from the server..." in terminal.everything


@pytest.mark.parametrize("ending", ["3\r", "exit\r", "выход\r", "учше\r", "/йгше\r", "\x04"])
def test_every_way_to_leave(start: Start, ending: str) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.send(ending)
    assert terminal.wait() == 0
    assert "Disconnecting from the server..." in terminal.everything


def test_ctrl_d_does_nothing_while_there_is_text(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.send("help\x04")
    terminal.line("")
    terminal.expect("/history NAME")


def test_ctrl_z_suspends_and_nothing_is_lost_meanwhile(start: Start) -> None:
    terminal = start(shell=True)
    terminal.expect("3. exit")
    terminal.send("half")
    terminal.until(lambda: terminal.current == f"{PROMPT} half")
    terminal.send("\x1a")
    terminal.until(lambda: terminal.current == "stopped")
    terminal.do("receive", text="meanwhile")
    terminal.send("\r")
    terminal.expect("Message from bob: meanwhile")
    terminal.until(lambda: terminal.current == f"{PROMPT} half")
    terminal.send("\x15")
    terminal.line("3")
    assert terminal.wait() == 0


def test_a_failed_message_says_why(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "nobody", "x")
    terminal.expect("! Not sent to nobody: x")
    terminal.expect("Nobody on this server has this name.")
    terminal.line("/cancel 1")
    terminal.expect("Too late, or no such message")


def test_offline_the_prompt_never_blocks_and_enter_tries_again(start: Start) -> None:
    terminal = start(online=False)
    terminal.expect("Nothing answers at this address and port.")
    terminal.expect("offline, retry in")
    terminal.line("@bob later")
    terminal.expect("1 to send")
    terminal.line("/status")
    terminal.expect("… bob: later")
    terminal.send("\r")
    terminal.expect("Connection to the server established.")


def test_a_lost_connection_is_told_once_and_the_typed_text_survives(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.send("half")
    for _ in range(3):
        terminal.do("link", state="waiting", retry_in_s=9.0)
    terminal.expect("The connection to the server is lost.")
    terminal.until(lambda: terminal.current == f"{PROMPT} half")
    terminal.do("link", state="online")
    terminal.expect("The connection to the server is back.")
    assert terminal.everything.count("is lost.") == 1
    terminal.until(lambda: terminal.current == f"{PROMPT} half")


def test_leaving_with_unsent_messages_says_that_they_are_kept(start: Start) -> None:
    terminal = start(online=False)
    terminal.expect("offline")
    terminal.line("@bob later")
    terminal.expect("1 to send")
    terminal.line("3")
    terminal.expect("Waiting for unsent messages: 1. Ctrl+C: leave now.")
    terminal.send("\x03")
    terminal.expect("1 message is not sent yet; it is kept")
    assert terminal.wait() == 0


def test_the_end_of_the_client_ends_the_prompt_with_the_reason(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.send("half")
    terminal.do("fatal", code="auth_failed")
    assert terminal.wait() == 4
    assert "! alice: The server did not accept this device's key" in terminal.everything


def test_tab_completes_commands_and_names(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.do("receive", text="hi", **{"from": "barbara"})
    terminal.expect("Message from barbara")
    terminal.send("mes\t")
    terminal.until(lambda: terminal.current == f"{PROMPT} message")
    terminal.send("\r")
    terminal.until(lambda: terminal.current == RECIPIENT)
    terminal.send("ba\t")
    terminal.until(lambda: terminal.current == f"{RECIPIENT} barbara")
    terminal.line("")
    terminal.until(lambda: terminal.current == TEXT)


def test_up_brings_back_what_answered_the_same_question(start: Start) -> None:
    terminal = start()
    terminal.expect("3. exit")
    ask(terminal, "1", "bob", "first text")
    terminal.expect("✓✓ bob: first text")
    terminal.send("\x1b[A")
    terminal.until(lambda: terminal.current == f"{PROMPT} 1")
    terminal.send("\r")
    terminal.until(lambda: terminal.current == RECIPIENT)
    terminal.send("\x1b[A")
    terminal.until(lambda: terminal.current == f"{RECIPIENT} bob")


def test_colours_can_be_switched_off(start: Start) -> None:
    terminal = start(colours=False)
    terminal.expect("3. exit")
    terminal.do("receive", text="hi")
    terminal.expect("Message from bob: hi")
    colours = [f"\x1b[0;{code}".encode() for code in (31, 36, 90)]
    assert not any(colour in terminal.raw for colour in colours)
    assert b";36m" not in terminal.raw


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(start: Start, number: int) -> None:
    terminal = start()
    terminal.expect("3. exit")
    terminal.kill(number)
    assert terminal.wait() == 130
    assert "Disconnecting from the server..." in terminal.everything
