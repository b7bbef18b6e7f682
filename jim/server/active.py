"""The stage of a session that has logged in: dispatch, pace, delivery. Policy is the hub's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from jim.core.rate import Bucket
from jim.errors import Malformed, RateLimited, StoreError, WireError
from jim.protocol.codec import Invalid
from jim.protocol.replies import error_reply
from jim.protocol.session import State, advance
from jim.server.catch_up import CatchUp
from jim.server.commands import ACTIVE
from jim.server.node import now_ms
from jim.server.stage import Hold, Item

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from msgspec import Struct

    from jim.core.hub import Link
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
        "_bytes",
        "_catch_up",
        "_messages",
        "_tasks",
        "_useless",
        "connection",
        "link",
        "node",
    )

    def __init__(self, connection: Connection, link: Link) -> None:
        """Start with full buckets."""
        limits = connection.node.limits
        self.connection = connection
        self.node = connection.node
        self.link = link
        self._backlog: list[Item] = []
        self._bytes = Bucket(limits.byte_burst, limits.bytes_per_s)
        self._messages = Bucket(limits.message_burst, limits.messages_per_s)
        self._catch_up = CatchUp(connection, link)
        self._tasks = 0
        self._useless = 0

    # --- the stage --------------------------------------------------------------------------------

    def receive(self, items: list[Item], size_bytes: int, now_s: float) -> None:
        """Handle messages in order; then slow the sender down if it is ahead of its rate."""
        if self._backlog:
            self._backlog += items
            return
        cost = 0
        for place, item in enumerate(items):
            if self._tasks >= MAX_TASKS:
                self._backlog = items[place:]
                self.connection.hold(Hold.TASKS)
                break
            cost += self._handle(item)
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
        """Leave the hub."""
        self._backlog.clear()
        self.node.hub.detach(self.link)

    def label(self) -> str:
        """Name the account and the device."""
        identity = self.link.identity
        return f"{identity.name}/{identity.device}"

    # --- one message ------------------------------------------------------------------------------

    def _handle(self, item: Item) -> int:
        """Carry one message out; gives its cost in messages."""
        command = ACTIVE.get(type(item))
        if command is None:
            self._refuse(item)
            return 1
        try:
            answer = command.handler(self, item)
        except WireError as error:
            self._report(error, item)
            return command.cost
        if answer is not None:
            if inspect.iscoroutine(answer):
                self._tasks += 1
                self.node.spawn(self._finish(item, answer))
            else:
                self.connection.reply(answer)
        return command.cost

    async def _finish(self, message: Struct, answering: Coroutine[Any, Any, Struct | None]) -> None:
        try:
            reply = await answering
        except WireError as error:
            self._report(error, message)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - answered as `internal`
            self.connection.fail(error, getattr(message, "id", None))
        else:
            if reply is not None:
                self.connection.reply(reply)
        self._tasks -= 1
        if self._backlog and not self.connection.closing:
            backlog, self._backlog = self._backlog, []
            self.receive(backlog, 0, self.node.loop.time())
            if not self._backlog:
                self.connection.release(Hold.TASKS)

    def _report(self, error: WireError, message: Struct) -> None:
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
        wait_s = max(self._messages.take(cost, now_s), self._bytes.take(size_bytes, now_s))
        if wait_s < MIN_WAIT_S:
            return
        if wait_s > self.node.limits.rate_debt_s:
            self.connection.close(RateLimited(retry_after_ms=round(wait_s * 1000)))
            return
        self.connection.hold(Hold.PACE)
        self.node.loop.call_later(wait_s, self.connection.release, Hold.PACE)


def _misplaced(message: Struct) -> WireError:
    try:
        advance(State.ACTIVE, type(message))
    except WireError as error:
        return error
    raise LookupError(type(message).__name__)
