"""The server's TLS certificate: make a self-signed one, renew it, or check one that was given.

A self-signed certificate proves nothing by itself: the identity key signs its SPKI in every
challenge. So it may be renewed at any time without alarm. Contexts for TLS are made in
`jim.crypto.tls`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shlex
import stat
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jim.crypto import key_files
from jim.errors import TlsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

LIFETIME: Final = timedelta(days=365)
"""Validity. Well below the 825 days beyond which Apple's systems refuse even private ones; a year,
so that renewal is exercised and does not come as a surprise after a decade."""

RENEW_BEFORE: Final = timedelta(days=30)
"""Rest of the validity at which a new one is made: looked after monthly, a server never expires."""

CLOCK_SKEW: Final = timedelta(days=1)
"""How far the validity reaches back, for clients whose clock or time zone is wrong."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""Names that every server has."""

SUBJECT: Final = "JIM server"
"""What a certificate viewer shows; nothing is checked against it."""

MAX_CERTIFICATE_BYTES: Final = 1 << 20
"""Bytes read of a given certificate file: chains have some kilobytes."""

_PARSE_ERRORS: Final = (ValueError, TypeError, UnsupportedAlgorithm)


class ServerCertificate(NamedTuple):
    """A certificate that is ready to be served; both paths may be the same file."""

    certificate: Path
    key: Path
    spki: bytes


def ensure_certificate(path: Path, names: Iterable[str], now: datetime) -> ServerCertificate:
    """Use the self-signed certificate in `path`; make one if it is missing, old or lacks a name.

    Key and certificate share one file, so that a crash cannot part them. The key is new every time.

    Raises:
        KeyFileError: the file cannot be written, or others can read it.
    """
    wanted = {*LOOPBACK, *names}
    current = _current(path, wanted, now) if path.exists() else None
    if current is None:
        key_files.write_private(path, make_certificate(wanted, now), replace=True)
        current = _current(path, wanted, now)
    if current is None:  # a clock that jumped in between, or a disk that lies
        raise TlsError(f"{path}: the new certificate cannot be read back", reason="unreadable")
    return current


def make_certificate(names: Iterable[str], now: datetime) -> bytes:
    """Make a P-256 key and a certificate for these host names and addresses; gives both as PEM.

    It is its own CA (path length 0), so that it can serve as a trust anchor, and passes
    VERIFY_X509_STRICT (RFC 5280), the default of Python 3.13.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder(key.public_key(), names, now).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def load_given(certificate: Path, key: Path, now: datetime) -> ServerCertificate:
    """Check a certificate and key that the operator gave; the leaf comes first in its file.

    Raises:
        TlsError: with `reason` unreadable, permissions, encrypted, mismatch, expired or
            not_yet_valid, and a detail that says which file and what to do.
    """
    leaf = _parse_certificate(certificate)
    if _spki(leaf.public_key()) != _spki(_parse_key(key)):
        detail = f"{key}: this is not the key of the certificate {certificate}"
        raise TlsError(detail, reason="mismatch")
    _check_dates(certificate, leaf, now)
    return _served(certificate, key, leaf)


def spki_sha256(der: bytes) -> bytes:
    """Hash the SubjectPublicKeyInfo of a certificate in DER; gives 32 bytes.

    Raises:
        TlsError: with `reason` unreadable: this is no certificate.
    """
    try:
        return hashlib.sha256(_spki(x509.load_der_x509_certificate(der).public_key())).digest()
    except _PARSE_ERRORS as error:
        detail = f"the certificate cannot be read: {error}"
        raise TlsError(detail, reason="unreadable") from error


def _builder(
    public: ec.EllipticCurvePublicKey, names: Iterable[str], now: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    subject_key = x509.SubjectKeyIdentifier.from_public_key(public)
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(server, critical=False)
        .add_extension(subject_key, critical=False)
        .add_extension(authority_key, critical=False)
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """Turn names into SAN entries, without wildcard addresses and what no client can ask for."""
    entries = (_general_name(name) for name in sorted({*LOOPBACK, *names}))
    return [entry for entry in entries if entry is not None]


def _general_name(name: str) -> x509.GeneralName | None:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            ascii_name = name.encode("idna").decode("ascii").lower()
            return x509.DNSName(ascii_name) if ascii_name else None
        except ValueError:
            return None
    return None if address.is_unspecified else x509.IPAddress(address)


def _current(path: Path, names: set[str], now: datetime) -> ServerCertificate | None:
    """Give the certificate in `path` if it serves on; None if a new one is due."""
    content = key_files.read_private(path)
    try:
        load_pem_private_key(content, None)
        leaf = x509.load_pem_x509_certificate(content)
        entries = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (*_PARSE_ERRORS, x509.ExtensionNotFound):
        return None
    fresh = leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc - RENEW_BEFORE
    complete = set(_general_names(names)) <= set(entries)
    return _served(path, path, leaf) if fresh and complete else None


def _served(certificate: Path, key: Path, leaf: x509.Certificate) -> ServerCertificate:
    spki = hashlib.sha256(_spki(leaf.public_key())).digest()
    return ServerCertificate(certificate, key, spki)


def _spki(public: PublicKeyTypes) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _parse_certificate(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CERTIFICATE_BYTES)
        return x509.load_pem_x509_certificates(content)[0]
    except OSError as error:
        raise TlsError(f"{path}: cannot read: {error.strerror}", reason="unreadable") from error
    except _PARSE_ERRORS as error:
        raise TlsError(f"{path}: this is no certificate in PEM", reason="unreadable") from error


def _parse_key(path: Path) -> PublicKeyTypes:
    """Read a given private key; gives its public half."""
    try:
        with path.open("rb") as file:
            _check_key_mode(path, os.fstat(file.fileno()))
            content = file.read(MAX_CERTIFICATE_BYTES)
        return load_pem_private_key(content, None).public_key()
    except OSError as error:
        raise TlsError(f"{path}: cannot read: {error.strerror}", reason="unreadable") from error
    except TypeError as error:
        detail = (
            f"{path}: the key is encrypted; a server starts unattended and needs it in the clear"
        )
        raise TlsError(detail, reason="encrypted") from error
    except _PARSE_ERRORS as error:
        raise TlsError(f"{path}: this is no private key in PEM", reason="unreadable") from error


def _check_key_mode(path: Path, status: os.stat_result) -> None:
    """Refuse a key that others can use; a group may read one of root's, as Debian's ssl-cert does.

    The rule is PostgreSQL's for ssl_key_file.
    """
    if sys.platform == "win32":
        return
    if status.st_uid not in {os.geteuid(), 0}:
        detail = f"{path}: the key belongs to user {status.st_uid}, neither to us nor to root"
        raise TlsError(detail, reason="permissions")
    of_root = status.st_uid == 0
    allowed = 0o640 if of_root else 0o600
    if stat.S_IMODE(status.st_mode) & 0o077 & ~allowed:
        fix = f"chmod {allowed:o} {shlex.quote(str(path))}"
        mode = stat.S_IMODE(status.st_mode)
        detail = f"{path}: others can use the key (mode {mode:04o}); to fix it: {fix}"
        raise TlsError(detail, reason="permissions")


def _check_dates(path: Path, leaf: x509.Certificate, now: datetime) -> None:
    if now > leaf.not_valid_after_utc:
        detail = f"{path}: the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}; renew it"
        raise TlsError(detail, reason="expired")
    if now < leaf.not_valid_before_utc:
        since = leaf.not_valid_before_utc
        detail = f"{path}: the certificate is valid only from {since:%Y-%m-%d %H:%M} UTC"
        raise TlsError(detail, reason="not_yet_valid")
