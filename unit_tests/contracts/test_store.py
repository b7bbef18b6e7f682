# long module: the one suite that every store is held to
"""What every store promises; each adapter runs through all of it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.core.limits import Limits
from jim.core.model import Batch, Contact, DeliveredUpTo
from jim.errors import (
    AuthFailed,
    InviteInvalid,
    MailboxFull,
    NameTaken,
    NumberGap,
    RecipientUnknown,
    StoreError,
    TooManyDevices,
)
from jim.protocol.messages import Delivery
from unit_tests.support.accounts import (
    LATER_MS,
    NOW_MS,
    ack,
    add_account,
    enrolment,
    identity,
    invite,
    registration,
    send,
)
from unit_tests.support.adapters import deliveries, frames_of, texts, waiting
from unit_tests.support.outcomes import (
    Append,
    Stored,
    batch_of,
    introduced,
    outcomes,
    refused,
    stored,
)

if TYPE_CHECKING:
    from jim.core.model import Committed, Identity
    from jim.core.ports import Store
    from unit_tests.support.adapters import Adapter

DAY_MS = 86_400_000
WIDE = 1 << 30
SMALL = Limits(waiting_messages=3, waiting_days=30, window=4)


# --- numbers --------------------------------------------------------------------------------------


async def test_a_message_is_stored_with_everything_that_the_addressee_needs(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    result = await send(store, alice, "bob", 1)
    assert stored(outcomes(result)[0]).seq == 1
    assert stored(outcomes(result)[0]).time_ms == NOW_MS
    [segment] = result.segments
    assert (segment.account_id, segment.device_id) == (bob.account_id, bob.device_id)
    assert (segment.first, segment.last) == (1, 1)
    expected = Delivery(
        position=1,
        seq=1,
        sender="alice",
        device=alice.device,
        n=1,
        to="bob",
        time=NOW_MS,
        message="hi 1",
    )
    assert frames_of(result.segments) == [expected]
    assert await waiting(store, bob) == [expected]


async def test_the_same_number_gets_the_same_answer_and_stores_nothing(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    first = stored(outcomes(await send(store, alice, "bob", 1))[0])
    again = await send(store, alice, "bob", 1, now_ms=LATER_MS, text="another")
    assert first == outcomes(again)[0]
    assert again.segments == []
    assert await texts(store, bob) == ["hi 1"]


async def test_the_same_number_twice_in_one_batch_is_stored_once(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    result = await send(store, alice, "bob", 1, 1, 2, 1, 2)
    assert [stored(outcome).seq for outcome in outcomes(result)] == [1, 1, 2, 1, 2]
    assert await texts(store, bob) == ["hi 1", "hi 2"]


async def test_the_same_number_concurrently_gets_one_answer(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    results = await asyncio.gather(
        *(send(store, alice, "bob", 1, now_ms=NOW_MS + k) for k in range(20))
    )
    answers = {(stored(outcomes(r)[0]).seq, stored(outcomes(r)[0]).time_ms) for r in results}
    assert answers == {(1, NOW_MS)}
    assert sum(len(result.segments) for result in results) == 1
    assert await texts(store, bob) == ["hi 1"]


async def test_the_answers_of_the_last_window_survive_reopening(adapter: Adapter) -> None:
    limits = Limits(window=8)
    store = await adapter.open(limits)
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    [carol] = await add_account(store, "carol")
    first: list[Stored] = []
    for n in range(1, 21):
        to = "bob" if n % 3 else "carol"
        result = await send(store, alice, to, n, now_ms=NOW_MS + 7 * n)
        first.append(stored(outcomes(result)[0]))
    await send(store, carol, "alice", 1)
    store = await adapter.open(limits)
    assert (await store.standing(alice.device_id)).last_n == 20
    again = await send(store, alice, "bob", *range(13, 21), now_ms=LATER_MS)
    assert outcomes(again) == first[12:]
    assert again.segments == []


async def mark_of(store: Store, device: Identity) -> tuple[int, str]:
    standing = await store.standing(device.device_id)
    return standing.last_n, standing.last_mark


async def test_the_mark_of_the_last_message_stands_with_its_number(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    assert await mark_of(store, alice) == (0, "")
    burst = [Append(alice, n, "bob", "x", f"mark {n}") for n in (1, 2, 3)]
    await store.commit(batch_of(burst, {}), NOW_MS)
    assert await mark_of(store, alice) == (3, "mark 3")
    # Neither a repetition nor a refusal stores anything, so neither changes what the last one is.
    again = [Append(alice, 3, "bob", "x", "another"), Append(alice, 4, "nobody", "x", "refused")]
    await store.commit(batch_of(again, {}), NOW_MS)
    await store.commit(batch_of([Append(alice, 6, "bob", "x", "too far")], {}), NOW_MS)
    assert await mark_of(store, alice) == (3, "mark 3")
    store = await adapter.open()
    assert await mark_of(store, alice) == (3, "mark 3")
    assert await mark_of(store, bob) == (0, "")


async def test_a_message_without_a_mark_leaves_none_of_an_earlier_one(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    await store.commit(batch_of([Append(alice, 1, "alice", "x", "mark 1")], {}), NOW_MS)
    await send(store, alice, "alice", 2)
    assert await mark_of(store, alice) == (2, "")
    store = await adapter.open()
    assert await mark_of(store, alice) == (2, "")


async def test_a_number_older_than_the_window_is_refused_and_stores_nothing(
    adapter: Adapter,
) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    await add_account(store, "alice2")
    for n in range(1, 7):
        await send(store, alice, "alice", n)
    result = await send(store, alice, "alice", 2)
    assert refused(outcomes(result)[0]).error.fields == {"n": 2, "expected": 7}


async def test_a_gap_is_refused_with_the_number_that_is_expected(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    result = await send(store, alice, "bob", 1, 3, 2, 4)
    errors = [None if isinstance(o, Stored) else o.error.fields for o in outcomes(result)]
    assert errors == [None, {"n": 3, "expected": 2}, None, {"n": 4, "expected": 3}]
    assert isinstance(refused(outcomes(result)[1]).error, NumberGap)


async def test_after_a_refusal_in_a_burst_everything_behind_it_is_refused(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    names = ["bob", "nobody", "bob", "bob"]
    appends = [Append(alice, n, to, f"text {n}") for n, to in enumerate(names, 1)]
    told = outcomes(await store.commit(batch_of(appends, {}), NOW_MS))
    assert stored(told[0]).seq == 1
    assert isinstance(refused(told[1]).error, RecipientUnknown)
    for outcome in told[2:]:
        assert isinstance(refused(outcome).error, NumberGap)
        assert refused(outcome).error.fields["expected"] == 2
    # The client mends: what was refused is dropped, the rest numbered on.
    mended = await send(store, alice, "bob", 2, 3)
    assert [stored(outcome).seq for outcome in outcomes(mended)] == [2, 3]
    assert len(await waiting(store, bob)) == 3


async def test_an_unknown_recipient_leaves_no_trace(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    before = await store.standing(alice.device_id)
    await send(store, alice, "nobody", 1)
    assert await store.standing(alice.device_id) == before
    assert await store.visible_to(alice.account_id) == []


async def test_numbers_belong_to_a_device(store: Store) -> None:
    desk, phone = await add_account(store, "alice", devices=2)
    await add_account(store, "bob")
    assert stored(outcomes(await send(store, desk, "bob", 1))[0]).seq == 1
    assert stored(outcomes(await send(store, phone, "bob", 1))[0]).seq == 2


async def test_commits_take_effect_in_the_order_of_the_calls(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    results = await asyncio.gather(*(send(store, alice, "bob", n) for n in range(1, 51)))
    assert [stored(outcomes(result)[0]).seq for result in results] == list(range(1, 51))
    assert await texts(store, bob) == [f"hi {n}" for n in range(1, 51)]


async def test_standing_sees_every_commit_that_was_submitted_before(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    _, first, _, second, _, third = await asyncio.gather(
        send(store, alice, "bob", 1),
        store.standing(alice.device_id),
        send(store, alice, "bob", 2),
        store.standing(alice.device_id),
        ack(store, bob, 1),
        store.standing(bob.device_id),
    )
    assert (first.last_n, second.last_n) == (1, 2)
    assert (third.position, third.acked) == (2, 1)


async def test_a_cancelled_commit_still_counts(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    task = asyncio.create_task(send(store, alice, "bob", 1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await store.standing(alice.device_id)).last_n == 1
    assert stored(outcomes(await send(store, alice, "bob", 1))[0]).seq == 1
    assert await texts(store, bob) == ["hi 1"]


# --- who gets what --------------------------------------------------------------------------------


async def test_every_device_of_both_sides_gets_it_except_the_sending_one(store: Store) -> None:
    desk, phone = await add_account(store, "alice", devices=2)
    devices = await add_account(store, "bob", devices=3)
    [carol] = await add_account(store, "carol")
    result = await send(store, desk, "bob", 1)
    assert {segment.device_id for segment in result.segments} == {
        phone.device_id,
        *(device.device_id for device in devices),
    }
    for device in (phone, *devices):
        assert await texts(store, device) == ["hi 1"]
    assert await texts(store, desk) == []
    assert await texts(store, carol) == []


async def test_a_conversation_with_oneself_reaches_the_other_devices_once(store: Store) -> None:
    desk, phone = await add_account(store, "alice", devices=2)
    result = await send(store, desk, "alice", 1, 2)
    assert [stored(outcome).seq for outcome in outcomes(result)] == [1, 2]
    assert introduced(result) == []
    assert await texts(store, phone) == ["hi 1", "hi 2"]
    assert await texts(store, desk) == []
    assert (await ack(store, phone, 2)).delivered == []
    assert stored(outcomes(await send(store, phone, "alice", 1))[0]).seq == 3
    assert await store.visible(desk.account_id) == []
    assert await store.visible_to(desk.account_id) == []


async def test_a_note_to_oneself_needs_no_other_device(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    result = await send(store, alice, "alice", 1)
    assert stored(outcomes(result)[0]).seq == 1
    assert result.segments == []


async def test_a_commit_adds_one_segment_to_each_mailbox(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [dave] = await add_account(store, "dave")
    [bob] = await add_account(store, "bob")
    appends = [Append(sender, n, "bob", "x") for n in (1, 2, 3) for sender in (alice, dave)]
    result = await store.commit(batch_of(appends, {}), NOW_MS)
    [segment] = result.segments
    assert (segment.device_id, segment.first, segment.last) == (bob.device_id, 1, 6)
    assert await store.load_after(bob.device_id, 0, 1) == [segment]


async def test_a_commit_that_is_larger_than_a_page_is_cut_into_segments(adapter: Adapter) -> None:
    store = await adapter.open(Limits(page_bytes=1000, window=64))
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    result = await send(store, alice, "bob", *range(1, 31))
    assert len(result.segments) > 3
    assert all(len(segment.frames) < 1300 for segment in result.segments)
    assert [frame.position for frame in frames_of(result.segments)] == list(range(1, 31))
    assert await store.load_after(bob.device_id, 0, WIDE) == result.segments


async def test_the_first_message_to_somebody_introduces_the_sender_once(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    assert introduced(await send(store, alice, "bob", 1, 2)) == [bob.account_id]
    assert introduced(await send(store, alice, "bob", 1)) == []
    assert introduced(await send(store, bob, "alice", 1)) == [alice.account_id]


# --- reading a mailbox ----------------------------------------------------------------------------


async def test_load_after_gives_pages_of_at_least_one_segment(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    segments = [(await send(store, alice, "bob", n)).segments[0] for n in range(1, 6)]
    size_bytes = len(segments[0].frames)
    assert await store.load_after(bob.device_id, 0, 0) == segments[:1]
    assert await store.load_after(bob.device_id, 0, size_bytes) == segments[:1]
    assert await store.load_after(bob.device_id, 0, 2 * size_bytes - 1) == segments[:1]
    assert await store.load_after(bob.device_id, 0, 2 * size_bytes) == segments[:2]
    assert await store.load_after(bob.device_id, 2, WIDE) == segments[2:]
    assert await store.load_after(bob.device_id, 5, WIDE) == []
    assert await store.load_after(bob.device_id, 99, WIDE) == []


async def test_a_segment_that_straddles_the_position_is_given_whole(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    first = (await send(store, alice, "bob", 1, 2, 3)).segments
    second = (await send(store, alice, "bob", 4, 5)).segments
    assert await store.load_after(bob.device_id, 1, WIDE) == first + second
    assert await store.load_after(bob.device_id, 2, 0) == first
    assert await store.load_after(bob.device_id, 3, WIDE) == second
    assert await store.load_after(bob.device_id, 4, WIDE) == second


async def test_what_a_call_returned_is_readable_and_survives_reopening(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1, 2)
    await ack(store, bob, 1)
    before = await store.load_after(bob.device_id, 0, WIDE)
    epoch = store.epoch
    store = await adapter.open()
    assert store.epoch == epoch
    assert len(epoch) == 16
    assert await store.load_after(bob.device_id, 0, WIDE) == before
    standing = await store.standing(bob.device_id)
    assert (standing.position, standing.acked) == (2, 1)


# --- acknowledging --------------------------------------------------------------------------------


async def test_an_ack_inside_a_segment_keeps_it_and_a_full_one_trims_it(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    segments = (await send(store, alice, "bob", 1, 2, 3)).segments
    assert (await ack(store, bob, 2)).delivered == []
    assert (await store.standing(bob.device_id)).acked == 2
    assert await store.load_after(bob.device_id, 0, WIDE) == segments
    news = (await ack(store, bob, 3)).delivered
    assert news == [DeliveredUpTo(account_id=alice.account_id, by_name="bob", seq=3)]
    assert await store.load_after(bob.device_id, 0, WIDE) == []


async def test_acks_do_not_go_back_and_not_beyond_the_mailbox(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    await send(store, alice, "bob", 2)
    await ack(store, bob, 2)
    await ack(store, bob, 1)
    assert (await store.standing(bob.device_id)).acked == 2
    await ack(store, bob, 1_000)
    standing = await store.standing(bob.device_id)
    assert (standing.position, standing.acked) == (2, 2)


async def test_a_position_is_never_used_again(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    for n in range(1, 4):
        result = await send(store, alice, "bob", n)
        assert (result.segments[0].first, result.segments[0].last) == (n, n)
        await ack(store, bob, n)
        store = await adapter.open()


async def test_an_ack_and_messages_of_the_same_batch_both_count(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    batch = batch_of([Append(alice, 2, "bob", "two")], {bob.device_id: 1})
    result = await store.commit(batch, NOW_MS)
    assert [news.seq for news in result.delivered] == [1]
    assert await texts(store, bob) == ["two"]


async def test_delivery_is_news_once_for_the_furthest_device(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    desk, phone = await add_account(store, "bob", devices=2)
    for n in (1, 2, 3):
        await send(store, alice, "bob", n)
    assert [news.seq for news in (await ack(store, desk, 2)).delivered] == [2]
    assert (await ack(store, phone, 1)).delivered == []
    assert (await ack(store, phone, 2)).delivered == []
    assert [news.seq for news in (await ack(store, phone, 3)).delivered] == [3]
    assert (await ack(store, desk, 3)).delivered == []


async def test_two_devices_that_collect_in_one_batch_make_one_piece_of_news(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    desk, phone = await add_account(store, "bob", devices=2)
    await send(store, alice, "bob", 1)
    await send(store, alice, "bob", 2)
    acks = {desk.device_id: 1, phone.device_id: 2}
    result = await store.commit(batch_of([], acks), NOW_MS)
    assert result.delivered == [DeliveredUpTo(alice.account_id, "bob", 2)]


async def test_own_copies_are_no_news(store: Store) -> None:
    desk, phone = await add_account(store, "alice", devices=2)
    await add_account(store, "bob")
    await send(store, desk, "bob", 1)
    assert (await ack(store, phone, 1)).delivered == []
    assert await store.receipts(desk.account_id, ["bob"]) == {"bob": (0, 1)}


async def test_news_tell_each_sender_of_their_own_conversation(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [carol] = await add_account(store, "carol")
    [bob] = await add_account(store, "bob")
    await send(store, bob, "alice", 1)
    appends = [Append(alice, 1, "bob", "a"), Append(carol, 1, "bob", "c")]
    await store.commit(batch_of(appends, {}), NOW_MS)
    news = (await ack(store, bob, 2)).delivered
    assert sorted((each.account_id, each.by_name, each.seq) for each in news) == [
        (alice.account_id, "bob", 2),
        (carol.account_id, "bob", 1),
    ]


async def test_receipts_tell_how_far_the_others_hold_it(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await add_account(store, "carol")
    await add_account(store, "dave")
    await send(store, alice, "bob", 1, 2)
    await send(store, alice, "carol", 3)
    await ack(store, bob, 2)
    store = await adapter.open()
    names = ["bob", "carol", "dave", "nobody"]
    assert await store.receipts(alice.account_id, names) == {"bob": (2, 1), "carol": (0, 1)}
    assert await store.receipts(bob.account_id, ["alice", "carol"]) == {"alice": (0, 1)}
    assert await store.receipts(alice.account_id, []) == {}
    # What is known already is not news after a restart either.
    await send(store, alice, "bob", 4)
    assert [news.seq for news in (await ack(store, bob, 3)).delivered] == [3]


# --- stale mailboxes ------------------------------------------------------------------------------


async def fill(store: Store, alice: Identity, count: int, now_ms: int = NOW_MS) -> Committed:
    return await send(store, alice, "bob", *range(1, count + 1), now_ms=now_ms)


async def test_a_full_mailbox_gets_a_tombstone_and_the_sender_an_error(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    result = await fill(store, alice, 5)
    assert [isinstance(outcome, Stored) for outcome in outcomes(result)] == [True] * 3 + [False] * 2
    assert isinstance(refused(outcomes(result)[3]).error, MailboxFull)
    assert (await store.standing(alice.device_id)).last_n == 3
    assert await texts(store, bob) == ["hi 1", "hi 2", "hi 3", "mailbox_full"]
    # Further tries add nothing, also after reopening.
    store = await adapter.open(SMALL)
    assert isinstance(refused(outcomes(await send(store, alice, "bob", 4))[0]).error, MailboxFull)
    assert len(await waiting(store, bob)) == 4


async def test_a_stale_mailbox_lives_again_once_all_is_collected(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await fill(store, alice, 4)
    await ack(store, bob, 3)
    assert isinstance(refused(outcomes(await send(store, alice, "bob", 4))[0]).error, MailboxFull)
    store = await adapter.open(SMALL)
    await ack(store, bob, 4)
    result = await send(store, alice, "bob", 4)
    assert stored(outcomes(result)[0]).seq == 4
    assert (result.segments[0].first, result.segments[0].last) == (5, 5)


async def test_the_ack_of_a_batch_makes_room_for_its_messages(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await fill(store, alice, 3)
    batch = batch_of([Append(alice, 4, "bob", "four")], {bob.device_id: 1})
    assert stored(outcomes(await store.commit(batch, NOW_MS))[0]).seq == 4


async def test_a_stale_device_is_skipped_while_another_one_takes_it(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    desk, phone = await add_account(store, "bob", devices=2)
    await fill(store, alice, 3)
    await ack(store, desk, 3)
    result = await send(store, alice, "bob", 4)
    assert stored(outcomes(result)[0]).skipped == 1
    assert await texts(store, desk) == ["hi 4"]
    assert (await texts(store, phone))[-1] == "mailbox_full"
    store = await adapter.open(SMALL)
    assert stored(outcomes(await send(store, alice, "bob", 4))[0]).skipped == 1


async def test_a_mailbox_that_nobody_collects_from_turns_stale_with_time(
    adapter: Adapter,
) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await fill(store, alice, 2)
    almost_ms = NOW_MS + 30 * DAY_MS - 1
    await ack(store, bob, 1, now_ms=almost_ms)
    store = await adapter.open(SMALL)
    late_ms = almost_ms + 30 * DAY_MS
    result = await send(store, alice, "bob", 3, now_ms=late_ms - 1)
    assert stored(outcomes(result)[0]).seq == 3
    result = await send(store, alice, "bob", 4, now_ms=late_ms)
    assert isinstance(refused(outcomes(result)[0]).error, MailboxFull)


async def test_an_empty_mailbox_is_never_stale(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await fill(store, alice, 1)
    await ack(store, bob, 1)
    result = await send(store, alice, "bob", 2, now_ms=NOW_MS + 999 * DAY_MS)
    assert stored(outcomes(result)[0]).seq == 2


async def test_a_clock_that_goes_back_changes_no_order(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    result = await send(store, alice, "bob", 2, now_ms=NOW_MS - 3_650 * DAY_MS)
    assert stored(outcomes(result)[0]).seq == 2
    assert await texts(store, bob) == ["hi 1", "hi 2"]


async def test_a_note_to_oneself_is_stored_beside_a_stale_device(adapter: Adapter) -> None:
    store = await adapter.open(SMALL)
    desk, phone = await add_account(store, "alice", devices=2)
    result = await send(store, desk, "alice", 1, 2, 3, 4)
    assert [stored(outcome).skipped for outcome in outcomes(result)] == [0, 0, 0, 1]
    assert len(await waiting(store, phone)) == 4


# --- accounts -------------------------------------------------------------------------------------


async def test_an_account_is_found_with_its_device_and_links(adapter: Adapter) -> None:
    store = await adapter.open()
    wanted = registration("alice")
    account = await store.register(wanted, NOW_MS)
    assert account.name == "alice"
    assert account.links == [wanted.genesis]
    [device] = account.devices
    assert (device.device, device.login_key) == (wanted.genesis.device, wanted.genesis.login_key)
    assert not device.revoked
    standing = await store.standing(device.device_id)
    assert (standing.last_n, standing.position, standing.acked) == (0, 0, 0)
    store = await adapter.open()
    assert await store.find_account("alice") == account
    assert await store.find_account("bob") is None


async def test_the_same_genesis_again_gives_the_same_account_and_uses_no_invite(
    store: Store,
) -> None:
    await store.add_invite(invite("t", uses=2), NOW_MS)
    token_hash = invite("t").token_hash
    wanted = registration("alice", invite=token_hash)
    account = await store.register(wanted, NOW_MS)
    grown = await store.enrol(enrolment(account), NOW_MS)
    for _ in range(3):
        assert await store.register(wanted, LATER_MS) == grown
    await store.register(registration("bob", invite=token_hash), NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.register(registration("carol", invite=token_hash), NOW_MS)
    # Also when the invite has been used up, removed or has expired meanwhile.
    await store.add_invite(invite("other", expires_ms=NOW_MS + 9_000_000), NOW_MS + 8_000_000)
    assert await store.register(wanted, NOW_MS + 8_000_000) == grown


async def test_a_name_or_the_look_of_it_is_taken_only_once(store: Store) -> None:
    first = await store.register(registration("paypal", skeleton="paypal"), NOW_MS)
    with pytest.raises(NameTaken):
        await store.register(registration("paypal", skeleton="other", salt="2"), NOW_MS)
    with pytest.raises(NameTaken):
        await store.register(registration("paypai", skeleton="paypal"), NOW_MS)
    assert await store.find_account("paypal") == first
    assert await store.find_account("paypai") is None
    # The store goes on after a refusal.
    await store.register(registration("carol"), NOW_MS)


async def test_of_concurrent_claims_of_a_name_one_wins(store: Store) -> None:
    claims = [registration("alice", salt=str(k)) for k in range(8)]
    results = await asyncio.gather(
        *(store.register(claim, NOW_MS) for claim in claims), return_exceptions=True
    )
    assert sum(isinstance(result, NameTaken) for result in results) == 7


async def test_an_invite_is_good_for_its_uses_and_until_it_expires(store: Store) -> None:
    await store.add_invite(invite("twice", uses=2), NOW_MS)
    await store.add_invite(invite("short", expires_ms=NOW_MS + 10), NOW_MS)
    twice, short = invite("twice").token_hash, invite("short").token_hash
    await store.register(registration("a", invite=twice), NOW_MS)
    await store.register(registration("b", invite=twice), NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.register(registration("c", invite=twice), NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.register(registration("d", invite=short), NOW_MS + 10)
    await store.register(registration("e", invite=short), NOW_MS + 9)
    with pytest.raises(InviteInvalid):
        await store.register(registration("f", invite=invite("unknown").token_hash), NOW_MS)
    for name in "cdf":
        assert await store.find_account(name) is None


async def test_a_registration_that_fails_gives_the_invite_back(store: Store) -> None:
    await store.add_invite(invite("t"), NOW_MS)
    token_hash = invite("t").token_hash
    await store.register(registration("alice"), NOW_MS)
    with pytest.raises(NameTaken):
        await store.register(registration("alice", salt="2", invite=token_hash), NOW_MS)
    await store.register(registration("bob", invite=token_hash), NOW_MS)


async def test_a_bad_invite_learns_nothing_about_names(store: Store) -> None:
    await store.register(registration("alice"), NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.register(registration("alice", salt="2", invite=b"?" * 32), NOW_MS)


async def test_an_invite_is_not_overdrawn_concurrently(store: Store) -> None:
    await store.add_invite(invite("t", uses=3), NOW_MS)
    token_hash = invite("t").token_hash
    results = await asyncio.gather(
        *(store.register(registration(f"u{k}", invite=token_hash), NOW_MS) for k in range(9)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, InviteInvalid) for result in results) == 6


async def test_enrolling_adds_a_device_that_gets_what_waits_and_what_comes(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [desk] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)  # the account is known to the store's counters by now
    account = await store.find_account("bob")
    assert account is not None
    step = enrolment(account)
    grown = await store.enrol(step, NOW_MS)
    assert grown.links == [*account.links, step.link]
    assert [device.device for device in grown.devices] == [desk.device, step.link.device]
    phone = identity(grown, 1)
    await send(store, alice, "bob", 2)
    assert await texts(store, desk) == ["hi 1", "hi 2"]
    assert await texts(store, phone) == ["hi 1", "hi 2"]
    assert stored(outcomes(await send(store, phone, "alice", 1))[0]).seq == 3
    assert await texts(store, desk) == ["hi 1", "hi 2", "hi 1"]


async def test_a_new_device_inherits_what_nobody_collected_and_no_more(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [carol] = await add_account(store, "carol")
    [lost] = await add_account(store, "bob")
    for n in (1, 2):
        await send(store, alice, "bob", n)
    await send(store, carol, "bob", 1)
    await ack(store, lost, 1)
    account = await store.find_account("bob")
    assert account is not None
    phone = identity(await store.enrol(enrolment(account), LATER_MS), 1)
    await send(store, alice, "bob", 3)
    store = await adapter.open()
    got = await deliveries(store, phone)
    assert [(each.position, each.sender, each.n) for each in got] == [
        (1, "alice", 2),
        (2, "carol", 1),
        (3, "alice", 3),
    ]
    assert await store.receipts(alice.account_id, ["bob"]) == {"bob": (1, 2)}
    news = (await ack(store, phone, 3, now_ms=LATER_MS)).delivered
    assert {(each.account_id, each.seq) for each in news} == {
        (alice.account_id, 3),
        (carol.account_id, 1),
    }
    assert [each.n for each in await deliveries(store, lost)] == [2, 1, 3]


async def test_a_third_device_inherits_each_message_once_and_in_order(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    [first] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    account = await store.find_account("bob")
    assert account is not None
    grown = await store.enrol(enrolment(account), NOW_MS)
    second = identity(grown, 1)
    await send(store, alice, "bob", 2, now_ms=NOW_MS - 60_000)
    await ack(store, first, 1)
    await send(store, second, "alice", 1)
    third = identity(await store.enrol(enrolment(grown), NOW_MS), 2)
    got = await deliveries(store, third)
    assert [(each.sender, each.n) for each in got] == [("alice", 1), ("alice", 2), ("bob", 1)]
    assert [each.position for each in got] == [1, 2, 3]


async def test_equal_numbers_of_two_devices_are_two_messages_to_an_heir(store: Store) -> None:
    desk, phone = await add_account(store, "alice", 2)
    await add_account(store, "bob")
    for sender in (desk, phone):
        await send(store, sender, "bob", 1)
    account = await store.find_account("bob")
    assert account is not None
    heir = identity(await store.enrol(enrolment(account), NOW_MS), 1)
    got = await deliveries(store, heir)
    assert [(each.device, each.n) for each in got] == [(desk.device, 1), (phone.device, 1)]


async def test_an_heir_gets_several_pages_each_message_once(adapter: Adapter) -> None:
    store = await adapter.open(msgspec.structs.replace(Limits(), page_bytes=400))
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    for n in range(1, 21):
        await send(store, alice, "bob", n)
    account = await store.find_account("bob")
    assert account is not None
    heir = identity(await store.enrol(enrolment(account), NOW_MS), 1)
    segments = await store.load_after(heir.device_id, 0, 1 << 20)
    assert len(segments) > 2
    assert [segment.first for segment in segments[1:]] == [each.last + 1 for each in segments[:-1]]
    got = await deliveries(store, heir)
    assert [(each.position, each.n) for each in got] == [(n, n) for n in range(1, 21)]


async def test_the_same_link_again_changes_nothing(store: Store) -> None:
    account = await store.register(registration("bob"), NOW_MS)
    step = enrolment(account)
    grown = await store.enrol(step, NOW_MS)
    assert await store.enrol(step, LATER_MS) == grown
    further = await store.enrol(enrolment(grown), NOW_MS)
    assert await store.enrol(step, LATER_MS) == further


async def test_a_link_that_does_not_fit_the_head_is_refused(store: Store) -> None:
    account = await store.register(registration("bob"), NOW_MS)
    await store.enrol(enrolment(account, salt="first"), NOW_MS)
    with pytest.raises(AuthFailed):
        await store.enrol(enrolment(account, salt="second"), NOW_MS)
    strange = msgspec.structs.replace(enrolment(account), account_id=999)
    with pytest.raises(AuthFailed):
        await store.enrol(strange, NOW_MS)
    await add_account(store, "carol")


async def test_an_account_has_at_most_so_many_devices(store: Store) -> None:
    account = await store.register(registration("bob"), NOW_MS)
    account = await store.enrol(enrolment(account, max_devices=2), NOW_MS)
    with pytest.raises(TooManyDevices):
        await store.enrol(enrolment(account, max_devices=2), NOW_MS)
    account = await store.enrol(enrolment(account, max_devices=3), NOW_MS)
    assert len(account.devices) == 3


async def test_of_concurrent_enrolments_on_one_head_one_wins(store: Store) -> None:
    account = await store.register(registration("bob"), NOW_MS)
    results = await asyncio.gather(
        *(store.enrol(enrolment(account, salt=str(k)), NOW_MS) for k in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, AuthFailed) for result in results) == 5


# --- contacts -------------------------------------------------------------------------------------


async def test_whom_one_wrote_to_may_see_one(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    [carol] = await add_account(store, "carol")
    await send(store, alice, "bob", 1)
    await send(store, alice, "carol", 2)
    await send(store, carol, "alice", 1)
    store = await adapter.open()
    contacts = {each.name: Contact(each.account_id, each.name) for each in (alice, bob, carol)}
    assert await store.visible_to(alice.account_id) == [contacts["bob"], contacts["carol"]]
    assert await store.visible(alice.account_id) == [contacts["carol"]]
    assert await store.visible_to(bob.account_id) == []
    assert await store.visible(bob.account_id) == [contacts["alice"]]
    assert await store.visible_to(carol.account_id) == [contacts["alice"]]


async def test_the_latest_of_many_contacts_are_visible(store: Store) -> None:
    [star] = await add_account(store, "star")
    fans = [(await add_account(store, f"fan{k}"))[0] for k in range(1_003)]
    batch = batch_of([Append(fan, 1, "star", "hi") for fan in fans], {})
    await store.commit(batch, NOW_MS)
    await store.commit(batch_of([Append(fans[0], 2, "star", "hi")], {}), LATER_MS)
    seen = await store.visible(star.account_id)
    assert len(seen) == 1_000
    assert [each.account_id for each in seen[:2]] == [fans[0].account_id, fans[-1].account_id]
    assert fans[1].account_id not in {each.account_id for each in seen}


# --- the end --------------------------------------------------------------------------------------


async def test_after_closing_every_call_is_refused(store: Store) -> None:
    [alice] = await add_account(store, "alice")
    await store.aclose()
    await store.aclose()
    for call in (
        store.commit(Batch([], {}), NOW_MS),
        store.standing(alice.device_id),
        store.load_after(alice.device_id, 0, 1),
        store.find_account("alice"),
        store.register(registration("bob"), NOW_MS),
        store.receipts(alice.account_id, []),
        store.visible(alice.account_id),
        store.visible_to(alice.account_id),
        store.add_invite(invite("t"), NOW_MS),
    ):
        with pytest.raises(StoreError):
            await call


async def test_closing_finishes_what_was_submitted(adapter: Adapter) -> None:
    store = await adapter.open()
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    tasks = [asyncio.create_task(send(store, alice, "bob", n)) for n in range(1, 31)]
    await asyncio.sleep(0)
    await store.aclose()
    results = await asyncio.gather(*tasks)
    assert [stored(outcomes(result)[0]).seq for result in results] == list(range(1, 31))
    if adapter.name != "memory":
        store = await adapter.open()
        assert (await store.standing(bob.device_id)).position == 30


# --- at random ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_sequences_and_positions_have_no_gaps_under_concurrent_commits(
    adapter: Adapter, seed: int
) -> None:
    rng = random.Random(seed)
    store = await adapter.open(Limits(waiting_messages=60))
    names = ["a", "b", "c", "d"]
    devices = [each for name in names for each in await add_account(store, name, devices=2)]
    next_n = dict.fromkeys(range(len(devices)), 1)
    calls = []
    for _ in range(60):
        appends = []
        for _ in range(rng.randrange(8)):
            sender = rng.randrange(len(devices))
            n = next_n[sender] + rng.choice([0, 0, 0, 0, 0, 0, -1, 1])
            if n == next_n[sender]:
                next_n[sender] += 1
            appends.append(Append(devices[sender], max(1, n), rng.choice([*names, "x"]), "t"))
        acks = {rng.choice(devices).device_id: rng.randrange(80) for _ in range(rng.randrange(3))}
        calls.append(store.commit(batch_of(appends, acks), NOW_MS))
    results = await asyncio.gather(*calls)
    check_gapless(results)
    for device in devices:
        standing = await store.standing(device.device_id)
        frames = await waiting(store, device)
        assert len(frames) >= standing.position - standing.acked
        if frames:
            assert frames[-1].position == standing.position


def check_gapless(results: list[Committed]) -> None:
    positions: dict[int, int] = defaultdict(int)
    bodies: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    delivered: dict[tuple[int, str], int] = defaultdict(int)
    for result in results:
        for segment in result.segments:
            assert segment.first == positions[segment.device_id] + 1
            positions[segment.device_id] = segment.last
            for frame in frames_of([segment]):
                if isinstance(frame, Delivery):
                    low, high = sorted((frame.sender, frame.to))
                    bodies[low, high, frame.seq].add(f"{frame.device}/{frame.n}")
        for news in result.delivered:
            key = (news.account_id, news.by_name)
            assert news.seq > delivered[key]
            delivered[key] = news.seq
    # One sequence number is one message, whoever sees it.
    assert all(len(each) == 1 for each in bodies.values())
    pairs = {(low, high) for low, high, _ in bodies}
    for low, high in pairs:
        seen = sorted(seq for one, two, seq in bodies if (one, two) == (low, high))
        assert seen == list(range(1, len(seen) + 1))
