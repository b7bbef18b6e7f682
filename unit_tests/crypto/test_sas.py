from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.crypto.emoji import EMOJI, Emoji
from jim.crypto.keys import SigningKey
from jim.crypto.sas import (
    Cancel,
    Commit,
    Comparison,
    Confirm,
    Key,
    Party,
    Reveal,
    Start,
    State,
    Step,
    goes_on,
)
from jim.errors import VerificationFailed
from jim.i18n import _, set_language

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = Party("alice", "a" * 16, b"A" * 32, SigningKey(b"a" * 32).public)
BOB = Party("bob", "b" * 16, b"B" * 32, SigningKey(b"b" * 32).public)
EVE = Party("eve", "e" * 16, b"E" * 32, SigningKey(b"e" * 32).public)


@contextlib.contextmanager
def failed(reason: str) -> Iterator[None]:
    with pytest.raises(VerificationFailed) as caught:
        yield
    assert caught.value.fields["reason"] == reason


def carried(step: Step | None) -> Step:
    """Carry a step as the sealed message does."""
    assert step is not None
    decoded: Step = msgspec.msgpack.decode(msgspec.msgpack.encode(step), type=Step)
    return decoded


def compared(
    mine: tuple[Party, Party] = (ALICE, BOB), yours: tuple[Party, Party] = (BOB, ALICE)
) -> tuple[Comparison, Comparison]:
    """Go on to where both sides show their emoji; each with its own idea of who is who."""
    alice, start = Comparison.begin(*mine)
    bob, commit = Comparison.answer(*yours, start)
    reveal = bob.receive(carried(alice.receive(carried(commit))))
    assert alice.receive(carried(reveal)) is None
    return alice, bob


def test_both_see_the_same_and_are_verified_when_both_have_said_so() -> None:
    alice, bob = compared()
    assert alice.emoji == bob.emoji
    assert len(alice.emoji) == 7
    from_alice = alice.confirm()
    assert bob.receive(carried(from_alice)) is None
    assert (alice.verified, bob.verified) == (False, False)
    from_bob = bob.confirm()
    assert (alice.verified, bob.verified) == (False, True)
    assert alice.receive(carried(from_bob)) is None
    assert alice.verified
    assert alice.state is bob.state is State.OVER


def test_every_comparison_shows_other_emoji() -> None:
    assert len({compared()[0].emoji for _ in range(20)}) == 20


def test_nothing_is_shown_before_both_keys_are_there() -> None:
    alice, start = Comparison.begin(ALICE, BOB)
    bob, commit = Comparison.answer(BOB, ALICE, start)
    alice.receive(commit)
    assert alice.emoji == bob.emoji == ()


@pytest.mark.parametrize("field", Party._fields)
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_who_has_another_idea_of_one_of_the_two_sees_other_emoji(who: str, field: str) -> None:
    """Whatever the server shows differently: a name, a device, a root or an identity."""
    other = getattr(EVE, field)
    seen = BOB._replace(**{field: other}) if who == "bob" else BOB
    own = ALICE._replace(**{field: other}) if who == "alice" else ALICE
    alice, bob = compared((own, seen))
    assert alice.emoji != bob.emoji
    with failed("mac"):  # and if the users overlook it, their devices do not
        bob.receive(alice.confirm())
    alice, bob = compared((own, seen))
    with failed("mac"):
        alice.receive(bob.confirm())


# --- somebody sits in between ---


def test_a_key_that_is_swapped_after_the_commitment_is_noticed() -> None:
    alice, start = Comparison.begin(ALICE, BOB)
    _bob, commit = Comparison.answer(BOB, ALICE, start)
    eve, _ignored = Comparison.answer(BOB, ALICE, start)
    alice.receive(commit)
    with failed("commitment"):
        alice.receive(Reveal(start.transaction, eve.key))
    assert alice.emoji == ()
    assert alice.state is State.OVER


def test_a_commitment_counts_for_its_own_comparison_alone() -> None:
    alice, start = Comparison.begin(ALICE, BOB)
    other, commit = Comparison.answer(BOB, ALICE, Start(b"t" * 16))
    alice.receive(Commit(start.transaction, commit.commitment))
    with failed("commitment"):
        alice.receive(Reveal(start.transaction, other.key))


def test_whoever_plays_both_parts_makes_both_sides_see_something_else() -> None:
    alice, start = Comparison.begin(ALICE, BOB)
    as_bob, commit = Comparison.answer(BOB, ALICE, start)  # Eve's own keys throughout
    as_alice = Comparison(ALICE, BOB, start.transaction, State.COMMIT)
    bob, real_commit = Comparison.answer(BOB, ALICE, start)

    key = alice.receive(commit)
    alice.receive(carried(as_bob.receive(carried(key))))
    real_reveal = bob.receive(carried(as_alice.receive(real_commit)))
    as_alice.receive(carried(real_reveal))

    assert alice.emoji == as_bob.emoji
    assert bob.emoji == as_alice.emoji
    assert alice.emoji != bob.emoji
    with failed("mac"):  # the real MACs, passed on, belong to other secrets
        alice.receive(bob.confirm())


