"""The transaction of a batch: number it, note in the journal what it did, file a share."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from jim.core.counters import delivered_up_to
from jim.core.inheritance import inherit
from jim.core.model import Committed, DeliveredUpTo
from jim.core.numbering import plan
from jim.storage.sqlite import files, journal
from jim.storage.sqlite.failures import transaction
from jim.storage.sqlite.packing import pack_answers, unpack_marks
from jim.storage.sqlite.tables import Rows, received_row, segment_row
from jim.storage.sqlite.write_back import Share, WriteBack

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from jim.core.counters import PlannedSegment
    from jim.core.limits import Limits
    from jim.core.model import Batch
    from jim.core.numbering import Plan
    from jim.storage.sqlite.counters import SqliteCounters, StoredConversation, StoredDevice
    from jim.storage.sqlite.write_back import Dropped, Due, Recent

AT_ONCE: Final = Share(items=256, size_bytes=2 * 1024 * 1024)
"""What a commit that comes meanwhile waits for: 256 devices and conversations take 3 ms here. The
bytes bound what large messages add, in segments and in entries to fill with zeros: without them a
settle of 39 MB took 115 ms."""

_DROP_SEGMENTS: Final = """
DELETE FROM mailbox WHERE device_id = ? AND first_position <= ? AND last_position <= ?
RETURNING marks
"""
_WAITING: Final = """
SELECT acked, frames FROM mailbox JOIN receiving USING (device_id)
WHERE device_id = ? ORDER BY first_position
"""
_WROTE: Final = "UPDATE member SET wrote = 1 WHERE account_id = ? AND conversation_id = ?"


class BatchWriter:
    """Commits batches on one connection; belongs to the thread of that connection."""

    def __init__(self, connection: sqlite3.Connection, counters: SqliteCounters) -> None:
        """Take the writing connection, whose journal is empty, and its counters."""
        self._connection = connection
        self._counters = counters
        self._write_back = WriteBack()
        self._last_commit = 0
        self._page_bytes = files.page_bytes(connection)
        self._logged_bytes = 0

    @property
    def last_commit(self) -> int:
        """The number of the last commit that changed anything, counted from the opening."""
        return self._last_commit

    @property
    def logged_bytes(self) -> int:
        """About how much the log has got since it was moved, pages of counters apart."""
        return self._logged_bytes

    @property
    def is_settled(self) -> bool:
        """Whether the tables know everything."""
        return self._write_back.is_empty

    def commit(self, batch: Batch, limits: Limits, now_ms: int) -> Committed:
        """Store a batch durably; whatever is raised, nothing of it is stored.

        After an exception the counters no longer match the database.
        """
        self._counters.trim()
        commit_id = self._last_commit + 1
        due = self._write_back.due()
        with transaction(self._connection):
            due.rows.write(self._connection)
            planned = plan(batch, self._counters, limits, now_ms)
            devices: list[StoredDevice] = list(planned.devices.values())  # type: ignore[arg-type]
            talks: list[StoredConversation] = list(planned.conversations.values())  # type: ignore[arg-type]
            self._note_writers(talks)
            delivered, held = self._deliver(self._collect(planned))
            for conversation in talks:
                conversation.last_ms = now_ms
            size_bytes = 0
            if devices or held:
                body = journal.encode(_entry(planned, devices, held, now_ms))
                size_bytes = len(body)
                dropped = self._write_back.make_room(size_bytes, self._free_bytes())
                self._drop(dropped)
                journal.append(self._connection, commit_id, body)
                # Of what is dropped, as much as fits gets the new entry, and is written once.
                self._logged_bytes += max(0, size_bytes - dropped.size_bytes)
        self._write_back.filed(due)
        self._logged_bytes += due.rows.size_bytes
        if size_bytes:
            self._last_commit = commit_id
            self._keep_waiting(planned.segments, devices)
            talks += [self._counters.conversation_of(each[-1]) for each in held]
            self._write_back.note(commit_id, devices, talks, size_bytes)
        segments = [each.segment for each in planned.segments]
        return Committed(planned.answers, segments, delivered)

    def move_log(self) -> None:
        """Move what the log has into the database, and begin to count anew."""
        self._logged_bytes = 0
        files.move_log(self._connection)

    def settle(self) -> None:
        """Write everything into the tables and empty the journal, as a transaction of its own."""
        self._settle(self._write_back.all())

    def settle_some(self, commit_id: int) -> bool:
        """Write into the tables some of what they lack since this commit or longer.

        Gives whether more of that is left.
        """
        self._settle(self._write_back.since(commit_id, AT_ONCE), AT_ONCE.size_bytes)
        return self._write_back.waits_since(commit_id)

    def settle_account(self, account_id: int) -> None:
        """Let the tables know everything about the devices of an account, and forget them."""
        self._settle(self._write_back.of(self._counters.devices_of(account_id)))
        self._counters.forget(account_id)

    def hand_over(self, account_id: int, device_id: int, limits: Limits, now_ms: int) -> None:
        """Put what waits for an account into the mailbox of its new device.

        Runs in the transaction that adds the device; the account has to be settled before it, and
        forgotten behind it.
        """
        account = self._counters.account(account_id)
        heir = self._counters.device(device_id)
        waiting: list[tuple[int, bytes]] = []
        for device in account.devices:
            waiting += self._connection.execute(_WAITING, (device.device_id,)).fetchall()
        segments = inherit(heir, account, waiting, self._counters, limits, now_ms)
        rows = Rows(received=[received_row(heir)], segments=[segment_row(s) for s in segments])
        rows.write(self._connection)

    def recent(self) -> dict[int, Recent]:
        """Give the conversations that the tables may not know as they are; from any thread.

        Whoever reads the tables too has to read them afterwards.
        """
        return self._write_back.recent()

    def _settle(self, due: Due, most_bytes: float = inf) -> None:
        """Write into the tables, and drop what the journal needs no longer, as a transaction."""
        spent = self._write_back.drop_spent(most_bytes)
        if spent.before or not due.is_empty:
            with transaction(self._connection):
                due.rows.write(self._connection)
                self._drop(spent)
            self._write_back.filed(due)
            self._logged_bytes += due.rows.size_bytes

    def _free_bytes(self) -> int:
        """Give how much fits into the pages that are not in use, and one that is begun."""
        (pages,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int((pages + 1) * self._page_bytes)

    def _drop(self, dropped: Dropped) -> None:
        """Drop entries of the journal, inside a transaction: they are filled with zeros."""
        if dropped.before:
            journal.forget(self._connection, dropped.before)
            self._logged_bytes += dropped.size_bytes

    @staticmethod
    def _keep_waiting(segments: Iterable[PlannedSegment], devices: Iterable[StoredDevice]) -> None:
        """Note what only the journal has, without what has been confirmed."""
        added: dict[int, list[PlannedSegment]] = {}
        for each in segments:
            added.setdefault(each.segment.device_id, []).append(each)
        for device in devices:
            kept = [each for each in device.waiting if each.segment.last > device.acked]
            device.waiting = (*kept, *added.get(device.device_id, ()))

    def _collect(self, planned: Plan) -> dict[tuple[int, int], int]:
        """Delete the segments that are wholly confirmed.

        Gives up to which sequence an account, the first key, holds a conversation, the second one.
        """
        seen: dict[tuple[int, int], int] = {}
        for device_id, position in planned.collected.items():
            device = self._counters.device(device_id)
            collected: list[dict[int, int]] = []
            if device.journaled_acked < device.filed:
                dropped = self._connection.execute(_DROP_SEGMENTS, (device_id, position, position))
                collected += [unpack_marks(packed) for (packed,) in dropped.fetchall()]
            collected += [
                each.marks
                for each in device.waiting
                if device.filed < each.segment.last <= position
            ]
            for marks in collected:
                for conversation_id, seq in marks.items():
                    key = (device.account_id, conversation_id)
                    seen[key] = max(seq, seen.get(key, 0))
        return seen

    def _deliver(
        self, seen: dict[tuple[int, int], int]
    ) -> tuple[list[DeliveredUpTo], list[tuple[int, int, int]]]:
        """Note what accounts hold; give what others should hear of it, and the journal."""
        news = []
        held = []
        for (account_id, conversation_id), seq in seen.items():
            conversation = self._counters.conversation_of(conversation_id)
            if conversation.deliver(account_id, seq):
                held.append((seq, account_id, conversation_id))
                by = self._counters.account(account_id)
                news.append(delivered_up_to(conversation, by, seq))
        return news, held

    def _note_writers(self, conversations: Iterable[StoredConversation]) -> None:
        """Write who wrote for the first time into the table at once: that is rare."""
        rows = _wrote(conversations)
        if rows:
            self._connection.executemany(_WROTE, rows)


def _entry(
    planned: Plan,
    devices: Iterable[StoredDevice],
    held: list[tuple[int, int, int]],
    now_ms: int,
) -> journal.Entry:
    """Give what a commit has changed; the devices are noted as journaled."""
    sent: list[journal.Sent] = []
    received: list[journal.Received] = []
    for device in devices:
        device_id = device.device_id
        position, acked = device.last_position, device.acked
        if device.last_n != device.journaled_n:
            after_n, last_n = device.journaled_n, device.last_n
            answers = _answers_after(device, after_n)
            mark, alone = device.last_mark, device.alone
            sent.append(journal.Sent(device_id, after_n, last_n, mark, answers, alone))
            device.journaled_n, device.has_sent = last_n, True
        if position != device.journaled_position or acked != device.journaled_acked:
            state, since_ms = int(device.state), device.waiting_since_ms
            received.append(journal.Received(device_id, position, acked, state, since_ms))
            device.journaled_position, device.journaled_acked = position, acked
            device.has_received = True
    added = []
    for each in planned.segments:
        segment = each.segment
        first, last = segment.first, segment.last
        added.append(journal.Added(segment.device_id, first, last, segment.frames, each.marks))
    grew = [(c.conversation_id, c.last_seq) for c in planned.conversations.values()]
    return journal.Entry(now_ms, sent, received, added, grew, held)


def _answers_after(device: StoredDevice, n: int) -> bytes:
    """Pack the answers to later numbers."""
    answers = []
    for answer in reversed(device.answers):
        if answer.n <= n:
            break
        answers.append(answer)
    answers.reverse()
    return pack_answers(answers)


def _wrote(conversations: Iterable[StoredConversation]) -> list[tuple[int, int]]:
    """Give the members who wrote for the first time, and note them as stored."""
    rows = []
    for conversation in conversations:
        wrote = (conversation.low_wrote, conversation.high_wrote)
        if wrote != conversation.stored_wrote:
            conversation.stored_wrote = wrote
            sides = (conversation.low, conversation.high)
            rows += [
                (account_id, conversation.conversation_id)
                for account_id, has in zip(sides, wrote, strict=True)
                if has
            ]
    return rows
