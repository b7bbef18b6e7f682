"""From an open connection to a logged-in one: check who the server is, then prove who we are.

Nothing that the server says is believed before its proof has been checked. What is sent to register
or to enroll is durable before it is sent, so that after a crash the very same goes out again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import UNSET, Struct

from jim import __version__
from jim.client.account_record import AccountRecord, Stage
from jim.client.link import protocol_error
from jim.crypto import chain, handshake, links, words
from jim.crypto.chain import NO_HEAD
from jim.crypto.keys import EncryptionKeys, SigningKey, fingerprint
from jim.crypto.transcript import Exchange, link_hash
from jim.errors import (
    AuthFailed,
    ChainInvalid,
    ConnectFailed,
    JimError,
    ServerIdentityChanged,
    ServerIdentityInvalid,
    UnsupportedVersion,
    WireError,
)
from jim.protocol import messages as m

if TYPE_CHECKING:
    from jim.client.link import Link
    from jim.crypto.chain import ChainState

CLIENT: Final = f"jim/{__version__}"
"""What the client says it is, in `hello`; only for the server's log."""

_ID: Final = "login"


class Greeting(Struct, frozen=True):
    """A server that has proven who it is on this connection."""

    exchange: Exchange
    terms: m.Terms

    @property
    def server_id(self) -> bytes:
        """The server's identity key."""
        return self.exchange.server_id


class Credentials(Struct, frozen=True, kw_only=True):
    """Everything that a login needs of this side.

    Attributes:
        key: of this device.
        record: how far the account has come.
        counter: the highest number that a message of this device has.
        token: of an invite, for a registration.
        recovery: the key of the twelve words, while the account is being recovered.
        keys: the public keys of this device's encryption.
        fallback: the key that others may begin a session with from the first moment.
        save: keeps a changed record durably.
        resetting: the account is to begin anew, with the words of the record.
        renew: makes another device of this machine, once the words have turned out to be right;
            gives what that one logs in with.
    """

    key: SigningKey
    record: AccountRecord
    counter: int
    token: str | None
    recovery: SigningKey | None
    keys: EncryptionKeys
    fallback: m.PublicKey | None
    save: Callable[[AccountRecord], Awaitable[None]]
    resetting: bool = False
    renew: Callable[[], Awaitable[Credentials]] | None = None


class Introduced(Protocol):
    """What `greet` needs of a connection; `Link` documents it."""

    def peer_spki(self) -> bytes: ...  # noqa: D102
    async def ask(self, message: m.ClientMessage) -> m.ServerMessage: ...  # noqa: D102


async def greet(link: Introduced, pinned: bytes | None) -> Greeting:
    """Ask the server to prove its identity for this very TLS connection.

    Raises:
        ServerIdentityChanged: it is not the one that we know.
        ServerIdentityInvalid: it has no proof, or somebody sits in between.
        UnsupportedVersion: at a first contact, the server says so.
        JimError: the server's refusal, or the end of the connection; it may be tried again.
    """
    cnonce = handshake.new_nonce()
    spki = link.peer_spki()
    try:
        challenge = await link.ask(m.Hello(id=_ID, v=m.VERSION, cnonce=cnonce, client=CLIENT))
    except WireError as error:
        raise _unproven(error, pinned) from None
    if not isinstance(challenge, m.Challenge):
        raise protocol_error("the server does not introduce itself")
    try:
        exchange = handshake.check_challenge(
            tls_spki=spki,
            cnonce=cnonce,
            server_id=challenge.server_id,
            spki=challenge.spki,
            snonce=challenge.snonce,
            terms=challenge.terms,
            sig=challenge.sig,
            pinned=pinned,
        )
    except ServerIdentityChanged:
        raise _changed(pinned, challenge.server_id) from None
    try:
        return Greeting(exchange, m.parse_terms(challenge.terms))
    except msgspec.DecodeError:
        raise ServerIdentityInvalid("the server's terms cannot be read", reason="terms") from None


