# long module: one suite for the chain
from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jim.crypto import chain, links
from jim.crypto.chain import ChainState, extend, verify_chain, verify_update
from jim.crypto.keys import EncryptionKeys, SigningKey, device_id
from jim.crypto.transcript import link_hash, link_signature, possession
from jim.errors import ChainInvalid
from jim.protocol.messages import Link
from unit_tests.crypto.test_keys import SMALL_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_serial = itertools.count(1)


def new_key() -> SigningKey:
    """Make keys that are the same in every run, so that failures can be repeated."""
    return SigningKey(next(_serial).to_bytes(32, "big"))


PHONE, LAPTOP, TABLET, THIEF = new_key(), new_key(), new_key(), new_key()
R, R2 = new_key(), new_key()
TIME = 1_700_000_000_000
IDENTITY_KEY = new_key().public

GENESIS = links.make_genesis("alice", PHONE, R.public, TIME)
START = verify_chain([GENESIS], "alice")


def resigned(link: Link, prover: SigningKey | None, signer: SigningKey, /, **changes: Any) -> Link:
    """Change fields and make proof and signature anew, as an attacker with these keys would."""
    link = msgspec.structs.replace(link, **changes)
    if prover is not None:
        link = msgspec.structs.replace(link, proof=prover.sign(possession(link)))
    return msgspec.structs.replace(link, sig=signer.sign(link_signature(link)))


@contextlib.contextmanager
def invalid(reason: str, seq: int | None = None) -> Iterator[None]:
    with pytest.raises(ChainInvalid) as caught:
        yield
    assert caught.value.fields["reason"] == reason
    assert seq is None or caught.value.fields["seq"] == seq


def grown() -> tuple[list[Link], list[ChainState]]:
    """Make a chain with every operation: add by device, add by R, revoke, reset."""
    chain_links, states = [GENESIS], [START]

    def put(make: Callable[[ChainState], Link]) -> None:
        chain_links.append(make(states[-1]))
        states.append(extend(states[-1], chain_links[-1]))

    keys = EncryptionKeys(IDENTITY_KEY, bytes(range(32)))
    put(lambda state: links.make_add(state, LAPTOP, PHONE, TIME, keys))
    put(lambda state: links.make_add(state, TABLET, R, TIME))
    put(lambda state: links.make_revoke(state, device_id(PHONE.public), LAPTOP, TIME))
    put(lambda state: links.make_reset(state, new_key(), R2.public, R, time=TIME))
    return chain_links, states


CHAIN, STATES = grown()


def test_a_whole_chain_is_followed() -> None:
    for length, state in enumerate(STATES, 1):
        assert verify_chain(CHAIN[:length], "alice") == state
        assert state.seq == length - 1
        assert state.head == link_hash(CHAIN[length - 1])
    phone, laptop, tablet = (device_id(key.public) for key in (PHONE, LAPTOP, TABLET))
    assert dict(STATES[0].devices) == {phone: PHONE.public}
    assert dict(STATES[2].devices) == {
        phone: PHONE.public,
        laptop: LAPTOP.public,
        tablet: TABLET.public,
    }
    assert set(STATES[3].devices) == {laptop, tablet}
    assert STATES[3].revoked == {phone}
    assert set(STATES[4].devices) == {CHAIN[4].device}
    assert STATES[4].revoked == {phone, laptop, tablet}
    assert STATES[3].recovery_key == R.public
    assert STATES[4].recovery_key == R2.public


def test_who_has_added_a_device() -> None:
    ids = [device_id(key.public) for key in (PHONE, LAPTOP, TABLET, THIEF)]
    found = [chain.added_by(CHAIN, each) for each in (*ids, CHAIN[-1].device)]
    assert found == ["", ids[0], "", "", ""], "genesis, a device, R, never there, a reset"


def test_who_is_there_without_the_words() -> None:
    ids = [device_id(key.public) for key in (PHONE, LAPTOP, TABLET, THIEF)]
    found = [chain.is_let_in(CHAIN, each) for each in (*ids, CHAIN[-1].device, "")]
    assert found == [True, True, False, False, False, False]


