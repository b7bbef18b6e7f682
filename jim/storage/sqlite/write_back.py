"""What the tables do not know yet, and when they are told: bit by bit, the oldest first.

A commit changes counters in memory and says so in the journal. Each later commit writes a share of
them into their tables, so that the journal stays short and no commit has to do much more than the
others. An entry of the journal is spent once everything that it changed has been written. It is
dropped when a new one needs its place: a page that is freed and used again in one transaction is
written once, while one that is only freed is written for that alone, with zeros.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from msgspec import Struct

from jim.storage.sqlite.counters import StoredConversation, StoredDevice
from jim.storage.sqlite.packing import pack_answers
from jim.storage.sqlite.tables import Rows, received_row, segment_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ENTRIES: Final = 128
"""The journal's length that is aimed at: a busy counter is then written once in so many commits,
which makes its cost disappear in theirs."""

MAX_BYTES: Final = 32 * 1024 * 1024
"""The size that is aimed at of what is needed of the journal. At twice as much, what the oldest
entries are needed for is written at once. A commit of 50 windows of 16 messages of 16 kB has 13 MB,
and is confirmed by the end of the next one: with 8 MiB, all of it went into the tables before, and
there were 4.5 k of these messages a second instead of 6.6 k. Twice as much again brought a tenth
more. A journal of 36 MB is replayed in 0.3 s."""

MAX_DIRTY: Final = 4096
"""Devices that wait at most, half of those in memory (`counters.MAX_DEVICES`); conversations too.
With more, each commit writes as many as it adds."""

MIN_SHARE: Final = 8
"""Counters written together at least: a statement costs as much as a row or two."""

T = TypeVar("T", StoredDevice, StoredConversation)


class Due(Struct):
    """What has to be written in the next transaction."""

    rows: Rows
    devices: list[StoredDevice]
    """Their segments are in `rows`, and still in `waiting` until the transaction has ended."""
    conversations: list[StoredConversation]
    """Likewise still in `WriteBack.recent`."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.devices and not self.conversations


class Recent(NamedTuple):
    """A conversation as of the last commit, which its tables do not know yet."""

    low: int
    high: int
    last_ms: int
    delivered: Mapping[int, int]
    """Account to the highest sequence that one of its devices holds."""


class Share(NamedTuple):
    """How much of something is written at once: about so much, and one at least."""

    items: float
    """Counters of each kind."""
    size_bytes: float
    """Of segments, and again of entries that are dropped."""


class Dropped(NamedTuple):
    """Entries that are to be deleted from the journal."""

    before: int
    """All of earlier commits than this one, 0 where there are none."""
    size_bytes: int


NOTHING: Final = Dropped(0, 0)

EVERYTHING: Final = Share(inf, inf)


class _Queue(Generic[T]):
    """Counters of one kind in the order in which their tables fell behind."""

    def __init__(self) -> None:
        # Not a dict, which looks for its first item behind the places of all that were taken: 20 ms
        # for 4,096 of them (measured).
        self.items: OrderedDict[int, T] = OrderedDict()
        self._credit = 0.0

    @property
    def oldest(self) -> int | None:
        """The first commit that a table does not know, None if there is none."""
        for item in self.items.values():
            return item.dirty_since
        return None

    def add(self, key: int, item: T, commit_id: int) -> None:
        if not item.dirty_since:
            item.dirty_since = commit_id
            self.items[key] = item

    def due(self, entries: float) -> list[T]:
        """Take this commit's share, where one entity shall wait for about so many commits."""
        self._credit += len(self.items) / entries
        share = max(int(self._credit), len(self.items) - MAX_DIRTY)
        if share < min(MIN_SHARE, len(self.items)):
            return []
        self._credit = max(0.0, self._credit - share)
        return [self._pop() for _ in range(min(share, len(self.items)))]

    def since(self, commit_id: int, share: Share = EVERYTHING) -> list[T]:
        """Take what has waited since this commit, or longer; at most a share of it."""
        taken: list[T] = []
        size_bytes = 0
        while (oldest := self.oldest) is not None and oldest <= commit_id:
            if len(taken) >= share.items or size_bytes >= share.size_bytes:
                break
            taken.append(self._pop())
            size_bytes += _segment_bytes(taken[-1])
        return taken

    def take(self, key: int) -> T | None:
        """Take one of them, if it waits."""
        item = self.items.pop(key, None)
        if item is not None:
            item.dirty_since = 0
        return item

    def _pop(self) -> T:
        _, item = self.items.popitem(last=False)
        item.dirty_since = 0
        return item


