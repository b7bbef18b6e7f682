"""Linking a new device to an account: what the new device does, and what one of the account does.

Each is sure of the other by the code that the new device shows and its user types on the old one
(`jim.crypto.link_code`). The server only relays, and is believed nothing. Every step can be
repeated: the new device keeps its keys before it offers them, and the chain that it is about to
join before it proves anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from jim.client.account_record import AccountRecord, Stage
from jim.client.link import protocol_error
from jim.client.login import CLIENT
from jim.crypto import chain, handshake, link_code, links, transcript
from jim.crypto.chain import FIRST_SEQ, NO_HEAD, ChainState
from jim.crypto.device_keys import verify_key
from jim.crypto.keys import EncryptionKeys, SigningKey, device_id, verify
from jim.crypto.link_code import LinkCode
from jim.errors import AuthFailed, ChainInvalid, OfferGone, Revoked
from jim.protocol import messages as m
from jim.protocol.messages import ADD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jim.client.link import Reply, Request
    from jim.client.login import Greeting

_ID: Final = "link"


class Connected(Protocol):
    """What a new device needs of a connection; `Link` documents it."""

    def send(self, *messages: m.ClientMessage) -> None: ...  # noqa: D102
    async def ask(self, message: m.ClientMessage) -> m.ServerMessage: ...  # noqa: D102
    async def receive(self) -> list[m.ServerMessage]: ...  # noqa: D102
    def start_watching(self) -> None: ...  # noqa: D102


class Requests(Protocol):
    """What a device of the account needs of a connection; `Link` documents it."""

    def request(self, message: Request) -> asyncio.Future[Reply]: ...  # noqa: D102


# --- the new device ---------------------------------------------------------------------------


class Newcomer(Struct, frozen=True, kw_only=True):
    """A device that has keys and no account yet.

    Attributes:
        key: its login key, kept durably.
        keys: of its encryption account, kept durably too.
        fallback: signed with `keys.ed`.
        record: in the stage linking; the name in it is normalised.
        secret: of its code (`link_code.new_secret`): the same over reconnections, another for each
            time that the user begins.
        show: shows the code and for how many seconds it is good; may be called again.
        save: keeps a changed record durably.
    """

    key: SigningKey
    keys: EncryptionKeys
    fallback: m.PublicKey
    record: AccountRecord
    secret: str
    show: Callable[[LinkCode, int], None]
    save: Callable[[AccountRecord], Awaitable[None]]

    @property
    def login_key(self) -> bytes:
        """The public half of the login key."""
        return self.key.public

    @property
    def ed(self) -> bytes:
        """The public signing key of the encryption account."""
        return self.keys.ed

    @property
    def curve(self) -> bytes:
        """The public identity key of the encryption account."""
        return self.keys.curve

    def code(self, server_id: bytes) -> LinkCode:
        """Give the code to show."""
        return link_code.make_code(server_id, self.record.name, self, self.secret)


class Joined(Struct, frozen=True):
    """A device that is in an account now: the record to log in with, and what to compare.

    `links` are the account's chain, verified, which `state` sums up.
    """

    record: AccountRecord
    state: ChainState
    confirmation: str
    links: list[m.Link]


async def join(link: Connected, greeting: Greeting, who: Newcomer) -> Joined:
    """Offer the device and wait until one of the account has added it.

    It watches the connection for signs of life, which may be minutes apart; the ordinary login that
    follows is best made on another one.

    Raises:
        LinkExpired: nobody did in time.
        ChainInvalid: somebody who does not know the code wants to add the device, or the account
            that it was added to is not the one of who knows it.
        Revoked: the device was added, and taken out again.
        JimError: the server's refusal, or the end of the connection.
    """
    code, record = who.code(greeting.server_id), who.record
    answer = await link.ask(_offer(greeting, who))
    if isinstance(answer, m.Linking):
        link.start_watching()
        who.show(code, answer.expires_s)
    elif not isinstance(answer, m.Linked):
        raise protocol_error("the server does not answer the wish to be linked")
    news: list[m.ServerMessage] = [answer]
    while True:
        for message in news:
            if isinstance(message, m.DraftPush):
                record = await _prove(link, who, code, record, message)
            elif isinstance(message, m.Linked):
                return await _joined(who, record, message.links)
        news = await link.receive()


def _offer(greeting: Greeting, who: Newcomer) -> m.LinkRequest:
    name = who.record.name
    sig = handshake.prove_offer(who.key, greeting.exchange, name=name, device=who)
    return m.LinkRequest(
        id=_ID,
        name=name,
        login_key=who.login_key,
        ed=who.ed,
        curve=who.curve,
        fallback=who.fallback,
        sig=sig,
        client=CLIENT,
    )


async def _prove(
    link: Connected, who: Newcomer, code: LinkCode, record: AccountRecord, draft: m.DraftPush
) -> AccountRecord:
    """Answer a draft that comes from somebody who knows the code, after pinning their chain."""
    check_draft(draft.link, record.name, who)
    await asyncio.to_thread(code.check_approval, draft.link, draft.approval)
    record = _pinned(record, draft.link)
    await who.save(record)
    link.send(m.Proof(proof=links.prove_add(draft.link, who.key).proof))
    return record


def check_draft(link: m.Link, name: str, who: transcript.NewDevice) -> None:
    """Demand that a link adds just this device, with just its keys, to the account `name`.

    Raises:
        ChainInvalid: with `reason` draft.
    """
    place = (link.acct, link.op, link.device, link.recovery_key)
    keys = (link.login_key, link.ed, link.curve)
    own_place = (name, ADD, device_id(who.login_key), b"")
    if place != own_place or keys != (who.login_key, who.ed, who.curve) or link.seq <= FIRST_SEQ:
        detail = "the link is for another device or account than this"
        raise ChainInvalid(detail, reason="draft", seq=link.seq)


def _pinned(record: AccountRecord, draft: m.Link) -> AccountRecord:
    """Pin the chain that a draft continues; of several the longest."""
    if record.chain_head != NO_HEAD and draft.seq <= record.chain_seq + 1:
        return record
    return msgspec.structs.replace(record, chain_seq=draft.seq - 1, chain_head=draft.prev)


async def _joined(who: Newcomer, record: AccountRecord, shown: list[m.Link]) -> Joined:
    """Verify the chain that this device is in now, and pin it.

    Raises:
        Revoked: the device was taken out again meanwhile.
        ChainInvalid: with `reason` approval (nobody who knows the code has said which chain it is),
            member (the device is not in it, or not with its keys), or as `chain.verify_chain`.
    """
    state = chain.verify_chain(shown, record.name)
    if record.chain_head == NO_HEAD:
        raise ChainInvalid("nobody who knows the code has added this device", reason="approval")
    chain.check_continues(shown, record.chain_seq, record.chain_head)
    device = device_id(who.login_key)
    if device in state.revoked:
        raise Revoked
    if state.devices.get(device) != who.login_key or state.keys.get(device) != who.keys:
        raise ChainInvalid("the account's chain does not have this device", reason="member")
    record = msgspec.structs.replace(
        record, stage=Stage.REGISTERED, link=None, chain_seq=state.seq, chain_head=state.head
    )
    await who.save(record)
    digits = link_code.confirmation(record.name, state.root, who.login_key)
    return Joined(record, state, digits, shown)


# --- a device of the account ------------------------------------------------------------------


async def find_offer(link: Requests, server_id: bytes, name: str, code: LinkCode) -> m.Offer | None:
    """Ask who waits, and give the device that shows this code; None if none does.

    Raises:
        JimError: the server's refusal, or the end of the connection.
    """
    reply = await link.request(m.Offers(id=_ID))
    if not isinstance(reply, m.OffersReply):
        raise protocol_error("the server does not tell which devices wait")
    return matching(reply.offers, server_id, name, code)


def matching(
    offers: Iterable[m.Offer], server_id: bytes, name: str, code: LinkCode
) -> m.Offer | None:
    """Give the offer whose keys fit the code, whatever the server says of it."""
    for offer in offers:
        if code.fits(server_id, name, offer) and _is_whole(offer):
            return offer
    return None


def _is_whole(offer: m.Offer) -> bool:
    """Tell whether the fallback key, which the code does not cover, is the device's own."""
    try:
        verify_key(offer.fallback, device_id(offer.login_key), offer.ed)
    except AuthFailed:
        return False
    return True


