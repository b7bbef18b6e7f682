"""A token bucket in two numbers: how far ahead of its rate a sender is. Pure, without a clock.

What counts is the device, not the connection: coming back does not pay a debt. Claims of keys are
counted by the minute: they are few, and refused beyond their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jim.core.limits import Limits

MAX_DEBTS: Final = 65_536
"""Devices remembered at most, about 250 bytes each: 16 MB. Beyond it the debt noted first is
forgotten; it was about to be paid anyway, for none is more than minutes old."""

CLAIMS_WINDOW_S: Final = 60.0
"""Of `Limits.claims_per_minute`."""

MAX_CLAIMS: Final = 65_536
"""Pairs of a claiming account and a device remembered at most, about 250 bytes each: 16 MB. Beyond
it the pair whose minute began first is forgotten."""

NEVER: Final = float("-inf")


class Bucket:
    """Allows `burst` units at once and `per_s` units a second in the long run.

    It never refuses: it says how long the sender should not be read from. So a burst costs its
    sender time and nothing else, and no message has to be answered with an error and sent again.
    """

    __slots__ = ("_burst_s", "_cost_s", "paid_until_s")

    def __init__(self, burst: float, per_s: float, paid_until_s: float = NEVER) -> None:
        """Start full unless told otherwise. `per_s` of 0 means no limit."""
        self._cost_s = 1.0 / per_s if per_s > 0 else 0.0
        self._burst_s = burst * self._cost_s
        self.paid_until_s = paid_until_s
        """When it will be full again."""

    def take(self, units: float, now_s: float) -> float:
        """Spend `units` and give the seconds that the sender has to wait now, 0 if none."""
        start = max(now_s, self.paid_until_s)
        self.paid_until_s = start + units * self._cost_s
        wait_s = self.paid_until_s - now_s - self._burst_s
        return max(0.0, wait_s)


class Debts(NamedTuple):
    """When the two buckets of a device will be full again."""

    messages_s: float
    bytes_s: float


class Pace:
    """What one device may send: messages, and bytes."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self, limits: Limits, debts: Debts = Debts(NEVER, NEVER)) -> None:  # noqa: B008 - immutable
        """Start with these debts."""
        self._messages = Bucket(limits.message_burst, limits.messages_per_s, debts.messages_s)
        self._bytes = Bucket(limits.byte_burst, limits.bytes_per_s, debts.bytes_s)

    def take(self, messages: int, size_bytes: int, now_s: float) -> float:
        """Spend both and give the seconds that the device has to wait now."""
        return max(self._messages.take(messages, now_s), self._bytes.take(size_bytes, now_s))

    @property
    def debts(self) -> Debts:
        """What to go on with later."""
        return Debts(self._messages.paid_until_s, self._bytes.paid_until_s)


class Paces:
    """What devices owe that are not connected, until it is paid."""

    __slots__ = ("_debts",)

    def __init__(self) -> None:
        self._debts: dict[int, Debts] = {}

    def __len__(self) -> int:
        """Count the devices that owe something."""
        return len(self._debts)

    def take_up(self, device_id: int, limits: Limits) -> Pace:
        """Give the pace of a device that connects, with the debts of its last session."""
        return Pace(limits, self._debts.pop(device_id, Debts(NEVER, NEVER)))

    def put_down(self, device_id: int, pace: Pace, now_s: float) -> None:
        """Keep what a device owes that leaves."""
        if max(pace.debts) <= now_s:
            return
        self._debts.pop(device_id, None)
        if len(self._debts) >= MAX_DEBTS:
            del self._debts[next(iter(self._debts))]
        self._debts[device_id] = pace.debts

    def sweep(self, now_s: float) -> None:
        """Forget what is paid; called now and then."""
        paid = [device for device, debts in self._debts.items() if max(debts) <= now_s]
        for device in paid:
            del self._debts[device]


class Claims:
    """How often accounts have taken keys of devices within a minute."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], tuple[float, int]] = {}

    def __len__(self) -> int:
        """Count the pairs of an account and a device that are remembered."""
        return len(self._counts)

    def take(self, account_id: int, devices: Iterable[int], limit: int, now_s: float) -> float:
        """Count a claim of an account on each of the devices, if none of them is over its limit.

        Gives the seconds until it may be tried again: 0 if it was counted.
        """
        found = {device: self._current(account_id, device, now_s) for device in devices}
        waits_s = [ends_s - now_s for ends_s, count in found.values() if count >= limit]
        if waits_s:
            return max(waits_s)
        for device, (ends_s, count) in found.items():
            if len(self._counts) >= MAX_CLAIMS and (account_id, device) not in self._counts:
                del self._counts[next(iter(self._counts))]
            self._counts[account_id, device] = (ends_s, count + 1)
        return 0.0

    def sweep(self, now_s: float) -> None:
        """Forget the minutes that are over; called now and then."""
        over = [pair for pair, (ends_s, _) in self._counts.items() if ends_s <= now_s]
        for pair in over:
            del self._counts[pair]

    def _current(self, account_id: int, device: int, now_s: float) -> tuple[float, int]:
        ends_s, count = self._counts.get((account_id, device), (NEVER, 0))
        return (ends_s, count) if now_s < ends_s else (now_s + CLAIMS_WINDOW_S, 0)
