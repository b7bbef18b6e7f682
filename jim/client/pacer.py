"""Send no faster than the server reads: its announced rates, kept on this side.

A server does not refuse a sender who is faster than its rate, it stops reading from it
(docs/adr/0007-slow-down-instead-of-refusing.md). Whatever comes after is held too, also a probe, so
that a healthy link would look dead. A client that keeps the rate itself is never held: messages
wait here, everything else passes them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from jim.core.rate import Bucket

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from jim.protocol.messages import AnnouncedLimits

BURST_SHARE: Final = 0.5
"""Of the announced burst. The server counts a device and remembers over connections, we count only
since this process began; and what was sent evenly may arrive in a heap."""

MIN_WAIT_S: Final = 0.001
"""Shorter waits are forgiven, as the server does; the buckets remember them."""


class Clock(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float: ...  # noqa: D102
    def call_later(  # noqa: D102
        self, delay: float, callback: Callable[[], None]
    ) -> asyncio.TimerHandle: ...


class Pacer:
    """The messages of one device that wait for their turn; it outlives connections."""

    def __init__(self, clock: Clock) -> None:
        """Start without a connection and without limits."""
        self._clock = clock
        self._limits: AnnouncedLimits | None = None
        self._messages = Bucket(0, 0)
        self._bytes = Bucket(0, 0)
        self._waiting: deque[bytes] = deque()
        self._is_paid = False
        self._timer: asyncio.TimerHandle | None = None
        self._write: Callable[[bytes], None] | None = None

    def start(self, limits: AnnouncedLimits, write: Callable[[bytes], None]) -> None:
        """Go on with a new connection, which `write` sends on."""
        self._write = write
        if limits != self._limits:
            self._limits = limits
            burst = max(1.0, limits.message_burst * BURST_SHARE)
            self._messages = Bucket(burst, limits.messages_per_second)
            self._bytes = Bucket(limits.byte_burst * BURST_SHARE, limits.bytes_per_second)

    def stop(self) -> None:
        """Forget the connection and what waits for it; the outbox sends it on the next one."""
        self._write = None
        self._waiting.clear()
        self._is_paid = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def spend(self, messages: int, size_bytes: int) -> float:
        """Count what is sent; gives how long it should have waited."""
        now_s = self._clock.time()
        return max(self._messages.take(messages, now_s), self._bytes.take(size_bytes, now_s))

    def post(self, frames: Iterable[bytes]) -> None:
        """Send messages, one frame each, in order and when it is their turn."""
        self._waiting.extend(frames)
        if self._timer is None:
            self._send()

    def _send(self) -> None:
        """Send what may go now, then wait for the turn of the next."""
        self._timer = None
        ready: list[bytes] = []
        while self._waiting:
            wait_s = 0.0 if self._is_paid else self.spend(1, len(self._waiting[0]))
            self._is_paid = wait_s > MIN_WAIT_S
            if self._is_paid:
                self._timer = self._clock.call_later(wait_s, self._send)
                break
            ready.append(self._waiting.popleft())
        if ready and self._write is not None:
            self._write(b"".join(ready))
