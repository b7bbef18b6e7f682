"""Accounts, devices and messages as the store gets them: verified, so their keys are made up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from jim.core.model import (
    AccountRecord,
    Batch,
    Committed,
    Enrolment,
    Identity,
    InviteRecord,
    Registration,
)
from jim.protocol.messages import Link
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from jim.core.ports import Store

NOW_MS = 1_700_000_000_000
LATER_MS = NOW_MS + 5_000


def digest(*words: object) -> bytes:
    """Make 32 bytes that only depend on the words."""
    return hashlib.sha256(repr(words).encode()).digest()


def make_link(name: str, seq: int = 1, prev: bytes = bytes(32), salt: str = "") -> Link:
    """Make a link that nobody verifies."""
    key = digest("key", name, seq, salt)
    return Link(
        acct=name,
        seq=seq,
        prev=prev,
        op="genesis" if seq == 1 else "add",
        device=key.hex()[:16],
        login_key=key,
        time=NOW_MS,
        proof=bytes(64),
        sig=bytes(64),
    )


def head_of(link: Link) -> bytes:
    """Stand in for the hash of a link."""
    return digest("head", link.acct, link.seq, link.login_key)


def registration(
    name: str, *, skeleton: str = "", salt: str = "", invite: bytes | None = None
) -> Registration:
    """Make everything that a new account consists of."""
    genesis = make_link(name, salt=salt)
    return Registration(name, skeleton or name, genesis, head_of(genesis), invite)


def enrolment(account: AccountRecord, *, salt: str = "", max_devices: int = 10) -> Enrolment:
    """Make the next link of an account's chain."""
    last = account.links[-1]
    link = make_link(account.name, last.seq + 1, head_of(last), salt)
    return Enrolment(account.account_id, link, head_of(link), max_devices)


def invite(token: str, uses: int = 1, expires_ms: int = NOW_MS + 1_000) -> InviteRecord:
    """Make an invite."""
    return InviteRecord(digest("invite", token), uses, expires_ms)


def identity(account: AccountRecord, device: int = 0) -> Identity:
    """Give who the account's device is, devices counted from 0 in the order of enrolment."""
    record = account.devices[device]
    return Identity(account.account_id, record.device_id, account.name, record.device)


async def add_account(store: Store, name: str, devices: int = 1) -> list[Identity]:
    """Register an account with so many devices."""
    account = await store.register(registration(name), NOW_MS)
    for number in range(1, devices):
        account = await store.enrol(enrolment(account, salt=str(number)), NOW_MS)
    return [identity(account, number) for number in range(devices)]


async def send(
    store: Store, sender: Identity, to: str, *numbers: int, now_ms: int = NOW_MS, text: str = "hi"
) -> Committed:
    """Commit messages of one sender, with these numbers, as one batch."""
    appends = [Append(sender, n, to, f"{text} {n}") for n in numbers]
    return await store.commit(batch_of(appends), now_ms)


async def ack(store: Store, device: Identity, position: int, *, now_ms: int = NOW_MS) -> Committed:
    """Commit one confirmation."""
    return await store.commit(Batch([], {device.device_id: position}), now_ms)
