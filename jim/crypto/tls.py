"""TLS contexts for both sides, and what a connection's TLS showed of the other side."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.crypto.certificate import ServerCertificate, spki_sha256
from jim.errors import CaFileInvalid, TlsError

if TYPE_CHECKING:
    from pathlib import Path

INTERMEDIATE_CIPHERS: Final = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)
"""TLS 1.2 of Mozilla's intermediate profile (guidelines 5.7) without finite-field Diffie-Hellman:
only ephemeral keys and AEAD."""

MODERN_GROUP: Final = "X25519"
INTERMEDIATE_GROUP: Final = "prime256v1"
"""What a server agrees on keys with. Mozilla's profiles have X25519, P-256 and P-384; OpenSSL's own
list adds X448 and P-521, at nine times X25519's cost for the server (`openssl speed`), and Python
before 3.15 takes that list or the name of one group. Who speaks JIM has Curve25519 in any case, but
some Pythons cannot name it (see `_agree_with`). P-256 is what every TLS library has to have (RFC
8446, 9.1). A client that has begun with another group is asked again, which takes a round trip."""

TICKETS: Final = 0
"""Session tickets a server sends. Python's clients do not resume; two tickets would cost every
login 500 bytes, a write, and a reset where the client closes before it has read them. TLS 1.2 has
none either (OP_NO_TICKET): their key would live as long as the context, and read everything."""


class ServerTls(NamedTuple):
    """A context and the SPKI hash that it shows, kept together: a renewal replaces both at once."""

    context: ssl.SSLContext
    spki: bytes


def server_tls(certificate: ServerCertificate, *, intermediate: bool = False) -> ServerTls:
    """Make the server's context by a profile of Mozilla's (guidelines 5.7), `modern` or older.

    Modern is TLS 1.3 alone; with `intermediate` TLS 1.2 is taken too. `make tls-scan` checks both.

    OpenSSL frees idle buffers (Python sets SSL_MODE_RELEASE_BUFFERS), there is no compression, no
    renegotiation and no ticket.

    Raises:
        TlsError: OpenSSL does not take the certificate or its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if intermediate else ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.set_ciphers(INTERMEDIATE_CIPHERS)
    _agree_with(context, INTERMEDIATE_GROUP if intermediate else MODERN_GROUP)
    context.num_tickets = TICKETS
    try:
        context.load_cert_chain(certificate.certificate, certificate.key, _no_password)
    except (OSError, ssl.SSLError) as error:
        detail = f"{certificate.certificate}: TLS does not take this certificate: {error}"
        raise TlsError(detail, reason="unreadable") from error
    return ServerTls(context, certificate.spki)


def pinning_context() -> ssl.SSLContext:
    """Make a client's context for a server that is known by its identity key.

    The certificate is not verified here: the identity key signs its SPKI in the challenge. Until
    `handshake.check_challenge` has passed, nothing that comes over the connection may be believed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _hardened(context)


def ca_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Make a client's context that verifies host name and certificate by the system's or given CAs.

    Raises:
        CaFileInvalid: the file is missing or holds no certificate.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CaFileInvalid(f"{ca_file}: {error}", reason="unreadable") from error
    return _hardened(context)


def peer_spki(connection: ssl.SSLObject | ssl.SSLSocket | None) -> bytes:
    """Hash the SPKI of the certificate that the server showed on this connection; gives 32 bytes.

    `connection` is a transport's "ssl_object", on asyncio and on uvloop alike.

    Raises:
        TlsError: there is no TLS or no certificate, or it cannot be read.
    """
    try:
        der = connection.getpeercert(True) if connection is not None else None
    except ValueError:  # the handshake is not done yet
        der = None
    if der is None:
        raise TlsError("the connection shows no certificate", reason="missing")
    return spki_sha256(der)


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    """Never less than TLS 1.3: every server of ours has it, whatever its profile."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION
    return context


def _agree_with(context: ssl.SSLContext, group: str) -> None:
    """Have keys agreed on with one group, or with P-256 where this Python cannot name it.

    Python 3.11.2 of Debian 12, and any with OpenSSL 1.1.1, asks for a curve that ECDSA could use,
    which Curve25519 is not: "EC: UNKNOWN_GROUP" or "unknown elliptic curve name".
    """
    try:
        context.set_ecdh_curve(group)
    except (ValueError, ssl.SSLError):
        context.set_ecdh_curve(INTERMEDIATE_GROUP)


def _no_password() -> str:
    """Refuse an encrypted key; without this OpenSSL would ask at the terminal and wait."""
    raise TlsError("the key is encrypted", reason="encrypted")
