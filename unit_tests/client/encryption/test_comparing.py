"""Two people compare emoji over sealed messages, whatever the server does in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client import comparing
from jim.client.comparing import Comparing
from jim.client.encryption.content import SAS
from jim.client.events import ComparisonChanged, ComparisonStage
from jim.client.mailbox import FromDevice
from jim.crypto import sas
from jim.errors import OwnAccount, VerificationFailed
from unit_tests.client.encryption.post import Device, Post, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from jim.protocol.messages import Delivery

ASKED, WAITING, SHOWN = ComparisonStage.ASKED, ComparisonStage.WAITING, ComparisonStage.SHOWN
CONFIRMED, VERIFIED = ComparisonStage.CONFIRMED, ComparisonStage.VERIFIED
FAILED = ComparisonStage.FAILED


class Person:
    """A device with what compares on it, and what its user is told."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.told: list[ComparisonChanged] = []
        self.comparing = Comparing(device.name, self.told.append, self._write)

    def _write(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        done(self.device.change(work))

    def compare(self, name: str) -> None:
        self.device.learn(name)
        self.comparing.start(name, self.device.store.parties(name))  # type: ignore[arg-type]

    def receive(self) -> None:
        for new in self.device.receive():
            if isinstance(new, FromDevice):
                assert new.kind == SAS
                self.comparing.take(new)

    def crash(self) -> None:
        """Die and come back without what was only in memory."""
        self.device.reopen()
        self.comparing.close()
        self.comparing = Comparing(self.device.name, self.told.append, self._write)

    @property
    def stages(self) -> list[ComparisonStage]:
        return [event.stage for event in self.told]

    @property
    def last(self) -> ComparisonChanged:
        return self.told[-1]

    def has_verified(self, name: str) -> bool:
        return self.device.store.contact_info(name).verified


def talk(*people: Person, rounds: int = 8) -> None:
    """Let everybody send and receive until nothing is left to say."""
    for _ in range(rounds):
        for person in people:
            person.device.send_all()
            person.receive()


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


@pytest.fixture
def two(post: Post) -> tuple[Person, Person]:
    return Person(post.join("alice")), Person(post.join("bob"))


async def test_both_see_the_same_and_are_verified(post: Post, two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    assert (alice.stages, bob.stages) == ([WAITING], [ASKED])
    bob.compare("alice")
    talk(alice, bob)
    assert alice.last.stage is bob.last.stage is SHOWN
    assert len(alice.last.emoji) == 7
    assert alice.last.emoji == bob.last.emoji
    assert alice.comparing.answer("bob", same=True)
    talk(alice, bob)
    assert alice.last == ComparisonChanged("bob", CONFIRMED, bob.last.emoji)
    assert not alice.has_verified("bob")
    assert bob.comparing.answer("alice", same=True)
    talk(alice, bob)
    assert alice.last.stage is bob.last.stage is VERIFIED
    assert alice.has_verified("bob")
    assert bob.has_verified("alice")
    assert alice.comparing.stage("bob") is None
    assert not any("step" in frame for frame in post.seen)  # the server saw ciphertexts
    alice.device.send("bob", "and on we go")
    bob.receive()
    assert bob.device.texts() == ["and on we go"]  # nothing of it is in a conversation


async def test_both_begin_at_once(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    bob.compare("alice")
    talk(alice, bob)
    assert alice.last.stage is bob.last.stage is SHOWN
    assert alice.last.emoji == bob.last.emoji
    assert ASKED not in alice.stages + bob.stages
    alice.comparing.answer("bob", same=True)
    bob.comparing.answer("alice", same=True)
    talk(alice, bob)
    assert alice.has_verified("bob")
    assert bob.has_verified("alice")


async def test_one_device_answers_and_the_other_hears_that_it_is_over(post: Post) -> None:
    alice, bob = Person(post.join("alice")), Person(post.join("bob"))
    laptop = Person(post.join("bob", bob.device))
    settle([alice.device, bob.device, laptop.device])
    alice.compare("bob")
    talk(alice, bob, laptop)
    assert bob.last.stage is laptop.last.stage is ASKED
    laptop.compare("alice")
    talk(alice, bob, laptop)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "withdrawn")
    assert alice.last.emoji == laptop.last.emoji != ()


async def test_both_begin_at_once_from_accounts_with_two_devices(post: Post) -> None:
    alice, bob = Person(post.join("alice")), Person(post.join("bob"))
    phone, laptop = Person(post.join("alice", alice.device)), Person(post.join("bob", bob.device))
    everybody = (alice, bob, phone, laptop)
    settle([each.device for each in everybody])
    alice.compare("bob")
    laptop.compare("alice")
    talk(*everybody)
    assert alice.last.stage is laptop.last.stage is SHOWN
    assert alice.last.emoji == laptop.last.emoji
    assert bob.last.stage is phone.last.stage is FAILED
    assert bob.last.reason == phone.last.reason == "withdrawn"


async def test_different_emoji_are_a_warning_and_change_nothing(
    two: tuple[Person, Person],
) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    talk(alice, bob)
    alice.comparing.answer("bob", same=True)
    bob.comparing.answer("alice", same=False)
    talk(alice, bob)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "differ")
    assert (alice.last.stage, alice.last.reason) == (FAILED, "cancelled")
    assert not alice.has_verified("bob")
    assert not bob.has_verified("alice")


async def test_declining(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    assert bob.comparing.answer("alice", same=False)
    assert not bob.comparing.answer("alice", same=False)
    talk(alice, bob)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "declined")
    assert (alice.last.stage, alice.last.reason) == (FAILED, "cancelled")


async def test_yes_before_there_is_anything_to_see_is_no_answer(
    two: tuple[Person, Person],
) -> None:
    alice, bob = two
    alice.compare("bob")
    assert not alice.comparing.answer("bob", same=True)
    talk(alice, bob)
    assert not bob.comparing.answer("alice", same=True)
    assert bob.last.stage is ASKED


async def test_asking_again_tells_how_it_stands(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    alice.compare("bob")
    talk(alice, bob)
    assert (alice.stages, bob.stages) == ([WAITING, WAITING], [ASKED])


async def test_a_crash_in_the_middle_begins_anew(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    alice.crash()
    talk(alice, bob)  # what alice does not know any more, she gives up
    assert (bob.last.stage, bob.last.reason) == (FAILED, "cancelled")
    bob.crash()
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    talk(alice, bob)
    for one, other in ((alice, "bob"), (bob, "alice")):
        one.comparing.answer(other, same=True)
    talk(alice, bob)
    assert alice.has_verified("bob")
    assert bob.has_verified("alice")


async def test_who_begins_anew_is_asked_about_anew(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    talk(alice, bob)
    alice.crash()
    alice.compare("bob")
    talk(alice, bob)
    assert bob.last.stage is ASKED
    bob.compare("alice")
    talk(alice, bob)
    assert alice.last.emoji == bob.last.emoji != ()


@pytest.mark.parametrize("dropped", range(1, 7))
async def test_a_server_that_drops_one_step_verifies_nobody_wrongly(
    post: Post, two: tuple[Person, Person], dropped: int
) -> None:
    alice, bob = two
    settle([alice.device, bob.device])
    passed = 0

    def drop(_device: Device, frame: Delivery) -> Delivery | None:
        nonlocal passed
        passed += not frame.seq
        return None if not frame.seq and passed == dropped else frame

    post.alter = drop
    alice.compare("bob")
    talk(alice, bob)
    if bob.told:
        bob.compare("alice")
    talk(alice, bob)
    for one, other in ((alice, "bob"), (bob, "alice")):
        one.comparing.answer(other, same=True)
        talk(alice, bob)
    assert passed >= dropped
    for one, other in ((alice, "bob"), (bob, "alice")):
        verified = VERIFIED in one.stages
        assert one.has_verified(other) is verified
    assert not (alice.has_verified("bob") and bob.has_verified("alice"))
    post.alter = lambda _device, frame: frame
    bob.crash()
    alice.crash()
    bob.compare("alice")
    talk(alice, bob)
    alice.compare("bob")
    talk(alice, bob)
    assert alice.last.emoji == bob.last.emoji != ()


async def test_a_server_that_delivers_in_another_order_verifies_nobody_wrongly(
    post: Post, two: tuple[Person, Person]
) -> None:
    alice, bob = two
    alice.device.send("bob", "a session")
    bob.device.send("alice", "for both ways")
    talk(alice, bob)
    alice.compare("bob")
    alice.comparing.answer("bob", same=False)
    alice.device.send_all()
    mailbox = post.mailboxes[bob.device.device]
    start, cancel = mailbox[-2:]
    mailbox[-2:] = [
        msgspec.structs.replace(cancel, position=start.position),
        msgspec.structs.replace(start, position=cancel.position),
    ]
    talk(alice, bob)
    assert bob.last.stage is ASKED  # the end of it came first and meant nothing
    bob.compare("alice")
    talk(alice, bob)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "cancelled")
    assert not bob.has_verified("alice")


async def test_no_answer_in_time(
    two: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(comparing, "COMPARE_S", 0.0)
    alice, bob = two
    alice.compare("bob")
    await asyncio.sleep(0.01)
    assert (alice.last.stage, alice.last.reason) == (FAILED, "timeout")
    talk(alice, bob)
    assert bob.last.reason == "withdrawn"  # the question came, and that it is over


async def test_other_keys_meanwhile_are_not_verified(
    post: Post, two: tuple[Person, Person]
) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    talk(alice, bob)
    alice.comparing.answer("bob", same=True)
    talk(alice, bob)
    post.reset("alice")
    bob.device.learn("alice")
    bob.comparing.answer("alice", same=True)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "changed")
    assert not bob.has_verified("alice")


async def test_a_proof_that_is_none(two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.compare("bob")
    talk(alice, bob)
    bob.compare("alice")
    talk(alice, bob)
    alice.comparing.answer("bob", same=True)
    transaction = alice.comparing._talks["bob"].comparison.transaction  # type: ignore[union-attr]
    forged = msgspec.json.encode(sas.Confirm(transaction, bytes(32))).decode()
    alice.comparing.take(FromDevice("bob", bob.device.device, SAS, forged))
    assert (alice.last.stage, alice.last.reason) == (FAILED, "mac")
    talk(alice, bob)
    assert (bob.last.stage, bob.last.reason) == (FAILED, "cancelled")


async def test_nonsense_and_steps_of_nothing(post: Post, two: tuple[Person, Person]) -> None:
    alice, bob = two
    alice.device.learn("bob")
    device = bob.device.device
    alice.comparing.take(FromDevice("bob", device, SAS, "no step"))
    cancel = msgspec.json.encode(sas.Cancel(bytes(16))).decode()
    alice.comparing.take(FromDevice("bob", device, SAS, cancel))
    own = msgspec.json.encode(sas.Start(bytes(16))).decode()
    alice.comparing.take(FromDevice("alice", device, SAS, own))
    assert alice.told == []
    assert alice.device.store.queued_after(0) == []
    key = msgspec.json.encode(sas.Key(bytes(16), bytes(32))).decode()
    alice.comparing.take(FromDevice("bob", device, SAS, key))
    [(_, queued)] = alice.device.store.queued_after(0)
    assert not queued.is_text
    assert "cancel" in queued.text
    with pytest.raises(OwnAccount):
        alice.compare("alice")
    parties = alice.device.store.parties("bob")
    assert parties is not None
    nobody = msgspec.structs.replace(parties, theirs={})
    with pytest.raises(VerificationFailed) as raised:
        alice.comparing.start("bob", nobody)
    assert raised.value.fields["reason"] == "no_keys"
