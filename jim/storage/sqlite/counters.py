"""The counters of the database in memory, for `jim.core.numbering`: loaded when first asked for.

They belong to the thread that writes, and are right as long as every change goes through it and
every transaction commits. After one that failed they are worthless, and so is the store. Their
tables get to know of a change some commits later (`jim.storage.sqlite.write_back`); until then the
counters stay here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import field

from jim.core.counters import AccountView, ConversationCounters, DeviceCounters, PlannedSegment
from jim.core.model import MailboxState
from jim.storage.sqlite.packing import NO_ANSWERS, unpack_answers

if TYPE_CHECKING:
    import sqlite3

MAX_DEVICES: Final = 8192
"""Devices in memory before those are forgotten that their tables know as they are, between two
transactions. One that has sent a full window takes 8.4 kB, one that only receives 2.3 kB
(measured), so at most 70 MB. Loading one again takes 40 µs, so a server on which 15,000 devices
take turns spends 0.6 s more on each round."""

MAX_CONVERSATIONS: Final = 65_536
"""Conversations in memory, 590 bytes each, so 39 MB: eight for each device; 9 µs to load."""

_FIND_ACCOUNT: Final = "SELECT account_id, name FROM account WHERE name = ?"
_LOAD_ACCOUNT: Final = "SELECT account_id, name FROM account WHERE account_id = ?"
_OWNER: Final = "SELECT account_id FROM device WHERE device_id = ?"
_LOAD_DEVICES: Final = """
SELECT device_id, device, last_n, last_mark, answers, last_position, acked, state,
    waiting_since_ms, alone, fallback_key.device_id IS NOT NULL
FROM device JOIN sending USING (device_id) JOIN receiving USING (device_id)
LEFT JOIN fallback_key USING (device_id)
WHERE account_id = ? ORDER BY device_id
"""
_CONVERSATION: Final = """
SELECT c.conversation_id, low, high, last_seq, last_ms, l.wrote, h.wrote,
    l.delivered_seq, h.delivered_seq
