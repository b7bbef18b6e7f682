# long module: one suite for handing over
"""The history on its way to a new device: whole, once, in order, trusted no more than before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import handing, notice_store, sync, taking
from jim.client.encryption import history
from jim.client.encryption.contacts import Trust
from jim.client.encryption.history import End, Past
from jim.client.events import HistoryMoved, Message, MissingNotice
from jim.client.notice_store import CHAIN_INVALID
from jim.client.store import Draft
from jim.client.verify import Report
from jim.client.verify_store import verify_store
from jim.core.limits import Limits
from jim.crypto import links
from jim.protocol.messages import Delivery
from unit_tests.client.encryption.post import Device, Post, rows_of, settle

if TYPE_CHECKING:
    from pathlib import Path

TEXT_BYTES = Limits().text_bytes


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def ready(*devices: Device) -> None:
    for device in devices:
        device.offer_keys()
        device.change(lambda store: store.move_cursor("epoch", 0))


def people(post: Post) -> tuple[Device, Device]:
    alice, bob = post.join("alice"), post.join("bob")
    ready(alice, bob)
    return alice, bob


def linked(post: Post, old: Device, *, shown_id: int | None = None) -> Device:
    """Add a device to the account of another one, which is going to hand its history over."""
    new = post.join(old.name, old)
    ready(new)
    seen = old.store.standing().highest_id if shown_id is None else shown_id
    old.change(lambda store: store.begin_handing(new.device, seen))
    old.learn(old.name)
    return new


def hand_on(old: Device, text_bytes: int = TEXT_BYTES) -> HistoryMoved | None:
    moved: HistoryMoved | None = old.change(
        lambda store: store.hand_on(text_bytes, old.post.now_ms)
    )
    return moved


def hand_over(old: Device, new: Device, text_bytes: int = TEXT_BYTES) -> list[Any]:
    """Carry everything over; gives what the new device heard of."""
    news: list[Any] = []
    while hand_on(old, text_bytes) is not None:
        old.send_all()
        news += new.receive()
        new.send_all()
        old.receive()
    return news


def texts(device: Device, peer: str) -> list[str]:
    return [each.text for each in device.store.history(peer, None, 100_000)]


def is_complete(device: Device) -> bool:
    report = Report()
    verify_store(device.path, report)
    assert report.is_complete, report.findings
    return True


def test_everything_is_there_in_order_and_nothing_of_it_is_news(post: Post) -> None:
    alice, bob = people(post)
    carol = post.join("carol")
    ready(carol)
    for number in range(8):
        alice.send("bob", f"to bob {number}")
        bob.send("alice", f"от боба {number} 👋")
        alice.receive()
    post.now_ms += 1
    carol.send("alice", "from carol")
    post.now_ms += 1
    alice.send("alice", "a note")
    settle([alice, bob])
    laptop = linked(post, alice)
    news = hand_over(alice, laptop)
    assert not [each for each in news if not isinstance(each, HistoryMoved)]
    assert texts(laptop, "bob") == texts(alice, "bob") != []
    assert texts(laptop, "alice") == ["a note"]
    assert texts(laptop, "carol") == ["from carol"]
    assert laptop.store.received_after(0, 1000) == []
    peers = [each.peer for each in laptop.store.conversations()]
    assert peers == [each.peer for each in alice.store.conversations()]
    assert news[-1] == HistoryMoved(alice.device, True, 18, 18, ended=True)
    assert is_complete(alice)
    assert is_complete(laptop)


def test_what_was_not_read_is_news_first_and_in_its_order(post: Post) -> None:
    alice, bob = people(post)
    bob.send("alice", "read")
    alice.receive()
    seen = alice.store.standing().highest_id
    for number in range(30):
        bob.send("alice", f"unread {number} " + "x" * 500)
    alice.receive()
    laptop = linked(post, alice, shown_id=seen)
    news = hand_over(alice, laptop)
    shown = [each.text for each in news if isinstance(each, Message)]
    assert [each.split()[1] for each in shown] == [str(number) for number in range(30)]
    assert [each.text for each in laptop.store.received_after(0, 1000)] == shown
    assert texts(laptop, "bob") == ["read", *shown]


def test_both_devices_get_everything_afterwards(post: Post) -> None:
    alice, bob = people(post)
    alice.send("bob", "before")
    bob.receive()
    laptop = linked(post, alice)
    bob.send("alice", "on the way")
    hand_over(alice, laptop)
    alice.send("bob", "after")
    laptop.send("bob", "from the laptop")
    settle([alice, bob, laptop])
    bob.send("alice", "to both")
    settle([alice, bob, laptop])
    expected = ["before", "on the way", "after", "from the laptop", "to both"]
    assert texts(bob, "alice") == texts(alice, "bob") == texts(laptop, "bob") == expected
    assert all(is_complete(each) for each in (alice, bob, laptop))


def test_what_comes_both_ways_is_there_once(post: Post) -> None:
    alice, bob = people(post)
    laptop = linked(post, alice)
    bob.learn("alice")
    bob.send("alice", "to both of them")
    settle([alice, laptop])
    alice.send("bob", "written while it goes on")
    settle([alice, laptop, bob])
    hand_over(alice, laptop)
    assert texts(laptop, "bob") == ["to both of them", "written while it goes on"]
    assert is_complete(laptop)


@pytest.mark.parametrize("dies", ["old", "new", "both"])
def test_a_crash_at_every_step_leaves_nothing_out_and_nothing_twice(post: Post, dies: str) -> None:
    alice, bob = people(post)
    for number in range(24):
        alice.send("bob", f"{number} " + "x" * 2000)
    bob.receive()
    laptop = linked(post, alice)
    while True:
        if dies != "new":
            alice.change(lambda store: store.hand_on(TEXT_BYTES, 1), crash=True)
        if hand_on(alice) is None:
            break
        if dies != "new":
            alice.reopen()
        alice.send_all()
        laptop.receive(crash=dies != "old")
    assert texts(laptop, "bob") == texts(alice, "bob")
    assert len(texts(laptop, "bob")) == 24
    assert rows_of(alice, "handovers") == rows_of(laptop, "handed") == []
    assert is_complete(alice)
    assert is_complete(laptop)


def test_nothing_is_handed_to_a_device_that_is_not_in_the_chain(post: Post) -> None:
    alice, _ = people(post)
    alice.send("bob", "x")
    laptop = post.join("alice", alice)
    alice.change(lambda store: store.begin_handing(laptop.device, 1))
    assert hand_on(alice) is None  # it is about to be added
    alice.learn("alice")
    assert hand_on(alice) is not None
    alice.send_all()
    post.revoke(laptop, alice)
    alice.learn("alice")
    ended = hand_on(alice)
    assert ended is not None
    assert (ended.ended, ended.is_gone) == (True, True)
    assert hand_on(alice) is None
    assert rows_of(alice, "handovers") == []


def test_a_part_that_the_server_drops_makes_everything_come_again(post: Post) -> None:
    alice, bob = people(post)
    for number in range(24):
        alice.send("bob", f"text number {number} " + "x" * 2000)
    bob.receive()
    laptop = linked(post, alice)
    dropped: list[int] = []

    def drop_one(device: Device, frame: Any) -> Any:
        if device is laptop and frame.sender == "alice" and len(dropped) < 3:
            dropped.append(frame.n)
            if len(dropped) == 3:
                return None
        return frame

    post.alter = drop_one
    hand_over(alice, laptop)
    assert len(dropped) == 3
    assert texts(laptop, "bob") == texts(alice, "bob")
    assert "history_incomplete" not in laptop.codes()


def test_parts_that_never_come_are_told_of_after_a_while(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = people(post)
    alice.send("bob", "lost")
    bob.receive()
    laptop = linked(post, alice)
    monkeypatch.setattr(taking.TakingStore, "_take_part", lambda *_: [])
    news = hand_over(alice, laptop)
    assert [each.code for each in news if isinstance(each, MissingNotice)] == [
        notice_store.INCOMPLETE
    ]
    assert rows_of(alice, "handovers") == []


def test_only_a_device_of_the_own_account_hands_anything_over(post: Post) -> None:
    alice, bob = people(post)
    past = Past("carol", False, "d" * 16, 1, 1, 1, "", True, False, True, 0, 6)
    body = history.write_part(1, 1, [(past, "forged")])
    bob.change(
        lambda store: store.enqueue(
            Draft("alice", body, 1, None, history.HISTORY, alice.device), released=False
        )
    )
    bob.send_all()
    assert not [each for each in alice.receive() if isinstance(each, Message | HistoryMoved)]
    assert alice.store.conversations() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("peer", "No Name"), ("peer", "alice"), ("seq", 0), ("size", 5), ("device", None)],
)
def test_what_cannot_be_a_message_is_not_kept(post: Post, name: str, value: object) -> None:
    alice, _ = people(post)
    alice.send("bob", "x")
    laptop = linked(post, alice)
    past = Past("carol", False, "d" * 16, 1, 1, 1, "", True, False, True, 0, 6)
    changed: dict[str, Any] = {name: value}
    if value is None:
        changed = {"device": laptop.device, "outgoing": True}
    body = history.write_part(1, 1, [(msgspec.structs.replace(past, **changed), "forged")])
    alice.change(
        lambda store: store.enqueue(
            Draft("alice", body, 1, None, history.HISTORY, laptop.device), released=False
        )
    )
    alice.send_all()
    assert not [each for each in laptop.receive() if isinstance(each, Message)]
    assert laptop.store.conversations() == []


def test_who_was_verified_stays_so_and_plain_stays_allowed(post: Post) -> None:
    alice, bob = people(post)
    carol = post.join("carol")
    for peer in ("bob", "carol"):
        alice.learn(peer)
    alice.change(lambda store: store._contacts.trust("bob", Trust.VERIFIED))
    alice.change(lambda store: store._contacts.allow_plain("dora", allowed=True))
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    contacts = {name: laptop.store._contacts.get(name) for name in ("bob", "carol", "dora")}
    assert [each.trust for each in contacts.values() if each] == ["verified", "first", "first"]
    assert [each.plain for each in contacts.values() if each] == [False, False, True]
    assert contacts["carol"] is not None
    assert contacts["carol"].links == post.chains["carol"]
    assert carol.device in (contacts["carol"].state or pytest.fail("no chain")).devices
    assert bob.device


def test_a_long_chain_comes_in_pieces(post: Post) -> None:
    alice, bob = people(post)
    for _ in range(20):
        gone = post.join("bob", bob)
        bob.learn("bob")
        post.revoke(gone, bob)
    alice.learn("bob")
    alice.change(lambda store: store._contacts.trust("bob", Trust.VERIFIED))
    laptop = linked(post, alice)
    hand_over(alice, laptop, text_bytes=4096)
    contact = laptop.store._contacts.get("bob")
    assert contact is not None
    assert (contact.links, contact.trust) == (post.chains["bob"], "verified")


def test_another_chain_than_the_server_has_shown_is_refused_and_told(post: Post) -> None:
    alice, bob = people(post)
    alice.send("bob", "x")
    alice.change(lambda store: store._contacts.trust("bob", Trust.VERIFIED))
    laptop = linked(post, alice)
    mallory = post.join("mallory")
    forged = links.make_genesis("bob", mallory.key, mallory.vault.keys.ed, 1, mallory.vault.keys)
    laptop.change(lambda store: store.learn("bob", [forged], 1))
    hand_over(alice, laptop)
    contact = laptop.store._contacts.get("bob")
    assert contact is not None
    assert (contact.links, contact.trust) == ([forged], "first")
    assert CHAIN_INVALID in laptop.codes()
    assert bob.device


def test_verified_keys_that_have_changed_since_are_not_verified(post: Post) -> None:
    alice, bob = people(post)
    alice.send("bob", "x")
    alice.change(lambda store: store._contacts.trust("bob", Trust.VERIFIED))
    laptop = linked(post, alice)
    post.reset("bob")
    laptop.learn("bob")
    hand_over(alice, laptop)
    contact = laptop.store._contacts.get("bob")
    assert contact is not None
    assert contact.trust is Trust.CHANGED
    assert bob.device


def test_the_longest_text_and_one_that_is_too_long_today(post: Post) -> None:
    alice, bob = people(post)
    long = '"\\\n\x01' * (TEXT_BYTES // 4)
    alice.send("bob", long)
    alice.send("bob", "short")
    bob.receive()
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    assert texts(laptop, "bob") == [long, "short"]
    desk = linked(post, alice)
    hand_over(alice, desk, text_bytes=1024)
    assert texts(desk, "bob") == ["short"]


def test_parts_are_below_the_longest_text(post: Post) -> None:
    alice, bob = people(post)
    for number in range(24):
        alice.send("bob", f"{number}" * 300)
    bob.receive()
    laptop = linked(post, alice)
    for text_bytes in (1024, 4096, TEXT_BYTES):
        alice.change(lambda store: store.begin_handing(laptop.device, 0))
        sizes = []
        while hand_on(alice, text_bytes) is not None:
            [(_, message)] = alice.store.queued_after(0)
            assert not message.is_text
            sizes.append(len(message.text.encode()))
            alice.send_all()
        assert max(sizes) <= min(text_bytes, handing.PART_BYTES)
        laptop.receive()


@pytest.mark.parametrize("allowed", [True, False])
def test_an_unencrypted_message_is_withheld_as_it_was(post: Post, allowed: bool) -> None:
    alice, bob = people(post)
    bob.change(lambda store: store.allow_plain("alice", allowed=True))
    frame = Delivery(
        position=0, seq=1, sender="bob", device=bob.device, n=1, to="alice", time=1, message="plain"
    )
    post.put(alice, frame)
    alice.receive()
    if allowed:
        alice.change(lambda store: store.allow_plain("bob", allowed=True))
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    assert texts(laptop, "bob") == texts(alice, "bob") == (["plain"] if allowed else [""])
    laptop.change(lambda store: store.allow_plain("bob", allowed=True))
    assert texts(laptop, "bob") == ["plain"]
    assert is_complete(laptop)


def test_failed_and_queued_messages_stay_where_they_are(post: Post) -> None:
    alice, bob = people(post)
    alice.send("bob", "stored")
    failed = alice.write("bob", "failed")
    alice.change(lambda store: store.refuse(sync.Refuse(failed.message_id, "mailbox_full")))
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    assert texts(laptop, "bob") == ["stored"]
    assert bob.device


def test_a_second_new_device_gets_what_the_first_one_was_handed(post: Post) -> None:
    alice, bob = people(post)
    alice.send("bob", "one")
    bob.send("alice", "two")
    settle([alice, bob])
    laptop = linked(post, alice)
    hand_over(alice, laptop)
    desk = linked(post, laptop, shown_id=0)
    news = hand_over(laptop, desk)
    assert texts(desk, "bob") == ["one", "two"]
    assert not [each for each in news if isinstance(each, Message | MissingNotice)]
    assert is_complete(desk)


def test_parts_that_are_no_parts() -> None:
    assert history.read_part("") is None
    assert history.read_part('{"done":1,"total":1,"messages":[]}\nx') is None
    assert history.read_contacts("{}") == []
    assert history.read_end("[]") is None
    assert history.read_end(history.write_end(End(1, 2))) == End(1, 2)
