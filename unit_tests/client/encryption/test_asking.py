"""What a device asks another for: nonsense does no harm, and what is gone is said to be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.encryption import opening
from jim.client.encryption.content import AGAIN
from jim.client.notice_store import DEVICE_ADDED, KEYS_CHANGED, MAX_CODE
from jim.client.store import MAX_ASKED, Draft
from jim.protocol.messages import Delivery, Notice
from unit_tests.client.encryption.post import Device, Post, rows_of, settle

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from jim.client.encryption.sealing import Outgoing


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def ask(device: Device, other: Device, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as no honest device does: with any body."""
    outgoing = device.store._outgoing

    def lie(row: sqlite3.Row) -> Outgoing | None:
        made = outgoing(row)
        if made is None or made.kind != AGAIN:
            return made
        return msgspec.structs.replace(made, text=body)

    monkeypatch.setattr(device.store, "_outgoing", lie)
    draft = Draft(other.name, "", 1, None, AGAIN, other.device)
    device.change(lambda store: store.enqueue(draft, released=False))
    device.send_all()


@pytest.mark.parametrize(
    "body", ["", "x", "{}", "[1.5]", "[-1]", f"[{2**53}]", f"[{2**64}]", f"[{10**30}]", '["1"]']
)
def test_nonsense_that_is_asked_for_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    post = Post(tmp_path)
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "hi")
    bob.receive()
    ask(bob, alice, body, monkeypatch)
    settle([alice, bob])
    bob.send("alice", "and on")
    alice.send("bob", "and on, too")
    settle([alice, bob])
    assert sorted(bob.texts()) == sorted(alice.texts()) == ["and on", "and on, too", "hi"]
    assert alice.codes() == bob.codes() == []
    assert rows_of(bob, "missing") == []


LONG = "x" * 2_000
"""Longer sealed than anything that devices say to each other by themselves."""


def rounds(devices: list[Device]) -> int:
    """So often everybody has something to say until all are quiet."""
    for count in range(20):
        before = len(devices[0].post.seen)
        settle(devices, rounds=1)
        if len(devices[0].post.seen) == before:
            return count
    return 20


def test_what_never_comes_is_not_asked_for_for_ever(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    post.alter = lambda _, frame: None if len(str(frame.ciphertext)) > len(LONG) else frame
    alice.send("bob", LONG)
    alice.send("bob", "three")
    assert rounds([bob, alice]) < 6
    alice.send("bob", "four")
    assert rounds([bob, alice]) < 6
    post.alter = lambda _, frame: frame
    alice.send("bob", "five")
    settle([bob, alice])
    assert sorted(bob.texts()) == sorted(["one", LONG, "three", "four", "five"])
    assert rows_of(bob, "missing") == []


def test_many_that_are_missing_are_all_asked_for(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    post.alter = lambda *_: None
    for number in range(MAX_ASKED + 20):
        alice.send("bob", f"lost {number}")
    post.alter = lambda _, frame: frame
    alice.send("bob", "last")
    before = len(post.seen)
    settle([bob, alice])
    assert len(bob.texts()) == MAX_ASKED + 22
    assert rows_of(bob, "missing") == []
    assert len(post.seen) - before < MAX_ASKED + 20 + 10, "each is sealed again once"


def test_questions_that_nobody_can_open_come_to_an_end(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    bob.send("alice", "hello")
    alice.receive()

    def damage(_: Device, frame: Delivery) -> Delivery:
        return msgspec.structs.replace(frame, ciphertext=f"1m{'A' * 400}")

    post.alter = damage
    alice.send("bob", "two")
    post.alter = lambda device, frame: frame if frame.seq else damage(device, frame)
    assert rounds([bob, alice]) < 6
    post.alter = lambda _, frame: frame
    alice.send("bob", "three")
    settle([bob, alice])
    assert sorted(bob.texts()) == ["hello", "one", "three", "two"]


def test_more_than_a_question_can_hold_is_not_looked_for(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "hi")
    bob.receive()
    looked: list[int] = []
    message_of = alice.store._peers.message_of

    def count(name: str, device: str, number: int) -> int | None:
        looked.append(number)
        return message_of(name, device, number)

    monkeypatch.setattr(alice.store._peers, "message_of", count)
    ask(bob, alice, str(list(range(5_000))), monkeypatch)
    settle([alice, bob])
    assert len(looked) == MAX_ASKED


def test_what_cannot_be_opened_is_said_once_until_something_comes(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    frame = post.mailboxes[bob.device][0]
    assert isinstance(frame, Delivery)
    for number in range(50):
        post.put(bob, msgspec.structs.replace(frame, seq=5 + number, n=5 + number))
    for number in range(50):
        stranger = msgspec.structs.replace(frame, seq=90 + number, device="0" * 16)
        post.put(bob, stranger)
    bob.receive()
    assert bob.codes() == [opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE]
    assert bob.store.standing().position == 101
    alice.send("bob", "two")
    post.put(bob, msgspec.structs.replace(frame, seq=500, n=500))
    bob.receive()
    assert bob.codes() == [opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE, opening.UNDECRYPTABLE]


@pytest.mark.parametrize("code", [KEYS_CHANGED, DEVICE_ADDED, opening.FORGED, "restored"])
def test_a_server_cannot_say_what_only_this_device_finds_out(post: Post, code: str) -> None:
    bob = post.join("bob")
    post.put(bob, Notice(position=0, code="mailbox_full", time=1))
    post.put(bob, Notice(position=0, code=code, time=1))
    post.put(bob, Notice(position=0, code="y" * 1_000, time=1))
    bob.receive()
    assert bob.codes() == ["mailbox_full", f"server: {code}", "y" * MAX_CODE]
