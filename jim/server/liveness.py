"""Find sessions that have fallen silent: one sweep over all now and then, no timer for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.errors import Idle, SlowConsumer
from jim.protocol.messages import Probe

if TYPE_CHECKING:
    from jim.server.connection import Connection
    from jim.server.node import Node

SWEEPS_PER_PING: Final = 10
"""A probe is late by a tenth of its period at most."""

FORGET_S: Final = 60.0
"""How often idle sources and paid debts are forgotten: long against the cost of looking at all."""


class Liveness:
    """Sweeps until it is stopped."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next_id = 0
        self._forget_at_s = node.loop.time() + FORGET_S
        self._wait()

    def stop(self) -> None:
        """Sweep no more."""
        self._timer.cancel()

    def sweep(self, now_s: float) -> None:
        """Probe who has been silent for `ping_s`, and end who has been for `idle_s`.

        Also ends who has not read for `idle_s`: they may well talk, but nothing reaches them.
        """
        limits = self._node.limits
        for connection in list(self._node.connections):
            silent_s = now_s - connection.heard_s
            stuck = connection.paused_s is not None and now_s - connection.paused_s >= limits.idle_s
            if stuck:
                connection.close(SlowConsumer(limit_bytes=limits.outgoing_bytes))
            elif silent_s >= limits.ping_s and not connection.held:
                self._doubt(connection, silent_s)

    def _doubt(self, connection: Connection, silent_s: float) -> None:
        if silent_s >= self._node.limits.idle_s:
            connection.close(Idle())
        elif not connection.probed:
            connection.probed = True
            self._next_id += 1
            connection.reply(Probe(id=self._next_id))

    def _tick(self) -> None:
        now_s = self._node.loop.time()
        self._excuse(now_s - self._due_s)
        self._wait()
        self.sweep(now_s)
        if now_s >= self._forget_at_s:
            self._forget_at_s = now_s + FORGET_S
            self._node.admission.sweep(now_s)
            self._node.paces.sweep(now_s)
            self._node.claims.sweep(now_s)

    def _wait(self) -> None:
        self._due_s = self._node.loop.time() + self._interval_s()
        self._timer = self._node.loop.call_at(self._due_s, self._tick)

    def _excuse(self, late_s: float) -> None:
        """Leave time out of account in which this process itself stood still (a paused machine).

        What clients have sent meanwhile is not read yet: judged by the clock, all would be ended.
        """
        limits = self._node.limits
        if late_s < (limits.idle_s - limits.ping_s) / 2:  # a probe can still be answered in time
            return
        for connection in self._node.connections:
            connection.heard_s += late_s
            if connection.paused_s is not None:
                connection.paused_s += late_s

    def _interval_s(self) -> float:
        return self._node.limits.ping_s / SWEEPS_PER_PING
