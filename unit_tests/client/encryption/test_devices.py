"""Names of devices between those of one account, and a new device in the place of an old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.client import mailbox
from jim.client.account_record import AccountRecord, Stage
from jim.client.device_store import DEVICE_NAME
from jim.client.encryption.vault import new_vault, pickle_key
from jim.client.events import UNKNOWN_OUTCOME, MessageState
from jim.client.notice_store import DEVICE_ADDED, DEVICE_REMOVED
from jim.client.store import Draft
from jim.client.verify import Report
from jim.client.verify_store import verify_store
from jim.crypto import links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from unit_tests.client.encryption.post import Device, Post, settle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def named(device: Device) -> dict[str, str]:
    return {each.id: each.name for each in device.store.devices()}


def introduce(device: Device, name: str) -> bool:
    return bool(device.change(lambda store: store.introduce(name, device.post.now_ms)))


def rename(device: Device, other: Device, name: str, now_ms: int) -> None:
    device.change(lambda store: store.rename_device(other.device, name, now_ms))


def queue(device: Device, draft: Draft) -> None:
    device.change(lambda store: store.enqueue(draft, released=False))


def two(post: Post) -> tuple[Device, Device]:
    """An account with two devices that know of each other."""
    first = post.join("alice")
    assert introduce(first, "desk")
    second = post.join("alice", first)
    assert introduce(second, "phone")
    first.learn("alice")
    settle([first, second])
    return first, second


def test_a_device_that_joins_and_those_that_were_there_learn_each_others_names(post: Post) -> None:
    first, second = two(post)
    assert named(first) == named(second) == {first.device: "desk", second.device: "phone"}
    assert first.codes() == [DEVICE_ADDED]
    assert second.codes() == []
    assert [each.is_this for each in second.store.devices()] == [False, True]
    assert not introduce(first, "something else")


def test_nobody_has_a_name_before_its_chain_is_known(post: Post) -> None:
    first = post.join("alice")
    first.change(lambda store: store._contacts._sql.execute("DELETE FROM contacts"))
    assert first.store.devices() == []
    assert not introduce(first, "desk")


def test_the_later_of_two_names_wins_everywhere(post: Post) -> None:
    first, second = two(post)
    rename(first, second, "earlier", 5_000_000)
    rename(second, second, "later", 6_000_000)
    settle([first, second])
    assert named(first) == named(second) == {first.device: "desk", second.device: "later"}
    rename(second, first, "same time, b", 7_000_000)
    rename(first, first, "same time, a", 7_000_000)
    settle([first, second])
    assert named(first) == named(second)
    rename(first, first, "whose clock is late", 1)
    settle([first, second])
    assert named(second)[first.device] == "whose clock is late"


def test_a_name_is_believed_from_own_devices_and_about_own_devices_only(post: Post) -> None:
    first, second = two(post)
    mallory = post.join("mallory")
    bodies = [
        f'{{"device":"{first.device}","name":"evil"}}',
        '{"device":"ffffffffffffffff","name":"ghost"}',
        f'{{"device":"{first.device}","name":"\\u001b\\u202e "}}',
        "no JSON",
    ]
    for sender, to in ((mallory, "alice"), (second, "alice")):
        for body in bodies[sender is second :]:
            queue(sender, Draft(to, body, 9_000_000, None, DEVICE_NAME, first.device))
    settle([first, second, mallory])
    assert named(first) == {first.device: "desk", second.device: "phone"}
    wild = f'{{"device":"{second.device}","name":"a\\u001b[2J\\nb{"c" * 99}"}}'
    queue(second, Draft("alice", wild, 9_000_000, None, DEVICE_NAME, first.device))
    settle([first, second])
    name = named(first)[second.device]
    assert name.isprintable()
    assert len(name) == 32


def test_names_are_no_messages(post: Post) -> None:
    first, second = two(post)
    rename(first, first, "attic", 5_000_000)
    assert first.store.is_settled()
    assert not first.store.is_settled(everything=True)
    settle([first, second])
    assert first.store.is_settled(everything=True)
    assert first.texts() == second.texts() == []
    assert not any("attic" in frame for frame in post.seen)


def test_who_takes_a_device_out_is_not_told_so_and_the_others_are(post: Post) -> None:
    first, second = two(post)
    third = post.join("alice", first)
    for device in (first, second):
        device.learn("alice")
    first.news.clear()
    second.news.clear()
    post.revoke(third, first)
    link = post.chains["alice"][-1]
    first.change(lambda store: store.learn_own([link]))
    second.learn("alice")
    assert first.codes() == []
    assert second.codes() == [DEVICE_REMOVED]
    assert len(first.store.devices()) == len(second.store.devices()) == 2


def test_a_device_in_the_place_of_another_one_is_called_like_that(post: Post) -> None:
    first, second = two(post)
    rename(first, second, "in the kitchen", 5_000_000)
    settle([first, second])
    anew = post.replace(second)
    first.learn("alice")
    assert introduce(anew, "what the machine is called")
    settle([first, anew])
    assert named(first)[anew.device] == named(anew)[anew.device] == "in the kitchen"


def renewed(post: Post, old: Device) -> Device:
    """Put a new device in the place of an old one, in the same store."""
    new = Device.__new__(Device)
    new.post, new.name, new.news = post, old.name, []
    new.key = SigningKey.generate()
    new.device = device_id(new.key.public)
    new.vault = new_vault(new.key, new.device)
    new.path, new.store, new.connection = old.path, old.store, old.connection
    record = AccountRecord(name=old.name, device=new.device, stage=Stage.REGISTERED)
    key = pickle_key(new.key)
    new.change(lambda store: store.become(record, new.vault, key, post.now_ms))
    state = verify_chain(post.chains[old.name], old.name)
    post.chains[old.name].append(
        links.make_add(state, new.key, post.recovery[old.name], post.now_ms + 1, new.vault.keys)
    )
    post._admit(new)
    return new


def test_a_new_device_in_the_place_of_an_old_one_loses_and_doubles_nothing(post: Post) -> None:
    first, bob = post.join("alice"), post.join("bob")
    second = post.join("alice", first)
    first.learn("alice")
    second.change(lambda store: store.move_cursor("epoch", 0))
    second.send("bob", "sent")
    bob.send("alice", "received")
    for device in (first, second, bob):
        device.receive()
    unsure = second.write("bob", "sent, or not")
    second.seal(unsure.message_id)
    waiting = second.write("bob", "never sent")
    post.revoke(second, first)
    first.learn("alice")
    second.change(lambda store: store.note_revoked())
    assert second.store.is_revoked()
    new = renewed(post, second)
    assert not new.store.is_revoked()
    assert new.codes() == []
    found = {each.text: each for each in new.store.history("bob", None, 10)}
    assert set(found) == {"sent", "received", "sent, or not", "never sent"}
    assert found["sent, or not"].error_code == UNKNOWN_OUTCOME
    assert found["never sent"].state is MessageState.QUEUED
    assert found["never sent"].message_id == waiting.message_id
    bob.receive()
    first.learn("alice")
    settle([new, bob, first])
    bob.send("alice", "welcome back")
    settle([new, bob, first])
    assert bob.texts().count("never sent") == 1
    assert bob.texts() == ["sent", "received", "never sent", "welcome back"]
    assert new.texts()[-1] == "welcome back"
    assert not {"dropped", "undecryptable", "cloned", "forged"} & set(bob.codes() + first.codes())
    report = Report()
    verify_store(new.path, report)
    assert [each for each in report.findings if each.is_fault] == []


def test_a_device_that_came_and_went_while_nobody_looked_is_told_of(post: Post) -> None:
    """It had what waited for the account: whoever adds one by the words could leave no trace."""
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "hi")
    bob.receive()
    bob.send("alice", "hi")
    alice.receive()
    thief = post.join("bob")
    post.revoke(thief, thief)
    for device in (alice, bob):
        device.learn("bob")
        assert device.codes() == [DEVICE_ADDED, DEVICE_REMOVED]
        device.learn("bob")
        assert device.codes() == [DEVICE_ADDED, DEVICE_REMOVED]
    alice.send("bob", "and on")
    bob.receive()
    assert bob.texts()[-1] == "and on"


def test_who_adds_and_removes_without_end_is_told_of_so_often(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_DEVICES", 3)
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "hi")
    for _ in range(5):
        post.revoke(post.join("bob"), bob)
    alice.learn("bob")
    assert alice.codes() == [DEVICE_ADDED] * 3 + [DEVICE_REMOVED] * 3
