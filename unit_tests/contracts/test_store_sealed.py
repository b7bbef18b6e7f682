# long module: the part of the store's suite that is about sealed messages
"""What every store promises about sealed messages, revoked devices and keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.core.model import Receipt
from jim.errors import (
    AuthFailed,
    ChainMoved,
    DevicesChanged,
    MailboxFull,
    NumberGap,
    RecipientUnknown,
    Revoked,
    TooManyDevices,
)
from jim.protocol.messages import Delivery
from unit_tests.support.accounts import (
    LATER_MS,
    NOW_MS,
    ack,
    add_account,
    ciphertext,
    enrolment,
    identity,
    public_key,
    registration,
    revocation,
    seal,
    send,
)
from unit_tests.support.adapters import deliveries, texts, waiting
from unit_tests.support.outcomes import (
    Append,
    batch_of,
    introduced,
    outcomes,
    refused,
    stored,
)

if TYPE_CHECKING:
    from jim.core.model import AccountRecord, Committed, Identity
    from jim.core.ports import Store
    from unit_tests.support.adapters import Adapter

NOBODY = "0" * 16


async def people(store: Store) -> tuple[list[Identity], list[Identity]]:
    """Make alice and bob, each with two devices that have keys."""
    return (
        await add_account(store, "alice", 2, keys=True),
        await add_account(store, "bob", 2, keys=True),
    )


async def account_of(store: Store, name: str) -> AccountRecord:
    account = await store.find_account(name)
    assert account is not None
    return account


def wanted(done: Committed) -> list[str]:
    """Expect one message to be refused for its devices; give those it should be sealed for."""
    error = refused(outcomes(done)[-1]).error
    assert isinstance(error, DevicesChanged)
    devices = error.fields["devices"]
    assert isinstance(devices, list)
    return devices


def ids(*devices: Identity) -> list[str]:
    return sorted(device.device for device in devices)


# --- for whom -------------------------------------------------------------------------------------


async def test_every_device_gets_its_own_ciphertext_and_no_other(store: Store) -> None:
    (desk, phone), (one, two) = await people(store)
    done = await seal(store, desk, "bob", 1, [phone, one, two])
    assert stored(outcomes(done)[0]).seq == 1
    for device in (phone, one, two):
        assert await waiting(store, device) == [
            Delivery(
                position=1,
                seq=1,
                sender="alice",
                device=desk.device,
                n=1,
                to="bob",
                time=NOW_MS,
                ciphertext=ciphertext(1, device.device),
            )
        ]
    assert await waiting(store, desk) == []


@pytest.mark.parametrize("change", ["one of theirs", "own one", "too many", "sender", "none"])
async def test_it_has_to_be_sealed_for_exactly_the_devices_there_are(
    store: Store, change: str
) -> None:
    (desk, phone), (one, two) = await people(store)
    choices: dict[str, list[Identity | str]] = {
        "one of theirs": [phone, one],
        "own one": [one, two],
        "too many": [phone, one, two, NOBODY],
        "sender": [phone, one, two, desk],
        "none": [],
    }
    done = await seal(store, desk, "bob", 1, choices[change])
    assert wanted(done) == ids(phone, one, two)
    assert done.segments == []
    assert stored(outcomes(await seal(store, desk, "bob", 1, [phone, one, two]))[0]).seq == 1


async def test_a_device_without_keys_counts_for_nothing_and_gets_nothing(store: Store) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    grown = await store.enrol(enrolment(await account_of(store, "bob")), NOW_MS)
    old = identity(grown, 1)
    assert wanted(await seal(store, alice, "bob", 1, [bob, old])) == ids(bob)
    assert stored(outcomes(await seal(store, alice, "bob", 1, [bob]))[0]).skipped == 0
    await send(store, alice, "bob", 2)
    assert [each.n for each in await deliveries(store, bob)] == [1, 2]
    assert [each.n for each in await deliveries(store, old)] == [2]


async def test_nobody_with_keys_is_nobody_to_seal_for(store: Store) -> None:
    desk, phone = await add_account(store, "alice", 2, keys=True)
    await add_account(store, "bob")
    assert wanted(await seal(store, desk, "bob", 1, [])) == ids(phone)
    assert wanted(await seal(store, desk, "bob", 1, [phone])) == ids(phone)
    nobody = refused(outcomes(await seal(store, desk, "nobody", 1, [phone]))[0])
    assert isinstance(nobody.error, RecipientUnknown)


async def test_a_note_to_oneself_needs_no_other_device(store: Store) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    done = await seal(store, alice, "alice", 1, [])
    assert stored(outcomes(done)[0]).seq == 1
    assert done.segments == []
    grown = await store.enrol(enrolment(await account_of(store, "alice"), keys=True), NOW_MS)
    phone = identity(grown, 1)
    assert wanted(await seal(store, alice, "alice", 2, [])) == ids(phone)
    assert stored(outcomes(await seal(store, alice, "alice", 2, [phone]))[0]).seq == 2


async def test_a_new_device_has_to_be_sealed_for_from_the_next_message_on(store: Store) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    await seal(store, alice, "bob", 1, [bob])
    grown = await store.enrol(enrolment(await account_of(store, "bob"), keys=True), NOW_MS)
    phone = identity(grown, 1)
    assert wanted(await seal(store, alice, "bob", 2, [bob])) == ids(bob, phone)
    await seal(store, alice, "bob", 2, [bob, phone])
    assert [each.n for each in await deliveries(store, bob)] == [1, 2]
    assert [each.n for each in await deliveries(store, phone)] == [2], "it could not read the first"


async def test_an_heir_gets_plain_texts_alone(store: Store) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    await seal(store, alice, "bob", 1, [bob])
    await send(store, alice, "bob", 2)
    await seal(store, alice, "bob", 3, [bob], only=True)
    grown = await store.enrol(enrolment(await account_of(store, "bob"), keys=True), NOW_MS)
    assert await texts(store, identity(grown, 1)) == ["hi 2"]


async def test_a_stale_device_is_sealed_for_and_skipped(adapter: Adapter) -> None:
    store = await adapter.open(Limits(waiting_messages=2))
    [alice] = await add_account(store, "alice", keys=True)
    one, two = await add_account(store, "bob", 2, keys=True)
    for n in (1, 2):
        await seal(store, alice, "bob", n, [one, two])
        await ack(store, one, n)
    assert wanted(await seal(store, alice, "bob", 3, [one])) == ids(one, two)
    done = await seal(store, alice, "bob", 3, [one, two])
    assert stored(outcomes(done)[0]).skipped == 1
    assert [each.n for each in await deliveries(store, one)][-1] == 3
    assert (await texts(store, two))[-1] == MailboxFull.code


async def test_plain_and_sealed_ones_mix_in_one_batch_in_their_order(store: Store) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    sealed = [{bob.device: f"1mtext {n}"} for n in range(8)]
    appends = [
        Append(alice, 1, "bob", "plain 1"),
        Append(alice, 2, "bob", sealed=sealed[2]),
        Append(alice, 3, "bob", sealed=sealed[3]),
        Append(alice, 4, "bob", sealed=sealed[4], only=True),
        Append(alice, 5, "bob", sealed=sealed[5], only=True),
        Append(alice, 6, "bob", "plain 6"),
        Append(alice, 7, "bob", sealed=sealed[7]),
    ]
    done = await store.commit(batch_of(appends), NOW_MS)
    assert [stored(each).seq for each in outcomes(done)] == [1, 2, 3, 0, 0, 4, 5]
    got = await deliveries(store, bob)
    assert [each.seq for each in got] == [1, 2, 3, 0, 0, 4, 5]
    assert [each.message or each.ciphertext for each in got] == [
        "plain 1",
        *(f"1mtext {n}" for n in (2, 3, 4, 5)),
        "plain 6",
        "1mtext 7",
    ]
    assert (await ack(store, bob, 7)).delivered[0].seq == 5


async def test_one_for_other_devices_within_a_batch_is_refused_and_the_rest_is_not(
    store: Store,
) -> None:
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    good, bad = {bob.device: "1mx"}, {NOBODY: "1mx"}
    appends = [Append(alice, n, "bob", sealed=bad if n == 2 else good) for n in (1, 2, 3)]
    first, second, third = outcomes(await store.commit(batch_of(appends), NOW_MS))
    assert stored(first).seq == 1
    assert isinstance(refused(second).error, DevicesChanged)
    assert isinstance(refused(third).error, NumberGap)


# --- for one device alone -------------------------------------------------------------------------


async def test_one_device_alone_gets_it_without_a_trace_in_the_conversation(store: Store) -> None:
    (desk, phone), (one, two) = await people(store)
    done = await seal(store, desk, "bob", 1, [two], only=True)
    assert stored(outcomes(done)[0]).seq == 0
    assert introduced(done) == []
    [got] = await deliveries(store, two)
    assert (got.seq, got.ciphertext) == (0, ciphertext(1, two.device))
    assert await waiting(store, one) == await waiting(store, phone) == []
    assert await store.visible_to(desk.account_id) == await store.visible(one.account_id) == []
    assert await store.receipts(desk.account_id, ["bob"]) == {}
    assert (await ack(store, two, 1)).delivered == []
    done = await seal(store, desk, "bob", 2, [phone], only=True)
    [copy] = await deliveries(store, phone)
    assert (copy.to, copy.ciphertext) == ("bob", ciphertext(2, phone.device))
    assert stored(outcomes(await seal(store, desk, "bob", 3, [phone, one, two]))[0]).seq == 1


async def test_alone_can_be_only_a_device_of_either_side_and_not_the_sender(store: Store) -> None:
    (desk, phone), (one, two) = await people(store)
    [carol] = await add_account(store, "carol", keys=True)
    for device in (NOBODY, desk, carol):
        done = await seal(store, desk, "bob", 1, [device], only=True)
        assert wanted(done) == ids(phone, one, two)
    gone = revocation(await account_of(store, "bob"), two.device)
    await store.extend(gone, NOW_MS)
    assert wanted(await seal(store, desk, "bob", 1, [two], only=True)) == ids(phone, one)
    done = await seal(store, desk, "nobody", 1, [phone], only=True)
    assert isinstance(refused(outcomes(done)[0]).error, RecipientUnknown)


async def test_alone_does_not_go_into_a_full_mailbox(adapter: Adapter) -> None:
    store = await adapter.open(Limits(waiting_messages=1))
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    await seal(store, alice, "bob", 1, [bob], only=True)
    done = await seal(store, alice, "bob", 2, [bob], only=True)
    assert isinstance(refused(outcomes(done)[0]).error, MailboxFull)
    await ack(store, bob, 2)
    assert stored(outcomes(await seal(store, alice, "bob", 2, [bob], only=True))[0]).seq == 0


async def test_a_repetition_gets_the_same_answer_and_goes_nowhere(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice", keys=True)
    [bob] = await add_account(store, "bob", keys=True)
    await seal(store, alice, "bob", 1, [bob])
    await seal(store, alice, "bob", 2, [bob], only=True)
    await seal(store, alice, "bob", 3, [bob], only=True)
    await seal(store, alice, "bob", 4, [bob])
    for _ in range(2):
        for n, seq in ((1, 1), (2, 0), (3, 0), (4, 2)):
            done = await seal(store, alice, "bob", n, [bob], only=not seq, now_ms=LATER_MS)
            [again] = outcomes(done)
            assert (stored(again).seq, stored(again).time_ms) == (seq, NOW_MS)
            assert done.segments == []
        store = await adapter.open()
    assert len(await deliveries(store, bob)) == 4


# --- revoked --------------------------------------------------------------------------------------


async def test_a_revoked_device_gets_nothing_more_and_sends_nothing_more(
    adapter: Adapter,
) -> None:
    store = await adapter.open()
    (desk, phone), (one, two) = await people(store)
    await seal(store, desk, "bob", 1, [phone, one, two])
    await send(store, two, "alice", 1)
    await store.add_keys(two.device_id, [public_key(1)], None)
    step = revocation(await account_of(store, "bob"), two.device)
    grown = await store.extend(step, NOW_MS)
    assert [each.revoked for each in grown.devices] == [False, True]
    assert grown.links[-1] == step.link
    for _ in range(2):
        assert await waiting(store, two) == []
        standing = await store.standing(two.device_id)
        assert (standing.revoked, standing.one_time_keys) == (True, 0)
        assert (standing.last_n, standing.position, standing.acked) == (1, 1, 1)
        error = refused(outcomes(await send(store, two, "alice", 2))[0]).error
        assert isinstance(error, Revoked)
        again = await send(store, two, "alice", 1)
        assert again.answers[0].revoked
        assert isinstance(refused(outcomes(again)[0]).error, Revoked), "not even an old answer"
        assert await store.add_keys(two.device_id, [public_key(2)], public_key(3)) == 0
        assert await store.claim_keys(two.account_id, [two.device]) == {}
        await ack(store, two, 1)
        store = await adapter.open()
    assert wanted(await seal(store, desk, "bob", 2, [phone, one, two])) == ids(phone, one)
    await seal(store, desk, "bob", 2, [phone, one])
    await send(store, desk, "bob", 3)
    got = [each.n for each in await deliveries(store, one) if each.sender == "alice"]
    assert got == [1, 2, 3]
    assert await waiting(store, two) == []


async def test_a_revoked_device_is_not_taken_back(store: Store) -> None:
    one, two = await add_account(store, "bob", 2, keys=True)
    step = revocation(await account_of(store, "bob"), two.device)
    await store.extend(step, NOW_MS)
    again = revocation(await account_of(store, "bob"), two.device)
    with pytest.raises(ChainMoved):
        await store.extend(again, NOW_MS)
    stranger = revocation(await account_of(store, "bob"), NOBODY)
    with pytest.raises(ChainMoved):
        await store.extend(stranger, NOW_MS)
    last = revocation(await account_of(store, "bob"), one.device)
    gone = await store.extend(last, NOW_MS)
    assert all(device.revoked for device in gone.devices)


async def test_a_reset_revokes_all_others_and_hands_over_what_is_plain(adapter: Adapter) -> None:
    store = await adapter.open()
    (desk, phone), (one, two) = await people(store)
    await seal(store, desk, "bob", 1, [phone, one, two])
    await send(store, desk, "bob", 2)
    step = enrolment(await account_of(store, "bob"), op="reset", keys=True, max_devices=1)
    grown = await store.enrol(step, NOW_MS)
    assert [each.revoked for each in grown.devices] == [True, True, False]
    assert await store.enrol(step, NOW_MS) == grown
    new = identity(grown, 2)
    store = await adapter.open()
    assert await texts(store, new) == ["hi 2"]
    assert await waiting(store, one) == await waiting(store, two) == []
    assert wanted(await seal(store, desk, "bob", 3, [phone, one, two])) == ids(phone, new)
    assert await store.claim_keys(one.account_id, [one.device]) == {}


async def test_a_chain_is_extended_by_one_link_at_a_time(store: Store) -> None:
    await add_account(store, "bob", keys=True)
    account = await account_of(store, "bob")
    first, second = enrolment(account, keys=True), enrolment(account, salt="x", keys=True)
    results = await asyncio.gather(
        store.extend(first, NOW_MS), store.extend(second, NOW_MS), return_exceptions=True
    )
    [refusal] = [each for each in results if isinstance(each, ChainMoved)]
    assert refusal.fields == {"expected": account.links[-1].seq + 2}
    grown = await account_of(store, "bob")
    assert await store.extend(first, NOW_MS) == grown, "the same link again changes nothing"
    assert len(grown.devices) == 2
    with pytest.raises(AuthFailed):
        await store.enrol(second, NOW_MS)
    with pytest.raises(TooManyDevices):
        await store.extend(enrolment(grown, max_devices=2), NOW_MS)
    out = revocation(grown, grown.devices[0].device)
    assert len((await store.extend(out, NOW_MS)).links) == 3, "one less is never too many"


async def test_receipts_tell_where_the_chains_of_others_end(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    assert await store.receipts(alice.account_id, ["bob"]) == {"bob": Receipt(0, 1)}
    await store.extend(enrolment(await account_of(store, "bob")), NOW_MS)
    await ack(store, bob, 1)
    assert await store.receipts(alice.account_id, ["bob"]) == {"bob": Receipt(1, 2)}


# --- keys -----------------------------------------------------------------------------------------


async def claim(store: Store, device: Identity) -> int:
    """Give the number of the key that one gets."""
    keys = await store.claim_keys(device.account_id, [device.device])
    return keys[device.device].id


async def test_a_one_time_key_is_given_once_then_the_fallback_key_again_and_again(
    adapter: Adapter,
) -> None:
    store = await adapter.open()
    [bob] = await add_account(store, "bob", keys=True)
    assert await claim(store, bob) == 0
    batch = [public_key(number) for number in (3, 1, 2)]
    assert await store.add_keys(bob.device_id, batch, public_key(4)) == 3
    assert (await store.standing(bob.device_id)).one_time_keys == 3
    taken = await store.claim_keys(bob.account_id, [bob.device])
    assert taken == {bob.device: public_key(1)}, "the oldest"
    store = await adapter.open()
    assert await claim(store, bob) == 2
    assert (await store.standing(bob.device_id)).one_time_keys == 1
    assert await claim(store, bob) == 3
    store = await adapter.open()
    assert [await claim(store, bob) for _ in range(3)] == [4, 4, 4]


async def test_claims_at_the_same_time_get_different_keys(store: Store) -> None:
    [bob] = await add_account(store, "bob", keys=True)
    await store.add_keys(bob.device_id, [public_key(n) for n in range(1, 9)], None)
    taken = await asyncio.gather(*(claim(store, bob) for _ in range(10)))
    assert sorted(taken) == [0, 0, *range(1, 9)]


async def test_a_number_that_came_once_never_comes_again(adapter: Adapter) -> None:
    store = await adapter.open()
    [bob] = await add_account(store, "bob", keys=True)
    batch = [public_key(number) for number in (1, 2)]
    await store.add_keys(bob.device_id, batch, public_key(5))
    assert [await claim(store, bob), await claim(store, bob)] == [1, 2]
    store = await adapter.open()
    late = [public_key(number, "other") for number in (1, 2, 3, 4, 5)]
    assert await store.add_keys(bob.device_id, late, public_key(4, "other")) == 0
    assert await store.claim_keys(bob.account_id, [bob.device]) == {bob.device: public_key(5)}
    again = [public_key(6), public_key(6, "other")]
    assert await store.add_keys(bob.device_id, again, public_key(6, "other")) == 1
    await claim(store, bob)
    assert await claim(store, bob) == 5, "a fallback key has no number of a one-time key"


async def test_so_many_keys_are_kept_and_the_numbers_of_the_others_are_gone(
    adapter: Adapter,
) -> None:
    store = await adapter.open(Limits(one_time_keys=3))
    [bob] = await add_account(store, "bob", keys=True)
    assert await store.add_keys(bob.device_id, [public_key(n) for n in range(1, 6)], None) == 3
    assert [await claim(store, bob) for _ in range(4)] == [1, 2, 3, 0]
    assert await store.add_keys(bob.device_id, [public_key(n) for n in (4, 5)], None) == 0
    assert await store.add_keys(bob.device_id, [public_key(6)], None) == 1


async def test_only_devices_that_have_keys_are_claimed_from(store: Store) -> None:
    [bob] = await add_account(store, "bob", keys=True)
    grown = await store.enrol(enrolment(await account_of(store, "bob")), NOW_MS)
    old = identity(grown, 1)
    [carol] = await add_account(store, "carol", keys=True)
    assert await store.add_keys(old.device_id, [public_key(1)], public_key(2)) == 0
    wanted = [old.device, bob.device, carol.device, NOBODY, bob.device]
    keys = await store.claim_keys(bob.account_id, wanted)
    assert set(keys) == {bob.device}
    assert await store.claim_keys(999, [bob.device]) == {}
    account = await store.register(registration("dave", keys=True), NOW_MS)
    assert await store.claim_keys(account.account_id, []) == {}