def test_encryption_keys_are_those_of_the_devices_that_have_some() -> None:
    laptop = device_id(LAPTOP.public)
    keys = EncryptionKeys(IDENTITY_KEY, bytes(range(32)))
    assert [dict(state.keys) for state in STATES] == [
        {},
        {laptop: keys},
        {laptop: keys},
        {laptop: keys},
        {},
    ]
    with pytest.raises(TypeError):
        STATES[1].keys["x"] = keys  # type: ignore[index]


def test_genesis_and_reset_carry_encryption_keys_and_a_revocation_takes_them_away() -> None:
    one, two = (EncryptionKeys(IDENTITY_KEY, bytes([number]) * 32) for number in (1, 2))
    state = verify_chain([links.make_genesis("alice", PHONE, R.public, TIME, one)], "alice")
    assert dict(state.keys) == {device_id(PHONE.public): one}
    revoked = extend(state, links.make_revoke(state, device_id(PHONE.public), R, TIME))
    assert dict(revoked.keys) == {}
    reset = links.make_reset(state, LAPTOP, R2.public, R, time=TIME, keys=two)
    assert dict(extend(state, reset).keys) == {device_id(LAPTOP.public): two}


def test_the_root_is_that_of_the_last_link_that_began_anew() -> None:
    first, last = link_hash(CHAIN[0]), link_hash(CHAIN[4])
    assert [state.root for state in STATES] == [first, first, first, first, last]
    added = extend(STATES[4], links.make_add(STATES[4], THIEF, R2, TIME))
    assert added.root == last != added.head


def test_states_are_not_changed_by_what_follows() -> None:
    before = dict(START.devices)
    extend(START, CHAIN[1])
    assert dict(START.devices) == before
    with pytest.raises(TypeError):
        START.devices["x"] = b""  # type: ignore[index]


def test_a_chain_survives_the_wire() -> None:
    wire = msgspec.json.encode(CHAIN)
    assert verify_chain(msgspec.json.decode(wire, type=list[Link]), "alice") == STATES[-1]


@pytest.mark.parametrize("place", range(len(CHAIN)))
@pytest.mark.parametrize("field", Link.__struct_fields__)
def test_any_altered_field_of_any_link_is_refused(place: int, field: str) -> None:
    old = getattr(CHAIN[place], field)
    values: list[Any] = [old + 1] if isinstance(old, int) else [old[:-1] + old[:1] or old]
    if isinstance(old, bytes):
        values = [bytes([old[0] ^ 1]) + old[1:], old[:-1] + bytes([old[-1] ^ 0x80])] if old else []
        values += [b"", bytes(len(old)), IDENTITY_KEY]
    if field == "op":
        values = ["genesis", "add", "revoke", "reset", "", "ADD", "adopt"]
    for value in values:
        if value == old:
            continue
        bad = list(CHAIN)
        bad[place] = msgspec.structs.replace(CHAIN[place], **{field: value})
        with pytest.raises(ChainInvalid):
            verify_chain(bad, "alice")


@settings(max_examples=200)
@given(st.data())
def test_any_flipped_bit_of_a_chain_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CHAIN) - 1))
    field = data.draw(st.sampled_from([f for f in Link.__struct_fields__ if f != "op"]))
    old = getattr(CHAIN[place], field)
    if isinstance(old, bytes) and old:
        bit = data.draw(st.integers(0, 8 * len(old) - 1))
        new: Any = (int.from_bytes(old, "big") ^ 1 << bit).to_bytes(len(old), "big")
    elif isinstance(old, int):
        new = old ^ 1 << data.draw(st.integers(0, 52))
    else:
        return
    bad = list(CHAIN)
    bad[place] = msgspec.structs.replace(CHAIN[place], **{field: new})
    with pytest.raises(ChainInvalid):
        verify_chain(bad, "alice")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1:])