@pytest.mark.parametrize("place", [0, 31])
def test_an_altered_mac_fails_and_proves_nothing(place: int) -> None:
    alice, bob = compared()
    good = bob.confirm()
    mac = bytearray(good.mac)
    mac[place] ^= 1
    alice.confirm()
    with failed("mac"):
        alice.receive(Confirm(good.transaction, bytes(mac)))
    with failed("other"):
        alice.receive(good)
    assert not alice.verified


def test_a_mac_is_no_answer_to_itself() -> None:
    alice, _bob = compared()
    with failed("mac"):
        alice.receive(alice.confirm())


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31)])
def test_a_key_of_low_order_is_refused(key: bytes) -> None:
    bob, commit = Comparison.answer(BOB, ALICE, Start(b"t" * 16))
    with failed("key"):
        bob.receive(Key(commit.transaction, key))


# --- order ---


def reached(state: State) -> Comparison:
    alice, start = Comparison.begin(ALICE, BOB)
    bob, commit = Comparison.answer(BOB, ALICE, start)
    if state is State.KEY:
        return bob
    if state is not State.COMMIT:
        key = alice.receive(commit)
        if state is not State.REVEAL:
            alice.receive(carried(bob.receive(carried(key))))
    assert alice.state is state
    return alice


FITTING = {
    State.COMMIT: Commit,
    State.KEY: Key,
    State.REVEAL: Reveal,
    State.COMPARE: Confirm,
}


@pytest.mark.parametrize("kind", [Commit, Key, Reveal, Confirm])
@pytest.mark.parametrize("state", FITTING)
def test_what_does_not_belong_here_ends_it(
    state: State, kind: type[Commit | Key | Reveal | Confirm]
) -> None:
    side = reached(state)
    step = kind(side.transaction, b"x" * 32)
    if kind is not FITTING[state]:
        with failed("order"):
            side.receive(step)
        assert side.state is State.OVER


def test_a_start_is_never_received_and_nothing_is_confirmed_too_early_or_twice() -> None:
    for state in FITTING:
        side = reached(state)
        if state is not State.COMPARE:
            with failed("order"):
                side.confirm()
        with failed("order"):
            side.receive(Start(side.transaction))
        with failed("order"):
            side.confirm()
    alice, _bob = compared()
    alice.confirm()
    with failed("order"):
        alice.confirm()


def test_a_second_confirmation_is_refused() -> None:
    alice, bob = compared()
    good = bob.confirm()
    alice.receive(good)
    with failed("order"):
        alice.receive(good)
    assert not alice.verified


def test_what_comes_after_the_end_changes_nothing() -> None:
    alice, bob = compared()
    to_bob, to_alice = alice.confirm(), bob.confirm()
    alice.receive(to_alice)
    bob.receive(to_bob)
    for step in (to_alice, Cancel(alice.transaction)):
        with failed("other"):
            alice.receive(step)
    assert alice.verified


def test_a_step_of_another_comparison_changes_nothing() -> None:
    alice, bob = compared()
    with failed("other"):
        alice.receive(Cancel(b"t" * 16))
    alice.receive(bob.confirm())
    alice.confirm()
    assert alice.verified


@pytest.mark.parametrize("state", FITTING)
def test_both_sides_may_give_up_at_any_time(state: State) -> None:
    side = reached(state)
    with failed("cancelled"):
        side.receive(Cancel(side.transaction))
    assert side.state is State.OVER
    side = reached(state)
    assert side.cancel() == Cancel(side.transaction)
    with failed("order"):
        side.confirm()


def test_of_two_that_were_begun_at_once_one_goes_on_for_both() -> None:
    one, two = Comparison.begin(ALICE, BOB)[1], Comparison.begin(BOB, ALICE)[1]
    assert goes_on(one, two) != goes_on(two, one)


@pytest.mark.parametrize(
    "body",
    [
        {"step": "start", "transaction": b"short"},
        {"step": "key", "transaction": b"t" * 16, "key": b"x" * 31},
        {"step": "confirm", "transaction": b"t" * 16},
        {"step": "dance", "transaction": b"t" * 16},
        {},
    ],
)
def test_a_body_of_another_form_is_no_step(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, type=Step)


# --- the list ---


def test_the_list_is_that_of_matrix() -> None:
    assert len({sign for sign, _name in EMOJI}) == len({name for _sign, name in EMOJI}) == 64
    assert EMOJI[0] == Emoji("🐶", "Dog")
    assert EMOJI[21] == Emoji("☁️", "Cloud")
    assert EMOJI[63] == Emoji("📌", "Pin")


def test_every_name_has_a_russian_one_of_its_own() -> None:
    set_language("ru")
    try:
        names = {_(emoji.name) for emoji in EMOJI}
    finally:
        set_language("en")
    assert len(names) == 64
    assert all("А" <= name[0] <= "Я" for name in names)