def _unproven(error: WireError, pinned: bytes | None) -> JimError:
    """Give what a refusal counts for as long as nobody has proven to be the server.

    Whoever can answer one connection in its place could otherwise end the client for good, and have
    it note that its device was removed.
    """
    is_version = isinstance(error, UnsupportedVersion)
    if not error.final or (is_version and pinned is None):
        return error
    detail = f"refused by somebody who has not proven to be the server: {error.code}"
    return ConnectFailed(detail, reason="version" if is_version else "unproven")


async def log_in(link: Link, greeting: Greeting, who: Credentials) -> m.Welcome:
    """Log in, register or recover, whatever the account needs; its record is then up to date.

    Raises:
        JimError: the server's refusal, or the end of the connection.
        ChainInvalid: the account's device chain is not the one that we know.
    """
    record = who.record
    if record.stage is Stage.REGISTERING and record.link is not None:
        welcome = await _register(link, greeting.exchange, who, record.link)
    elif who.recovery is not None and (who.renew or record.stage is Stage.ENROLLING):
        welcome, record = await _recover(link, greeting.exchange, who, who.recovery)
    else:
        welcome = await _authenticate(link, greeting.exchange, who)
    seq, head = await _verified(link, record, welcome)
    changed = _pinned(record, seq, head)
    if changed != record:
        await who.save(changed)
    return welcome


async def _authenticate(link: Link, exchange: Exchange, who: Credentials) -> m.Welcome:
    record = who.record
    end = _known_end(record)
    head = record.chain_head if end is None else end[1]
    sig = handshake.prove_auth(who.key, exchange, name=record.name, head=head, counter=who.counter)
    auth = m.Auth(
        id=_ID,
        name=record.name,
        device=record.device,
        head=head,
        counter=who.counter,
        sig=sig,
    )
    return _welcome(await link.ask(auth), record)


async def _register(link: Link, exchange: Exchange, who: Credentials, genesis: m.Link) -> m.Welcome:
    sig = handshake.prove_register(who.key, exchange, name=who.record.name, genesis=genesis)
    register = m.Register(
        id=_ID,
        name=who.record.name,
        genesis=genesis,
        sig=sig,
        invite=UNSET if who.token is None else who.token,
        fallback=UNSET if who.fallback is None else who.fallback,
    )
    return _welcome(await link.ask(register), who.record)


async def _recover(
    link: Link, exchange: Exchange, who: Credentials, recovery: SigningKey
) -> tuple[m.Welcome, AccountRecord]:
    """Enroll this device, or one in its place; gives its record, with the link that was sent."""
    name = who.record.name
    sig = handshake.prove_recover(recovery, exchange, name=name)
    try:
        answer = await link.ask(m.Recover(id=_ID, name=name, sig=sig))
    except AuthFailed:
        begun = who.record.link
        if begun is None or begun.op != m.RESET:
            raise
        # An earlier try may have begun the account anew: these words are worth nothing then. A
        # challenge serves one attempt.
        again = await greet(link, exchange.server_id)
        return await _authenticate(link, again.exchange, who), who.record
    if not isinstance(answer, m.Chain):
        raise protocol_error("the server does not show the device chain")
    state = _recovered(who.record, recovery, answer.links)
    if who.renew is not None:
        who = await who.renew()
    added = await _added_link(who, recovery, state, answer.links[-1].time)
    proof = handshake.prove_enroll(who.key, exchange, name=name, link=added)
    fallback = UNSET if who.fallback is None else who.fallback
    enroll = m.Enroll(id=_ID, name=name, link=added, sig=proof, fallback=fallback)
    record = msgspec.structs.replace(who.record, link=added)
    return _welcome(await link.ask(enroll), record), record


def _recovered(record: AccountRecord, recovery: SigningKey, shown: list[m.Link]) -> ChainState:
    """Verify the chain that is to be continued by the words.

    Raises:
        ChainInvalid: it is not valid, or not that of these words.
    """
    state = chain.verify_chain(shown, record.name)
    if record.chain_head != NO_HEAD:
        chain.check_continues(shown, record.chain_seq, record.chain_head)
    if state.recovery_key != recovery.public:
        raise ChainInvalid("the chain belongs to other recovery words", reason="recovery")
    return state


