"""Somebody types at a real terminal while messages arrive: real server, real TLS, real client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import ROOT, World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120), pytest.mark.e2e]

TEXT = "Enter the text of the message:"
TYPED = "ещё не дописанное сообщение, ёжик"
FIRST, SECOND = TYPED[:11], TYPED[11:]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


@pytest.fixture
def alice(here: World) -> Iterator[Terminal]:
    """Alice in line mode, asked for the text of a message to bob."""
    assert here.client("bob").finish("3") == 0
    env = environment(here.home("alice"), TERM="xterm-256color")
    client = [sys.executable, str(ROOT / "my_client.py"), "127.0.0.1", str(here.port)]
    terminal = Terminal([*client, "-n", "alice"], env)
    terminal.expect("3. exit")
    terminal.line("1")
    terminal.until(lambda: terminal.current == "Enter the recipient of the message:")
    terminal.line("bob")
    terminal.until(lambda: terminal.current == TEXT)
    yield terminal
    terminal.close()


def is_intact(terminal: Terminal, typed: str) -> bool:
    """Tell whether the row of the cursor is the question and what was typed, and nothing else."""
    return terminal.current == f"{TEXT} {typed}"


def what_bob_has(here: World) -> list[str]:
    """Everything that alice sent to bob, as often as it came."""
    bob = here.client("bob")
    bob.expect(TYPED)
    assert bob.finish("3") == 0
    prefix = "Message from alice: "
    return [line.split(prefix, 1)[1] for line in bob.lines if prefix in line]


def test_the_typed_text_stays_whole_while_messages_arrive(here: World, alice: Terminal) -> None:
    incoming = [f"сообщение номер {number}" for number in range(len(FIRST))]
    sender = here.client("bob")
    sender.expect("Connection to the server established")
    for letter, text in zip(FIRST, incoming, strict=True):
        alice.send(letter)
        sender.say("1", "alice", text)
    alice.expect(incoming[-1])
    sending = here.jim("bob", "send", "alice", "и последнее")
    for letter in SECOND:
        alice.send(letter)
    assert sending.wait() == 0
    alice.expect("Message from bob: и последнее")
    alice.until(lambda: is_intact(alice, TYPED), TYPED)
    rows = [row for row in alice.everything.splitlines() if "Message from bob:" in row]
    assert rows == [f"Message from bob: {text}" for text in [*incoming, "и последнее"]]
    assert alice.everything.index("и последнее") < alice.everything.index(f"{TEXT} {TYPED}")
    alice.line("")
    alice.expect(f"bob: {TYPED}")
    sender.expect(f"Message from alice: {TYPED}$")
    assert sender.finish("3") == 0
    assert [line for line in sender.lines if "Message from alice" in line] == [
        f"Message from alice: {TYPED}"
    ]


def test_a_server_killed_in_the_middle_of_a_word_costs_nothing(
    here: World, alice: Terminal
) -> None:
    alice.send(FIRST)
    alice.until(lambda: is_intact(alice, FIRST), FIRST)
    here.kill_server()
    alice.expect("connection", 1)
    alice.send(SECOND)
    alice.until(lambda: is_intact(alice, TYPED), TYPED)
    alice.line("")
    alice.until(lambda: alice.current.startswith("Enter a command"), "the next question")
    here.start_server()
    alice.line("")
    alice.expect(f"✓ bob: {TYPED}")
    assert what_bob_has(here) == [TYPED]
