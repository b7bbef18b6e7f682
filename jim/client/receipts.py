"""How far others hold our messages: what the server says of it, asked and unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jim.protocol import messages as m

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jim.client.account_store import AccountStore
    from jim.client.events import Message
    from jim.client.link import Link

    Work = Callable[[AccountStore], list[Message]]
    Told = Callable[[Iterable[Message]], object]
    Write = Callable[[Work, Callable[[list[Message]], None]], object]
    """Changes the store, and calls the second with what the first gave, once it is durable."""

NAMES: Final = 256
"""In one `receipts` request (the protocol's bound, jim.protocol.messages.Receipts)."""

MAX_HEARD: Final = 1_000
"""People of whom a receipt waits for the store: a crowd that nobody writes with. Of more the oldest
is left out, and asked for with the next connection."""


class Receipts:
    """Takes receipts to the store, one transaction after the other, the last word of each person.

    A server can send them faster than any disk takes them.
    """

    def __init__(self, write: Write, tell: Told) -> None:
        """Take how the store is changed, and whom to tell of messages that are delivered now."""
        self._write, self._tell = write, tell
        self._heard: dict[str, int] = {}
        self._is_writing = False

    def hear(self, name: str, seq: int) -> None:
        """Hear that somebody holds the conversation up to a sequence."""
        self._heard[name] = max(seq, self._heard.pop(name, 0))
        if len(self._heard) > MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        self._go()

    def ask(
        self, link: Link, names: Sequence[str], look_at: Callable[[Mapping[str, int]], object]
    ) -> None:
        """Ask about people; `look_at` hears where the device chains of theirs end now.

        What the answer says of others is passed over.
        """
        for start in range(0, len(names), NAMES):
            asked = list(names[start : start + NAMES])

            def answered(answer: asyncio.Future[Any], asked: list[str] = asked) -> None:
                if answer.cancelled() or answer.exception() is not None:
                    return
                reply = answer.result()
                if isinstance(reply, m.ReceiptsReply):
                    for name in asked:
                        if name in reply.delivered:
                            self.hear(name, reply.delivered[name])
                    look_at({name: reply.chains[name] for name in asked if name in reply.chains})

            link.request(m.Receipts(id="", names=asked)).add_done_callback(answered)

    def _go(self) -> None:
        if self._is_writing or not self._heard:
            return
        heard, self._heard = self._heard, {}
        self._is_writing = True

        def keep(store: AccountStore) -> list[Message]:
            return [
                message for name, seq in heard.items() for message in store.delivered(name, seq)
            ]

        def done(messages: list[Message]) -> None:
            self._is_writing = False
            self._tell(messages)
            self._go()

        self._write(keep, done)