async def _added_link(
    who: Credentials, recovery: SigningKey, state: ChainState, last_ms: int
) -> m.Link:
    """Make the link that adds this device or begins anew with it, or give that of an earlier try.

    It is durable before it is sent. A link for a reset never is without its words. `last_ms` is the
    time of the link that it follows.

    Raises:
        ConnectFailed: an earlier try has enrolled the device; the next one is an ordinary login.
    """
    record = who.record
    if record.device in state.devices:
        await who.save(_pinned(record, state.seq, state.head))
        raise ConnectFailed("an earlier try has enrolled this device: it logs in now")
    made = record.link
    if made is not None and made.prev == state.head:
        return made
    time_ms = max(int(time.time() * 1000), last_ms + 1)
    # A reset that may have been sent goes on: it may arrive yet, and only its words count then.
    if who.resetting or (made is not None and made.op == m.RESET):
        added = _reset_link(who, state, recovery, time_ms)
        await who.save(msgspec.structs.replace(record, link=added))
        return added
    added = links.make_add(state, who.key, recovery, time_ms, who.keys)
    await who.save(msgspec.structs.replace(record, link=added, words=None))
    return added


def _reset_link(who: Credentials, state: ChainState, recovery: SigningKey, time_ms: int) -> m.Link:
    new = words.parse_words(who.record.words or "").public
    return links.make_reset(state, who.key, new, recovery, time=time_ms, keys=who.keys)


def _pinned(record: AccountRecord, seq: int, head: bytes) -> AccountRecord:
    """Give the record of a device that belongs to the chain which ends here."""
    return msgspec.structs.replace(
        record, stage=Stage.REGISTERED, link=None, chain_seq=seq, chain_head=head
    )


def _welcome(reply: m.ServerMessage, record: AccountRecord) -> m.Welcome:
    if not isinstance(reply, m.Welcome):
        raise protocol_error("the server does not answer the login")
    if (reply.name, reply.device) != (record.name, record.device):
        raise protocol_error("the server takes us for somebody else")
    return reply


def _changed(pinned: bytes | None, shown: bytes) -> ServerIdentityChanged:
    """Say which server was expected and which one is there."""
    known = "" if pinned is None else fingerprint(pinned)
    return ServerIdentityChanged(reason="identity", known=known, shown=fingerprint(shown))


async def _verified(link: Link, record: AccountRecord, welcome: m.Welcome) -> tuple[int, bytes]:
    """Give the end of the chain to pin: what we know already, or what provably continues it.

    Raises:
        ChainInvalid: the server shows another history than before, or one that nobody has signed.
    """
    known = _known_end(record)
    shown = (welcome.chain_seq, welcome.chain_head)
    if known == shown:
        return shown
    if known is not None and welcome.chain_seq <= known[0]:
        reason = "forked" if welcome.chain_seq == known[0] else "rolled_back"
        raise ChainInvalid("the device chain is not the one before", reason=reason, seq=shown[0])
    answer = await link.ask(m.ChainRequest(id=_ID))
    if not isinstance(answer, m.Chain):
        raise protocol_error("the server does not show the device chain")
    return _verify_links(answer.links, record, known, shown)


def _known_end(record: AccountRecord) -> tuple[int, bytes] | None:
    """Give number and hash of the last link that we know; None if a recovery has sent none yet."""
    if record.stage is Stage.REGISTERED:
        return record.chain_seq, record.chain_head
    return None if record.link is None else (record.link.seq, link_hash(record.link))


def _verify_links(
    shown: list[m.Link],
    record: AccountRecord,
    known: tuple[int, bytes] | None,
    end: tuple[int, bytes],
) -> tuple[int, bytes]:
    """Verify a whole chain against what we know of it and what the welcome said; give its end.

    The hash of a link stands for all links before it, so number and hash are all there is to pin.
    It may have grown since the welcome.
    """
    state = chain.verify_chain(shown, record.name)
    for seq, head in (end,) if known is None else (known, end):
        chain.check_continues(shown, seq, head)
    return state.seq, state.head