def test_any_other_order_is_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ChainInvalid):
        verify_chain([CHAIN[place] for place in order], "alice")


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_link_is_refused(missing: int) -> None:
    with pytest.raises(ChainInvalid):
        verify_chain(CHAIN[:missing] + CHAIN[missing + 1 :], "alice")


def test_an_empty_chain_is_refused() -> None:
    with invalid("empty"):
        verify_chain([], "alice")


def test_the_chain_of_another_account_is_refused() -> None:
    with invalid("account", 0):
        verify_chain([GENESIS], "alicе")
    foreign = resigned(CHAIN[1], LAPTOP, PHONE, acct="bob")
    with invalid("account", 1):
        extend(START, foreign)


def test_a_wrong_seq_is_refused() -> None:
    for seq in (0, 2, 2**53 - 1):
        with invalid("seq"):
            extend(START, resigned(CHAIN[1], LAPTOP, PHONE, seq=seq))
    with invalid("seq"):
        verify_chain([resigned(GENESIS, PHONE, PHONE, seq=1)], "alice")


def test_a_wrong_prev_is_refused() -> None:
    for prev in (bytes(32), b"x" * 32, STATES[1].head):
        with invalid("prev", 1):
            extend(START, resigned(CHAIN[1], LAPTOP, PHONE, prev=prev))
    with invalid("prev", 0):
        verify_chain([resigned(GENESIS, PHONE, PHONE, prev=b"x" * 32)], "alice")


@pytest.mark.parametrize("op", ["genesis", "", "Add", "adopt"])
def test_an_operation_that_may_not_follow_is_refused(op: str) -> None:
    with invalid("op", 1):
        extend(START, resigned(CHAIN[1], LAPTOP, PHONE, op=op))


@pytest.mark.parametrize("op", ["add", "reset", "revoke", ""])
def test_a_chain_begins_with_genesis(op: str) -> None:
    with invalid("op", 0):
        verify_chain([resigned(GENESIS, PHONE, PHONE, op=op)], "alice")


def test_a_genesis_signed_by_another_is_refused() -> None:
    for signer in (THIEF, R):
        with invalid("signer", 0):
            verify_chain([resigned(GENESIS, PHONE, signer)], "alice")


def test_an_unauthorised_signer_is_refused() -> None:
    for signer in (THIEF, LAPTOP, R2):  # LAPTOP is the added device itself
        with invalid("signer", 1):
            extend(START, links.make_add(START, LAPTOP, signer, TIME))
    with invalid("signer", 1):
        extend(START, links.make_revoke(START, device_id(PHONE.public), THIEF, TIME))


def test_a_revoked_signer_is_refused() -> None:
    state = STATES[3]
    with invalid("signer", 4):
        extend(state, links.make_add(state, THIEF, PHONE, TIME))
    with invalid("signer", 4):
        extend(state, links.make_revoke(state, device_id(LAPTOP.public), PHONE, TIME))


def test_after_a_reset_neither_old_devices_nor_the_old_r_may_sign() -> None:
    state = STATES[4]
    for signer in (LAPTOP, TABLET, R):
        with invalid("signer", 5):
            extend(state, links.make_add(state, THIEF, signer, TIME))
    with invalid("signer", 5):
        extend(state, links.make_reset(state, THIEF, new_key().public, R, time=TIME))
    assert extend(state, links.make_add(state, THIEF, R2, TIME)).seq == 5


def test_only_r_resets() -> None:
    for signer in (PHONE, LAPTOP, THIEF, R2):
        link = links.make_reset(STATES[1], TABLET, R2.public, signer, time=TIME)
        with invalid("signer", 2):
            extend(STATES[1], link)


def test_r_outranks_every_device() -> None:
    state = extend(START, links.make_add(START, THIEF, PHONE, TIME))
    state = extend(state, links.make_revoke(state, device_id(PHONE.public), THIEF, TIME))
    state = extend(state, links.make_revoke(state, device_id(THIEF.public), R, TIME))
    assert not state.devices
    state = extend(state, links.make_add(state, LAPTOP, R, TIME))
    assert set(state.devices) == {device_id(LAPTOP.public)}


