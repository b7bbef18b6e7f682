"""New devices that wait to be linked: the book of their offers. In memory only, and bounded.

Whether a name exists makes no difference here: an offer to nobody waits like any other and is never
picked up. Pure: the clock is handed in, and whoever ends a connection takes its offer out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from jim.errors import OfferGone, TooOften

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from jim.core.limits import Limits
    from jim.protocol.messages import Link, LinkRequest

_MS: Final = 1000


class Waiting(Protocol):
    """The connection of a new device."""

    def prove(self, link: Link, approval: bytes) -> Awaitable[bytes]:
        """Ask for the proof for a link; raises `OfferGone` if none comes."""

    def linked(self, links: list[Link]) -> None:
        """Tell the device that it is in this chain."""


@dataclass(eq=False, slots=True)
class Offer:
    """One device that waits.

    Attributes:
        name: of the account, normalised; perhaps of none.
        request: what the device sent; its own proof has been checked.
        waiting: its connection.
        address: of the connection, as text.
        source: what limits count by, None if they do not apply.
        since_s: when it began to wait.
        number: what the account's devices call it by.
        is_open: it may be shown to them.
    """

    name: str
    request: LinkRequest
    waiting: Waiting
    address: str
    source: str | None
    since_s: float
    number: int = field(default=0, init=False)
    is_open: bool = field(default=False, init=False)


class OfferBook:
    """Every offer of one server; all methods are called from one thread and return at once."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty."""
        self._offers: dict[int, Offer] = {}
        self._last = 0
        self.apply(limits)

    def __len__(self) -> int:
        """Count the devices that wait."""
        return len(self._offers)

    def apply(self, limits: Limits) -> None:
        """Use other limits from now on; who waits may stay."""
        self._limits = limits

    def put(self, offer: Offer) -> None:
        """Take an offer and give it its number.

        Raises:
            TooOften: too many wait already: for the name, from the source, or altogether.
        """
        limits = self._limits
        self._check(offer, limits.linking_devices, lambda _: True)
        self._check(offer, limits.linking_devices_per_name, lambda old: old.name == offer.name)
        if offer.source is not None:
            limit = limits.linking_devices_per_address
            self._check(offer, limit, lambda old: old.source == offer.source)
        self._last += 1
        offer.number = self._last
        self._offers[offer.number] = offer

    def remove(self, offer: Offer) -> None:
        """Forget an offer; a second call changes nothing."""
        self._offers.pop(offer.number, None)

    def for_account(self, name: str) -> list[Offer]:
        """Give the offers that the account's devices may see, the oldest first."""
        return [offer for offer in self._of(name) if offer.is_open]

    def find(self, name: str, number: int) -> Offer:
        """Give an offer to an account by its number.

        Raises:
            OfferGone: there is none (any more), or it is for another account.
        """
        offer = self._offers.get(number)
        if offer is None or offer.name != name or not offer.is_open:
            raise OfferGone
        return offer

    def linked(self, name: str, login_keys: set[bytes], links: list[Link]) -> None:
        """Tell the new devices of an account whose keys its chain has now."""
        for offer in [*self._of(name)]:
            if offer.request.login_key in login_keys:
                offer.waiting.linked(links)

    def _of(self, name: str) -> Iterator[Offer]:
        return (offer for offer in self._offers.values() if offer.name == name)

    def _check(self, offer: Offer, limit: int, counts: Callable[[Offer], bool]) -> None:
        """Refuse what is one too many; there is place again when the oldest has waited enough."""
        alike = [old.since_s for old in self._offers.values() if counts(old)]
        if len(alike) >= limit:
            waits_s = min(alike, default=offer.since_s) + self._limits.linking_s - offer.since_s
            raise TooOften(limit=limit, retry_after_ms=max(1, round(waits_s * _MS)))
