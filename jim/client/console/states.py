"""What became of the user's own messages, told without noise; pure: the clock is handed in.

A message that goes out at once passes through "stored" to "delivered" within milliseconds; one line
for the last state is enough. So a state is told when it has settled, several of one recipient
together; a failure is told at once and in full.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from jim.client.console import view
from jim.i18n import ngettext_

if TYPE_CHECKING:
    from jim.client.console.lines import Line
    from jim.client.console.view import Look
    from jim.client.events import Message

SETTLE_S: Final = 0.4
"""Long enough for a round trip to the recipient and back, short enough to feel like an answer."""

REMEMBERED: Final = 200
"""Own messages kept for /status; the store has all of them."""

TOLD_SINGLY: Final = 3
"""More messages of one recipient in one state than this are told as a number."""


class OwnStates:
    """Own messages of this run, newest last, and what has still to be told about them."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._untold: dict[int, float] = {}
        self.failed: list[Message] = []
        """Every own message that has failed since the start, for the exit code."""

    def update(self, message: Message, now: float) -> bool:
        """Remember the newest state; say whether it is news that has to be told at once."""
        known = self._messages.get(message.message_id)
        if known is not None and known.state == message.state:
            return False
        self._messages[message.message_id] = message
        self._forget_oldest()
        if message.state == "failed":
            self._untold.pop(message.message_id, None)
            self.failed.append(message)
            return True
        if message.state != "queued":
            self._untold.setdefault(message.message_id, now + SETTLE_S)
        return False

    def due(self, now: float, look: Look) -> list[Line]:
        """Give the lines whose time has come, and forget that they had to be told."""
        ready = [number for number, when in self._untold.items() if when <= now]
        groups: dict[tuple[str, str], list[Message]] = {}
        for number in ready:
            del self._untold[number]
            message = self._messages.get(number)
            if message is not None:
                groups.setdefault((message.peer, message.state), []).append(message)
        return [shown for group in groups.values() for shown in _tell(group, look)]

    def next_due(self) -> float | None:
        """Give the time at which `due` will have something."""
        return min(self._untold.values(), default=None)

    @property
    def queued(self) -> int:
        """Messages that the server has not stored yet."""
        return sum(message.state == "queued" for message in self._messages.values())

    def latest(self, count: int) -> list[Message]:
        """Give the newest own messages, oldest first."""
        return list(self._messages.values())[-count:]

    def last(self) -> Message | None:
        """Give the newest own message."""
        return next(reversed(self._messages.values()), None)

    def _forget_oldest(self) -> None:
        for number in list(self._messages)[: max(0, len(self._messages) - REMEMBERED)]:
            if self._messages[number].state != "queued":
                del self._messages[number]


def _tell(group: list[Message], look: Look) -> list[Line]:
    if len(group) <= TOLD_SINGLY:
        return [shown for message in group for shown in view.own_state(message, look)]
    first = group[0]
    template = ngettext_("{count} message", "{count} messages", len(group))
    return [view.many_states(first.state, first.peer, template.format(count=len(group)), look)]
