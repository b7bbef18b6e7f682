"""The connection of a new device while it waits to be linked to an account."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jim.core.linking import Offer
from jim.errors import OfferGone
from jim.protocol import messages as m
from jim.protocol.session import State
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.server.login import Login


class Newcomer:
    """Stands in the book of offers for a session in the state `linking`, or on the way there."""

    __slots__ = ("_login", "_proof", "links", "offer")

    def __init__(self, login: Login, name: str, request: m.LinkRequest) -> None:
        """Put the offer into the book.

        Raises:
            TooOften: too many wait already.
        """
        visitor, node = login.connection.visitor, login.node
        self.links: list[m.Link] | None = None
        """The chain that the device is in, if that was told before it could be passed on."""
        self._login = login
        self._proof: asyncio.Future[bytes] | None = None
        self.offer = Offer(
            name=name,
            request=request,
            waiting=self,
            address=visitor.address,
            source=None if visitor.ticket.exempt else visitor.ticket.source,
            since_s=node.loop.time(),
        )
        node.offers.put(self.offer)

    async def prove(self, link: m.Link, approval: bytes) -> bytes:
        """Ask for the proof for a link; an earlier question is over.

        Raises:
            OfferGone: the device has left, has not answered in time, or was asked anew.
        """
        self._drop_question()
        proof: asyncio.Future[bytes] = self._login.node.loop.create_future()
        self._proof = proof
        self._login.push(m.DraftPush(link=link, approval=approval, time=now_ms()))
        try:
            async with asyncio.timeout(self._login.node.limits.linking_proof_s):
                return await proof
        except TimeoutError:
            raise OfferGone("the new device does not answer") from None
        finally:
            if self._proof is proof:
                self._proof = None

    def answer(self, proof: bytes) -> None:
        """Hand the device's proof on; one that comes too late, or unasked, is for nobody."""
        if self._proof is not None and not self._proof.done():
            self._proof.set_result(proof)

    def linked(self, links: list[m.Link]) -> None:
        """Tell the device that it is in this chain; it logs in then like any other."""
        if self._login.state is not State.LINKING:
            self.links = links
            return
        with self._login.connection.guarded():
            self._login.push(m.Linked(links=links, time=now_ms()))

    def leave(self) -> None:
        """Take the offer out of the book; a second call changes nothing."""
        self._login.node.offers.remove(self.offer)
        self._drop_question()

    def _drop_question(self) -> None:
        if self._proof is not None and not self._proof.done():
            self._proof.set_exception(OfferGone())
        self._proof = None
