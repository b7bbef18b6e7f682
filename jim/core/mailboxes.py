"""What a batch adds to mailboxes and takes out of them, for `jim.core.numbering`.

A mailbox takes messages until it is full or abandoned; then a tombstone closes it until everything
that waits has been collected. What one batch adds to one mailbox is encoded in one go and cut into
segments. Nothing here does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from jim.core.counters import DeviceCounters, PlannedSegment
from jim.core.model import MailboxState, Segment
from jim.errors import MailboxFull
from jim.protocol.codec import encode_all
from jim.protocol.messages import Delivery, Notice

if TYPE_CHECKING:
    from jim.core.limits import Limits

_MS_PER_DAY = 86_400_000


class Open(Struct):
    """What this batch adds to one mailbox, still growing."""

    device: DeviceCounters
    first: int
    """The position of the first frame."""
    frames: list[Delivery | Notice] = field(default_factory=list)
    foreign: list[tuple[int, int, int]] = field(default_factory=list)
    """Which of them somebody else wrote: from, up to (excluded), and in which conversation."""


class Mailboxes:
    """The mailboxes that one `plan` call touches."""

    def __init__(self, limits: Limits, now_ms: int, steady_ms: int | None) -> None:
        """Begin with none; `steady_ms` as in `jim.core.model.Batch`."""
        self._limits = limits
        self._now_ms = now_ms
        # Of two clocks that disagree one was set. Waiting begins by the later and is judged by the
        # earlier one, so that neither a jump nor its correction makes a mailbox look abandoned.
        clocks = (now_ms, now_ms if steady_ms is None else steady_ms)
        self._begins_ms, self._judged_ms = max(clocks), min(clocks)
        self._open: dict[int, Open] = {}
        self._closed: list[PlannedSegment] = []
        self._devices: dict[int, DeviceCounters] = {}
        self._collected: dict[int, int] = {}

    def _collect(self, device: DeviceCounters, position: int) -> None:
        position = min(position, device.last_position)
        if position <= device.acked:
            return
        device.acked = position
        emptied = position == device.last_position
        device.waiting_since_ms = 0 if emptied else self._begins_ms
        if emptied and device.state is MailboxState.STALE:
            device.state = MailboxState.LIVE
        self._devices[device.device_id] = device
        self._collected[device.device_id] = position

    def _takes(self, device: DeviceCounters, sender: DeviceCounters) -> bool:
        """Tell whether the device gets the message; a mailbox that is full by now turns stale."""
        if device is sender or device.state is not MailboxState.LIVE:
            return False
        waiting = device.last_position - device.acked
        if not waiting:
            return True
        abandoned_ms = self._limits.waiting_days * _MS_PER_DAY
        if (
            waiting < self._limits.waiting_messages
            and self._judged_ms - device.waiting_since_ms < abandoned_ms
        ):
            return True
        self._turn_stale(device)
        return False

    def _turn_stale(self, device: DeviceCounters) -> None:
        """Close a mailbox with a tombstone, so that the device sees that something is missing."""
        device.state = MailboxState.STALE
        opened = self._opened(device)
        device.last_position += 1
        notice = Notice(position=device.last_position, code=MailboxFull.code, time=self._now_ms)
        opened.frames.append(notice)

    def _opened(self, device: DeviceCounters) -> Open:
        """Give what a mailbox gets in this batch; at least one frame will follow."""
        if device.last_position == device.acked:
            device.waiting_since_ms = self._begins_ms
        opened = self._open.get(device.device_id)
        if opened is None:
            opened = Open(device, device.last_position + 1)
            self._open[device.device_id] = opened
            self._devices[device.device_id] = device
        return opened

    def _close(self, opened: Open) -> None:
        """Make segments of what a mailbox has got."""
        frames = encode_all(opened.frames)
        page_bytes = self._limits.page_bytes
        if len(frames) <= page_bytes:
            self._add_segment(opened, 0, len(opened.frames), frames)
            return
        # A segment is sent whole: a larger one might never fit into an outgoing buffer.
        begin, page, size_bytes = 0, list[bytes](), 0
        lines = frames.splitlines(keepends=True)
        for end, line in enumerate(lines, 1):
            page.append(line)
            size_bytes += len(line)
            if size_bytes >= page_bytes or end == len(lines):
                self._add_segment(opened, begin, end, b"".join(page))
                begin, page, size_bytes = end, [], 0

    def _add_segment(self, opened: Open, begin: int, end: int, frames: bytes) -> None:
        """Make a segment of the frames from `begin` on and before `end`, encoded as `frames`."""
        device = opened.device
        first, last = opened.first + begin, opened.first + end - 1
        marks: dict[int, int] = {}
        for from_, up_to, conversation_id in opened.foreign:
            latest = min(up_to, end) - 1
            if max(from_, begin) <= latest:
                marks[conversation_id] = opened.frames[latest].seq  # type: ignore[union-attr]
        segment = Segment(device.account_id, device.device_id, first, last, frames)
        self._closed.append(PlannedSegment(segment, marks))
