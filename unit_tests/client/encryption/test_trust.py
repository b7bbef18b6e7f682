"""What the user knows and allows of others: numbers, changed keys, unencrypted messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET

from jim.client.events import ContactInfo, Message, MissingNotice
from jim.client.local_accounts import STORE_FILE
from jim.client.notice_store import DEVICE_ADDED, KEYS_CHANGED, VERIFIED_CHANGED
from jim.client.verify import Kind
from jim.client.verify_store import verify_account
from jim.errors import OwnAccount
from jim.protocol.messages import Delivery
from unit_tests.client.encryption.post import Device, Post

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def plain(post: Post, to: Device, sender: Device, text: str, n: int = 1) -> list[object]:
    """Deliver a text that is not sealed; gives what is new."""
    frame = Delivery(
        position=0,
        seq=n,
        sender=sender.name,
        device=sender.device,
        n=n,
        to="alice" if sender.name != "alice" else "bob",
        time=post.now_ms,
        message=text,
        ciphertext=UNSET,
    )
    post.put(to, frame)
    return list(to.receive())


def verify(one: Device, name: str) -> str:
    one.learn(name)
    number = one.store.safety_number(name)
    assert number is not None
    assert one.change(lambda store: store.mark_verified(name, number))
    return number


def test_both_see_the_same_number_whatever_devices_they_have(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    assert alice.store.safety_number("bob") is None
    number = verify(alice, "bob")
    assert number == verify(bob, "alice")
    assert [len(group) for group in number.split()] == [5] * 12
    laptop = post.join("bob", bob)
    laptop.learn("alice")
    alice.learn("bob")
    assert alice.store.safety_number("bob") == laptop.store.safety_number("alice") == number
    assert alice.codes() == [DEVICE_ADDED]
    known = ContactInfo(name="bob", known=True, devices=2, verified=True)
    assert alice.store.contact_info("bob") == known
    assert alice.store.contact_info("carol") == ContactInfo(name="carol")


def test_only_the_number_that_was_shown_is_verified(post: Post) -> None:
    alice, _bob = post.join("alice"), post.join("bob")
    alice.learn("bob")
    shown = alice.store.safety_number("bob") or ""
    post.reset("bob")
    alice.learn("bob")
    assert not alice.change(lambda store: store.mark_verified("bob", shown))
    assert not alice.store.contact_info("bob").verified
    assert alice.codes() == [KEYS_CHANGED]
    assert alice.store.notices_of("bob") == [
        each for each in alice.news if isinstance(each, MissingNotice)
    ]
    assert alice.store.notices_of("carol") == []


def test_changed_keys_of_a_verified_one_hold_messages_until_they_are_accepted(post: Post) -> None:
    alice, _bob = post.join("alice"), post.join("bob")
    verify(alice, "bob")
    assert not alice.change(lambda store: store.accept_changed("bob"))
    reset = post.reset("bob")
    alice.learn("bob")
    assert alice.codes() == [VERIFIED_CHANGED]
    assert alice.store.contact_info("bob").changed
    held = alice.send("bob", "held")
    assert held.error_code == "contact_changed"
    assert alice.change(lambda store: store.accept_changed("bob"))
    info = alice.store.contact_info("bob")
    assert not info.changed
    assert not info.verified
    alice.send("bob", held.text)
    reset.receive()
    assert reset.texts() == ["held"]


def test_verifying_anew_accepts_as_well(post: Post) -> None:
    alice, _bob = post.join("alice"), post.join("bob")
    verify(alice, "bob")
    post.reset("bob")
    verify(alice, "bob")
    info = alice.store.contact_info("bob")
    assert info.verified
    assert not info.changed


def test_nobody_judges_themselves(post: Post) -> None:
    alice = post.join("alice")
    for work in (
        lambda store: store.safety_number("alice"),
        lambda store: store.mark_verified("alice", ""),
        lambda store: store.mark_root("alice", bytes(32)),
        lambda store: store.parties("alice"),
        lambda store: store.allow_plain("alice", allowed=True),
    ):
        with pytest.raises(OwnAccount):
            alice.change(work)
    assert not alice.change(lambda store: store.accept_changed("alice"))
    info = alice.store.contact_info("alice")
    assert (info.verified, info.changed, info.plain) == (False, False, False)


def test_an_unencrypted_message_is_kept_and_withheld_until_it_is_allowed(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    [got] = plain(post, alice, bob, "canary")
    assert isinstance(got, Message)
    assert (got.plain, got.withheld, got.text) == (True, True, "")
    assert "canary" not in alice.texts()
    assert "canary" not in repr(alice.store.received_after(0, 10))
    alice.reopen()
    assert alice.store.history("bob", None, 1)[0].withheld
    assert alice.change(lambda store: store.allow_plain("carol", allowed=True)) == []
    [shown] = alice.change(lambda store: store.allow_plain("bob", allowed=True))
    assert (shown.plain, shown.withheld, shown.text) == (True, False, "canary")
    assert alice.texts() == ["canary"]
    [later] = plain(post, alice, bob, "allowed", 2)
    assert isinstance(later, Message)
    assert (later.plain, later.withheld, later.text) == (True, False, "allowed")
    alice.change(lambda store: store.allow_plain("bob", allowed=False))
    assert alice.texts() == ["canary", "allowed"]  # what was shown stays
    [last] = plain(post, alice, bob, "again", 3)
    assert isinstance(last, Message)
    assert last.withheld


def test_what_the_server_says_that_we_have_written_is_withheld_too(post: Post) -> None:
    alice, _bob = post.join("alice"), post.join("bob")
    phone = post.join("alice", alice)
    [got] = plain(post, alice, phone, "never written")
    assert isinstance(got, Message)
    assert got.outgoing
    assert got.withheld
    assert alice.texts() == [""]


def test_a_store_of_the_time_before_encryption_is_not_withheld(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    [got] = plain(post, alice, bob, "old")
    assert isinstance(got, Message)
    # As the migration leaves it: plain, and shown long ago.
    alice.connection.execute("UPDATE messages SET plain = 1, withheld = 0")
    assert alice.texts() == ["old"]


def test_nothing_is_sent_unencrypted_to_who_can_encrypt(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.change(lambda store: store.allow_plain("bob", allowed=True))
    assert not alice.send("bob", "sealed all the same").plain
    bob.receive()
    [got] = bob.store.history("alice", None, 9)
    assert not got.plain


@pytest.mark.parametrize(("code", "explains"), [("device_added", False), ("mailbox_full", True)])
def test_only_what_is_missing_explains_a_hole(post: Post, code: str, *, explains: bool) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    bob.send("alice", "one")
    alice.receive()
    alice.change(lambda store: store.note(code, post.now_ms, peer="bob"))
    post.seqs[frozenset({"alice", "bob"})] += 1
    bob.send("alice", "three")
    alice.receive()
    alice.connection.close()
    folder = post.folder / "alice"
    folder.mkdir()
    alice.path.rename(folder / STORE_FILE)
    kinds = {each.kind for each in verify_account(folder).findings}
    assert (Kind.NOT_KEPT in kinds) is explains
    assert (Kind.MISSING in kinds) is not explains
