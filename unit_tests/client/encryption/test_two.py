# long module: everything that two devices and a server can do to each other
"""Two and more devices talk: everything arrives once, and nobody else can read it."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import UNSET

from jim.client import sync
from jim.client.encryption import opening
from jim.client.encryption.contacts import Contact, Contacts, Trust
from jim.client.notice_store import (
    DEVICE_ADDED,
    DEVICE_REMOVED,
    KEYS_CHANGED,
    VERIFIED_CHANGED,
)
from jim.client.store import Draft
from jim.protocol.messages import Delivery
from unit_tests.client.encryption.post import HOUR_MS, Device, Post, rows_of, settle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_two_talk_and_the_server_sees_no_text(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "привет canary")
    bob.receive()
    bob.send("alice", "и тебе canary")
    alice.receive()
    assert alice.texts() == bob.texts() == ["привет canary", "и тебе canary"]
    assert not any("canary" in frame or "привет" in frame for frame in post.seen)
    assert alice.codes() == bob.codes() == []
    message = bob.store.history("alice", None, 1)[0]
    assert not message.plain


def test_counts_follow_the_order_in_which_messages_go_out(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    first, second = (Draft("bob", text, post.now_ms) for text in ("two", "three"))
    alice.change(lambda store: store.enqueue(first, released=False))
    alice.change(lambda store: store.enqueue(second, released=True))
    alice.send_all()
    bob.receive()
    assert bob.texts() == ["one", "two", "three"]
    assert bob.codes() == [], "nothing was missing"


def test_sizes_tell_little(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "x")
    bob.receive()
    bob.send("alice", "hello")
    alice.receive()  # now the session runs, and nothing of its beginning is sent any more
    sizes = set()
    for text in ("", "да", "x" * 40):
        payload = alice.seal(alice.write("bob", text).message_id)
        assert isinstance(payload, sync.Payload)
        assert payload.ciphertexts is not None
        sizes.add(len(payload.ciphertexts[bob.device]))
    assert len(sizes) == 1


def test_every_device_gets_it_the_senders_other_ones_too(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    phone, laptop = post.join("alice", alice), post.join("bob", bob)
    alice.send("bob", "one")
    for device in (bob, laptop, phone):
        device.receive()
        assert device.texts() == ["one"]
    copy = phone.store.history("bob", None, 1)[0]
    assert (copy.outgoing, copy.sender, copy.device) == (True, "alice", alice.device)
    phone.send("bob", "two")
    laptop.send("alice", "three")
    settle([alice, phone, bob, laptop])
    for device in (alice, phone, bob, laptop):
        assert sorted(device.texts()) == ["one", "three", "two"]


def test_a_note_to_oneself_goes_to_the_other_devices(post: Post) -> None:
    alice = post.join("alice")
    alice.send("alice", "alone")
    phone = post.join("alice", alice)
    alice.send("alice", "not alone")
    phone.receive()
    assert phone.texts() == ["not alone"]


def test_a_list_out_of_date_is_refused_and_mended(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    laptop = post.join("bob", bob)
    first = alice.seal(alice.write("bob", "two").message_id)
    assert isinstance(first, sync.Payload)
    assert post.submit(alice, "bob", first, 2) is None
    alice.send_all()
    settle([bob, laptop])
    assert bob.texts() == ["one", "two"]
    assert "two" in laptop.texts()
    assert alice.codes() == [DEVICE_ADDED]
    assert bob.codes() == [DEVICE_ADDED], "what was sealed first and refused is not missed"


def test_what_is_sealed_anew_says_so_of_everything_that_was_on_its_way(post: Post) -> None:
    """The first of two has a count behind both: its receiver must not miss the second's."""
    alice, bob = post.join("alice"), post.join("bob")
    numbers = [alice.write("bob", text).message_id for text in ("one", "two")]
    for number in numbers:
        alice.seal(number)
    anew = alice.change(lambda store: store.seal(sync.Seal(numbers, numbers))).payloads
    for n, number in enumerate(numbers, 1):
        post.submit(alice, "bob", anew[number], n)
    bob.receive()
    assert bob.texts() == ["one", "two"]
    assert bob.codes() == []


