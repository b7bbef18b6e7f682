"""The bus of a server that is one process: a dictionary of subscribers, called directly.

Nothing is ever lost on the way, so `lost` is never called. No event is kept, no thread started.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.ports import Event

_log = logging.getLogger(__name__)


class _Subscription:
    """One subscriber of one account; `ended` also stops a publish that is under way."""

    __slots__ = ("ended", "receive")

    def __init__(self, receive: Callable[[Event], None]) -> None:
        self.receive = receive
        self.ended = False


class LocalBus:
    """Hands events to the subscribers of this process, in the order of the calls."""

    def __init__(self) -> None:
        """Start without subscribers."""
        self._subscriptions: dict[int, list[_Subscription]] = {}

    def publish(self, account_id: int, event: Event) -> None:
        """Call every subscriber of the account; one that raises is logged and stops nobody else.

        Somebody who subscribes meanwhile gets the next event, who unsubscribes gets no further one.
        """
        subscriptions = self._subscriptions.get(account_id)
        if subscriptions is None:
            return
        for subscription in subscriptions.copy() if len(subscriptions) > 1 else (subscriptions[0],):
            if subscription.ended:
                continue
            try:
                subscription.receive(event)
            except Exception:  # noqa: BLE001 - of a subscriber, and not the publisher's business
                # The event itself may hold a message: only its kind is logged.
                _log.exception("a subscriber failed on a %s", type(event).__name__)

    def subscribe(
        self,
        account_id: int,
        receive: Callable[[Event], None],
        lost: Callable[[], None],
    ) -> Callable[[], None]:
        """Receive the account's events from now on; give the function that ends it."""
        subscription = _Subscription(receive)
        self._subscriptions.setdefault(account_id, []).append(subscription)

        def unsubscribe() -> None:
            if not subscription.ended:
                subscription.ended = True
                self._remove(account_id, subscription)

        return unsubscribe

    def _remove(self, account_id: int, subscription: _Subscription) -> None:
        subscriptions = self._subscriptions[account_id]
        subscriptions.remove(subscription)
        if not subscriptions:
            del self._subscriptions[account_id]
