"""What became of the messages of a device that is left for a new one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from jim.client.sync.outbox import Outbox


class Settled(Struct, frozen=True):
    """The outbox of a device that sends no more, by what the server had of it in the end.

    Attributes:
        stored: messages that it has, whose answers were lost; in their order.
        unknown: messages of which nobody knows.
        lost_after: of those that it had confirmed, it has lost the ones with greater numbers.
    """

    stored: list[int]
    unknown: list[int]
    lost_after: int


def settle(outbox: Outbox, last_n: int, last_mark: str) -> Settled:
    """Decide about what is not confirmed; the rest was never stored, and never will be.

    The rules are those of `Outbox.welcomed`.
    """
    if outbox.is_foreign(last_n, last_mark):
        return Settled([], outbox.unknown(), outbox.confirmed)
    stored = islice(outbox.rows, max(0, last_n - outbox.confirmed))
    return Settled([row.message_id for row in stored], [], min(last_n, outbox.confirmed))