def test_a_device_may_revoke_itself_once() -> None:
    state = extend(START, links.make_revoke(START, device_id(PHONE.public), PHONE, TIME))
    again = resigned(CHAIN[3], None, R, seq=2, prev=state.head)
    with invalid("device", 2):
        extend(state, again)


def test_a_missing_or_foreign_proof_is_refused() -> None:
    for proof in (chain.NO_PROOF, THIEF.sign(b"x"), CHAIN[1].proof, GENESIS.proof):
        link = msgspec.structs.replace(CHAIN[2], proof=proof)
        link = msgspec.structs.replace(link, sig=R.sign(link_signature(link)))
        with invalid("proof", 2):
            extend(STATES[1], link)
    with invalid("proof", 0):
        verify_chain([resigned(GENESIS, THIEF, PHONE)], "alice")
    reset = links.make_reset(START, LAPTOP, R2.public, R, time=TIME)
    with invalid("proof", 1):
        extend(START, resigned(reset, THIEF, R))


def test_a_signature_is_no_proof_and_a_proof_no_signature() -> None:
    link = msgspec.structs.replace(CHAIN[1], proof=LAPTOP.sign(link_signature(CHAIN[1])))
    link = msgspec.structs.replace(link, sig=PHONE.sign(link_signature(link)))
    with invalid("proof"):
        extend(START, link)
    link = msgspec.structs.replace(CHAIN[1], sig=PHONE.sign(possession(CHAIN[1])))
    with invalid("signer"):
        extend(START, link)
    link = msgspec.structs.replace(GENESIS, sig=GENESIS.proof)
    with invalid("signer"):
        verify_chain([link], "alice")


def test_a_revocation_carries_no_proof_and_names_a_known_device_and_its_key() -> None:
    revoke = links.make_revoke(STATES[2], device_id(PHONE.public), R, TIME)
    with invalid("proof"):
        extend(STATES[2], resigned(revoke, PHONE, R))
    unknown = device_id(THIEF.public)
    with invalid("device"):
        extend(STATES[2], resigned(revoke, None, R, device=unknown, login_key=THIEF.public))
    with invalid("device"):
        extend(STATES[2], resigned(revoke, None, R, login_key=LAPTOP.public))
    with pytest.raises(KeyError):
        links.make_revoke(STATES[2], unknown, R, TIME)


def test_a_device_that_was_in_the_chain_is_not_added_again() -> None:
    with invalid("device"):
        extend(START, links.make_add(START, PHONE, R, TIME))
    for state in STATES[3:]:
        for signer in (R, R2):
            with invalid("device"):
                extend(state, links.make_add(state, PHONE, signer, TIME))
    with invalid("device"):
        extend(START, links.make_reset(START, PHONE, R2.public, R, time=TIME))


def test_a_device_id_has_to_be_that_of_its_key() -> None:
    for device in (device_id(THIEF.public), "a" * 16, ""):
        with invalid("device"):
            extend(START, resigned(CHAIN[1], LAPTOP, PHONE, device=device))
        with invalid("device"):
            verify_chain([resigned(GENESIS, PHONE, PHONE, device=device)], "alice")


