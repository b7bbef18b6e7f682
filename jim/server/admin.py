"""What an operator asks for beside serving: an invite, the fingerprint, a look at the settings."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim import __version__
from jim.core.model import InviteRecord
from jim.crypto.invites import Invite, format_invite, new_token, token_hash
from jim.crypto.keys import fingerprint, format_pin
from jim.errors import SettingsError
from jim.i18n import _
from jim.server.identity import known_identity, load_tls
from jim.server.loops import loop_factory
from jim.server.node import now_ms
from jim.server.settings import Loaded, to_toml

if TYPE_CHECKING:
    from jim.server.arguments import Request
    from jim.server.settings import Settings

DATABASE: Final = "server.db"

_DAY_MS: Final = 86_400_000

KeepInvite = Callable[[Path, InviteRecord, int], None]
"""Puts an invite into the database of a path, whether a server runs or not."""


def say(text: str) -> None:
    """Print one line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def log_directory(settings: Settings) -> Path | None:
    """Give the chosen directory of the log, None for the usual one."""
    return Path(settings.log_dir).expanduser() if settings.log_dir else None


def announce(
    addresses: Sequence[str], server_fingerprint: str, settings: Settings, log_path: Path | None
) -> None:
    """Print what somebody wants to know who has just started a server."""
    policies = {
        "open": _("open: whoever comes first owns a name"),
        "invite": _("only with an invite (jim-server invite)"),
        "closed": _("closed"),
    }
    lines = [
        _("JIM server {version} listens on {addresses}").format(
            version=__version__, addresses=", ".join(addresses)
        ),
        _("Fingerprint: {fingerprint}").format(fingerprint=server_fingerprint),
        _("New names: {policy}").format(policy=policies[settings.registration]),
        _("Data: {path}").format(path=settings.directory),
    ]
    if log_path is not None:
        lines.append(_("Log: {path}").format(path=log_path))
    with contextlib.suppress(OSError):  # nobody has to read it
        say("\n".join(lines))


def print_config(loaded: Loaded) -> None:
    """Print the settings in force as TOML."""
    sys.stdout.write(to_toml(loaded))


def check_config(loaded: Loaded) -> None:
    """Check what can be checked without changing anything, and say so.

    Raises:
        SettingsError: the loop is not there.
        TlsError: the given certificate is not good.
    """
    loop_factory(loaded.settings.loop)
    if loaded.settings.certificate:
        load_tls(loaded.settings)
    say(_("The settings are good."))


def print_fingerprint(loaded: Loaded) -> None:
    """Print fingerprint and pin of a server that has been started before.

    Raises:
        KeyFileError: there is no such server.
    """
    public = known_identity(loaded.settings.directory).public
    say(fingerprint(public))
    say(_("For --pin: {pin}").format(pin=format_pin(public)))


def resync(loaded: Loaded, renew: Callable[[Path], str]) -> None:
    """Give the database a new epoch, by which clients see that it was restored, and say so.

    Raises:
        StoreError: the database cannot be used, or a server works with it.
    """
    renew(loaded.settings.directory / DATABASE)
    say(_("Done. Start the server: its clients will compare what they have."))


def print_invite(request: Request, loaded: Loaded, keep: KeepInvite) -> None:
    """Make an invite, keep its hash, and print it: the only time that the token is seen.

    Raises:
        SettingsError: the port is not known.
        KeyFileError: there is no such server: it has to be started once first.
    """
    settings, created_ms = loaded.settings, now_ms()
    if not settings.port:
        raise SettingsError(_("the port is not known: say it with --port"))
    identity = known_identity(settings.directory)
    host = request.host or settings.address or socket.getfqdn()
    invite = Invite(host, settings.port, identity.public, new_token())
    line = format_invite(invite)
    expires_ms = created_ms + request.days * _DAY_MS
    record = InviteRecord(token_hash(invite.token), request.uses, expires_ms)
    keep(settings.directory / DATABASE, record, created_ms)
    say(line)
    if not request.host and sys.stdout.isatty():
        note = _("The others have to reach this server as {host}; if they cannot, use --host.")
        sys.stderr.write(note.format(host=host) + "\n")
