"""What is dirty gets into its table bit by bit, the oldest first, and no entry is dropped early."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from jim.core.counters import PlannedSegment
from jim.core.model import Segment
from jim.storage.sqlite import write_back
from jim.storage.sqlite.counters import StoredConversation, StoredDevice
from jim.storage.sqlite.write_back import Share, WriteBack

if TYPE_CHECKING:
    import pytest

ALL_BYTES = 1 << 40
"""More than there is in any journal."""


def device(device_id: int) -> StoredDevice:
    return StoredDevice(device_id, device_id, f"d{device_id}", has_received=True)


def conversation(number: int) -> StoredConversation:
    return StoredConversation(number, number, number, delivered={number: 0})


def test_nothing_is_due_where_nothing_is_dirty() -> None:
    behind = WriteBack()
    assert behind.is_empty
    assert behind.due().is_empty
    assert behind.all().is_empty
    assert behind.make_room(1, 0).before == behind.drop_spent().before == 0


def test_an_entry_is_needed_until_everything_in_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 4)
    monkeypatch.setattr(write_back, "MIN_SHARE", 1)
    rng = random.Random(1)
    devices = [device(k) for k in range(1, 20)]
    talks = [conversation(k) for k in range(1, 20)]
    behind = WriteBack()
    last_change: dict[int, int] = {}
    last_growth: dict[int, int] = {}
    longest = 0
    first = 1
    for commit_id in range(1, 400):
        due = behind.due()
        for row in due.rows.received:
            last_change.pop(row[-1], None)
        for grew in due.rows.grew:
            last_growth.pop(grew[-1], None)
        before = behind.make_room(ALL_BYTES, 0).before
        if before:
            # Whatever changed last in an entry that is dropped has been written since.
            assert all(at >= before for at in (*last_change.values(), *last_growth.values()))
            first = before
        changed = rng.sample(devices, rng.randrange(1, 4))
        grown = rng.sample(talks, rng.randrange(3))
        for each in changed:
            each.has_received = True
            last_change.setdefault(each.device_id, commit_id)
        for talk in grown:
            last_growth.setdefault(talk.conversation_id, commit_id)
        behind.note(commit_id, changed, grown, 10)
        longest = max(longest, commit_id - first + 1)
    assert 4 <= longest <= 40
    everything = behind.all()
    assert {row[-1] for row in everything.rows.received} == set(last_change)
    assert {row[-1] for row in everything.rows.grew} == set(last_growth)
    assert not behind.is_empty, "the journal still holds what is needed no longer"
    assert behind.drop_spent().before == 400
    assert behind.is_empty


def test_a_share_is_small_and_the_oldest_come_first() -> None:
    behind = WriteBack()
    behind.note(1, [device(k) for k in range(1, 1001)], [], 10)
    behind.note(2, [device(k) for k in range(1001, 2001)], [], 10)
    written: list[int] = []
    for commit_id in range(3, 60):
        due = behind.due()
        assert len(due.devices) <= 2 * 2000 / write_back.MAX_ENTRIES
        written += [each.device_id for each in due.devices]
        behind.note(commit_id, [], [], 10)
    assert written == sorted(written)
    assert len(written) > 400


def test_few_are_written_together() -> None:
    behind = WriteBack()
    behind.note(1, [device(k) for k in range(1, 6)], [], 10)
    shares = []
    for commit_id in range(2, 3 * write_back.MAX_ENTRIES):
        shares.append(len(behind.due().devices))
        behind.note(commit_id, [], [], 10)
    assert sorted(shares, reverse=True)[:2] == [5, 0]


def test_too_many_are_written_at_once() -> None:
    behind = WriteBack()
    behind.note(1, [device(k) for k in range(write_back.MAX_DIRTY + 100)], [], 10)
    assert len(behind.due().devices) == 100


def test_too_large_a_journal_is_written_off_at_once() -> None:
    behind = WriteBack()
    behind.note(1, [device(1)], [conversation(1)], write_back.MAX_BYTES)
    behind.note(2, [device(2)], [], write_back.MAX_BYTES)
    behind.note(3, [device(3)], [], 1)
    due = behind.due()
    assert {each.device_id for each in due.devices} >= {1}
    assert [row[-1] for row in due.rows.grew] == [1]
    assert behind.make_room(ALL_BYTES, 0).before >= 2


def spent(*sizes: int) -> WriteBack:
    """Give one whose tables know everything, with these entries in the journal."""
    behind = WriteBack()
    for commit_id, size_bytes in enumerate(sizes, 1):
        behind.note(commit_id, [device(commit_id)], [], size_bytes)
    behind.filed(behind.all())
    return behind


def test_spent_entries_make_room_for_a_new_one_and_no_more() -> None:
    behind = spent(10, 10, 30, 5)
    assert behind.make_room(10, 10).before == 0, "it fits into what is free"
    assert behind.make_room(15, 0).before == 3
    assert behind.make_room(25, 0).before == 4
    assert behind.make_room(25, 24).before == 5
    assert behind.make_room(25, 0).before == 0
    assert behind.is_empty


def test_a_share_of_what_is_spent_is_dropped_one_entry_at_least() -> None:
    behind = spent(10, 10, 30, 5)
    assert behind.waits_since(1), "spent entries wait to be dropped"
    assert behind.drop_spent(1).before == 2
    assert not behind.waits_since(1)
    assert behind.drop_spent(11).before == 4
    assert behind.drop_spent(1).before == 5
    assert behind.drop_spent(1).before == 0
    assert behind.is_empty


def test_a_share_ends_with_the_segments_that_fill_it() -> None:
    behind = WriteBack()
    devices = [device(k) for k in range(1, 6)]
    for each in devices:
        segment = Segment(each.account_id, each.device_id, 1, 1, b"x" * 100)
        each.waiting = (PlannedSegment(segment, {}),)
    behind.note(1, devices, [], 10)
    shares = []
    while behind.waits_since(1):
        shares.append(len(behind.since(1, Share(items=10, size_bytes=150)).devices))
        behind.drop_spent()
    assert shares == [2, 2, 1]


def test_entries_that_are_needed_make_no_room() -> None:
    behind = WriteBack()
    behind.note(1, [device(1)], [], 10)
    assert behind.make_room(ALL_BYTES, 0).before == 0
    assert behind.drop_spent().before == 0
    assert not behind.is_empty


def test_spent_entries_do_not_pile_up_where_there_is_room_anyway() -> None:
    behind = spent(*[write_back.MAX_BYTES] * 5)
    assert behind.make_room(10, ALL_BYTES).before == 4
    assert behind.make_room(10, ALL_BYTES).before == 0
    assert behind.drop_spent().before == 6
    behind = spent(*[1] * (write_back.MAX_ENTRIES + 2))
    assert behind.make_room(1, ALL_BYTES).before == 3


def test_what_is_asked_for_is_taken_out_of_turn() -> None:
    behind = WriteBack()
    behind.note(1, [device(1), device(2), device(3)], [conversation(7)], 10)
    due = behind.of([2, 99])
    assert [each.device_id for each in due.devices] == [2]
    assert behind.make_room(ALL_BYTES, 0).before == 0
    everything = behind.all()
    assert {each.device_id for each in everything.devices} == {1, 3}
    # Until the transaction has ended, nobody finds it in the table.
    assert set(behind.recent()) == {7}
    behind.filed(everything)
    assert set(behind.recent()) == set()