@pytest.mark.parametrize("public", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_small_order_keys_are_refused_at_every_place(public: bytes) -> None:
    device = device_id(public)
    with invalid("key", 0):
        verify_chain([resigned(GENESIS, PHONE, PHONE, login_key=public, device=device)], "alice")
    with invalid("key", 0):
        verify_chain([resigned(GENESIS, PHONE, PHONE, recovery_key=public)], "alice")
    with invalid("key", 1):
        extend(START, resigned(CHAIN[1], LAPTOP, PHONE, login_key=public, device=device))
    with invalid("key", 1):
        extend(START, resigned(CHAIN[1], LAPTOP, PHONE, ed=public))
    with invalid("key", 1):
        extend(START, links.make_reset(START, LAPTOP, public, R, time=TIME))


def test_encryption_keys_come_in_pairs_and_whole() -> None:
    curve = bytes(range(32))
    for ed, other in ((b"", curve), (IDENTITY_KEY, b""), (IDENTITY_KEY[:31], curve[:31])):
        with invalid("key"):
            extend(START, resigned(CHAIN[1], LAPTOP, PHONE, ed=ed, curve=other))
    revoke = links.make_revoke(START, device_id(PHONE.public), R, TIME)
    with invalid("key"):
        extend(START, resigned(revoke, None, R, ed=IDENTITY_KEY, curve=curve))


def test_the_recovery_key_is_set_by_genesis_and_reset_alone_and_is_no_device() -> None:
    with invalid("key"):
        verify_chain([resigned(GENESIS, PHONE, PHONE, recovery_key=b"")], "alice")
    with invalid("key"):
        verify_chain([links.make_genesis("alice", PHONE, PHONE.public, TIME)], "alice")
    with invalid("key"):
        extend(START, resigned(CHAIN[1], LAPTOP, PHONE, recovery_key=R2.public))
    with invalid("key"):
        extend(START, links.make_add(START, R, R, TIME))
    with invalid("key"):
        extend(START, links.make_reset(START, LAPTOP, PHONE.public, R, time=TIME))
    with invalid("key"):
        extend(STATES[3], links.make_reset(STATES[3], THIEF, PHONE.public, R, time=TIME))


def test_a_reset_may_keep_the_same_recovery_key() -> None:
    state = extend(START, links.make_reset(START, LAPTOP, R.public, R, time=TIME))
    assert state.recovery_key == R.public


def test_a_longer_chain_updates_the_pin() -> None:
    for state in STATES:
        assert verify_update(CHAIN, "alice", state) == STATES[-1]
    assert verify_update(CHAIN[:2], "alice", STATES[1]) == STATES[1]


def test_a_rolled_back_chain_is_refused() -> None:
    for length in (1, 2, 3, 4):
        with invalid("rolled_back", length - 1):
            verify_update(CHAIN[:length], "alice", STATES[-1])


def test_a_forked_chain_is_refused() -> None:
    other = links.make_add(START, THIEF, PHONE, TIME)
    fork = [GENESIS, other]
    assert verify_chain(fork, "alice").seq == 1  # valid by itself: only the pin tells
    with invalid("forked", 1):
        verify_update(fork, "alice", STATES[1])
    longer = verify_chain(fork, "alice")
    fork.append(links.make_add(longer, TABLET, PHONE, TIME))
    with invalid("forked", 1):
        verify_update(fork, "alice", STATES[1])
    with invalid("prev", 2):
        extend(STATES[1], fork[2])


def test_a_second_genesis_with_other_devices_is_a_fork() -> None:
    usurped = links.make_genesis("alice", THIEF, R2.public, TIME)
    with invalid("forked", 0):
        verify_update([usurped], "alice", START)


def test_recovery_takes_only_an_add_or_a_reset_that_r_signed() -> None:
    by_r = links.make_add(STATES[1], TABLET, R, TIME)
    assert chain.extend_by_recovery(STATES[1], by_r) == extend(STATES[1], by_r)
    with invalid("signer", 2):
        chain.extend_by_recovery(STATES[1], links.make_add(STATES[1], TABLET, PHONE, TIME))
    with invalid("op", 2):
        phone = device_id(PHONE.public)
        chain.extend_by_recovery(STATES[1], links.make_revoke(STATES[1], phone, R, TIME))
    reset = links.make_reset(STATES[1], TABLET, R2.public, R, time=TIME)
    assert chain.extend_by_recovery(STATES[1], reset) == extend(STATES[1], reset)
    with invalid("signer", 2):
        forged = links.make_reset(STATES[1], TABLET, R2.public, PHONE, time=TIME)
        chain.extend_by_recovery(STATES[1], forged)


def test_two_halves_of_an_add_make_a_link() -> None:
    prepared = links.prepare_add(START, LAPTOP, TIME)
    with invalid("signer"):
        extend(START, prepared)
    assert extend(START, links.sign_add(prepared, PHONE)).seq == 1
