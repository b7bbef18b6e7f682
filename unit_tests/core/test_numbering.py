"""The numbering against a second implementation that is as simple as its specification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jim.core.counters import AccountView, ConversationCounters, DeviceCounters, delivered_up_to
from jim.core.limits import Limits
from jim.core.model import (
    DeliveredUpTo,
    Identity,
    MailboxState,
)
from jim.core.numbering import Plan, plan
from jim.protocol.codec import FROM_SERVER, Decoder
from jim.protocol.messages import Delivery, Notice
from unit_tests.support.outcomes import Append, Refused, Stored, batch_of, introduced, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
LIMITS = Limits(window=4, waiting_messages=5, waiting_days=30, page_bytes=400)

ACCOUNTS = {"alice": (1, [11, 12]), "bob": (2, [21, 22]), "carol": (3, [31]), "gone": (4, [])}
"""Name to account id and devices; nobody is left of the last one."""

DEVICES = [(name, device_id) for name, (_, ids) in ACCOUNTS.items() for device_id in ids]


class FakeCounters:
    """Counters in dictionaries, without anything behind them."""

    def __init__(self) -> None:
        self.devices = {
            device_id: DeviceCounters(device_id, account_id, f"d{device_id}")
            for account_id, ids in ACCOUNTS.values()
            for device_id in ids
        }
        self.conversations: dict[tuple[int, int], ConversationCounters] = {}

    def device(self, device_id: int) -> DeviceCounters:
        return self.devices[device_id]

    def account(self, account_id: int) -> AccountView:
        found = self.find(next(name for name, (a, _) in ACCOUNTS.items() if a == account_id))
        assert found is not None
        return found

    def find(self, name_key: str) -> AccountView | None:
        if name_key not in ACCOUNTS:
            return None
        account_id, ids = ACCOUNTS[name_key]
        return AccountView(account_id, name_key, [self.devices[each] for each in ids])

    def conversation(self, low: int, high: int) -> ConversationCounters:
        assert low <= high
        fresh = ConversationCounters(len(self.conversations) + 1, low, high)
        return self.conversations.setdefault((low, high), fresh)


def who(name: str, device_id: int) -> Identity:
    return Identity(ACCOUNTS[name][0], device_id, name, f"d{device_id}")


def message(device_id: int, n: int, to: str, text: str = "hi") -> Append:
    name = next(name for name, known in DEVICES if known == device_id)
    return Append(who(name, device_id), n, to, text)


def run(
    counters: FakeCounters,
    appends: Sequence[Append] = (),
    acks: dict[int, int] | None = None,
    now_ms: int = NOW_MS,
    limits: Limits = LIMITS,
    steady_ms: int | None = None,
) -> Plan:
    return plan(batch_of(appends, acks, steady_ms), counters, limits, now_ms)


# --- the second implementation --------------------------------------------------------------------


@dataclass
class Mailbox:
    """Everything that ever came, as what the frame should say."""

    frames: list[tuple[object, ...]] = field(default_factory=list)
    acked: int = 0
    since_ms: int = 0
    stale: bool = False

    def add(self, now_ms: int, frame: tuple[object, ...]) -> None:
        if self.acked == len(self.frames):
            self.since_ms = now_ms
        self.frames.append(frame)

    def takes(self, now_ms: int) -> bool:
        waiting = len(self.frames) - self.acked
        if self.stale:
            return False
        if waiting >= LIMITS.waiting_messages or (
            waiting and now_ms - self.since_ms >= LIMITS.waiting_days * DAY_MS
        ):
            self.stale = True
            self.add(now_ms, ("mailbox_full",))
            return False
        return True


class Model:
    """What should come of it, one message after the other."""

    def __init__(self) -> None:
        self.boxes = {device_id: Mailbox() for _, device_id in DEVICES}
        self.answers: dict[int, list[tuple[object, ...]]] = {d: [] for _, d in DEVICES}
        self.sequences: dict[frozenset[str], int] = {}
        self.wrote: set[tuple[str, str]] = set()
        self.introduced: list[int] = []

    def ack(self, device_id: int, position: int, now_ms: int) -> None:
        box = self.boxes[device_id]
        position = min(position, len(box.frames))
        if position > box.acked:
            box.acked = position
            box.since_ms = now_ms
            box.stale = box.stale and position < len(box.frames)

    def send(self, append: Append, now_ms: int) -> tuple[object, ...]:
        sender, me = append.sender.device_id, append.sender.name
        answers = self.answers[sender]
        if append.n <= len(answers):
            old = append.n <= len(answers) - LIMITS.window
            gap = ("number_gap", append.n, len(answers) + 1)
            return gap if old else answers[append.n - 1]
        if append.n > len(answers) + 1:
            return ("number_gap", append.n, len(answers) + 1)
        if append.to not in ACCOUNTS:
            return ("recipient_unknown", append.n)
        others = [d for d in ACCOUNTS[append.to][1] if d != sender]
        taking = [d for d in others if self.boxes[d].takes(now_ms)]
        if not taking and append.to != me:
            return ("mailbox_full", append.n)
        if append.to != me:
            mine = [d for d in ACCOUNTS[me][1] if d != sender and self.boxes[d].takes(now_ms)]
        else:
            mine = []
        pair = frozenset({me, append.to})
        seq = self.sequences[pair] = self.sequences.get(pair, 0) + 1
        frame = (seq, me, append.sender.device, append.n, append.to, now_ms, append.text)
        for device_id in taking + mine:
            self.boxes[device_id].add(now_ms, frame)
        skipped = len(others) - len(taking)
        if (me, append.to) not in self.wrote and me != append.to:
            self.introduced.append(ACCOUNTS[append.to][0])
        self.wrote.add((me, append.to))
        answers.append((append.n, seq, now_ms, skipped))
        return answers[-1]


def told(outcome: Stored | Refused) -> tuple[object, ...]:
    if isinstance(outcome, Stored):
        return msgspec.structs.astuple(outcome)
    return (outcome.error.code, *outcome.error.fields.values())


def frames_of(data: bytes) -> list[tuple[int, tuple[object, ...]]]:
    found: list[tuple[int, tuple[object, ...]]] = []
    for item in Decoder(FROM_SERVER, 1 << 20).feed(data):
        if isinstance(item, Delivery):
            rest = (item.seq, item.sender, item.device, item.n, item.to, item.time, item.message)
            found.append((item.position, rest))
        else:
            assert isinstance(item, Notice)
            found.append((item.position, (item.code,)))
    return found


STEP = st.tuples(
    st.sampled_from(DEVICES),
    st.sampled_from([0, 0, 0, 0, 0, 0, -1, -3, -5, 1]),
    st.sampled_from(["alice", "bob", "bob", "carol", "gone", "nobody"]),
    st.text(max_size=40),
)
ACKS = st.dictionaries(
    st.sampled_from([device_id for _, device_id in DEVICES]), st.integers(0, 30), max_size=3
)
BATCHES = st.lists(
    st.tuples(st.lists(STEP, max_size=12), ACKS, st.sampled_from([0, 1, DAY_MS, 16 * DAY_MS])),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(BATCHES)
def test_it_agrees_with_the_model(
    batches: list[tuple[list[tuple[tuple[str, int], int, str, str]], dict[int, int], int]],
) -> None:
    counters, model = FakeCounters(), Model()
    now_ms = NOW_MS
    seen: dict[int, list[tuple[int, tuple[object, ...]]]] = {d: [] for _, d in DEVICES}
    for steps, acks, later_ms in batches:
        now_ms += later_ms
        appends = []
        next_n = {d: len(model.answers[d]) + 1 for _, d in DEVICES}
        for (_, device_id), offset, to, text in steps:
            n = max(1, next_n[device_id] + offset)
            next_n[device_id] += offset == 0
            appends.append(message(device_id, n, to, text))
        for device_id, position in acks.items():
            model.ack(device_id, position, now_ms)
        expected = [model.send(append, now_ms) for append in appends]
        done = run(counters, appends, acks, now_ms)
        assert [told(outcome) for outcome in outcomes(done)] == expected
        assert introduced(done) == model.introduced
        model.introduced.clear()
        check_plan(done, counters, model, seen)


def check_plan(
    done: Plan,
    counters: FakeCounters,
    model: Model,
    seen: dict[int, list[tuple[int, tuple[object, ...]]]],
) -> None:
    for planned in done.segments:
        segment = planned.segment
        frames = frames_of(segment.frames)
        assert [position for position, _ in frames] == list(range(segment.first, segment.last + 1))
        assert counters.devices[segment.device_id].account_id == segment.account_id
        seen[segment.device_id] += frames
        assert planned.marks == marks_of(counters, segment.account_id, frames)
    for device_id, box in model.boxes.items():
        assert seen[device_id] == list(enumerate(box.frames, 1))
        device = counters.devices[device_id]
        assert (device.last_position, device.acked) == (len(box.frames), box.acked)
        assert (device.state is MailboxState.STALE) == box.stale
        assert device.last_n == len(model.answers[device_id])
        kept = [
            (answer.n + step, answer.seq + step, answer.time_ms, answer.skipped)
            for answer in device.answers
            for step in range(answer.count)
        ]
        wanted = model.answers[device_id]
        assert kept == wanted[-len(kept) :] if kept else not wanted
        assert len(kept) >= min(len(wanted), LIMITS.window)
    for (low, high), conversation in counters.conversations.items():
        names = frozenset(name for name, (a, _) in ACCOUNTS.items() if a in {low, high})
        assert conversation.last_seq == model.sequences[names]


def marks_of(
    counters: FakeCounters, account_id: int, frames: list[tuple[int, tuple[object, ...]]]
) -> dict[int, int]:
    marks: dict[int, int] = {}
    for _, frame in frames:
        if len(frame) > 1:
            sender = ACCOUNTS[str(frame[1])][0]
            if sender != account_id:
                pair = (min(sender, account_id), max(sender, account_id))
                marks[counters.conversations[pair].conversation_id] = int(str(frame[0]))
    return marks


# --- one thing at a time --------------------------------------------------------------------------


def test_a_plan_names_everything_that_has_to_be_written() -> None:
    counters = FakeCounters()
    done = run(counters, [message(11, 1, "carol")])
    assert set(done.devices) == {11, 12, 31}
    assert [(c.low, c.high) for c in done.conversations.values()] == [(1, 3)]
    assert done.collected == {}
    done = run(counters, acks={31: 1, 12: 0, 21: 5})
    assert set(done.devices) == {31}
    assert done.collected == {31: 1}
    assert done.segments == []


@pytest.mark.parametrize("appends", [[(1, "nobody")], [(2, "bob")], [(1, "gone")]])
def test_a_refusal_touches_nothing(appends: list[tuple[int, str]]) -> None:
    counters = FakeCounters()
    done = run(counters, [message(11, n, to) for n, to in appends])
    assert all(isinstance(outcome, Refused) for outcome in outcomes(done))
    assert (done.devices, done.conversations, done.segments) == ({}, {}, [])
    assert counters.conversations == {}
    assert counters.devices[11].last_n == 0


def test_an_account_without_devices_takes_nothing() -> None:
    # Accepting the message would lose it: nobody could ever collect it.
    done = run(FakeCounters(), [message(31, 1, "gone")])
    assert told(outcomes(done)[0]) == ("mailbox_full", 1)


def test_a_refused_message_may_still_close_the_mailbox() -> None:
    counters = FakeCounters()
    run(counters, [message(11, n, "carol") for n in range(1, 6)])
    done = run(counters, [message(11, 6, "carol")])
    assert told(outcomes(done)[0]) == ("mailbox_full", 6)
    assert [planned.segment.device_id for planned in done.segments] == [31]
    assert frames_of(done.segments[0].segment.frames) == [(6, ("mailbox_full",))]
    assert done.segments[0].marks == {}
    assert set(done.devices) == {31}


def test_segments_are_cut_at_the_size_of_a_page_and_stay_in_order() -> None:
    counters = FakeCounters()
    texts = ["x" * 100] * 4
    limits = Limits(page_bytes=500)
    appends = [message(31, n, "bob", text) for n, text in enumerate(texts, 1)]
    done = run(counters, appends, limits=limits)
    for device_id in (21, 22):
        mine = [p.segment for p in done.segments if p.segment.device_id == device_id]
        assert [(s.first, s.last) for s in mine] == [(1, 3), (4, 4)]
    assert [p.marks for p in done.segments if p.segment.device_id == 21] == [{1: 3}, {1: 4}]


def test_news_go_to_the_other_side() -> None:
    conversation = ConversationCounters(7, low=1, high=2)
    alice, bob = AccountView(1, "alice", []), AccountView(2, "bob", [])
    assert delivered_up_to(conversation, bob, 5) == DeliveredUpTo(1, "bob", 5)
    assert delivered_up_to(conversation, alice, 6) == DeliveredUpTo(2, "alice", 6)


YEARS_MS = 3650 * DAY_MS


def test_a_wall_clock_that_jumps_closes_no_mailbox() -> None:
    counters = FakeCounters()
    for n, offset_ms in enumerate((0, YEARS_MS, -YEARS_MS, 3_600_000, 0), 1):
        now_ms, steady_ms = NOW_MS + n + offset_ms, NOW_MS + n
        done = run(counters, [message(11, n, "carol")], now_ms=now_ms, steady_ms=steady_ms)
        assert told(outcomes(done)[0])[1:3] == (n, now_ms)
    assert counters.devices[31].state is MailboxState.LIVE


@pytest.mark.parametrize("offset_ms", [YEARS_MS, -YEARS_MS])
def test_what_began_to_wait_during_a_jump_is_not_abandoned_after_it(offset_ms: int) -> None:
    counters = FakeCounters()
    run(counters, [message(11, 1, "carol")], now_ms=NOW_MS + offset_ms, steady_ms=NOW_MS)
    run(counters, acks={12: 1}, now_ms=NOW_MS + offset_ms, steady_ms=NOW_MS)
    # Now the clock is right again, and a restart has made both clocks the same.
    later_ms = NOW_MS + DAY_MS
    done = run(counters, [message(11, 2, "carol")], now_ms=later_ms, steady_ms=later_ms)
    assert isinstance(outcomes(done)[0], Stored)


def test_who_waits_too_long_by_both_clocks_is_abandoned() -> None:
    counters = FakeCounters()
    run(counters, [message(11, 1, "carol")], steady_ms=NOW_MS)
    end_ms = NOW_MS + 30 * DAY_MS
    early = run(counters, [message(11, 2, "carol")], now_ms=end_ms, steady_ms=end_ms - 1)
    assert isinstance(outcomes(early)[0], Stored)
    late = run(counters, [message(11, 3, "carol")], now_ms=end_ms, steady_ms=end_ms)
    assert told(outcomes(late)[0]) == ("mailbox_full", 3)


def test_only_what_is_stored_changes_the_mark_of_its_device() -> None:
    counters = FakeCounters()
    alice = counters.devices[11]
    marked = [msgspec.structs.replace(message(11, n, "carol"), mark=f"m{n}") for n in (1, 2)]
    run(counters, marked)
    assert (alice.last_n, alice.last_mark) == (2, "m2")
    assert all(d.last_mark == "" for d in counters.devices.values() if d is not alice)
    run(counters, [msgspec.structs.replace(marked[1], mark="again")])
    run(counters, [msgspec.structs.replace(message(11, 3, "nobody"), mark="refused")])
    assert (alice.last_n, alice.last_mark) == (2, "m2")
    run(counters, [message(11, 3, "carol")])
    assert (alice.last_n, alice.last_mark) == (3, "")