class WriteBack:
    """Knows what is dirty, and which entries of the journal are still needed for it."""

    def __init__(self) -> None:
        """Begin with tables that know everything, and an empty journal."""
        self._devices: _Queue[StoredDevice] = _Queue()
        self._conversations: _Queue[StoredConversation] = _Queue()
        self._entries: deque[tuple[int, int]] = deque()
        """Commit and size in bytes."""
        self._size_bytes = 0
        self._spent: deque[tuple[int, int]] = deque()
        """Entries before those that still lie in the journal, needed no longer."""
        self._spent_bytes = 0
        self._recent: dict[int, Recent] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the journal holds nothing."""
        return not self._entries and not self._spent

    def note(
        self,
        commit_id: int,
        devices: Iterable[StoredDevice],
        conversations: Iterable[StoredConversation],
        size_bytes: int,
    ) -> None:
        """Note what a commit has changed, once it has ended, and how large its entry is."""
        for device in devices:
            self._devices.add(device.device_id, device, commit_id)
        for conversation in conversations:
            conversation_id = conversation.conversation_id
            self._conversations.add(conversation_id, conversation, commit_id)
            self._recent[conversation_id] = Recent(
                conversation.low,
                conversation.high,
                conversation.last_ms,
                conversation.delivered,
            )
        self._entries.append((commit_id, size_bytes))
        self._size_bytes += size_bytes

    def due(self) -> Due:
        """Take what is written along with the next commit."""
        if not self._entries:
            return Due(Rows(), [], [])
        usual_bytes = self._size_bytes / len(self._entries)
        entries = max(1.0, min(MAX_ENTRIES, MAX_BYTES / max(1.0, usual_bytes)))
        devices = self._devices.due(entries)
        conversations = self._conversations.due(entries)
        excess, last = self._size_bytes - 2 * MAX_BYTES, 0
        for commit_id, size_bytes in self._entries:
            if excess <= 0:
                break
            last, excess = commit_id, excess - size_bytes
        devices += self._devices.since(last)
        conversations += self._conversations.since(last)
        return self._written(devices, conversations)

    def all(self) -> Due:
        """Take everything."""
        return self.since(self._entries[-1][0]) if self._entries else Due(Rows(), [], [])

    def since(self, commit_id: int, share: Share = EVERYTHING) -> Due:
        """Take what has waited since this commit, or longer; at most a share of it."""
        devices = self._devices.since(commit_id, share)
        return self._written(devices, self._conversations.since(commit_id, share))

    def waits_since(self, commit_id: int) -> bool:
        """Tell whether anything has waited since this commit, or longer, to be written or dropped.

        What is spent belongs to it: it is older than anything else.
        """
        oldest = (self._devices.oldest, self._conversations.oldest)
        waits = any(each is not None and each <= commit_id for each in oldest)
        return waits or bool(self._spent and self._spent[0][0] <= commit_id)

    def of(self, device_ids: Iterable[int]) -> Due:
        """Take these devices."""
        taken = (self._devices.take(device_id) for device_id in device_ids)
        return self._written([device for device in taken if device is not None], [])

    def make_room(self, size_bytes: int, free_bytes: int) -> Dropped:
        """Drop spent entries until one of this size finds room, where so much is free already.

        No more than `MAX_ENTRIES` and twice `MAX_BYTES` of them stay in any case.
        """
        dropped = NOTHING
        while self._spent and (
            free_bytes < size_bytes
            or self._spent_bytes > 2 * MAX_BYTES
            or len(self._spent) > MAX_ENTRIES
        ):
            before = dropped.size_bytes
            dropped = self._drop_next(dropped)
            free_bytes += dropped.size_bytes - before
        return dropped

    def drop_spent(self, most_bytes: float = inf) -> Dropped:
        """Drop spent entries, about so much of them at most, and one at least."""
        dropped = NOTHING
        while self._spent and dropped.size_bytes < most_bytes:
            dropped = self._drop_next(dropped)
        return dropped

    def _drop_next(self, dropped: Dropped) -> Dropped:
        commit_id, size_bytes = self._spent.popleft()
        self._spent_bytes -= size_bytes
        return Dropped(commit_id + 1, dropped.size_bytes + size_bytes)

    def filed(self, due: Due) -> None:
        """Note that the transaction has ended: until now who reads had to find it in memory."""
        for device in due.devices:
            device.waiting = ()
        for conversation in due.conversations:
            del self._recent[conversation.conversation_id]

    def recent(self) -> dict[int, Recent]:
        """Give the conversations that the tables may not know as they are; from any thread.

        Whoever reads the tables too has to read them afterwards: what is here only goes there.
        """
        return self._recent.copy()  # in one step, for its keys are plain integers

    def _written(self, devices: list[StoredDevice], conversations: list[StoredConversation]) -> Due:
        rows = Rows()
        for device in devices:
            _add_device(rows, device)
        for conversation in conversations:
            _add_conversation(rows, conversation)
        oldest = [each for each in (self._devices.oldest, self._conversations.oldest) if each]
        needed = min(oldest) if oldest else None
        while self._entries and (needed is None or self._entries[0][0] < needed):
            entry = self._entries.popleft()
            self._size_bytes -= entry[1]
            self._spent.append(entry)
            self._spent_bytes += entry[1]
        return Due(rows, devices, conversations)


def _segment_bytes(item: StoredDevice | StoredConversation) -> int:
    """Give the size of the segments that are written with an item."""
    if isinstance(item, StoredConversation):
        return 0
    return sum(len(each.segment.frames) for each in item.waiting)


def _add_device(rows: Rows, device: StoredDevice) -> None:
    if device.has_sent:
        answers = pack_answers(device.answers)
        counters = (device.last_n, device.last_mark, answers, device.alone)
        rows.sent.append((*counters, device.device_id))
    if device.has_received:
        rows.received.append(received_row(device))
        rows.segments += [segment_row(each) for each in device.waiting]
        device.filed = device.last_position
    device.has_sent = device.has_received = False


def _add_conversation(rows: Rows, conversation: StoredConversation) -> None:
    conversation_id = conversation.conversation_id
    rows.grew.append((conversation.last_seq, conversation.last_ms, conversation_id))
    delivered = tuple(conversation.delivered.values())
    if delivered != conversation.filed_delivered:
        conversation.filed_delivered = delivered
        rows.delivered += [
            (seq, account_id, conversation_id) for account_id, seq in conversation.delivered.items()
        ]
