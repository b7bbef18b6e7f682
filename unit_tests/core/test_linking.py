"""The book of new devices that wait: who sees whom, and how many may wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jim.core.limits import Limits
from jim.core.linking import Offer, OfferBook
from jim.errors import OfferGone, TooOften
from jim.protocol import messages as m

if TYPE_CHECKING:
    from jim.protocol.messages import Link


class Told:
    """A connection that remembers what it was told."""

    def __init__(self) -> None:
        self.chains: list[list[Link]] = []

    async def prove(self, link: Link, approval: bytes) -> bytes:
        return bytes(64)

    def linked(self, links: list[Link]) -> None:
        self.chains.append(links)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def offer(
    name: str = "alice", number: int = 1, source: str | None = "here", since_s: float = 0.0
) -> Offer:
    request = m.LinkRequest(
        id=1,
        name=name,
        login_key=key(number),
        ed=bytes(32),
        curve=bytes(32),
        fallback=m.PublicKey(id=1, key=bytes(32), sig=bytes(64)),
        sig=bytes(64),
    )
    return Offer(name, request, Told(), "192.0.2.1", source, since_s)


def opened(book: OfferBook, *offers: Offer) -> None:
    for each in offers:
        book.put(each)
        each.is_open = True


def book(**limits: Any) -> OfferBook:
    return OfferBook(Limits(**limits))


def test_an_account_sees_its_own_offers_and_no_others() -> None:
    offers, one, two, foreign = book(), offer(number=1), offer(number=2), offer("bob")
    foreign.source = "elsewhere"
    opened(offers, one, two, foreign)
    assert offers.for_account("alice") == [one, two]
    assert offers.find("alice", two.number) is two
    with pytest.raises(OfferGone):
        offers.find("alice", foreign.number)
    assert len({one.number, two.number, foreign.number}) == 3


def test_an_offer_is_seen_only_when_it_is_open_and_until_it_is_taken_out() -> None:
    offers, one = book(), offer()
    offers.put(one)
    assert offers.for_account("alice") == []
    with pytest.raises(OfferGone):
        offers.find("alice", one.number)
    one.is_open = True
    assert offers.find("alice", one.number) is one
    offers.remove(one)
    offers.remove(one)
    with pytest.raises(OfferGone):
        offers.find("alice", one.number)
    assert len(offers) == 0


@pytest.mark.parametrize(
    ("limit", "others"),
    [
        ("linking_devices", [offer("bob", source="a"), offer("carol", source="b")]),
        ("linking_devices_per_name", [offer(source="a"), offer(source="b")]),
        ("linking_devices_per_address", [offer("bob"), offer("carol")]),
    ],
)
def test_limits_of_those_who_wait(limit: str, others: list[Offer]) -> None:
    offers = book(**{limit: 2})
    opened(offers, *others)
    with pytest.raises(TooOften) as caught:
        offers.put(offer(since_s=100.0))
    assert caught.value.fields == {"limit": 2, "retry_after_ms": 500_000}
    assert len(offers) == 2
    offers.remove(others[0])
    offers.put(offer())


def test_other_limits_from_now_on() -> None:
    offers = book(linking_devices=1)
    offers.put(offer())
    offers.apply(Limits(linking_devices=2))
    offers.put(offer())


def test_an_exempt_address_has_no_limit_of_its_own() -> None:
    offers = book(linking_devices_per_address=1)
    for name in ("alice", "bob", "carol"):
        offers.put(offer(name, source=None))
    assert len(offers) == 3


def test_a_new_link_is_told_to_the_device_that_it_adds_and_to_nobody_else() -> None:
    offers, one, two, foreign = book(), offer(number=1), offer(number=2), offer("bob", number=1)
    foreign.source = "elsewhere"
    opened(offers, one, two, foreign)
    offers.linked("alice", {key(1), key(9)}, [])
    told = [each.waiting for each in (one, two, foreign)]
    assert [isinstance(each, Told) and each.chains for each in told] == [[[]], [], []]


def test_a_device_that_is_not_shown_yet_is_told_too() -> None:
    offers, one = book(), offer()
    offers.put(one)
    offers.linked("alice", {key(1)}, [])
    assert isinstance(one.waiting, Told)
    assert one.waiting.chains == [[]]
