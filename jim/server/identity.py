"""What the server is: its identity key and its TLS certificate, made at the first start."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim.common.files import make_directory
from jim.crypto.certificate import ServerCertificate, ensure_certificate, load_given
from jim.crypto.key_files import load_or_create
from jim.crypto.tls import ServerTls, server_tls
from jim.errors import KeyFileError
from jim.i18n import _

if TYPE_CHECKING:
    from jim.crypto.keys import SigningKey
    from jim.server.settings import Settings

IDENTITY_FILE: Final = "identity.key"
TLS_FILE: Final = "tls.pem"


def load_identity(directory: Path, database: str) -> SigningKey:
    """Read the identity key of a data directory; the first start makes both.

    Where a database is, the key must be too: with a new one every client would raise the alarm.

    Raises:
        KeyFileError: the key or the directory cannot be used; says what to do.
    """
    if (directory / database).exists():
        return known_identity(directory)
    try:
        make_directory(directory)
    except OSError as error:
        text = _(
            "{path}: cannot make the data directory: {reason}; choose another one with --data-dir"
        )
        detail = text.format(path=directory, reason=error.strerror)
        raise KeyFileError(detail, path=str(directory), reason="unwritable") from error
    return load_or_create(directory / IDENTITY_FILE)


def known_identity(directory: Path) -> SigningKey:
    """Read the identity key of a server that has been started before.

    Raises:
        KeyFileError: there is none, or it cannot be used; says what to do.
    """
    path = directory / IDENTITY_FILE
    if path.exists():
        return load_or_create(path)
    text = _(
        "{path}: the server's identity key is missing. Is this the right --data-dir? Restore the"
        " key from a backup; for a new server, with new accounts, take an empty directory."
    )
    raise KeyFileError(text.format(path=path), path=str(path), reason="missing")


def load_tls(settings: Settings) -> ServerTls:
    """Make the TLS context of the given certificate, or of a self-signed one, renewed in time.

    Raises:
        KeyFileError: the self-signed one cannot be read or written.
        TlsError: the given one is not good, expired, or not the key's.
    """
    certificate = _certificate(settings, datetime.now(UTC))
    return server_tls(certificate, intermediate=settings.tls_profile == "intermediate")


def _certificate(settings: Settings, now: datetime) -> ServerCertificate:
    if settings.certificate:
        certificate = Path(settings.certificate).expanduser()
        key = Path(settings.key).expanduser() if settings.key else certificate
        return load_given(certificate, key, now)
    names = [name for name in (socket.gethostname(), settings.address) if name]
    return ensure_certificate(settings.directory / TLS_FILE, names, now)
