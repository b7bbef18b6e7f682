"""The counters of the database in memory, for `jim.core.numbering`: loaded when first asked for.

They belong to the thread that writes, and are right as long as every change goes through it and
every transaction commits. After one that failed they are worthless, and so is the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import field

from jim.core.model import MailboxState
from jim.core.numbering import AccountView, ConversationCounters, DeviceCounters
from jim.storage.sqlite.packing import NO_ANSWERS, unpack_answers

if TYPE_CHECKING:
    import sqlite3

MAX_DEVICES: Final = 8192
"""Devices in memory before all is forgotten between two transactions. One that has sent a full
window takes 8.4 kB, one that only receives 2.3 kB (measured), so at most 70 MB. Loading one again
takes 40 µs, so a server on which 15,000 devices take turns spends 0.6 s more on each round."""

MAX_CONVERSATIONS: Final = 65_536
"""Conversations in memory, 590 bytes each, so 39 MB: eight for each device; 9 µs to load."""

_FIND_ACCOUNT: Final = "SELECT account_id, name FROM account WHERE name = ?"
_LOAD_ACCOUNT: Final = "SELECT account_id, name FROM account WHERE account_id = ?"
_OWNER: Final = "SELECT account_id FROM device WHERE device_id = ?"
_LOAD_DEVICES: Final = """
SELECT device_id, device, last_n, last_mark, answers, last_position, acked, state, waiting_since_ms
FROM device JOIN sending USING (device_id) JOIN receiving USING (device_id)
WHERE account_id = ? ORDER BY device_id
"""
_CONVERSATION: Final = """
SELECT c.conversation_id, low, high, last_seq, l.wrote, h.wrote, l.delivered_seq, h.delivered_seq
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
    stored_n: int = 0
    stored_position: int = 0
    stored_acked: int = 0


class StoredConversation(ConversationCounters):
    """A conversation together with what the database has of it."""

    delivered: dict[int, int] = field(default_factory=dict)
    """Account to the highest sequence that one of its devices holds."""
    stored_wrote: tuple[bool, bool] = (False, False)

    def deliver(self, account_id: int, seq: int) -> bool:
        """Note that the account holds everything up to `seq`; tell whether that is news."""
        if seq <= self.delivered[account_id]:
            return False
        self.delivered[account_id] = seq
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

    def forget(self, account_id: int) -> None:
        """Drop an account that has changed otherwise than by `plan`; between transactions only."""
        view = self._accounts.pop(account_id, None)
        if view is not None:
            del self._names[view.name]
            # Not from the view, which has no revoked devices; rare enough to look at all.
            for device in list(self._devices.values()):
                if device.account_id == account_id:
                    del self._devices[device.device_id]

    def trim(self) -> None:
        """Forget everything if it has become too much; between transactions only."""
        if len(self._devices) > MAX_DEVICES:
            self._devices.clear()
            self._accounts.clear()
            self._names.clear()
        if len(self._conversations) > MAX_CONVERSATIONS:
            self._pairs.clear()
            self._conversations.clear()

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
            packed=answers,
            stored_n=last_n,
            stored_position=last_position,
            stored_acked=acked,
        )

    def _create(self, low: int, high: int) -> StoredConversation:
        cursor = self._connection.execute(_NEW_CONVERSATION, (low, high))
        conversation_id = cursor.lastrowid or 0  # never None after an INSERT
        self._connection.executemany(_NEW_MEMBER, [(low, conversation_id), (high, conversation_id)])
        return self._keep((conversation_id, low, high, 0, False, False, 0, 0))

    def _keep(self, row: tuple[int, ...]) -> StoredConversation:
        conversation_id, low, high, last_seq, low_wrote, high_wrote, low_seq, high_seq = row
        wrote = (bool(low_wrote), bool(high_wrote))
        conversation = StoredConversation(
            conversation_id,
            low,
            high,
            last_seq,
            *wrote,
            delivered={low: low_seq, high: high_seq},
            stored_wrote=wrote,
        )
        self._pairs[low, high] = self._conversations[conversation.conversation_id] = conversation
        return conversation
