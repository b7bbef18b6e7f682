"""Who asks for what was sealed for another device has to have taken its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.encryption.content import SINCE, Since
from jim.client.store import Draft
from unit_tests.client.encryption.post import Device, Post, settle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def past(post: Post) -> tuple[Device, Device]:
    """Two people who have talked, and read everything."""
    alice, bob = post.join("alice"), post.join("bob")
    bob.send("alice", "hi")
    alice.receive()
    for number in range(3):
        alice.send("bob", f"past {number}")
    bob.receive()
    alice.change(lambda store: store.delivered("bob", 99))
    return alice, bob


def ask(device: Device, other: Device, former: Device) -> None:
    """Ask for everything that was ever sealed for a former device."""
    device.learn(other.name)
    body = msgspec.json.encode(Since(former.device, 0)).decode()
    draft = Draft(other.name, body, 1, None, SINCE, other.device)
    device.change(lambda store: store.enqueue(draft, released=False))
    settle([other, device])


def test_a_device_that_was_replaced_with_its_consent_misses_nothing(post: Post) -> None:
    alice, bob = past(post)
    after = post.join("bob", bob)
    post.revoke(bob, after)
    after.learn("bob")
    ask(after, alice, bob)
    assert after.texts() == ["past 0", "past 1", "past 2"]


def test_words_alone_bring_nothing_of_the_past(post: Post) -> None:
    alice, bob = past(post)
    thief = post.join("bob")
    ask(thief, alice, bob)
    assert thief.texts() == []
    post.revoke(bob, thief)
    thief.learn("bob")
    ask(thief, alice, bob)
    assert thief.texts() == []


def test_a_new_beginning_brings_nothing_of_the_past(post: Post) -> None:
    alice, bob = past(post)
    thief = post.reset("bob")
    ask(thief, alice, bob)
    assert thief.texts() == []


def test_a_further_device_does_not_get_what_another_one_has(post: Post) -> None:
    """It is asked to hand its history over, which its user has to want."""
    alice, bob = past(post)
    laptop = post.join("bob", bob)
    ask(laptop, alice, bob)
    assert laptop.texts() == []
