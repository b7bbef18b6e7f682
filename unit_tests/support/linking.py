"""A new device that is to be linked, and the end of the chain that the server keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jim.core.model import AccountRecord, Enrolment
from jim.crypto import handshake, links
from jim.crypto.chain import ChainState, verify_chain
from jim.crypto.device_keys import sign_key
from jim.crypto.keys import EncryptionKeys, SigningKey, device_id
from jim.crypto.olm import Olm
from jim.crypto.transcript import link_hash
from jim.protocol import messages as m
from jim.server.handlers.linking import announce
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.crypto.transcript import Exchange
    from unit_tests.support.serving import Serving
    from unit_tests.support.wire import Person, Wire


class Device:
    """Keys of a device that no account has yet."""

    def __init__(self) -> None:
        self.key = SigningKey.generate()
        self.account = Olm().new_account()
        self.fallback = sign_key(self.account, self.device, 1, self.account.new_fallback_key())

    @property
    def login_key(self) -> bytes:
        return self.key.public

    @property
    def keys(self) -> EncryptionKeys:
        return self.account.keys

    @property
    def ed(self) -> bytes:
        return self.keys.ed

    @property
    def curve(self) -> bytes:
        return self.keys.curve

    @property
    def device(self) -> str:
        return device_id(self.key.public)

    def request(self, exchange: Exchange, name: str) -> m.LinkRequest:
        return m.LinkRequest(
            id="link",
            name=name,
            login_key=self.login_key,
            ed=self.ed,
            curve=self.curve,
            fallback=self.fallback,
            sig=handshake.prove_offer(self.key, exchange, name=name, device=self),
            client="test",
        )

    def offer(self, number: int = 1) -> m.Offer:
        return m.Offer(
            offer=number,
            login_key=self.login_key,
            ed=self.ed,
            curve=self.curve,
            fallback=self.fallback,
            address="192.0.2.1",
            age_s=1,
            client="test",
        )

    async def wait(self, wire: Wire, name: str) -> m.Linking:
        """Greet, and wait to be linked."""
        wire.send(self.request(await wire.greet(), name))
        message = await wire.receive()
        assert isinstance(message, m.Linking), message
        return message

    def draft(self, state: ChainState) -> m.Link:
        return links.draft_add(state, self.login_key, 2_000, self.keys)

    def link(self, state: ChainState, signer: SigningKey) -> m.Link:
        """Make the whole link, both halves."""
        return links.sign_add(links.prove_add(self.draft(state), self.key), signer)


async def account_of(server: Serving, name: str) -> AccountRecord:
    account = await server.store.find_account(name)
    assert account is not None
    return account


async def chain_of(server: Serving, name: str) -> ChainState:
    return verify_chain((await account_of(server, name)).links, name)


async def extend(server: Serving, link: m.Link) -> AccountRecord:
    """Put a link that adds a device into the store, and do what follows such a commit."""
    account = await account_of(server, link.acct)
    enrolment = Enrolment(account.account_id, link, link_hash(link), 10)
    account = await server.store.enrol(enrolment, now_ms())
    announce(server.service.node, account)
    return account


async def added(server: Serving, person: Person, device: Device) -> AccountRecord:
    """Add a device to an account, without asking it."""
    state = await chain_of(server, person.name)
    return await extend(server, device.link(state, person.key))


def altered(key: bytes) -> bytes:
    """Give other bytes of the same length."""
    return bytes([key[0] ^ 1]) + key[1:]


def with_sig(message: m.LinkRequest, sig: bytes) -> m.LinkRequest:
    return msgspec.structs.replace(message, sig=sig)