def test_what_is_sealed_behind_a_refused_message_is_let_go_with_it(post: Post) -> None:
    """Whatever happens before it is sealed anew, the receiver must not miss the refused one."""
    alice, bob = post.join("alice"), post.join("bob")
    first, second = (alice.write("bob", text).message_id for text in ("one", "two"))
    for number in (first, second):
        alice.seal(number)
    alice.change(lambda store: store.refuse(sync.Refuse(first, "mailbox_full")))
    alice.reopen()
    [(row, _)] = alice.store.queued_after(0)
    assert row.message_id == second
    assert row.payload is None
    assert row.released
    alice.send_all()
    bob.receive()
    assert bob.texts() == ["two"]
    assert bob.codes() == []


def test_a_chain_from_before_a_device_was_added_says_nothing_to_it(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    phone = post.join("alice", alice)
    packed = msgspec.json.encode(post.chains["alice"][:1])
    phone.change(lambda store: store._sql.execute("UPDATE contacts SET links = ?", (packed,)))
    bob.send("alice", "one")
    phone.receive()
    assert phone.texts() == ["one"]
    assert opening.FORGED not in phone.codes()


def test_two_that_cannot_open_each_others_questions_do_not_ask_for_ever(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    settle([bob, alice])

    def spoil(_device: Device, frame: Delivery) -> Delivery:
        assert frame.ciphertext is not UNSET
        return msgspec.structs.replace(frame, ciphertext=damaged(frame.ciphertext))

    post.alter = spoil
    alice.send("bob", "two")
    settle([bob, alice], 3)
    seen = len(post.seen)
    settle([bob, alice], 5)
    assert len(post.seen) == seen
    post.alter = lambda _device, frame: frame
    post.now_ms += HOUR_MS
    alice.send("bob", "three")
    settle([bob, alice])
    assert bob.texts() == ["one", "two", "three"]


def test_what_was_received_twice_is_there_once(post: Post) -> None:
    """Also a message made with the fallback key, which Olm opens as often as one likes."""
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    [frame] = post.mailboxes[bob.device]
    bob.receive()
    post.put(bob, frame)
    assert bob.receive() == []
    assert bob.texts() == ["one"]
    assert bob.codes() == []


def test_a_crash_before_the_commit_changes_nothing(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    message = alice.write("bob", "one")
    alice.learn("bob")
    alice.seal(message.message_id)
    before = post.seen.copy()
    alice.reopen()
    alice.send_all()
    assert len(post.seen) == len(before) + 1
    bob.receive(crash=True)
    assert bob.texts() == ["one"]


def test_what_was_sealed_is_sent_again_as_it_was(post: Post) -> None:
    """The ratchet has moved with it; to seal it a second time would leave a gap."""
    alice = post.join("alice")
    post.join("bob")
    message = alice.write("bob", "one")
    payload = alice.seal(message.message_id)
    alice.reopen()
    [(row, _)] = alice.store.queued_after(0)
    assert row.payload == payload
    assert row.released


def test_no_key_is_made_public_twice(post: Post) -> None:
    alice = post.join("alice")
    alice.offer_keys(crash=True)
    first = [(key.id, key.key) for key in post.shelves[alice.device].one_time]
    alice.offer_keys()
    for _ in range(60):
        post.shelves[alice.device].claim()
    alice.offer_keys()
    every = [*first, *((key.id, key.key) for key in post.shelves[alice.device].one_time)]
    assert len(first) == 100
    assert len({number for number, _ in every}) == len({key for _, key in every}) == len(set(every))
    assert len(set(every)) == 160


def test_a_fallback_key_is_renewed_and_the_last_one_still_works(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    old = post.shelves[bob.device].fallback
    alice.learn("bob")
    message = alice.write("bob", "by the old one")
    payload = alice.seal(message.message_id)
    assert isinstance(payload, sync.Payload)
    post.now_ms += 8 * 24 * HOUR_MS
    bob.offer_keys()
    assert post.shelves[bob.device].fallback != old
    post.submit(alice, "bob", payload, 1)
    bob.receive()
    assert bob.texts() == ["by the old one"]


def damaged(text: str) -> str:
    return text[:30] + ("A" if text[30] != "A" else "B") + text[31:]


def test_what_cannot_be_opened_is_said_asked_for_and_comes(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    settle([bob, alice])
    bob.send("alice", "hi")
    settle([bob, alice])

    def spoil(_device: Device, frame: Delivery) -> Delivery:
        assert frame.ciphertext is not UNSET
        return msgspec.structs.replace(frame, ciphertext=damaged(frame.ciphertext))

    post.alter = spoil
    alice.send("bob", "two")
    post.alter = lambda _device, frame: frame
    bob.receive()
    assert bob.codes() == [opening.UNDECRYPTABLE]
    assert bob.texts() == ["one", "hi"]
    settle([bob, alice])
    assert bob.texts() == ["one", "hi", "two"], "in its place"
    assert bob.codes() == [opening.UNDECRYPTABLE], "what came and was said is not also dropped"
    assert rows_of(bob, "missing") == []
    alice.send("bob", "three")
    settle([bob, alice])
    assert bob.texts() == ["one", "hi", "two", "three"]


def test_a_wedged_session_is_replaced_once_an_hour(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    settle([bob, alice])
    bob.send("alice", "hi")
    settle([bob, alice])
    bob.offer_keys()
    alice.offer_keys()

    def claims() -> int:
        return 100 - len(post.shelves[alice.device].one_time)

    def spoil(_device: Device, frame: Delivery) -> Delivery:
        assert frame.ciphertext is not UNSET
        return msgspec.structs.replace(frame, ciphertext=damaged(frame.ciphertext))

    for round_, expected in enumerate((1, 1, 2)):
        post.alter = spoil
        alice.send("bob", f"spoilt {round_}")
        post.alter = lambda _device, frame: frame
        settle([bob, alice])
        assert claims() == expected
        if round_ == 1:
            post.now_ms += HOUR_MS
    assert [text for text in bob.texts() if "spoilt" in text] == [
        "spoilt 0",
        "spoilt 1",
        "spoilt 2",
    ]


def test_what_the_server_drops_is_noticed_and_asked_for(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    post.alter = lambda _device, _frame: None
    alice.send("bob", "two")
    alice.send("bob", "three")
    post.alter = lambda _device, frame: frame
    alice.send("bob", "four")
    bob.receive()
    assert bob.codes() == [opening.DROPPED]
    settle([bob, alice])
    assert bob.texts() == ["one", "two", "three", "four"]


def test_what_the_server_reorders_is_noticed_and_comes(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    for text in ("one", "two", "three"):
        alice.send("bob", text)
    mailbox = post.mailboxes[bob.device]
    first, second, third = mailbox
    mailbox.clear()
    for frame in (first, third, second):
        post.put(bob, frame)
    settle([bob, alice])
    assert bob.codes() == [opening.DROPPED]
    assert bob.texts() == ["one", "two", "three"]


def test_a_message_put_into_another_talk_is_refused(post: Post) -> None:
    """A copy for the sender's own phone, which the server says was for somebody else."""
    alice, phone = post.join("alice"), None
    post.join("bob")
    phone = post.join("alice", alice)
    post.join("carol")
    post.alter = lambda device, frame: (
        msgspec.structs.replace(frame, to="carol") if device is phone else frame
    )
    alice.send("bob", "for bob")
    phone.receive()
    assert phone.codes() == [opening.FORGED]
    assert phone.texts() == []


def test_a_message_for_another_device_does_not_open(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    laptop = post.join("bob", bob)
    alice.send("bob", "one")
    [frame] = post.mailboxes[bob.device]
    post.mailboxes[laptop.device].clear()
    post.put(laptop, frame)
    laptop.receive()
    assert laptop.codes() == [opening.UNDECRYPTABLE]
    assert laptop.texts() == []


def test_a_message_under_another_name_is_refused(post: Post) -> None:
    alice, bob, mallory = post.join("alice"), post.join("bob"), post.join("mallory")
    mallory.send("bob", "I am alice")
    mailbox = post.mailboxes[bob.device]
    [frame] = mailbox
    assert isinstance(frame, Delivery)
    mailbox.clear()
    post.put(bob, msgspec.structs.replace(frame, sender="alice"))
    post.put(bob, msgspec.structs.replace(frame, sender="alice", device=alice.device))
    bob.receive()
    assert bob.codes() == [opening.UNKNOWN_DEVICE, opening.UNDECRYPTABLE]
    assert bob.texts() == []


def test_another_chain_for_somebody_else_surfaces(post: Post) -> None:
    """The server shows bob a chain of alice's that has a link which she never made."""
    alice, bob = post.join("alice"), post.join("bob")
    bob.learn("alice")
    bob.send("alice", "hi")
    settle([alice, bob])
    true = post.chains["alice"]
    post.chains["alice"] = true.copy()
    hidden = post.join("alice", alice)  # signed by a stolen key, say
    alice.change(
        lambda store: store._sql.execute(
            "UPDATE contacts SET links = ? WHERE name = 'alice'", (msgspec.json.encode(true),)
        )
    )
    bob.learn("alice")
    post.devices.pop(hidden.device)
    assert bob.codes() == [DEVICE_ADDED]
    post.chains["alice"] = true
    row = bob.write("alice", "for whom?")
    payload = bob.seal(row.message_id)
    assert isinstance(payload, sync.Payload)
    assert payload.ciphertexts is not None
    for_alice = sync.Payload({alice.device: payload.ciphertexts[alice.device]})
    post.submit(bob, "alice", for_alice, 9)
    alice.receive()
    assert opening.FORKED_OWN in alice.codes()
    assert alice.texts()[-1] == "for whom?", "what is whole is not thrown away for it"


def test_a_device_removed_gets_nothing_more_and_is_believed_no_more(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    thief = post.join("alice", alice)
    bob.send("alice", "one")
    settle([alice, bob, thief])
    post.revoke(thief, alice)
    bob.send("alice", "two")
    alice.receive()
    thief.receive()
    assert alice.texts() == ["one", "two"]
    assert thief.texts() == ["one"]
    assert bob.codes() == [DEVICE_REMOVED]
    row = thief.write("bob", "psst")
    payload = thief.seal(row.message_id)
    assert isinstance(payload, sync.Payload)
    assert payload.ciphertexts is not None
    post._deliver(thief, bob, "bob", 9, 1, payload.ciphertexts[bob.device])
    bob.receive()
    assert bob.codes()[-1] == opening.UNKNOWN_DEVICE
    assert "psst" not in bob.texts()


def test_a_new_device_gets_what_nobody_has_collected(post: Post) -> None:
    """The only device of bob is lost for good; what was sealed for it is sealed for the next."""
    alice, lost = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    alice.send("bob", "two")
    laptop = post.join("bob")  # by the words
    alice.learn("bob")
    settle([alice, laptop])
    assert laptop.texts() == ["one", "two"]
    assert [m.seq for m in laptop.store.history("alice", None, 9)] == [1, 2]
    lost.receive()
    assert lost.texts() == ["one", "two"]


def test_a_new_beginning_warns_and_blocks_only_whom_one_has_verified(post: Post) -> None:
    alice, carol = post.join("alice"), post.join("carol")
    post.join("bob")
    for device in (alice, carol):
        device.send("bob", "one")
    alice.change(lambda store: store._contacts.trust("bob", Trust.VERIFIED))
    bob = post.reset("bob")
    alice.learn("bob")
    carol.learn("bob")
    assert carol.codes() == [KEYS_CHANGED]
    assert alice.codes() == [VERIFIED_CHANGED]
    carol.send("bob", "two")
    settle([bob, carol])
    assert "two" in bob.texts()
    failed = alice.send("bob", "secret")
    assert failed.error_code == "contact_changed"
    assert not any("secret" in frame for frame in post.seen)


def test_plain_goes_only_where_it_is_allowed(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.learn("bob")
    allowed = False
    read = Contacts.get

    def bare(contacts: Contacts, name: str) -> Contact | None:
        """Give bob as somebody whose devices cannot encrypt."""
        contact = read(contacts, name)
        if name != "bob" or contact is None or contact.state is None:
            return contact
        state = dataclasses.replace(contact.state, keys=MappingProxyType({}))
        return msgspec.structs.replace(contact, state=state, plain=allowed)

    monkeypatch.setattr(Contacts, "get", bare)
    assert alice.send("bob", "open").error_code == "no_keys"
    allowed = True
    assert alice.send("bob", "open").plain
    monkeypatch.undo()
    bob.receive()
    [message] = bob.store.history("alice", None, 9)
    assert message.plain
