"""Accounts, devices and messages as the store gets them: verified, so their keys are made up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from jim.core.model import (
    AccountRecord,
    Batch,
    Committed,
    Enrolment,
    Identity,
    InviteRecord,
    Registration,
)
from jim.protocol.messages import Link, PublicKey
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jim.core.ports import Store

NOW_MS = 1_700_000_000_000
LATER_MS = NOW_MS + 5_000


def digest(*words: object) -> bytes:
    """Make 32 bytes that only depend on the words."""
    return hashlib.sha256(repr(words).encode()).digest()


KEYED = "5ea1"
"""What the ids of devices begin with here that have keys: so that a test can tell them apart."""


def make_link(
    name: str,
    seq: int = 1,
    prev: bytes = bytes(32),
    salt: str = "",
    *,
    op: str = "",
    keys: bool = False,
) -> Link:
    """Make a link that nobody verifies, of a device with encryption keys or without."""
    key = digest("key", name, seq, salt)
    return Link(
        acct=name,
        seq=seq,
        prev=prev,
        op=op or ("genesis" if seq == 1 else "add"),
        device=((KEYED if keys else "") + key.hex())[:16],
        login_key=key,
        ed=digest("ed", key) if keys else b"",
        curve=digest("curve", key) if keys else b"",
        time=NOW_MS,
        proof=bytes(64),
        sig=bytes(64),
    )


def public_key(number: int, *words: object) -> PublicKey:
    """Make a key that sessions are begun with, that only depends on the words."""
    return PublicKey(id=number, key=digest("public", number, words), sig=bytes(64))


def fallback_of(link: Link) -> PublicKey | None:
    """Give the first fallback key of a device that has keys."""
    return public_key(0, link.device) if link.ed else None


def head_of(link: Link) -> bytes:
    """Stand in for the hash of a link."""
    return digest("head", link.acct, link.seq, link.login_key)


def registration(
    name: str,
    *,
    skeleton: str = "",
    salt: str = "",
    invite: bytes | None = None,
    keys: bool = False,
) -> Registration:
    """Make everything that a new account consists of."""
    genesis = make_link(name, salt=salt, keys=keys)
    head, fallback = head_of(genesis), fallback_of(genesis)
    return Registration(name, skeleton or name, genesis, head, invite, fallback)


def enrolment(
    account: AccountRecord,
    *,
    salt: str = "",
    max_devices: int = 10,
    keys: bool = False,
    op: str = "add",
) -> Enrolment:
    """Make the next link of an account's chain, which adds a device."""
    last = account.links[-1]
    link = make_link(account.name, last.seq + 1, head_of(last), salt, op=op, keys=keys)
    return Enrolment(account.account_id, link, head_of(link), max_devices, fallback_of(link))


def revocation(account: AccountRecord, device: str) -> Enrolment:
    """Make the next link of an account's chain, which revokes a device."""
    last = account.links[-1]
    link = msgspec.structs.replace(
        make_link(account.name, last.seq + 1, head_of(last), device, op="revoke"), device=device
    )
    return Enrolment(account.account_id, link, head_of(link), 10)


def invite(token: str, uses: int = 1, expires_ms: int = NOW_MS + 1_000) -> InviteRecord:
    """Make an invite."""
    return InviteRecord(digest("invite", token), uses, expires_ms)


def identity(account: AccountRecord, device: int = 0) -> Identity:
    """Give who the account's device is, devices counted from 0 in the order of enrolment."""
    record = account.devices[device]
    return Identity(account.account_id, record.device_id, account.name, record.device)


async def add_account(
    store: Store, name: str, devices: int = 1, *, keys: bool = False
) -> list[Identity]:
    """Register an account with so many devices, all with keys or none."""
    account = await store.register(registration(name, keys=keys), NOW_MS)
    for number in range(1, devices):
        account = await store.enrol(enrolment(account, salt=str(number), keys=keys), NOW_MS)
    return [identity(account, number) for number in range(devices)]


async def send(
    store: Store, sender: Identity, to: str, *numbers: int, now_ms: int = NOW_MS, text: str = "hi"
) -> Committed:
    """Commit messages of one sender, with these numbers, as one batch."""
    appends = [Append(sender, n, to, f"{text} {n}") for n in numbers]
    return await store.commit(batch_of(appends), now_ms)


async def seal(
    store: Store,
    sender: Identity,
    to: str,
    n: int,
    devices: Iterable[Identity | str],
    *,
    only: bool = False,
    now_ms: int = NOW_MS,
) -> Committed:
    """Commit one message that is sealed for these devices; the ciphertext tells for which."""
    ids = [each if isinstance(each, str) else each.device for each in devices]
    sealed = {device: ciphertext(n, device) for device in ids}
    return await store.commit(batch_of([Append(sender, n, to, sealed=sealed, only=only)]), now_ms)


def ciphertext(n: int, device: str) -> str:
    """Make what a device is to get of a message, and nobody else."""
    return f"1m{n}/{device}"


async def ack(store: Store, device: Identity, position: int, *, now_ms: int = NOW_MS) -> Committed:
    """Commit one confirmation."""
    return await store.commit(Batch([], {device.device_id: position}), now_ms)
