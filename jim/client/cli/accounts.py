"""Find out which account and server are meant: flag, environment, then what this machine knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from jim.client.cli import unlocking
from jim.client.cli.output import put
from jim.client.console.text import safe_line
from jim.errors import AccountMissing, InviteMalformed, SettingsError
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from jim.client import Address, Client, KnownAccount
    from jim.crypto.invites import Invite


class Target(NamedTuple):
    """A server to connect to, and the invite that named it, if one did."""

    address: Address
    invite: Invite | None = None


def parse_target(text: str | None, port: str | None = None) -> Target:
    """Read what a person may type for a server.

    Raises:
        InviteMalformed: it begins like an invite and is none.
        SettingsError: it is no address or no port.
    """
    from jim.client.address import Address
    from jim.common.constants import DEFAULT_HOST, DEFAULT_PORT

    if text is not None and text.strip().lower().startswith("jim:"):
        return _invited(text)
    try:
        default = DEFAULT_PORT if port is None else _port(port)
        address = Address.parse(text or DEFAULT_HOST, default)
    except ValueError:
        shown = safe_line(" ".join(filter(None, (text, port))))
        template = _("{text}: no address of a server. It is HOST, HOST PORT or HOST:PORT.")
        raise SettingsError(template.format(text=shown)) from None
    return Target(address)


def target_of(options: argparse.Namespace, name: str) -> Target:
    """Give where `jim [ADDRESS] [PORT]` goes: without an address to the server of the one account.

    With a name that is the account of that name, without one the only account of this machine. A
    name that is new here, or has accounts at several servers, means localhost, as for the seed.

    Raises:
        SettingsError: the address is none.
        JimError: the file of known servers cannot be used.
    """
    server = options.address or os.environ.get("JIM_SERVER")
    if server:
        return parse_target(server, options.port)
    usual = usual_account(options, name or None)
    return Target(usual.address) if usual is not None else parse_target(None)


def usual_account(
    options: argparse.Namespace, name: str | None = None, address: Address | None = None
) -> KnownAccount | None:
    """Give the only account of this machine (of that name, at that server), None if none is.

    Raises:
        JimError: the file of known servers cannot be used.
    """
    from jim.client import local_accounts
    from jim.errors import NameInvalid

    try:
        return local_accounts.choose_account(address, name, options.data_dir)
    except (AccountMissing, NameInvalid):  # the client says what is wrong with a name
        return None


def say_how_to_talk(address: Address, name: str) -> None:
    """Tell the command that somebody needs next who has just brought an account here."""
    template = _("To talk from here: jim {address} -n {name}")
    put(template.format(address=address, name=safe_line(name)))


def _invited(text: str) -> Target:
    from jim.client.address import Address
    from jim.crypto.invites import parse_invite

    invite = parse_invite(text)
    try:
        return Target(Address(invite.host, invite.port), invite)
    except ValueError:
        raise InviteMalformed(part="host") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)


def account(options: argparse.Namespace) -> KnownAccount:
    """Choose among the accounts of this machine.

    Raises:
        AccountMissing: there is none that fits, or several; the detail lists them.
    """
    from jim.client import local_accounts

    name = options.name or os.environ.get("JIM_NAME") or None
    server = options.server or os.environ.get("JIM_SERVER")
    address = parse_target(server).address if server else None
    try:
        return local_accounts.choose_account(address, name, options.data_dir)
    except AccountMissing:
        known = local_accounts.known_accounts(options.data_dir)
        raise AccountMissing(_choice(known)) from None


def _choice(known: list[KnownAccount]) -> str:
    if not known:
        return _("There is no account on this machine yet. Make one: jim [SERVER] -n NAME")
    listed = ", ".join(f"{safe_line(each.name)} ({each.address})" for each in known)
    return _(
        "Which account? --name NAME, and --server where that is not enough: {accounts}"
    ).format(accounts=listed)


def pinned(options: argparse.Namespace, target: Target) -> Invite | None:
    """Give what the client has to know of the server beforehand: the invite, or --pin as one.

    The key is remembered only after the server has proved it, so a wrong one does no lasting harm.

    Raises:
        SettingsError: --pin is no key, or the invite names another one.
    """
    if not options.pin:
        return target.invite
    from jim.crypto.invites import Invite
    from jim.crypto.keys import parse_pin

    try:
        key = parse_pin(options.pin)
    except ValueError:
        text = _("--pin: this is no server key of 52 characters. Copy it again.")
        raise SettingsError(text) from None
    if target.invite is None:
        return Invite(target.address.host, target.address.port, key, token="")
    if target.invite.server_id != key:
        raise SettingsError(_("--pin and the invite name different servers."))
    return target.invite


def account_or_new(options: argparse.Namespace) -> tuple[Address, str]:
    """Choose an account as `account` does, but let a name that is new here be claimed.

    Raises:
        AccountMissing: no name, and not exactly one account; or several of that name.
    """
    from jim.client import local_accounts

    name = options.name or os.environ.get("JIM_NAME") or None
    server = options.server or os.environ.get("JIM_SERVER")
    if name and server:
        return parse_target(server).address, name
    known = local_accounts.known_accounts(options.data_dir)
    if name and not any(each.name == name.casefold() for each in known):
        return parse_target(server).address, name
    chosen = account(options)
    return chosen.address, chosen.name


def client_maker(options: argparse.Namespace, *, share: bool = False) -> Callable[[], Client]:
    """Give what makes clients of the chosen account; a sealed key is opened now.

    Raises:
        JimError: no such account, or its key does not open.
    """
    address, name = account_or_new(options)
    opener = unlocking.opener(options, address, name, share=share)

    def make() -> Client:
        from jim.client import Client
        from jim.i18n import current_language

        return Client(
            address,
            name,
            data_dir=options.data_dir,
            invite=pinned(options, Target(address)),
            ca_file=options.ca_file,
            language=current_language(),
            share=share,
            opener=opener,
        )

    return make


def client_for(options: argparse.Namespace, *, share: bool = False) -> Client:
    """Make the client of the chosen account, not started.

    Raises:
        JimError: no such account, a wrong pin, a key that does not open.
    """
    return client_maker(options, share=share)()
