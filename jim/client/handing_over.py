"""Hand the history on, one part at a time and only when nothing else waits to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from jim.client.errands import now_ms

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from jim.client.accounts import Account
    from jim.client.events import HistoryMoved


class HandingOver:
    """What of the history is under way; the rest is in the store (`HandingStore`)."""

    def __init__(
        self,
        account: Account,
        is_idle: Callable[[], bool],
        queued: Callable[[], asyncio.Future[Any]],
        tell: Callable[[HistoryMoved], object],
        fail: Callable[[Exception], None],
    ) -> None:
        """Take an open account, and how it is told whether it may go on.

        Args:
            account: whose store it is.
            is_idle: there is a link, and nothing waits for it.
            queued: called when a part has been queued; what it gives is done once the outbox
                knows of the part.
            tell: whom to tell how far it has come.
            fail: called when the store fails.
        """
        self._account = account
        self._is_idle = is_idle
        self._queued = queued
        self._tell = tell
        self._fail = fail
        self._text_bytes = 0
        self._may_be_left = False
        self._moved: HistoryMoved | None = None
        self._is_looking = False

    def begin(self, text_bytes: int) -> None:
        """Go on with a new connection, over which a text may have so many bytes."""
        self._text_bytes = text_bytes
        self.wake()

    def wake(self) -> None:
        """Look into the store: there may be something to hand over."""
        self._may_be_left = True
        self.look()

    def look(self) -> None:
        """Queue the next part if there is one and nothing else waits."""
        if not self._may_be_left or self._is_looking or not self._is_idle():
            return
        self._may_be_left = False
        text_bytes, now = self._text_bytes, now_ms()
        self._is_looking = True
        found = self._account.writer.write(lambda store: store.hand_on(text_bytes, now))
        found.add_done_callback(self._found)

    def _found(self, finished: asyncio.Future[HistoryMoved | None]) -> None:
        self._is_looking = False
        if finished.cancelled():
            return
        if (error := finished.exception()) is not None:
            if isinstance(error, Exception):
                self._fail(error)
            return
        before, self._moved = self._moved, finished.result()
        if self._moved is not None and self._moved.is_gone:
            self._tell(self._moved)
            # Of another device it may have been said how far that is.
            self._moved = before if before and before.device != self._moved.device else None
            self.wake()
            return
        if self._moved is None:
            if before is not None:
                self._tell(msgspec.structs.replace(before, ended=True))
            self.look()
            return
        self._may_be_left = self._is_looking = True
        self._tell(self._moved)
        self._queued().add_done_callback(self._go_on)

    def _go_on(self, _: asyncio.Future[Any]) -> None:
        """Look again, now that the outbox is not idle any more or has sent the part already."""
        self._is_looking = False
        self.look()
