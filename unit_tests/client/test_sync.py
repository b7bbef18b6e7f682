# long module: one suite for the decisions of the client
"""The decisions of the client under thousands of schedules, and the ones worth a name of their own.

A failing seed is printed; `World(seed, faults).run(STEPS)` repeats it exactly.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jim.client import sync
from jim.errors import DevicesChanged, MailboxFull, NumberGap, RecipientUnknown, WindowExceeded
from unit_tests.client.world import Faults, World

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = int(os.environ.get("JIM_TEST_SEEDS", "1500"))
"""Schedules of each kind; a release is tested with a million (reliability.md)."""

STEPS = 150

SCENARIOS = {
    "everyday faults": Faults(),
    "many crashes": Faults(crash=12, lose=12, server_crash=8),
    "nothing fails": Faults(crash=0, lose=0, server_crash=0, drop_frame=0),
    "client restored from a backup": Faults(client_backup=True),
    "client restored, server without marks": Faults(
        client_backup=True, refusals=False, marks=False
    ),
    "server restored from a backup": Faults(server_backup=True, drop_frame=0),
    "keys are missing": Faults(keys_missing=0.5),
    "devices come and go": Faults(devices=4, keys_missing=0.1, crash=6, lose=8),
}


@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_every_message_is_stored_once_or_visibly_failed(faults: Faults) -> None:
    stored = failed = received = 0
    for seed in range(SEEDS):
        world = World(seed, faults)
        try:
            world.run(STEPS)
            world.check()
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
        states = [kept.state for kept in world.client.store.messages]
        stored += states.count("stored")
        failed += sum(state != "stored" for state in states)
        received += len(world.client.store.inbox)
    assert min(stored, failed, received) > SEEDS // 2, (
        "a run in which nothing happens proves nothing"
    )


def test_it_is_pure() -> None:
    forbidden = {
        *("asyncio", "datetime", "logging", "os", "random", "secrets", "socket", "sqlite3"),
        *("ssl", "threading", "time"),
    }
    sources = list(Path(sync.__file__).parent.glob("*.py"))
    assert len(sources) > 1
    for source in sources:
        imported = {name.split(".")[0] for name in imports(ast.parse(source.read_text("utf-8")))}
        assert not imported & forbidden, source


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


# --- the outbox -----------------------------------------------------------------------------------


def row(message_id: int, text: str, *, released: bool = False, **more: Any) -> sync.Row:
    """Make a row; one that was released has been sealed."""
    payload = sync.Payload(None, text) if released else None
    return sync.Row(message_id, "bob", payload, released=released, **more)


def sealed(*message_ids: int) -> dict[int, sync.Payload]:
    return {i: sync.Payload(None, f"text {i}") for i in message_ids}


def rows(count: int, *, released: bool = True) -> list[sync.Row]:
    return [row(i, f"text {i}", released=released) for i in range(1, count + 1)]


def sent(effects: list[sync.OutboxEffect]) -> list[tuple[int, str]]:
    return [(e.n, e.payload.text) for e in effects if isinstance(e, sync.Transmit)]


def test_nothing_goes_out_before_it_is_released_and_not_more_than_the_window() -> None:
    outbox = sync.Outbox(0, rows(5, released=False), window=3)
    assert outbox.welcomed(0) == [sync.Seal([1, 2, 3])]
    done = outbox.sealed(sealed(1, 2, 3))
    assert sent(done) == [(1, "text 1"), (2, "text 2"), (3, "text 3")]
    assert outbox.stored(1, 1, 7, 99) == [sync.Confirm(1, 1, 7, 99), sync.Seal([4])]


def test_a_message_written_while_nothing_waits_needs_no_release() -> None:
    outbox = sync.Outbox(0, [], window=3)
    before = outbox.sends_at_once
    outbox.welcomed(0)
    assert (before, outbox.sends_at_once) == (False, True)
    assert sent(outbox.queued(rows(1))) == [(1, "text 1")]


def test_a_refusal_in_the_middle_moves_the_later_messages_up_once_that_is_durable() -> None:
    outbox = sync.Outbox(0, rows(4), window=8)
    outbox.welcomed(0)
    assert outbox.stored(1, 1, 1, 1) == [sync.Confirm(1, 1, 1, 1)]
    assert outbox.refused(2, RecipientUnknown()) == [sync.Refuse(2, "recipient_unknown")]
    assert outbox.refused(3, NumberGap(expected=2)) == []
    assert outbox.queued([row(5, "text 5", released=True)]) == []
    assert outbox.done() == [], "an answer is still missing"
    assert not outbox.sends_at_once
    again = outbox.refused(4, NumberGap(expected=2))
    assert sent(again) == [(2, "text 3"), (3, "text 4"), (4, "text 5")]


def test_a_stale_answer_of_an_older_connection_changes_nothing() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    outbox.welcomed(0)
    outbox.disconnected()
    assert outbox.stored(1, 1, 1, 1) == []
    assert outbox.refused(2, RecipientUnknown()) == []
    assert outbox.highest == 2


def test_what_the_server_has_already_is_sent_again_for_its_answer() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    assert sent(outbox.welcomed(last_n=2)) == [(1, "text 1"), (2, "text 2")]
    assert outbox.stored(1, 1, 5, 50) == [sync.Confirm(1, 1, 5, 50)]


def test_an_answer_that_the_server_has_forgotten_leaves_the_place_unknown() -> None:
    outbox = sync.Outbox(0, rows(1), window=8)
    outbox.welcomed(last_n=1)
    assert outbox.refused(1, NumberGap(expected=2)) == [sync.Confirm(1, 1, 0, 0)]


def test_numbers_that_nobody_here_used_fail_what_may_have_been_sent() -> None:
    outbox = sync.Outbox(3, rows(1), window=8)
    fresh = row(2, "typed just now", fresh=True)
    outbox.queued([fresh])
    assert outbox.welcomed(last_n=9) == [sync.Restart(9, [1])]
    assert outbox.done() == [sync.Seal([2])]
    assert sent(outbox.sealed(sealed(2))) == [(10, "text 2")]


def test_what_another_life_of_the_store_may_have_sent_is_not_sent_again() -> None:
    outbox = sync.Outbox(0, [], window=8)
    outbox.welcomed(0)
    outbox.queued([row(1, "sent", released=True, fresh=True)])
    outbox.disconnected()
    assert outbox.welcomed(last_n=5) == [sync.Restart(5, [1])]
    assert outbox.done() == []


def test_a_stored_number_of_a_message_that_was_never_sent_is_no_confirmation() -> None:
    waiting = [row(i, f"text {i}", fresh=True) for i in (1, 2, 3)]
    outbox = sync.Outbox(0, waiting, window=8)
    assert outbox.welcomed(last_n=2) == [sync.Restart(2, [])]


def marked(count: int) -> list[sync.Row]:
    return [row(i, f"text {i}", released=True, mark=f"m{i}") for i in range(1, count + 1)]


def test_a_message_goes_out_with_its_mark() -> None:
    outbox = sync.Outbox(0, marked(2), window=8)
    effects = outbox.welcomed(0)
    assert [e.mark for e in effects if isinstance(e, sync.Transmit)] == ["m1", "m2"]


def test_a_number_that_another_message_has_got_is_no_confirmation() -> None:
    """Of a restored store whose first message was refused since: the second one moved up."""
    outbox = sync.Outbox(0, marked(2), window=8)
    assert outbox.welcomed(1, "m2") == [sync.Restart(1, [1, 2])]
    assert outbox.done() == []


@pytest.mark.parametrize("last_n", [3, 4, 5])
def test_the_mark_of_the_last_number_vouches_for_all_before_it(last_n: int) -> None:
    outbox = sync.Outbox(3, marked(2), window=8)
    effects = outbox.welcomed(last_n, {3: "confirmed", 4: "m1", 5: "m2"}[last_n])
    assert sent(effects) == [(4, "text 1"), (5, "text 2")]


def test_without_a_mark_the_server_is_believed() -> None:
    outbox = sync.Outbox(0, marked(2), window=8)
    assert sent(outbox.welcomed(1, "")) == [(1, "text 1"), (2, "text 2")]


def test_the_right_mark_does_not_vouch_for_what_was_never_sent() -> None:
    waiting = [row(i, f"text {i}", mark=f"m{i}", fresh=True) for i in (1, 2)]
    outbox = sync.Outbox(0, waiting, window=8)
    assert outbox.welcomed(2, "m2") == [sync.Restart(2, [])]


def test_a_server_that_lost_messages_gets_them_again_under_their_numbers() -> None:
    outbox = sync.Outbox(5, [row(9, "new", released=True)], window=8)
    assert outbox.welcomed(last_n=3) == [sync.Requeue(3)]
    lost = [row(4, "four", released=True), row(5, "five", released=True)]
    assert sent(outbox.requeued(lost)) == [(4, "four"), (5, "five"), (6, "new")]


def test_only_what_was_never_sent_can_be_taken_back() -> None:
    outbox = sync.Outbox(0, [*rows(1), row(2, "waits")], window=8)
    assert outbox.cancel(1, "cancelled") == []
    assert outbox.cancel(3, "cancelled") == []
    assert outbox.cancel(2, "cancelled") == [sync.Refuse(2, "cancelled")]
    assert outbox.highest == 1
    assert not outbox.sends_at_once


def test_a_message_that_is_being_released_can_no_longer_be_taken_back() -> None:
    outbox = sync.Outbox(0, rows(1, released=False), window=8)
    assert outbox.welcomed(0) == [sync.Seal([1])]
    assert outbox.cancel(1, "cancelled") == []


def ciphered(message_id: int, version: int = 1) -> sync.Payload:
    return sync.Payload({"d": f"{message_id}.{version}"})


def texts(effects: list[sync.OutboxEffect]) -> list[str]:
    found = [e.payload.ciphertexts for e in effects if isinstance(e, sync.Transmit)]
    return [each["d"] for each in found if each is not None]


def test_what_is_sealed_for_other_devices_is_sealed_anew_once_every_answer_is_there() -> None:
    waiting = [sync.Row(i, "bob", ciphered(i), released=True) for i in (1, 2, 3)]
    outbox = sync.Outbox(0, waiting, window=8)
    assert texts(outbox.welcomed(0)) == ["1.1", "2.1", "3.1"]
    assert outbox.stored(1, 1, 1, 1) == [sync.Confirm(1, 1, 1, 1)]
    assert outbox.refused(2, DevicesChanged()) == []
    assert outbox.refused(3, NumberGap(expected=2)) == [sync.Seal([2, 3], [2, 3])]
    again = outbox.sealed({2: ciphered(2, 2), 3: ciphered(3, 2)})
    assert texts(again) == ["2.2", "3.2"]


def test_what_may_have_been_stored_after_all_goes_out_as_it_was() -> None:
    """The connection ends before every answer: nobody knows, so nothing is sealed anew."""
    outbox = sync.Outbox(0, [sync.Row(1, "bob", ciphered(1), released=True)], window=8)
    outbox.queued([sync.Row(2, "bob", ciphered(2), released=True)])
    outbox.welcomed(0)
    assert outbox.refused(1, DevicesChanged()) == []
    outbox.disconnected()
    assert texts(outbox.welcomed(0)) == ["1.1", "2.1"]


def test_what_can_never_be_sealed_fails_and_the_rest_goes_on() -> None:
    outbox = sync.Outbox(0, rows(3, released=False), window=8)
    outbox.welcomed(0)
    assert outbox.sealed(sealed(2, 3), {1: "no_keys"}) == [sync.Refuse(1, "no_keys")]
    assert sent(outbox.done()) == [(1, "text 2"), (2, "text 3")]


def test_what_cannot_be_sealed_now_waits_for_the_next_connection_or_a_retry() -> None:
    outbox = sync.Outbox(0, rows(2, released=False), window=8)
    outbox.welcomed(0)
    assert sent(outbox.sealed(sealed(1))) == [(1, "text 1")]
    assert outbox.sealed({}) == [], "not again and again"
    assert outbox.retry() == [sync.Seal([2])]
    outbox.sealed({})
    assert outbox.cancel(2, "cancelled") == [sync.Refuse(2, "cancelled")]
    outbox.done()
    outbox.queued(rows(3, released=False)[2:])
    outbox.disconnected()
    assert sync.Seal([3]) in outbox.welcomed(0)


def test_a_full_mailbox_fails_the_message_although_trying_again_later_may_help() -> None:
    outbox = sync.Outbox(0, rows(1), window=8)
    outbox.welcomed(0)
    assert outbox.refused(1, MailboxFull()) == [sync.Refuse(1, "mailbox_full")]


def test_what_is_behind_a_refused_message_is_sealed_anew() -> None:
    """What it is sealed as does not say yet that nothing comes with the counts of the first."""
    payloads = {number: ciphered(number) for number in (1, 2)}
    waiting = [sync.Row(number, "bob", payloads[number], released=True) for number in (1, 2)]
    outbox = sync.Outbox(0, waiting, window=8)
    outbox.welcomed(0)
    assert outbox.refused(1, MailboxFull()) == [sync.Refuse(1, "mailbox_full")]
    assert outbox.done() == []
    assert outbox.refused(2, NumberGap(expected=1)) == [sync.Seal([2])]


def test_what_is_being_sealed_behind_a_refused_message_is_sealed_anew() -> None:
    """The store lets go of it with the refusal, whichever of the two comes first there."""
    outbox = sync.Outbox(0, [sync.Row(1, "bob", ciphered(1), released=True)], window=8)
    outbox.welcomed(0)
    assert outbox.queued(rows(2, released=False)[1:]) == [sync.Seal([2])]
    assert outbox.refused(1, MailboxFull()) == [sync.Refuse(1, "mailbox_full")]
    assert outbox.sealed({2: ciphered(2)}) == []
    assert outbox.done() == [sync.Seal([2])]
    assert texts(outbox.sealed({2: ciphered(2, 2)})) == ["2.2"]


def test_a_server_that_refuses_for_ever_is_given_up_until_the_next_welcome() -> None:
    outbox = sync.Outbox(0, rows(1), window=8)
    request, effects = 1, outbox.welcomed(0)
    for _ in range(sync.MAX_FRUITLESS):
        effects = outbox.refused(request, WindowExceeded())
        assert sent(effects) == [(1, "text 1")]
        request += 1
    (last,) = outbox.refused(request, WindowExceeded())
    assert isinstance(last, sync.Disconnect)


def test_what_is_refused_for_its_devices_for_ever_fails_and_the_next_one_goes_on() -> None:
    sealed = sync.Payload({"d" * 16: "1msealed"})
    outbox = sync.Outbox(0, rows(2), window=1)
    request = 1
    outbox.welcomed(0)
    outbox.rows[0].payload = sealed
    for _ in range(sync.MAX_FRUITLESS):
        (seal,) = outbox.refused(request, DevicesChanged())
        assert seal == sync.Seal([1], [1])
        outbox.sealed({1: sealed})
        request += 1
    assert outbox.refused(request, DevicesChanged()) == [sync.Refuse(1, "devices_changed")]
    assert sent(outbox.done()) == [(1, "text 2")]


def test_nothing_new_goes_out_while_answers_to_the_old_are_missing() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    outbox.welcomed(0)
    assert outbox.refused(1, WindowExceeded()) == []
    assert outbox.queued([row(3, "text 3", released=True)]) == []
    assert sent(outbox.refused(2, NumberGap(expected=1))) == [(n, f"text {n}") for n in (1, 2, 3)]


def test_progress_between_two_refusals_counts() -> None:
    outbox = sync.Outbox(0, rows(9), window=1)
    outbox.welcomed(0)
    for n in range(1, 9):
        assert sent(outbox.refused(2 * n - 1, WindowExceeded())) == [(n, f"text {n}")]
        confirmed, *_ = outbox.stored(2 * n, n, 1, 1)
        assert confirmed == sync.Confirm(n, n, 1, 1)


def test_a_forgotten_answer_counts_only_for_the_first_message_that_waits() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    outbox.welcomed(0)
    assert outbox.refused(2, NumberGap(expected=3)) == []


def test_a_confirmation_under_a_number_that_the_message_no_longer_has_is_not_believed() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    outbox.welcomed(0)
    outbox.refused(1, RecipientUnknown())
    (effect,) = outbox.stored(2, 2, 1, 1)
    assert isinstance(effect, sync.Disconnect)


@pytest.mark.parametrize("expected", [3, 4, None])
def test_a_server_that_stands_before_what_it_confirmed_is_asked_anew(expected: int | None) -> None:
    outbox = sync.Outbox(4, rows(1), window=8)
    outbox.welcomed(4)
    error = NumberGap() if expected is None else NumberGap(expected=expected)
    (effect,) = outbox.refused(1, error)
    assert isinstance(effect, sync.Disconnect)


def test_a_confirmation_out_of_order_is_not_believed() -> None:
    outbox = sync.Outbox(0, rows(2), window=8)
    outbox.welcomed(0)
    (effect,) = outbox.stored(2, 2, 1, 1)
    assert isinstance(effect, sync.Disconnect)
    outbox.disconnected()
    outbox.welcomed(0)
    (effect,) = outbox.stored(3, 5, 1, 1)
    assert isinstance(effect, sync.Disconnect)


# --- the inbox ------------------------------------------------------------------------------------


def test_frames_are_kept_in_order_dropped_when_known_and_fetched_when_missing() -> None:
    inbox = sync.Inbox("e", 3)
    assert inbox.welcomed("e", 9, 3, "behind") == [sync.AskFrom(3)]
    inbox.answered()
    assert inbox.frame(3) == (sync.Decision.DROP, [])
    assert inbox.frame(4) == (sync.Decision.KEEP, [])
    assert inbox.frame(4) == (sync.Decision.DROP, [])
    assert inbox.frame(6) == (sync.Decision.DROP, []), "4 is not durable yet"
    assert inbox.stored(4) == [sync.AskFrom(4)]
    assert inbox.frame(7) == (sync.Decision.DROP, [])
    assert inbox.frame(5) == (sync.Decision.KEEP, [])
    assert inbox.stored(5) == [sync.Acknowledge(5)]
    assert inbox.stored(5) == []


def test_a_gap_is_fetched_when_everything_before_it_is_durable() -> None:
    inbox = sync.Inbox("e", 3)
    inbox.welcomed("e", 9, 3, "behind")
    inbox.answered()
    for position in (4, 5, 7):
        inbox.frame(position)
    assert inbox.stored(4) == [sync.Acknowledge(4)]
    assert inbox.stored(5) == [sync.AskFrom(5)]


def test_a_gap_that_stays_ends_the_connection() -> None:
    inbox = sync.Inbox("e", 0)
    inbox.welcomed("e", 9, 0, "behind")
    for _ in range(sync.MAX_FRUITLESS):
        inbox.answered()
        assert inbox.frame(5) == (sync.Decision.DROP, [sync.AskFrom(0)])
    inbox.answered()
    _, (effect,) = inbox.frame(5)
    assert isinstance(effect, sync.Disconnect)


@pytest.mark.parametrize(
    ("epoch", "cursor", "position", "acked", "expected"),
    [
        ("", 0, 0, 0, [sync.MoveCursor("e", 0), sync.AskFrom(0)]),
        ("e", 5, 5, 5, [sync.AskFrom(5)]),
        ("e", 5, 9, 4, [sync.AskFrom(5)]),
        ("e", 5, 4, 2, [sync.MoveCursor("e", 2), sync.AskFrom(2)]),
        ("old", 5, 9, 3, [sync.MoveCursor("e", 3), sync.AskFrom(3)]),
        ("e", 5, 9, 7, [sync.Missing("behind"), sync.MoveCursor("e", 7), sync.AskFrom(7)]),
        ("old", 5, 9, 7, [sync.Missing("behind"), sync.MoveCursor("e", 7), sync.AskFrom(7)]),
    ],
)
def test_where_to_go_on(
    epoch: str, cursor: int, position: int, acked: int, expected: list[sync.InboxEffect]
) -> None:
    inbox = sync.Inbox(epoch, cursor)
    assert inbox.welcomed("e", position, acked, "behind") == expected
    assert inbox.epoch == "e"