async def propose(
    link: Requests,
    offer: m.Offer,
    code: LinkCode,
    state: ChainState,
    key: SigningKey,
    *,
    time_ms: int,
) -> m.Link:
    """Draw up the link that adds a new device, get its proof and sign; the user has agreed before.

    `state` is the account's chain as this device has pinned it, and `key` its login key. What comes
    back is to be sent with `extend`.

    Raises:
        OfferGone: the new device does not wait any more, or has not proven that it holds its key.
        JimError: the server's refusal, or the end of the connection.
    """
    keys = EncryptionKeys(offer.ed, offer.curve)
    draft = links.draft_add(state, offer.login_key, time_ms, keys)
    approval = await asyncio.to_thread(code.approve, draft)
    reply = await link.request(m.Draft(id=_ID, offer=offer.offer, link=draft, approval=approval))
    if not isinstance(reply, m.ProofReply):
        raise protocol_error("the server does not pass the new device's proof on")
    proven = msgspec.structs.replace(draft, proof=reply.proof)
    try:
        verify(offer.login_key, proven.proof, transcript.possession(proven))
    except AuthFailed:
        raise OfferGone("the new device has not proven that it holds its key") from None
    return links.sign_add(proven, key)


class Added(Struct, frozen=True):
    """A device that was added: its link, the chain with it, and what to compare."""

    link: m.Link
    state: ChainState
    confirmation: str


async def take_in(
    link: Requests,
    offer: m.Offer,
    code: LinkCode,
    state: ChainState,
    key: SigningKey,
    *,
    time_ms: int,
) -> Added:
    """Add a new device to the account, in the chain of the server too; see `propose`.

    After an error nothing or everything may have happened: what the chain is then, `chain` tells.

    Raises:
        ChainMoved: the chain has grown meanwhile; to be repeated with what it is now.
        OfferGone: as `propose`.
        JimError: the server's refusal, or the end of the connection.
    """
    signed = await propose(link, offer, code, state, key, time_ms=time_ms)
    after = chain.extend(state, signed)
    reply = await link.request(m.Extend(id=_ID, link=signed, fallback=offer.fallback))
    if not isinstance(reply, m.Extended):
        raise protocol_error("the server does not say that it has added the device")
    return Added(signed, after, link_code.confirmation(state.name, after.root, offer.login_key))
