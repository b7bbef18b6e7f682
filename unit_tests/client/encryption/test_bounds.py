"""What a server, or a peer, can make a device keep and do has a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client import mailbox
from jim.client.comparing import MAX_ASKED, MAX_TALKS, Comparing
from jim.client.encryption import contacts, opening
from jim.client.encryption.content import SAS
from jim.client.mailbox import FromDevice
from jim.client.notice_store import ALARMS, ALARMS_MS, CHAIN_INVALID
from jim.client.store import RESENT, Draft
from jim.client.store_rows import KNOWN
from jim.client.trust_store import MAX_STEPS
from jim.crypto import chain, links, sas
from jim.crypto.keys import EncryptionKeys, SigningKey
from jim.errors import ChainInvalid
from jim.protocol.messages import Delivery, Notice
from unit_tests.client.encryption.post import Device, Post, rows_of, settle
from unit_tests.client.encryption.test_asking import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from jim.protocol.messages import Link


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def queued(device: Device, kind: str) -> int:
    return sum(each["kind"] == kind for each in rows_of(device, "messages"))


# --- notices --------------------------------------------------------------------------------------


def test_a_server_says_that_something_is_missing_so_often_in_an_hour(post: Post) -> None:
    bob = post.join("bob")
    for number in range(10 * ALARMS):
        post.put(bob, Notice(position=0, code=f"code {number}", time=1))
    bob.receive()
    assert len(bob.codes()) == ALARMS
    assert bob.store.standing().position == 10 * ALARMS, (
        "what is not said is dealt with all the same"
    )
    post.now_ms += ALARMS_MS
    post.put(bob, Notice(position=0, code="mailbox_full", time=1))
    bob.receive()
    assert bob.codes()[ALARMS:] == ["mailbox_full"]


def test_invented_people_hide_no_warning_about_real_ones(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    frame = post.mailboxes[bob.device][0]
    assert isinstance(frame, Delivery)
    for number in range(2 * ALARMS):
        post.chains[f"nobody{number}"] = []
        post.put(bob, msgspec.structs.replace(frame, sender=f"nobody{number}", seq=9, n=9))
    post.put(bob, msgspec.structs.replace(frame, device="0" * 16, seq=9, n=9))
    post.put(bob, msgspec.structs.replace(frame, seq=9, n=9))
    bob.receive()
    told = bob.codes()
    assert told[-2:] == [opening.UNKNOWN_DEVICE, opening.UNDECRYPTABLE]
    assert len(told) == ALARMS + 2
    assert set(told[:-2]) == {opening.UNKNOWN_DEVICE, CHAIN_INVALID}


def test_no_text_that_is_not_sealed_is_lost_however_many_strangers_write_one(post: Post) -> None:
    """What a server has told their authors to be delivered is here, if only to be withheld."""
    bob = post.join("bob")
    plain = Delivery(
        position=0, seq=1, sender="x", device="d" * 16, n=1, to="bob", time=1, message="spam"
    )
    for number in range(2 * ALARMS):
        post.put(bob, msgspec.structs.replace(plain, sender=f"somebody{number}"))
    bob.receive()
    peers = {each.peer for each in bob.store.conversations()}
    assert peers == {f"somebody{number}" for number in range(2 * ALARMS)}


def test_a_device_that_leaves_counts_out_is_told_once_until_a_text_comes(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "one")
    bob.receive()
    peers = alice.store._peers
    next_count = peers.next_count
    monkeypatch.setattr(
        peers, "next_count", lambda *which: [next_count(*which) for _ in range(2)][1]
    )
    for _ in range(5):
        draft = Draft("bob", "x", 1, None, "of a later version", bob.device)
        alice.change(lambda store, d=draft: store.enqueue(d, released=False))  # type: ignore[misc]
        alice.send_all()
        bob.receive()
    assert bob.codes() == [opening.DROPPED]
    alice.send("bob", "two")
    alice.send("bob", "three")
    bob.receive()
    assert bob.codes() == [opening.DROPPED, opening.DROPPED]


def test_what_was_opened_is_found_by_an_index(post: Post) -> None:
    bob = post.join("bob")
    plan = bob.connection.execute(
        f"EXPLAIN QUERY PLAN {KNOWN}", ("alice", "d", 1, 1, b"digest")
    ).fetchall()
    steps = [row["detail"] for row in plan]
    assert not any("SCAN passed" in step or "SCAN messages" in step for step in steps), steps


# --- what is asked for ----------------------------------------------------------------------------


def test_one_account_cannot_fill_the_outbox_with_questions(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_RESENT", 7)
    alice, bob = post.join("alice"), post.join("bob")
    laptop = post.join("bob", bob)
    for number in range(20):
        alice.send("bob", f"text {number}")
    settle([bob, laptop])
    for device in (bob, laptop):
        for counts in ([*range(1, 11)], [*range(11, 21)]):
            with monkeypatch.context() as patch:
                ask(device, alice, msgspec.json.encode(counts).decode(), patch)
    alice.receive()
    assert queued(alice, RESENT) == 7
    alice.send_all()
    assert queued(alice, RESENT) == 0
    settle([alice, bob, laptop])
    assert len(bob.texts()) == len(laptop.texts()) == 20


def test_steps_that_nobody_asked_for_are_answered_so_often(post: Post) -> None:
    alice, bob = post.join("alice"), post.join("bob")
    bob.send("alice", "hi")
    alice.receive()

    def write(work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        done(alice.change(work))

    comparing = Comparing("alice", lambda _: None, write)
    for number in range(10 * MAX_STEPS):
        step = sas.Key(number.to_bytes(16), bytes(32))
        body = msgspec.json.encode(step).decode()
        comparing.take(FromDevice("bob", bob.device, SAS, body))
    assert queued(alice, SAS) == MAX_STEPS


async def test_who_asks_again_and_again_is_told_so_often() -> None:
    told: list[Any] = []
    comparing = Comparing("alice", told.append, lambda *_: None)

    def start(name: str, number: int) -> None:
        body = msgspec.json.encode(sas.Start(number.to_bytes(16))).decode()
        comparing.take(FromDevice(name, "d" * 16, SAS, body))

    for number in range(100):
        start("bob", number)
    assert len(told) == MAX_ASKED
    for number in range(3 * MAX_TALKS):
        start(f"somebody{number}", number)
    assert len(told) == MAX_ASKED + MAX_TALKS - 1
    comparing.close()


# --- chains ---------------------------------------------------------------------------------------


def grown(name: str, count: int) -> list[Link]:
    """Make an account with so many devices, each added by the recovery key."""
    first, recovery = SigningKey.generate(), SigningKey.generate()
    made = [
        links.make_genesis(
            name, first, recovery.public, 1, EncryptionKeys(first.public, first.public)
        )
    ]
    state = chain.verify_chain(made, name)
    for _ in range(count - 1):
        key = SigningKey.generate()
        pair = EncryptionKeys(key.public, key.public)
        made.append(links.make_add(state, key, recovery, 2, pair))
        state = chain.extend(state, made[-1])
    return made


def test_an_account_has_so_many_devices(post: Post) -> None:
    bob = post.join("bob")
    many = grown("crowd", contacts.MAX_DEVICES + 1)
    post.chains["crowd"] = many[:-1]
    bob.learn("crowd")
    assert bob.store.chain_seq("crowd") == contacts.MAX_DEVICES - 1
    post.chains["crowd"] = many
    bob.learn("crowd")
    assert bob.codes() == [CHAIN_INVALID]
    assert bob.store.chain_seq("crowd") == contacts.MAX_DEVICES - 1


def test_a_chain_has_so_many_links(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MAX_LINKS", 5)
    bob = post.join("bob")
    many = grown("crowd", 6)
    with pytest.raises(ChainInvalid):
        bob.store._contacts.learn("crowd", many, bounded=True)
    assert bob.change(lambda store: store._contacts.learn("crowd", many)).is_new, "our own may"


def test_what_is_pinned_is_not_verified_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = post.join("bob")
    post.chains["crowd"] = whole = grown("crowd", 5)
    bob.learn("crowd")
    verified: list[Link] = []
    extend = chain.extend

    def count(state: chain.ChainState, link: Link) -> chain.ChainState:
        verified.append(link)
        return extend(state, link)

    monkeypatch.setattr(chain, "extend", count)
    bob.learn("crowd")
    assert verified == []
    other = [*whole[:4], msgspec.structs.replace(whole[4], time=99)]
    post.chains["crowd"] = other
    bob.learn("crowd")
    assert bob.codes() == [CHAIN_INVALID], "what is otherwise is looked at whole"


def test_so_many_chains_stay_in_memory(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MAX_CACHED", 3)
    bob = post.join("bob")
    for number in range(9):
        post.chains[f"p{number}"] = grown(f"p{number}", 1)
        bob.learn(f"p{number}")
        assert bob.store._contacts.get(f"p{number}")
    assert len(bob.store._contacts._cache) == 3
    assert bob.store.chain_seq("p0") == 0
