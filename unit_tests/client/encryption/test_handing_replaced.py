"""The history on its way while one of the two devices goes on as another one, or is taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.client.events import HistoryMoved
from jim.client.notice_store import INCOMPLETE
from unit_tests.client.encryption.post import Device, Post, rows_of, settle
from unit_tests.client.encryption.test_handing import (
    hand_on,
    hand_over,
    is_complete,
    linked,
    people,
    ready,
    texts,
)

if TYPE_CHECKING:
    from pathlib import Path

PARTS = 3
"""Of the contacts and at least five more."""


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def half_way(post: Post) -> tuple[Device, Device]:
    """Hand a history over as far as its middle."""
    alice, bob = people(post)
    for number in range(24):
        alice.send("bob", f"{number} " + "x" * 2000)
    bob.receive()
    laptop = linked(post, alice)
    for _ in range(PARTS):
        assert hand_on(alice) is not None
        alice.send_all()
        laptop.receive()
    assert 0 < len(texts(laptop, "bob")) < 24
    return alice, laptop


def whole(*devices: Device) -> bool:
    first, second = (texts(device, "bob") for device in devices)
    assert first == second
    assert len(first) == 24
    for device in devices:
        assert not rows_of(device, "handovers")
        assert not rows_of(device, "handed")
        assert INCOMPLETE not in device.codes()
        assert is_complete(device)
    return True


@pytest.mark.parametrize("is_queued", [False, True])
def test_the_old_device_goes_on_as_another_one(post: Post, *, is_queued: bool) -> None:
    alice, laptop = half_way(post)
    if is_queued:  # a part that the old device has moved the plan behind, and never sends
        assert hand_on(alice) is not None
    anew = post.replace(alice)
    hand_over(anew, laptop)
    settle([anew, laptop])
    hand_over(anew, laptop)
    assert whole(anew, laptop)


def test_parts_of_the_old_device_that_come_after_it_is_out(post: Post) -> None:
    alice, laptop = half_way(post)
    assert hand_on(alice) is not None
    alice.send_all()
    anew = post.replace(alice)
    laptop.learn("alice")
    hand_over(anew, laptop)
    settle([anew, laptop])
    hand_over(anew, laptop)
    assert whole(anew, laptop)


@pytest.mark.parametrize("is_over", [False, True])
def test_the_new_device_goes_on_as_another_one(post: Post, *, is_over: bool) -> None:
    """Also when the old one has nothing more to hand over: the end waits for nobody any more."""
    alice, laptop = half_way(post)
    while is_over and hand_on(alice) is not None:
        alice.send_all()
    anew = post.replace(laptop)
    ready(anew)
    alice.learn("alice")
    ended = hand_on(alice)
    assert (ended is None) if is_over else (ended is not None and ended.is_gone)
    anew.send_all()
    alice.receive()
    news = hand_over(alice, anew)
    assert any(isinstance(each, HistoryMoved) and each.ended for each in news)
    assert whole(alice, anew)


def test_both_go_on_as_others(post: Post) -> None:
    alice, laptop = half_way(post)
    old, new = post.replace(alice), post.replace(laptop)
    ready(new)
    for _ in range(3):
        settle([old, new])
        hand_over(old, new)
    assert whole(old, new)


def test_another_device_hands_over_what_one_that_was_taken_out_did_not(post: Post) -> None:
    alice, bob = people(post)
    for number in range(24):
        alice.send("bob", f"{number} " + "x" * 2000)
    bob.receive()
    desk = linked(post, alice)
    hand_over(alice, desk)
    laptop = linked(post, alice)
    desk.learn("alice")
    for _ in range(PARTS):
        hand_on(alice)
        alice.send_all()
        laptop.receive()
    post.revoke(alice, desk)
    desk.learn("alice")
    laptop.learn("alice")
    settle([desk, laptop])
    hand_over(desk, laptop)
    assert whole(desk, laptop)


def test_nobody_is_left_to_hand_anything_over(post: Post) -> None:
    alice, laptop = half_way(post)
    post.revoke(alice, laptop)
    laptop.learn("alice")
    assert laptop.codes().count(INCOMPLETE) == 1
    laptop.learn("alice")
    assert laptop.codes().count(INCOMPLETE) == 1


def test_a_device_that_the_words_have_added_waits_for_nothing(post: Post) -> None:
    alice = post.join("alice")
    laptop = post.join("alice")
    assert not rows_of(laptop, "handed")
    assert [row["device"] for row in rows_of(post.join("alice", laptop), "handed")] == [
        laptop.device
    ]
    assert not rows_of(alice, "handed")


def test_the_new_device_was_taken_out_before_anything_came(post: Post) -> None:
    alice, _ = people(post)
    alice.send("bob", "x")
    laptop = linked(post, alice)
    post.revoke(laptop, alice)
    alice.learn("alice")
    ended = hand_on(alice)
    assert ended is not None
    assert ended.is_gone
    assert not rows_of(alice, "handovers")


def test_what_a_device_has_sent_stays_the_same_when_another_one_in_its_place_sends_it_again(
    post: Post,
) -> None:
    alice, bob = people(post)
    alice.send("bob", "once")
    bob.receive()
    anew = post.replace(alice)
    laptop = linked(post, bob)
    anew.learn("bob")  # nobody has told it that this was delivered
    anew.send_all()
    laptop.receive()
    assert texts(laptop, "alice") == ["once"]
    hand_over(bob, laptop)
    assert texts(laptop, "alice") == ["once"]
    (row,) = (row for row in rows_of(laptop, "messages") if row["kind"] == "text")
    assert row["device"] == alice.device
    assert is_complete(laptop)
