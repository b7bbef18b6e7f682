"""What was opened once, or comes in a wrong envelope, moves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.encryption import opening
from unit_tests.client.encryption.post import Device, Post, rows_of, settle

if TYPE_CHECKING:
    from pathlib import Path

    from jim.protocol.messages import Delivery


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def sessions(device: Device) -> list[tuple[object, ...]]:
    return [tuple(row) for row in rows_of(device, "sessions")]


def wedge(device: Device, other: Device) -> None:
    """Give a session up, so that the next text begins another one."""
    vault = device.store._vault
    assert vault is not None
    device.change(lambda _: vault.wedge(other.name, other.device))


@pytest.mark.parametrize("change", [{}, {"n": 90, "seq": 90}, {"to": "carol"}])
def test_a_replay_brings_no_session_back(post: Post, change: dict[str, object]) -> None:
    """Olm opens a first message again that was made with a fallback key, once its session is gone.

    A reply would be sealed with keys of back then, which somebody may have stolen meanwhile.
    """
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    recorded = post.mailboxes[bob.device][0]
    for number in range(7):
        wedge(alice, bob)
        alice.send("bob", f"anew {number}")
        bob.receive()
        bob.send("alice", f"yes {number}")
        alice.receive()
    before = sessions(bob)
    post.put(bob, msgspec.structs.replace(recorded, **change))
    bob.receive()
    assert sessions(bob) == before
    bob.send("alice", "and on")
    alice.receive()
    assert alice.texts()[-1] == "and on"
    assert alice.codes() == bob.codes() == []


def test_what_came_in_a_wrong_envelope_opens_in_the_right_one(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    kept: list[Delivery] = []

    def lie(device: Device, frame: Delivery) -> Delivery:
        del device
        kept.append(frame)
        return msgspec.structs.replace(frame, to="carol")

    post.alter = lie
    alice.send("bob", "two")
    post.alter = lambda _, frame: frame
    post.put(bob, kept[0])
    bob.receive()
    alice.send("bob", "three")
    settle([bob, alice])
    assert bob.texts() == ["one", "two", "three"]
    assert bob.codes() == [opening.FORGED], "nothing is missing, nothing was asked for"
