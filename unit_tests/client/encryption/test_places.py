"""Where a message stands that a server sends without its place, or sends once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client import sync
from jim.client.encryption import opening
from jim.client.store import Draft
from jim.client.verify import Report
from jim.client.verify_store import verify_store
from unit_tests.client.encryption.post import Device, Post, settle

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from jim.client.encryption.sealing import Outgoing
    from jim.protocol.messages import Delivery


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def history(device: Device, peer: str) -> list[str]:
    """Give the texts of a conversation as somebody sees them who scrolls through it."""
    return [each.text for each in device.store.history(peer, None, 1000)]


def findings(device: Device) -> list[str]:
    device.change(lambda store: store.move_cursor("a lineage", store.standing().position))
    report = Report()
    verify_store(device.path, report)
    return [f"{each.kind}" for each in report.findings if each.is_fault]


def test_a_server_that_takes_a_place_away_hides_nothing_before_the_old(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    for text in ("one", "two", "three"):
        alice.send("bob", text)
    bob.receive()
    post.alter = lambda _, frame: msgspec.structs.replace(frame, seq=0)
    alice.send("bob", "four")
    bob.receive()
    post.alter = lambda _, frame: frame
    alice.send("bob", "five")
    bob.receive()
    assert history(bob, "alice") == ["one", "two", "three", "four", "five"]
    assert findings(bob) == []


def test_what_is_sealed_again_without_a_place_stands_behind_the_old(post: Post) -> None:
    """Its sender never learned the place: the server had forgotten the answer."""
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()

    def drop(device: Device, frame: Delivery) -> Delivery | None:
        del device, frame
        return None

    post.alter = drop
    lost = alice.write("bob", "two")
    payload = alice.seal(lost.message_id)
    assert isinstance(payload, sync.Payload)
    post.submit(alice, "bob", payload, lost.n)
    alice.change(lambda store: store.confirm(sync.Confirm(lost.message_id, lost.n, 0, 0)))
    post.alter = lambda _, frame: frame
    alice.send("bob", "three")
    settle([bob, alice])
    assert history(bob, "alice") == ["one", "three", "two"]
    assert bob.codes() == [opening.DROPPED]
    assert findings(bob) == []


@pytest.mark.parametrize("seq", [1, 2, 3, 2**53 - 1])
def test_an_author_puts_nothing_new_among_the_old(
    post: Post, monkeypatch: pytest.MonkeyPatch, seq: int
) -> None:
    """A text for one device says its place itself, and an honest server passes it on."""
    alice, bob = post.join("alice"), post.join("bob")
    for text in ("one", "two", "three"):
        alice.send("bob", text)
    bob.receive()
    outgoing = alice.store._outgoing

    def lie(row: sqlite3.Row) -> Outgoing | None:
        made = outgoing(row)
        return made and msgspec.structs.replace(made, kind="text", seq=seq, n=seq, time_ms=1)

    with monkeypatch.context() as patch:
        patch.setattr(alice.store, "_outgoing", lie)
        draft = Draft("bob", "as I said before", 1, None, "of its own", bob.device)
        alice.change(lambda store: store.enqueue(draft, released=False))
        alice.send_all()
    alice.send("bob", "four")
    bob.receive()
    assert history(bob, "alice") == ["one", "two", "three", "as I said before", "four"]
    times = {each.text: each.time_ms for each in bob.store.history("alice", None, 9)}
    assert times["as I said before"] == post.now_ms
    assert findings(bob) == []


def test_what_goes_between_devices_is_known_in_another_lineage_too(post: Post) -> None:
    """A server that was restored repeats what it still has: that is no reason to mend anything."""
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    bob.send("alice", "two")
    alice.receive()
    post.alter = lambda device, frame: None if device is bob else frame
    alice.send("bob", "three")
    post.alter = lambda _, frame: frame
    alice.send("bob", "four")
    settle([alice, bob])
    told, said = [alice.codes(), bob.codes()], len(post.seen)
    for device in (alice, bob):
        device.change(lambda store: store.move_cursor("another lineage", 0))
    settle([alice, bob])
    assert [alice.codes(), bob.codes()] == told == [[], [opening.DROPPED]]
    assert len(post.seen) == said, "nobody asks anybody for anything"
    assert sorted(alice.texts()) == sorted(bob.texts()) == ["four", "one", "three", "two"]
