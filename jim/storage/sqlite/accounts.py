"""Accounts, their devices and chains, and the invites to register one.

Every function works on the connection that it is given, in the thread of that connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from jim.core.model import AccountRecord, DeviceRecord, MailboxState
from jim.errors import InviteInvalid, NameTaken, TooManyDevices
from jim.protocol.messages import ADD, RESET, REVOKE, Link
from jim.storage.sqlite import keys
from jim.storage.sqlite.failures import transaction
from jim.storage.sqlite.packing import NO_ANSWERS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from jim.core.model import Enrolment, InviteRecord, Registration
    from jim.errors import WireError
    from jim.protocol.messages import PublicKey

_BY_NAME: Final = "SELECT account_id, name FROM account WHERE name = ?"
_BY_ID: Final = "SELECT account_id, name FROM account WHERE account_id = ?"
_CLASH: Final = "SELECT 1 FROM account WHERE name = ? OR skeleton = ?"
_HEAD: Final = "SELECT chain_head FROM account WHERE account_id = ?"
_GENESIS: Final = "SELECT head FROM link WHERE account_id = ? ORDER BY seq LIMIT 1"
_HAS_LINK: Final = "SELECT 1 FROM link WHERE account_id = ? AND head = ?"
_LINKS: Final = "SELECT body FROM link WHERE account_id = ? ORDER BY seq"
_DEVICES: Final = """
SELECT device_id, device, login_key, state FROM device JOIN receiving USING (device_id)
WHERE account_id = ? ORDER BY device_id
"""
_ADD_ACCOUNT: Final = (
    "INSERT INTO account (name, skeleton, chain_head, created_ms) VALUES (?, ?, ?, ?)"
)
_ADD_LINK: Final = "INSERT INTO link VALUES (?, ?, ?, ?)"
_GROW_CHAIN: Final = "UPDATE account SET chain_head = ? WHERE account_id = ?"
_ADD_DEVICE: Final = "INSERT INTO device (account_id, device, login_key) VALUES (?, ?, ?)"
_ADD_SENDING: Final = "INSERT INTO sending (device_id, last_n, answers) VALUES (?, 0, ?)"
_ADD_RECEIVING: Final = "INSERT INTO receiving VALUES (?, 0, 0, ?, 0)"
_DROP_MAILBOX: Final = "DELETE FROM mailbox WHERE device_id = ?"
_REVOKE: Final = """
UPDATE receiving SET state = ?, acked = last_position, waiting_since_ms = 0 WHERE device_id = ?
"""
_USE_INVITE: Final = """
UPDATE invite SET uses = uses - 1 WHERE token_hash = ? AND uses > 0 AND expires_ms > ?
"""
_ADD_INVITE: Final = "INSERT OR REPLACE INTO invite VALUES (?, ?, ?)"
_DROP_INVITES: Final = "DELETE FROM invite WHERE expires_ms <= ? OR uses <= 0"

_encode_link = msgspec.json.Encoder().encode
_decode_link = msgspec.json.Decoder(Link).decode


def find(connection: sqlite3.Connection, name_key: str) -> AccountRecord | None:
    """Read the account of a normalised name, None if there is none."""
    row = connection.execute(_BY_NAME, (name_key,)).fetchone()
    return _read(connection, *row) if row is not None else None


def register(
    connection: sqlite3.Connection, registration: Registration, now_ms: int
) -> AccountRecord:
    """Create an account, or give the one that the same genesis has created.

    Raises:
        InviteInvalid: before anything is said about the name, which is nobody's business then.
        NameTaken: the name or its skeleton belongs to another account.
    """
    with transaction(connection):
        existing = find(connection, registration.name)
        if existing is not None:
            (genesis,) = connection.execute(_GENESIS, (existing.account_id,)).fetchone()
            if genesis == registration.head:
                return existing
        if registration.invite_hash is not None:
            _use_invite(connection, registration.invite_hash, now_ms)
        if connection.execute(_CLASH, (registration.name, registration.skeleton)).fetchone():
            raise NameTaken
        row = (registration.name, registration.skeleton, registration.head, now_ms)
        account_id = connection.execute(_ADD_ACCOUNT, row).lastrowid
        if account_id is None:
            raise LookupError("SQLite gave no row id")
        _add_link(connection, account_id, registration.genesis, registration.head)
        _add_device(connection, account_id, registration.genesis, registration.fallback)
        return _read(connection, account_id, registration.name)


def grow(
    connection: sqlite3.Connection,
    extension: Enrolment,
    hand_over: Callable[[int, int], None],
    unfit: Callable[[int], WireError],
) -> AccountRecord:
    """Append a link and do what it says; the same link again changes nothing.

    `hand_over` gets the account and a new device in the same transaction, and puts into its mailbox
    what waits for the others.

    Raises:
        TooManyDevices: the account has `max_devices`.
        WireError: what `unfit` makes of the chain's next number, if the link does not fit its head,
            or adds a device that was there before, or revokes one that is not.
    """
    account_id, link = extension.account_id, extension.link
    with transaction(connection):
        row = connection.execute(_BY_ID, (account_id,)).fetchone()
        if row is None:
            raise unfit(0)
        account = _read(connection, *row)
        if connection.execute(_HAS_LINK, (account_id, extension.head)).fetchone():
            return account
        (head,) = connection.execute(_HEAD, (account_id,)).fetchone()
        known = {each.device: each.revoked for each in account.devices}
        fits = known.get(link.device) is False if link.op == REVOKE else link.device not in known
        if head != link.prev or not fits:
            raise unfit(account.links[-1].seq + 1)
        live = [each for each in account.devices if not each.revoked]
        if link.op == ADD and len(live) >= extension.max_devices:
            raise TooManyDevices(limit=extension.max_devices)
        connection.execute(_GROW_CHAIN, (extension.head, account_id))
        _add_link(connection, account_id, link, extension.head)
        if link.op != REVOKE:
            hand_over(account_id, _add_device(connection, account_id, link, extension.fallback))
        for each in live:
            if link.op == RESET or each.device == link.device:
                _revoke(connection, each.device_id)
        return _read(connection, *row)


def add_invite(connection: sqlite3.Connection, invite: InviteRecord, now_ms: int) -> None:
    """Keep an invite; those that nobody can use any more are removed on the way."""
    with transaction(connection):
        connection.execute(_DROP_INVITES, (now_ms,))
        connection.execute(_ADD_INVITE, (invite.token_hash, invite.uses, invite.expires_ms))


def _use_invite(connection: sqlite3.Connection, token_hash: bytes, now_ms: int) -> None:
    if connection.execute(_USE_INVITE, (token_hash, now_ms)).rowcount != 1:
        raise InviteInvalid


def _add_link(connection: sqlite3.Connection, account_id: int, link: Link, head: bytes) -> None:
    body = _encode_link(link).decode()
    connection.execute(_ADD_LINK, (account_id, link.seq, head, body))


def _add_device(
    connection: sqlite3.Connection, account_id: int, link: Link, fallback: PublicKey | None
) -> int:
    """Store the device that a link adds, with its counters at zero; give its id."""
    device = (account_id, link.device, link.login_key)
    device_id = connection.execute(_ADD_DEVICE, device).lastrowid
    if device_id is None:
        raise LookupError("SQLite gave no row id")
    connection.execute(_ADD_SENDING, (device_id, NO_ANSWERS))
    connection.execute(_ADD_RECEIVING, (device_id, int(MailboxState.LIVE)))
    if fallback is not None:
        keys.begin(connection, device_id, fallback)
    return device_id


def _revoke(connection: sqlite3.Connection, device_id: int) -> None:
    """Let nothing wait for a device any more, and nothing come; its counters stay."""
    connection.execute(_DROP_MAILBOX, (device_id,))
    connection.execute(_REVOKE, (int(MailboxState.REVOKED), device_id))
    keys.drop(connection, device_id)


def _read(connection: sqlite3.Connection, account_id: int, name: str) -> AccountRecord:
    links = connection.execute(_LINKS, (account_id,)).fetchall()
    devices = connection.execute(_DEVICES, (account_id,)).fetchall()
    return AccountRecord(
        account_id,
        name,
        [_decode_link(body) for (body,) in links],
        [
            DeviceRecord(device_id, device, login_key, state == MailboxState.REVOKED)
            for device_id, device, login_key, state in devices
        ],
    )
