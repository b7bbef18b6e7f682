"""Seal what waits in the outbox, or say what is lacking for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from jim.client.encryption.contacts import Contacts, Trust
from jim.client.encryption.content import TEXT, Content, Party, write_content
from jim.client.sync import Payload
from jim.crypto.device_keys import verify_key
from jim.errors import AuthFailed, ContactChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.peers import Peers
    from jim.client.encryption.vault import Vault
    from jim.crypto.keys import EncryptionKeys
    from jim.protocol.messages import PublicKey

NO_KEYS: Final = "no_keys"
"""Error code of a message to somebody whose devices cannot encrypt, where plain is not allowed."""

NO_OWN_KEYS: Final = "no_own_keys"
"""Error code of a message from a device whose own chain has no encryption keys for it: one of an
earlier version, or one that was removed."""

DEVICE_GONE: Final = "device_gone"
"""Error code of what was for one device alone that is in its account no longer."""


class Needs(Struct):
    """What has to be asked of the server before more can be sealed."""

    chains: set[str] = field(default_factory=set)
    """Names of accounts whose device chain is not known, or not any more."""
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Account to devices with which there is no session."""

    def __bool__(self) -> bool:
        """Tell whether anything is lacking."""
        return bool(self.chains or self.keys)


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message that is to be sealed; what the fields mean: `Content`."""

    message_id: int
    to: str
    content_id: str
    text: str
    time_ms: int
    kind: str = TEXT
    only_for: str = ""
    was: int = 0
    seq: int = 0
    n: int = 0
    origin: str = ""


class Unsealable(Struct, frozen=True):
    """Why a message can never be sealed."""

    code: str


class Sealing:
    """Seals for the devices of others, in a transaction of the store."""

    def __init__(
        self, name: str, device: str, contacts: Contacts, vault: Vault, peers: Peers
    ) -> None:
        """Take who this is and where everything is kept."""
        self._name, self._device = name, device
        self._contacts, self._vault, self._peers = contacts, vault, peers

    def seal(self, message: Outgoing) -> Payload | Unsealable | Needs:
        """Seal a message for every device that has to get it; all of it or nothing.

        What it had been sealed as before counts as given up.
        """
        me, contact = self._contacts.get(self._name), self._contacts.get(message.to)
        lacking = {
            name
            for name, known in ((self._name, me), (message.to, contact))
            if known is None or known.state is None
        }
        if lacking or me is None or me.state is None or contact is None:
            return Needs(chains=lacking)
        if self._device not in me.state.keys:
            return Needs(chains={self._name})  # it may have been added since
        if contact.trust is Trust.CHANGED and message.kind == TEXT:
            return Unsealable(ContactChanged.code)
        targets = self._targets(message, me, contact)
        if isinstance(targets, Unsealable):
            return self._plain(message, contact, targets)
        needs = Needs()
        for name, device in targets:
            if not self._vault.can_seal(name, device):
                needs.keys.setdefault(name, []).append(device)
        return needs or self._sealed(message, me, contact, targets)

    def _targets(
        self, message: Outgoing, me: Contact, contact: Contact
    ) -> list[tuple[str, str]] | Unsealable:
        """Give for which devices of whom a message is sealed."""
        others = list(contact.state.keys) if contact.state else []
        mine = [each for each in (me.state.keys if me.state else ()) if each != self._device]
        if message.only_for:
            for name, known in ((self._name, mine), (message.to, others)):
                if message.only_for in known and message.only_for != self._device:
                    return [(name, message.only_for)]
            return Unsealable(DEVICE_GONE)
        if message.to == self._name:
            return [(self._name, device) for device in mine]
        if not others:
            return Unsealable(NO_KEYS)
        return [
            *((message.to, device) for device in others),
            *((self._name, device) for device in mine),
        ]

    @staticmethod
    def _plain(message: Outgoing, contact: Contact, why: Unsealable) -> Payload | Unsealable:
        """Send it as it is if nobody can open anything else, and the user has allowed that."""
        if why.code == NO_KEYS and contact.plain and message.kind == TEXT:
            return Payload(None, message.text)
        return why

    def _sealed(
        self, message: Outgoing, me: Contact, contact: Contact, targets: Iterable[tuple[str, str]]
    ) -> Payload:
        self._peers.give_up(message.message_id)
        heads = {self._name: me.head, message.to: contact.head}
        keys = {
            name: each.state.keys
            for name, each in ((self._name, me), (message.to, contact))
            if each.state
        }
        sender = Party(self._name, self._device, keys[self._name][self._device].ed)
        ciphertexts: dict[str, str] = {}
        for name, device in targets:
            count, voids = self._peers.next_count(name, device, message.message_id)
            content = Content(
                id=message.content_id,
                time=message.time_ms,
                sender=sender,
                to=Party(name, device, keys[name][device].ed),
                chat=message.to,
                count=count,
                voids=voids,
                mine=heads[self._name],
                yours=heads[name],
                kind=message.kind,
                body=message.text,
                was=message.was,
                seq=message.seq,
                n=message.n,
                origin=message.origin,
            )
            ciphertexts[device] = self._vault.seal(name, device, write_content(content))
        return Payload(ciphertexts, only=bool(message.only_for))

    # --- what the server gave ---------------------------------------------------------------------

    def use_keys(self, name: str, devices: Iterable[str], keys: Mapping[str, PublicKey]) -> bool:
        """Begin a session with each device by its claimed key; tell whether all have one now.

        A key that the device has not signed is passed over like one that is not there.
        """
        contact = self._contacts.get(name)
        state = contact.state if contact else None
        signed: dict[str, tuple[EncryptionKeys, bytes]] = {}
        whole = True
        for device in devices:
            public, pair = keys.get(device), state.keys.get(device) if state else None
            if public is None or pair is None or not _is_signed(public, device, pair):
                whole = False
            else:
                signed[device] = pair, public.key
        return not self._vault.begin_sessions(name, signed) and whole


def _is_signed(public: PublicKey, device: str, pair: EncryptionKeys) -> bool:
    try:
        verify_key(public, device, pair.ed)
    except AuthFailed:
        return False
    return True


def write_payload(payload: Payload) -> bytes:
    """Write a payload for the store."""
    return msgspec.json.encode(payload)


def read_payload(packed: bytes) -> Payload:
    """Read what `write_payload` wrote."""
    return msgspec.json.decode(packed, type=Payload)
