"""The stage of a session that has logged in: dispatch, pace, delivery. Policy is the hub's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, cast

from jim.errors import Malformed, RateLimited, WireError
from jim.protocol.codec import Invalid
from jim.protocol.messages import Msg
from jim.protocol.replies import error_reply
from jim.protocol.session import State, advance
from jim.server.catch_up import CatchUp
from jim.server.commands import ACTIVE
from jim.server.handlers.messages import submit
from jim.server.node import now_ms
from jim.server.stage import Hold, Item

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from msgspec import Struct

    from jim.core.link import Link
    from jim.server.connection import Connection

MAX_TASKS: Final = 8
"""Requests of one session that may wait for the store at the same time; then it is not read from.
More would not be faster, the store answers one after the other."""

MIN_WAIT_S: Final = 0.001
"""Shorter waits are forgiven, for now: the bucket remembers them."""


class Active:
    """What a logged-in session does with what arrives."""

    __slots__ = (
        "_backlog",
        "_catch_up",
        "_pace",
        "_pace_timer",
        "_tasks",
        "_useless",
        "connection",
        "link",
        "node",
    )

    def __init__(self, connection: Connection, link: Link) -> None:
        """Start with the pace that the device has left over from its last session."""
        self.connection = connection
        self.node = connection.node
        self.link = link
        self._backlog: list[Item] = []
        self._catch_up = CatchUp(connection, link)
        self._pace = self.node.paces.take_up(link.identity.device_id, self.node.limits)
        self._pace_timer: asyncio.TimerHandle | None = None
        self._tasks = 0
        self._useless = 0

    # --- the stage --------------------------------------------------------------------------------

    def receive(self, items: list[Item], size_bytes: int, now_s: float) -> None:
        """Handle messages in order; then slow the sender down if it is ahead of its rate."""
        if self._backlog:
            self._backlog += items
            return
        cost = place = 0
        while place < len(items):
            if self._tasks >= MAX_TASKS:
                self._backlog = items[place:]
                self.connection.hold(Hold.TASKS)
                break
            item = items[place]
            if type(item) is Msg:
                run = _run_from(items, place)
                cost += len(run)
                place += len(run)
                self._submit(run)
            else:
                cost += self._handle(item)
                place += 1
            if self.connection.closing:
                return
        self._keep_pace(cost, size_bytes, now_s)

    def paused(self) -> None:
        """Stop pushing: the store keeps what comes meanwhile."""
        self.node.hub.pause(self.link)

    def resumed(self) -> None:
        """Go on pushing, or catch up first."""
        self.node.hub.resume(self.link)

    def catch_up(self) -> None:
        """Read the mailbox from the store."""
        self._catch_up.start()

    def end(self) -> None:
        """Leave the hub; what the device owes stays with the node."""
        self._backlog.clear()
        self._forget_timer()
        self.node.paces.put_down(self.link.identity.device_id, self._pace, self.node.loop.time())
        self.node.hub.detach(self.link)

    def label(self) -> str:
        """Name the account and the device."""
        identity = self.link.identity
        return f"{identity.name}/{identity.device}"

    # --- messages ---------------------------------------------------------------------------------

    def _submit(self, run: list[Msg]) -> None:
        """Hand on texts that came together: what is done once for all of them costs the least."""
        try:
            submit(self, run)
        except WireError as error:
            self.report(error, run[0])

    def _handle(self, item: Item) -> int:
        """Carry one message out; gives its cost in messages."""
        command = ACTIVE.get(type(item))
        if command is None:
            self._refuse(item)
            return 1
        try:
            answer = command.handler(self, item)
        except WireError as error:
            self.report(error, item)
            return command.cost
        if answer is not None:
            if inspect.iscoroutine(answer):
                self._tasks += 1
                self.node.spawn(self._finish(item, answer))
            else:
                self.connection.reply(answer)
        return command.cost

    async def _finish(self, message: Struct, answering: Coroutine[Any, Any, Struct | None]) -> None:
        with self.connection.guarded(getattr(message, "id", None)):
            try:
                reply = await answering
            except WireError as error:
                self.report(error, message)
            else:
                if reply is not None:
                    self.connection.reply(reply)
        self._tasks -= 1
        if self._backlog and not self.connection.closing:
            with self.connection.guarded():
                self._go_on()

    def _go_on(self) -> None:
        """Handle what had to wait until fewer requests are under way."""
        backlog, self._backlog = self._backlog, []
        self.receive(backlog, 0, self.node.loop.time())
        if not self._backlog:
            self.connection.release(Hold.TASKS)

    def report(self, error: WireError, message: Struct) -> None:
        """Tell the client that a message could not be carried out; the session may end with it."""
        request_id = getattr(message, "id", None)
        if error.fatal:
            self.connection.refuse(error, request_id)
        else:
            self.connection.reply(error_reply(error, now_ms(), request_id))

    def _refuse(self, item: Item) -> None:
        """Answer what is no message, or none for this state; many of them end the session."""
        self._useless += 1
        if isinstance(item, Invalid):
            error, request_id = item.error, item.id
        else:
            error, request_id = _misplaced(item), getattr(item, "id", None)
        if error.fatal:
            self.connection.refuse(error, request_id)
            return
        self.connection.reply(error_reply(error, now_ms(), request_id))
        limit = self.node.limits.malformed_frames
        if self._useless >= limit:
            self.connection.close(Malformed("too many frames that are no messages", limit=limit))

    def _keep_pace(self, cost: int, size_bytes: int, now_s: float) -> None:
        wait_s = self._pace.take(cost, size_bytes, now_s)
        if wait_s < MIN_WAIT_S:
            return
        if wait_s > self.node.limits.rate_debt_s:
            self.connection.close(RateLimited(retry_after_ms=round(wait_s * 1000)))
            return
        # The transport may deliver some more while it is held: that is paid for too.
        self._forget_timer()
        self.connection.hold(Hold.PACE)
        self._pace_timer = self.node.loop.call_later(wait_s, self.connection.release, Hold.PACE)

    def _forget_timer(self) -> None:
        if self._pace_timer is not None:
            self._pace_timer.cancel()
            self._pace_timer = None


def _run_from(items: list[Item], place: int) -> list[Msg]:
    """Give the texts that follow each other from a place on; there is one at it."""
    end = place + 1
    while end < len(items) and type(items[end]) is Msg:
        end += 1
    return cast("list[Msg]", items[place:end] if place or end < len(items) else items)


def _misplaced(message: Struct) -> WireError:
    try:
        advance(State.ACTIVE, type(message))
    except WireError as error:
        return error
    raise LookupError(type(message).__name__)
