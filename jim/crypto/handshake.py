"""The proofs of a login, for both sides, so that neither server nor client touches a transcript.

Everything is a function of what its caller received. Who times a challenge out, keeps pins or
counts failures is elsewhere. The server uses one `Exchange` for one login; it makes the nonce of
each anew.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from jim.crypto import chain, transcript
from jim.crypto.device_keys import verify_key
from jim.crypto.keys import SigningKey, device_id, fingerprint, verify
from jim.crypto.transcript import Exchange
from jim.errors import AuthFailed, ServerIdentityChanged, ServerIdentityInvalid

if TYPE_CHECKING:
    from jim.crypto.chain import ChainState
    from jim.crypto.transcript import OfferedDevice
    from jim.protocol.messages import Link

NONCE_BYTES: Final = 32
"""256 random bits: no nonce ever comes twice."""

HASH_BYTES: Final = 32
"""Size of `spki`, a SHA-256."""


def new_nonce() -> bytes:
    """Make a nonce of 32 random bytes, for one login."""
    return secrets.token_bytes(NONCE_BYTES)


class Decoys:
    """Stands in for accounts that do not exist, so that their names answer like real ones.

    One real key, made at the start and known to nobody: its private half is thrown away at once. A
    constant key would let an attacker look for a signature that fits it.
    """

    __slots__ = ("public",)

    def __init__(self) -> None:
        self.public = SigningKey.generate().public

    def key_or_decoy(self, key: bytes | None) -> bytes:
        """Give the key, or one that nothing verifies with."""
        return self.public if key is None else key


# --- the server's identity --------------------------------------------------------------------


def prove_server(
    identity: SigningKey, *, spki: bytes, cnonce: bytes, terms: str
) -> tuple[Exchange, bytes]:
    """Server: answer a hello. Gives the exchange to keep for this login, and the signature.

    `spki` is that of the certificate which this connection's TLS uses, also after a renewal.
    """
    exchange = Exchange(identity.public, spki, cnonce, new_nonce())
    return exchange, identity.sign(transcript.server_challenge(exchange, terms))


def check_challenge(
    *,
    tls_spki: bytes,
    cnonce: bytes,
    server_id: bytes,
    spki: bytes,
    snonce: bytes,
    terms: str,
    sig: bytes,
    pinned: bytes | None,
) -> Exchange:
    """Client: check a challenge before anything in it, also `terms`, is believed or parsed.

    Args:
        tls_spki: what TLS showed on this very connection (`certificate.peer_spki`).
        cnonce: what this client sent in `hello`.
        server_id: as received; so are spki, snonce, terms and sig.
        spki: as received.
        snonce: as received.
        terms: as received.
        sig: as received.
        pinned: the identity that this address showed before, or None at the first contact: then the
            caller shows the fingerprint of `server_id` and stores it.

    Raises:
        ServerIdentityChanged: with both fingerprints, `pinned` and `shown`; the shown one is not
            proven.
        ServerIdentityInvalid: with `reason` spki (somebody sits in between) or signature.
    """
    if pinned is not None and not hmac.compare_digest(pinned, server_id):
        raise ServerIdentityChanged(pinned=fingerprint(pinned), shown=fingerprint(server_id))
    if not hmac.compare_digest(tls_spki, spki):
        detail = "the server's proof is for another TLS certificate: somebody may sit in between"
        raise ServerIdentityInvalid(detail, reason="spki")
    exchange = Exchange(server_id, tls_spki, cnonce, snonce)
    try:
        _check_sizes(exchange)
        verify(server_id, sig, transcript.server_challenge(exchange, terms))
    except AuthFailed:
        raise ServerIdentityInvalid(reason="signature") from None
    return exchange


def _check_sizes(exchange: Exchange) -> None:
    """Refuse fields of another size; they are unambiguous anyway, but nobody honest sends them."""
    sizes = [len(part) for part in exchange[1:]]
    if sizes != [HASH_BYTES, NONCE_BYTES, NONCE_BYTES]:
        raise AuthFailed


# --- a known device logs in -------------------------------------------------------------------


def prove_auth(
    key: SigningKey, exchange: Exchange, *, name: str, head: bytes, counter: int
) -> bytes:
    """Client: sign the login of a known device; the id to send is `device_id(key.public)`."""
    return key.sign(transcript.auth(exchange, name, device_id(key.public), head, counter))


def check_auth(
    exchange: Exchange,
    *,
    name: str,
    device: str,
    head: bytes,
    counter: int,
    sig: bytes,
    login_key: bytes | None,
    decoys: Decoys,
) -> None:
    """Server: check the login of a device.

    `login_key` is the device's key out of the verified chain, or None for a name or a device that
    does not exist: the same work is done then, and fails.

    Raises:
        AuthFailed: for every reason alike.
    """
    message = transcript.auth(exchange, name, device, head, counter)
    _verify_or_decoy(login_key, sig, message, decoys)


def _verify_or_decoy(key: bytes | None, sig: bytes, message: bytes, decoys: Decoys) -> None:
    verify(decoys.key_or_decoy(key), sig, message)
    if key is None:  # unreachable without the decoy's private key, which nobody has
        raise AuthFailed


# --- a new account ----------------------------------------------------------------------------


def prove_register(key: SigningKey, exchange: Exchange, *, name: str, genesis: Link) -> bytes:
    """Client: sign the registration with the key of the genesis link."""
    return key.sign(transcript.register(exchange, name, genesis))


def check_register(exchange: Exchange, *, name: str, genesis: Link, sig: bytes) -> ChainState:
    """Server: check a registration; gives the state of the new chain.

    `name` has to be the normalised one, and the link has to carry exactly it. Small-order keys end
    here.

    Raises:
        ChainInvalid: the genesis link is not good.
        AuthFailed: the link is, but the connection's proof is not.
    """
    state = chain.verify_chain([genesis], name)
    verify(genesis.login_key, sig, transcript.register(exchange, name, genesis))
    return state


# --- recovery ---------------------------------------------------------------------------------


def prove_recover(recovery: SigningKey, exchange: Exchange, *, name: str) -> bytes:
    """Client: sign the wish to see the chain with the key of the twelve words."""
    return recovery.sign(transcript.recover(exchange, name))


def check_recover(
    exchange: Exchange, *, name: str, sig: bytes, recovery_key: bytes | None, decoys: Decoys
) -> None:
    """Server: check a recovery; `recovery_key` is None for a name that does not exist.

    Raises:
        AuthFailed: for every reason alike.
    """
    _verify_or_decoy(recovery_key, sig, transcript.recover(exchange, name), decoys)


def prove_enroll(key: SigningKey, exchange: Exchange, *, name: str, link: Link) -> bytes:
    """Client: sign, as the new device, the wish to be added with `link`."""
    return key.sign(transcript.enroll(exchange, name, link))


def check_enroll(exchange: Exchange, *, state: ChainState, link: Link, sig: bytes) -> ChainState:
    """Server: check an enrolment against the account's chain; gives the chain's new state.

    Only a link that R signed is accepted here, add or reset: after `recover`, R is all that is
    proven.

    Raises:
        ChainInvalid: the link does not continue the chain, or R did not sign it.
        AuthFailed: the link is good, but the connection's proof is not.
    """
    after = chain.extend_by_recovery(state, link)
    verify(link.login_key, sig, transcript.enroll(exchange, state.name, link))
    return after


# --- a new device waits to be linked ----------------------------------------------------------


def prove_offer(key: SigningKey, exchange: Exchange, *, name: str, device: OfferedDevice) -> bytes:
    """Client: sign, as a device of no account yet, the wish to be linked to `name`."""
    return key.sign(transcript.offer(exchange, name, device))


def check_offer(exchange: Exchange, *, name: str, device: OfferedDevice, sig: bytes) -> None:
    """Server: check that who offers a device holds its key. Says nothing about the account.

    Raises:
        AuthFailed: the login key, its signature, or one of the other keys is not good.
    """
    verify(device.login_key, sig, transcript.offer(exchange, name, device))
    verify_key(device.fallback, device_id(device.login_key), device.ed)
