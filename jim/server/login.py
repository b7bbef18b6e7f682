"""The stage before the login: one step at a time, few frames, few attempts.

While a step waits for the store, the connection is not read from, and what came behind it in the
same read waits its turn; it counts against `login_frames`, so there is never much of it. Everything
that is no message ends the connection here: whoever has not shown who they are gets no patience.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from jim.core.model import AccountRecord, DeviceRecord, Identity, Standing
from jim.decorators import log_calls
from jim.errors import (
    AuthFailed,
    LoginTimeout,
    Replaced,
    Revoked,
    TooManyFailures,
    TooManyFrames,
    WireError,
)
from jim.protocol import messages as m
from jim.protocol.codec import Invalid
from jim.protocol.replies import error_reply
from jim.protocol.session import State, advance
from jim.server.active import Active
from jim.server.commands import COMMANDS
from jim.server.node import now_ms
from jim.server.stage import Hold, Item

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from jim.core.ports import Outlet
    from jim.crypto.transcript import Exchange
    from jim.server.connection import Connection
    from jim.server.newcomer import Newcomer

log = logging.getLogger(__name__)


class Login:
    """The way of one connection from `hello` to `welcome`."""

    __slots__ = (
        "_active",
        "_backlog",
        "_busy",
        "_failures",
        "_frames",
        "_proof_failed",
        "connection",
        "exchange",
        "newcomer",
        "node",
        "recovering",
        "state",
    )

    def __init__(self, connection: Connection) -> None:
        """Wait for `hello`."""
        self.connection = connection
        self.node = connection.node
        self.state = State.OPENED
        self.exchange: Exchange | None = None
        """Of the challenge that is out; None without one."""
        self.recovering: AccountRecord | None = None
        """The account whose recovery key the peer has proven."""
        self.newcomer: Newcomer | None = None
        """While the peer is a new device that waits to be linked."""
        self._active: Active | None = None
        self._backlog: deque[Item] = deque()
        self._busy = False
        self._failures = 0
        self._frames = 0
        self._proof_failed = False

    # --- the stage --------------------------------------------------------------------------------

    def receive(self, items: list[Item], size_bytes: int, now_s: float) -> None:
        """Take frames in order; too many of them end the connection."""
        limits = self.node.limits
        for item in items:
            self._frames += 1
            waits = self.state is State.LINKING
            limit = limits.linking_frames if waits else limits.login_frames
            if self._frames > limit:
                self.connection.refuse(TooManyFrames(limit=limit), getattr(item, "id", None))
                return
            self._backlog.append(item)
            self._work()

    def paused(self) -> None:
        """Have nothing to stop: few pushes are possible before the login, and none waits."""

    def resumed(self) -> None:
        """Have nothing to go on with."""

    def catch_up(self) -> None:
        """Have no mailbox yet."""

    def end(self) -> None:
        """Shut the source out for a while if proofs have failed and none was accepted."""
        self._backlog.clear()
        self._give_up()
        if self._proof_failed:
            ticket = self.connection.visitor.ticket
            seconds = self.node.admission.penalise(ticket, self.node.loop.time())
            if seconds:
                log.warning("failed logins from %s: shut out for %g s", ticket.source, seconds)

    def label(self) -> str:
        """Say that nobody has logged in."""
        return "not logged in"

    # --- what the handlers use --------------------------------------------------------------------

    def challenged(self) -> Exchange:
        """Give the exchange of the challenge that this message answers."""
        if self.exchange is None:
            raise AuthFailed
        return self.exchange

    def push(self, message: Struct) -> None:
        """Send what the peer has not asked for; the state follows as after an answer."""
        self.connection.reply(message)
        self._follow(message)
        if self.state is State.OPENED:
            self.connection.postpone(self.node.limits.login_s, LoginTimeout())

    @log_calls
    async def enter(self, account: AccountRecord, device: DeviceRecord) -> Standing | None:
        """Make this connection the one session of a device; None if the client is gone meanwhile.

        Whatever an older session of the device has gathered is gone before the standing is read, so
        `welcome` tells exactly what is stored.

        Raises:
            Replaced: the device has a session on a connection that began after this one.
            Revoked: it has been taken out of the account meanwhile.
        """
        node, hub = self.node, self.node.hub
        identity = Identity(account.account_id, device.device_id, account.name, device.device)
        async with node.locks.held(device.device_id):
            self._give_way(hub.outlet(account.account_id, device.device_id))
            hub.evict(account.account_id, device.device_id)
            standing = await node.store.standing(device.device_id)
            if standing.revoked:
                raise Revoked
            # Read after `standing`, hence after every commit of an older session: it may have
            # written to somebody for the first time.
            audience = await node.store.visible_to(account.account_id)
            if self.connection.closing:
                return None
            watching = [contact.account_id for contact in audience]
            link = hub.attach(self.connection, identity, standing, watching)
        self._active = Active(self.connection, link)
        return standing

    def _give_way(self, current: Outlet | None) -> None:
        """Leave the device to a session on a later connection.

        A proof may be late: sent by a process that was killed since, or given up by its client, and
        held up by the network. It must not end the session of whoever came after it, because to be
        replaced is final for a client.

        Raises:
            Replaced: there is such a session.
        """
        if current is not None and current.began_s > self.connection.began_s:
            raise Replaced

    # --- one frame after the other ----------------------------------------------------------------

    def _work(self) -> None:
        while self._backlog and not self._busy and not self.connection.closing:
            if self.connection.stage is not self:
                rest = list(self._backlog)
                self._backlog.clear()
                self.connection.stage.receive(rest, 0, self.node.loop.time())
                return
            self._take(self._backlog.popleft())

    def _take(self, item: Item) -> None:
        if isinstance(item, Invalid):
            self.connection.refuse(item.error, item.id)
            return
        try:
            self.state = advance(self.state, type(item))
            answer = COMMANDS[type(item)].handler(self, item)
        except WireError as error:
            self._refused(error, item)
            return
        if inspect.iscoroutine(answer):
            self._busy = True
            self.connection.hold(Hold.LOGIN)
            self.node.spawn(self._finish(item, answer))
        elif isinstance(answer, Struct):
            self._answered(answer)

    async def _finish(self, message: Struct, answering: Coroutine[Any, Any, Struct | None]) -> None:
        with self.connection.guarded(getattr(message, "id", None)):
            try:
                reply = await answering
            except WireError as error:
                self._refused(error, message)
            else:
                if reply is not None:
                    self._answered(reply)
        self._busy = False
        self.connection.release(Hold.LOGIN)
        with self.connection.guarded():
            self._work()

    def _answered(self, reply: Struct) -> None:
        self.connection.reply(reply)
        self._follow(reply)
        if self._active is not None:
            self.connection.logged_in(self._active)
            log.info("logged in %s from %s", self._active.label(), self.connection.visitor.address)

    def _follow(self, message: Struct) -> None:
        """Move on to the state after an answer or a push; frames are counted anew for each try."""
        before, self.state = self.state, advance(self.state, type(message))
        if self.state is before:
            return
        if self.state is State.OPENED:
            self._give_up()
            self.exchange = None
        if self.state in (State.OPENED, State.LINKING):
            self._frames = 0

    def _give_up(self) -> None:
        """Take back a session that has begun without a `welcome`, or an offer."""
        if self.newcomer is not None:
            self.newcomer.leave()
            self.newcomer = None
        if self._active is not None:
            self._active.end()
            self._active = None

    def _refused(self, error: WireError, message: Struct) -> None:
        self._give_up()
        if self.connection.closing:
            self._proof_failed |= isinstance(error, AuthFailed)
            return
        request_id = getattr(message, "id", None)
        attempted = self.state is State.VERIFYING
        self._proof_failed |= isinstance(error, AuthFailed)
        if error.fatal or self.state is State.LINKING:
            self.connection.refuse(error, request_id)
            return
        self.connection.reply(error_reply(error, now_ms(), request_id))
        self.state = advance(self.state, m.ErrorReply)
        self.exchange = self.recovering = None
        if attempted:
            self._count_failure()

    def _count_failure(self) -> None:
        self._frames = 0
        self._failures += 1
        if self._failures >= self.node.limits.login_failures:
            self.connection.close(TooManyFailures(limit=self._failures))
