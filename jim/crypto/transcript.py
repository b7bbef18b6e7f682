"""Turn what is signed into bytes: one label and one function for each kind of signature.

T(label, fields) = label ‖ 0 ‖ SHA-512(label ‖ 0 ‖ for each field: length in 4 bytes, big-endian ‖
bytes). A label of its own makes a signature of one kind worthless as another; lengths make the
fields unambiguous. Nothing here signs or verifies.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from jim.protocol.messages import Link, PublicKey

SERVER: Final = "jim-srv-1"
AUTH: Final = "jim-auth-1"
REGISTER: Final = "jim-reg-1"
RECOVER: Final = "jim-recover-1"
ENROLL: Final = "jim-enroll-1"
LINK: Final = "jim-link-1"
PROOF: Final = "jim-pop-1"
HEAD: Final = "jim-head-1"
KEY: Final = "jim-key-1"
OFFER: Final = "jim-offer-1"
CODE: Final = "jim-code-1"
APPROVAL: Final = "jim-approve-1"
CONFIRMATION: Final = "jim-confirm-1"
EXPORT: Final = "jim-export-1"

LABELS: Final = (
    SERVER,
    AUTH,
    REGISTER,
    RECOVER,
    ENROLL,
    LINK,
    PROOF,
    HEAD,
    KEY,
    OFFER,
    CODE,
    APPROVAL,
    CONFIRMATION,
    EXPORT,
)
"""Every label in use; the digit is the version of the fields behind it."""

LENGTH_BYTES: Final = 4
"""Size of a field's length: far more than any frame holds."""

Value = bytes | str | int


class Exchange(NamedTuple):
    """What ties a signature to one server, one TLS certificate and one pair of nonces.

    Attributes:
        server_id: the server's identity key, 32 bytes.
        spki: SHA-256 of the SubjectPublicKeyInfo of its certificate, 32 bytes.
        cnonce: chosen by the client, 32 bytes.
        snonce: chosen by the server, 32 bytes.
    """

    server_id: bytes
    spki: bytes
    cnonce: bytes
    snonce: bytes


class NewDevice(Protocol):
    """The public keys of a device that is not in a chain yet: an offer, or a link that adds it."""

    @property
    def login_key(self) -> bytes: ...  # noqa: D102
    @property
    def ed(self) -> bytes: ...  # noqa: D102
    @property
    def curve(self) -> bytes: ...  # noqa: D102


class OfferedDevice(NewDevice, Protocol):
    """They, and a key with which a session can be begun."""

    @property
    def fallback(self) -> PublicKey: ...  # noqa: D102


def transcript(label: str, *values: Value) -> bytes:
    """Give T(label, values): text as UTF-8, whole numbers as decimal ASCII."""
    prefix = label.encode("ascii") + b"\0"
    digest = hashlib.sha512(prefix)
    for value in values:
        raw = _raw(value)
        digest.update(len(raw).to_bytes(LENGTH_BYTES, "big"))
        digest.update(raw)
    return prefix + digest.digest()


def server_challenge(exchange: Exchange, terms: str) -> bytes:
    """Give what the server signs in `challenge`; `terms` is the JSON text as sent."""
    return transcript(SERVER, *exchange, hashlib.sha256(_raw(terms)).digest())


def auth(exchange: Exchange, name: str, device: str, head: bytes, counter: int) -> bytes:
    """Give what a known device signs to log in."""
    return transcript(AUTH, *exchange, name, device, head, counter)


def register(exchange: Exchange, name: str, genesis: Link) -> bytes:
    """Give what the first device of a new account signs."""
    return transcript(REGISTER, *exchange, name, link_hash(genesis))


def recover(exchange: Exchange, name: str) -> bytes:
    """Give what the recovery key signs to see the chain."""
    return transcript(RECOVER, *exchange, name)


def enroll(exchange: Exchange, name: str, link: Link) -> bytes:
    """Give what a new device signs to be added with `link`."""
    return transcript(ENROLL, *exchange, name, link_hash(link))


def offer(exchange: Exchange, name: str, device: OfferedDevice) -> bytes:
    """Give what a new device signs that waits to be linked to an account."""
    fallback = device.fallback
    prekey = (fallback.id, fallback.key, fallback.sig)
    return transcript(OFFER, *exchange, name, device.login_key, device.ed, device.curve, *prekey)


def link_code(server_id: bytes, name: str, device: NewDevice, secret: str) -> bytes:
    """Give what the code of a new device is a hash of; nobody signs it."""
    return transcript(CODE, server_id, name, device.login_key, device.ed, device.curve, secret)


def approval(link: Link) -> bytes:
    """Give what a device that draws up a link authenticates by the code; ignores proof and sig."""
    return transcript(APPROVAL, *_link_fields(link))


def confirmation(name: str, root: bytes, login_key: bytes) -> bytes:
    """Give what people compare of a new device and the account that has taken it in."""
    return transcript(CONFIRMATION, name, root, login_key)


def device_key(device: str, number: int, key: bytes) -> bytes:
    """Give what a device signs with its key `ed` for a key that sessions are begun with."""
    return transcript(KEY, device, number, key)


def export(name: str, device: str, server_id: bytes, messages: int, digest: bytes) -> bytes:
    """Give what a device signs for exported messages; `digest` is the SHA-512 of their lines."""
    return transcript(EXPORT, name, device, server_id, messages, digest)


def possession(link: Link) -> bytes:
    """Give what the added device signs to prove that it holds its key; ignores proof and sig."""
    return transcript(PROOF, *_link_fields(link))


def link_signature(link: Link) -> bytes:
    """Give what an authorised key signs to make a link valid; ignores sig."""
    return transcript(LINK, *_link_fields(link), link.proof)


def link_hash(link: Link) -> bytes:
    """Give the 32 bytes that name a link: the next link's `prev`, and the head of a chain."""
    fields = (*_link_fields(link), link.proof, link.sig)
    return hashlib.sha256(transcript(HEAD, *fields)).digest()


def _link_fields(link: Link) -> tuple[Value, ...]:
    """Give every field but proof and sig, in the order that docs/protocol.md lists them."""
    return (
        link.acct,
        link.seq,
        link.prev,
        link.op,
        link.device,
        link.login_key,
        link.ed,
        link.curve,
        link.recovery_key,
        link.time,
    )


def _raw(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        # No codec of ours gives lone surrogates; who makes one gets a wrong signature, no crash.
        return value.encode("utf-8", "surrogatepass")
    return b"%d" % value