FROM conversation AS c
JOIN member AS l ON l.account_id = c.low AND l.conversation_id = c.conversation_id
JOIN member AS h ON h.account_id = c.high AND h.conversation_id = c.conversation_id
"""
_FIND_CONVERSATION: Final = _CONVERSATION + "WHERE c.low = ? AND c.high = ?"
_LOAD_CONVERSATION: Final = _CONVERSATION + "WHERE c.conversation_id = ?"
_NEW_CONVERSATION: Final = (
    "INSERT INTO conversation (low, high, last_seq, last_ms) VALUES (?, ?, 0, 0)"
)
_NEW_MEMBER: Final = "INSERT OR IGNORE INTO member VALUES (?, ?, 0, 0)"  # once when low = high


class StoredDevice(DeviceCounters):
    """A device together with what the database has of it."""

    packed: bytes | None = NO_ANSWERS
    """The answers as they are stored, until somebody asks for them: then `answers` has them."""
    journaled_n: int = 0
    journaled_position: int = 0
    journaled_acked: int = 0
    """As of the last commit."""
    has_sent: bool = False
    has_received: bool = False
    """What the tables `sending` and `receiving` have is older."""
    dirty_since: int = 0
    """The first commit that its tables do not know, 0 if there is none."""
    filed: int = 0
    """Segments up to this position are in the table `mailbox`, or were."""
    waiting: tuple[PlannedSegment, ...] = ()
    """Durable segments that the table does not have, oldest first. Replaced, never changed: the
    thread that reads looks at it."""


class StoredConversation(ConversationCounters):
    """A conversation together with what the database has of it."""

    delivered: dict[int, int] = field(default_factory=dict)
    """Account to the highest sequence that one of its devices holds. Replaced, never changed: the
    thread that reads looks at it."""
    last_ms: int = 0
    """When it last grew."""
    stored_wrote: tuple[bool, bool] = (False, False)
    filed_delivered: tuple[int, ...] = ()
    """The sequences of `delivered` that the table has."""
    dirty_since: int = 0
    """The first commit that its tables do not know, 0 if there is none."""

    def deliver(self, account_id: int, seq: int) -> bool:
        """Note that the account holds everything up to `seq`; tell whether that is news."""
        if seq <= self.delivered[account_id]:
            return False
        self.delivered = {**self.delivered, account_id: seq}
        return True


class SqliteCounters:
    """The view that `plan` gets; every method must be called in the thread of the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Start empty."""
        self._connection = connection
        self._devices: dict[int, StoredDevice] = {}
        self._accounts: dict[int, AccountView] = {}
        self._names: dict[str, AccountView] = {}
        self._pairs: dict[tuple[int, int], StoredConversation] = {}
        self._conversations: dict[int, StoredConversation] = {}
        self._most_devices = MAX_DEVICES
        self._most_conversations = MAX_CONVERSATIONS

    def device(self, device_id: int) -> StoredDevice:
        """Give the counters of a device that exists, with its answers.

        Raises:
            LookupError: there is no such device.
        """
        device = self._devices.get(device_id)
        if device is None:
            row = self._connection.execute(_OWNER, (device_id,)).fetchone()
            if row is None:
                raise LookupError(f"no device {device_id}")
            self._load_account(row[0])
            device = self._devices[device_id]
        if device.packed is not None:
            # Most devices only receive; their answers would be the larger part of the memory.
            device.answers = unpack_answers(device.packed, device.last_n)
            device.packed = None
        return device

    def account(self, account_id: int) -> AccountView:
        """Give an account that exists.

        Raises:
            LookupError: there is no such account.
        """
        view = self._accounts.get(account_id)
        return view if view is not None else self._load_account(account_id)

    def find(self, name_key: str) -> AccountView | None:
        """Give the account of that normalised name, None if there is none."""
        view = self._names.get(name_key)
        if view is not None:
            return view
        row = self._connection.execute(_FIND_ACCOUNT, (name_key,)).fetchone()
        return self.account(row[0]) if row is not None else None

    def conversation(self, low: int, high: int) -> StoredConversation:
        """Give the conversation of two accounts (low ≤ high), creating it where it is missing."""
        conversation = self._pairs.get((low, high))
        if conversation is None:
            row = self._connection.execute(_FIND_CONVERSATION, (low, high)).fetchone()
            conversation = self._keep(row) if row is not None else self._create(low, high)
        return conversation

    def conversation_of(self, conversation_id: int) -> StoredConversation:
        """Give a conversation that exists."""
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            row = self._connection.execute(_LOAD_CONVERSATION, (conversation_id,)).fetchone()
            conversation = self._keep(row)
        return conversation

    def devices_of(self, account_id: int) -> list[int]:
        """Give the devices of an account that are in memory, also the revoked ones."""
        # Not from its view, which lacks those; rare enough to look at all.
        return [k for k, v in self._devices.items() if v.account_id == account_id]

    def forget(self, account_id: int) -> None:
        """Drop an account that changes otherwise than by `plan`; its tables know all about it."""
        view = self._accounts.pop(account_id, None)
        if view is not None:
            del self._names[view.name]
        for device_id in self.devices_of(account_id):
            del self._devices[device_id]

    def trim(self) -> None:
        """Forget what the tables know, if it has become too much; between transactions only."""
        if len(self._devices) > self._most_devices:
            dirty = {each.account_id for each in self._devices.values() if each.dirty_since}
            self._devices = {k: v for k, v in self._devices.items() if v.account_id in dirty}
            self._accounts = {k: v for k, v in self._accounts.items() if k in dirty}
            self._names = {v.name: v for v in self._accounts.values()}
            # Where nearly all of it has to stay, it must not be looked through at every commit.
            self._most_devices = max(MAX_DEVICES, 2 * len(self._devices))
        if len(self._conversations) > self._most_conversations:
            kept = {k: v for k, v in self._conversations.items() if v.dirty_since}
            self._conversations = kept
            self._pairs = {(v.low, v.high): v for v in kept.values()}
            self._most_conversations = max(MAX_CONVERSATIONS, 2 * len(kept))

    def waiting(self, device_id: int) -> tuple[PlannedSegment, ...]:
        """Give durable segments that the table may not have yet, oldest first; from any thread.

        Whoever reads the table too has to read it afterwards: segments only go from here to there.
        """
        device = self._devices.get(device_id)
        return device.waiting if device is not None else ()

    def _load_account(self, account_id: int) -> AccountView:
        row = self._connection.execute(_LOAD_ACCOUNT, (account_id,)).fetchone()
        if row is None:
            raise LookupError(f"no account {account_id}")
        view = AccountView(account_id, row[1], [])
        for columns in self._connection.execute(_LOAD_DEVICES, (account_id,)).fetchall():
            device = self._read_device(account_id, *columns)
            self._devices[device.device_id] = device
            if device.state is not MailboxState.REVOKED:
                view.devices.append(device)
        self._accounts[account_id] = self._names[view.name] = view
        return view

    @staticmethod
    def _read_device(
        account_id: int,
        device_id: int,
        device: str,
        last_n: int,
        last_mark: str,
        answers: bytes,
        last_position: int,
        acked: int,
        state: int,
        waiting_since_ms: int,
        alone: int,
        has_keys: int,
    ) -> StoredDevice:
        return StoredDevice(
            device_id=device_id,
            account_id=account_id,
            device=device,
            last_n=last_n,
            last_mark=last_mark,
            last_position=last_position,
            acked=acked,
            state=MailboxState(state),
            waiting_since_ms=waiting_since_ms,
            alone=alone,
            has_keys=bool(has_keys),
            packed=answers,
            journaled_n=last_n,
            journaled_position=last_position,
            journaled_acked=acked,
            filed=last_position,
        )

    def _create(self, low: int, high: int) -> StoredConversation:
        cursor = self._connection.execute(_NEW_CONVERSATION, (low, high))
        conversation_id = cursor.lastrowid or 0  # never None after an INSERT
        self._connection.executemany(_NEW_MEMBER, [(low, conversation_id), (high, conversation_id)])
        return self._keep((conversation_id, low, high, 0, 0, False, False, 0, 0))

    def _keep(self, row: tuple[int, ...]) -> StoredConversation:
        conversation_id, low, high, last_seq, last_ms, low_wrote, high_wrote, *seqs = row
        wrote = (bool(low_wrote), bool(high_wrote))
        delivered = {low: seqs[0], high: seqs[1]}
        conversation = StoredConversation(
            conversation_id,
            low,
            high,
            last_seq,
            *wrote,
            delivered=delivered,
            last_ms=last_ms,
            stored_wrote=wrote,
            filed_delivered=tuple(delivered.values()),
        )
        self._pairs[low, high] = self._conversations[conversation.conversation_id] = conversation
        return conversation
