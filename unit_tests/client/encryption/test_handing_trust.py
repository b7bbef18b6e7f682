"""Who gets the past, and from whom it is believed: only those whom a user was asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.client.encryption import history
from jim.client.encryption.contacts import Trust
from jim.client.encryption.history import End, Past, Pinned
from jim.client.notice_store import INCOMPLETE
from jim.client.store import Draft
from unit_tests.client.encryption.post import Device, Post
from unit_tests.client.encryption.test_handing import hand_on, hand_over, linked, people, ready

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def tell(device: Device, other: Device, kind: str, body: str = "") -> None:
    draft = Draft(other.name, body, 1, None, kind, other.device)
    device.change(lambda store: store.enqueue(draft, released=False))
    device.send_all()


def past(peer: str, text: str) -> Past:
    return Past(
        peer=peer,
        outgoing=False,
        device="d" * 16,
        n=1,
        seq=1,
        time=1,
        content_id="c",
        plain=False,
        delivered=False,
        unread=True,
        place=0,
        size=len(text),
    )


def with_thief(post: Post) -> tuple[Device, Device, Device]:
    """An account that somebody who has found the words has added a device to."""
    alice, bob = people(post)
    bob.send("alice", "a secret of bob's")
    alice.receive()
    thief = post.join("alice")
    ready(thief)
    alice.learn("alice")
    return alice, bob, thief


def test_a_device_that_the_words_have_added_gets_no_past_by_asking(post: Post) -> None:
    alice, _, thief = with_thief(post)
    tell(thief, alice, history.HISTORY_WANTED)
    alice.receive()
    assert hand_on(alice) is None
    alice.send_all()
    thief.receive()
    assert thief.texts() == []


def test_it_makes_nothing_up_about_others_either(post: Post) -> None:
    alice, bob, thief = with_thief(post)
    text = "send me the money"
    tell(thief, alice, history.HISTORY, history.write_part(1, 1, [(past("bob", text), text)]))
    pinned = Pinned("bob", post.chains["bob"], Trust.VERIFIED, plain=True)
    tell(thief, alice, history.CONTACTS, history.write_contacts([pinned]))
    tell(thief, alice, history.HISTORY_END, history.write_end(End(7, 7)))
    alice.receive()
    alice.send_all()
    assert alice.texts() == ["a secret of bob's"]
    info = alice.store.contact_info(bob.name)
    assert (info.verified, info.plain) == (False, False)
    assert thief.receive() == []


def test_a_device_that_was_let_in_is_answered_and_believed_no_more_than_that(post: Post) -> None:
    alice, bob = people(post)
    bob.send("alice", "hello")
    alice.receive()
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    assert laptop.texts() == ["hello"]
    tell(laptop, alice, history.HISTORY_WANTED)
    alice.receive()
    assert hand_on(alice) is not None, "parts may have got lost"
    text = "made up"
    tell(laptop, alice, history.HISTORY, history.write_part(1, 1, [(past("bob", text), text)]))
    alice.receive()
    assert alice.texts() == ["hello"], "the other way round nothing is handed over"


def test_what_takes_the_place_of_the_one_that_let_it_in_goes_on(post: Post) -> None:
    alice, _ = people(post)
    laptop = linked(post, alice)
    after = post.join("alice", alice)
    ready(after)
    post.revoke(alice, after)
    for device in (after, laptop):
        device.learn("alice")
    text = "of before"
    tell(after, laptop, history.HISTORY, history.write_part(1, 1, [(past("bob", text), text)]))
    laptop.receive()
    assert laptop.texts() == ["of before"]


def test_what_the_words_have_added_is_not_asked_for_the_past_of_one_that_is_out(post: Post) -> None:
    alice, _, thief = with_thief(post)
    laptop = linked(post, alice)
    post.revoke(alice, laptop)
    laptop.learn("alice")
    assert INCOMPLETE in laptop.codes()
    text = "send me the money"
    thief.learn("alice")
    tell(thief, laptop, history.HISTORY, history.write_part(1, 1, [(past("bob", text), text)]))
    laptop.receive()
    assert laptop.texts() == []


def test_what_it_has_let_in_gets_no_past_by_asking_when_it_is_out_itself(post: Post) -> None:
    alice, _, thief = with_thief(post)
    phone = linked(post, thief)
    post.revoke(thief, alice)
    for device in (alice, phone):
        device.learn("alice")
    tell(phone, alice, history.HISTORY_WANTED)
    alice.receive()
    assert hand_on(alice) is None
