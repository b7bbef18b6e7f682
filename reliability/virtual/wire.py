"""One direction of a virtual connection: buffers on both sides, and bytes on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    from reliability.virtual.end import End
    from reliability.virtual.network import Network


class Wire:
    """Carries bytes from one end to the other: in order, in any pieces, with bounded buffers."""

    __slots__ = (
        "_arrives_s",
        "_fin_sent",
        "_network",
        "capacity_bytes",
        "closes",
        "flying_bytes",
        "is_silent",
        "number",
        "out",
        "source",
        "stalled_until_s",
        "target",
    )

    source: End
    target: End

    def __init__(self, network: Network, number: int, capacity_bytes: int) -> None:
        """`capacity_bytes` is what both kernels' socket buffers hold."""
        self.number = number
        self.capacity_bytes = capacity_bytes
        self.out = bytearray()
        """Written, and not taken by the kernel yet."""
        self.flying_bytes = 0
        """Taken by the kernel, and not read by the other side yet."""
        self.is_silent = False
        """Whatever comes now is lost, and nobody is told: the half-open connection."""
        self.stalled_until_s = 0.0
        """Nothing arrives before: lost packets that are sent again."""
        self.closes = False
        """After what is written, the stream ends."""
        self._network = network
        self._arrives_s = 0.0
        self._fin_sent = False

    def pump(self) -> None:
        """Hand the kernel what it takes."""
        chance, out = self._network.chance, self.out
        while out and (room_bytes := self.capacity_bytes - self.flying_bytes) > 0:
            size_bytes = min(len(out), room_bytes)
            if size_bytes > 1 and chance.random() < self._network.weather.splitting:
                size_bytes = 1 + int(chance.random() * (size_bytes - 1))
            piece = bytes(out[:size_bytes])
            del out[:size_bytes]
            self.flying_bytes += size_bytes
            self._network.trace.note(self._network.now_s, Kind.SENT, self.number, size_bytes)
            self._launch(self._arrive, piece)
        if self.closes and not out and not self._fin_sent:
            self._fin_sent = True
            self._launch(self._arrive, b"")

    @property
    def is_finished(self) -> bool:
        """Whether the end of the stream is on its way."""
        return self._fin_sent

    def reset(self) -> None:
        """Send a reset behind what is on its way."""
        self._launch(self._arrive_reset, b"")

    def has_read(self, size_bytes: int) -> None:
        """Note that the reader has taken bytes, which makes room."""
        self.flying_bytes -= size_bytes
        if self.out:
            self._network.later(self.source.loop.post, self.source.make_room)

    def _launch(self, arrive: object, piece: bytes) -> None:
        now_s = self._network.now_s
        when_s = max(now_s + self._network.latency_s(), self.stalled_until_s)
        self._arrives_s = max(self._arrives_s, when_s)
        self._network.scheduler.at(self._arrives_s, arrive, piece)  # type: ignore[arg-type]

    def _arrive(self, piece: bytes) -> None:
        if self.is_silent:
            return
        self._network.trace.note(self._network.now_s, Kind.ARRIVED, self.number, len(piece))
        if self.target.is_gone:
            self.target.answer_with_reset()
        else:
            self.target.arrived(piece)

    def _arrive_reset(self, _: bytes) -> None:
        if not self.is_silent:
            self.target.was_reset()
