"""What a look through a whole database finds: the nouns of `jim-server verify`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from jim.protocol.messages import Link


class Fault(enum.StrEnum):
    """What was found; the value is stable, for scripts."""

    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    REFERENCE = "reference"
    CHAIN = "chain"
    ANSWERS = "answers"
    POSITIONS = "positions"
    LEFT_OVER = "left_over"
    FRAMES = "frames"
    SHIFTED = "shifted"
    STATE = "state"
    MARKS = "marks"
    FOREIGN = "foreign"
    ORDER = "order"
    CONFLICT = "conflict"
    DOUBLED = "doubled"
    SEQUENCE = "sequence"
    NUMBER = "number"
    MEMBER = "member"
    TOTAL = "total"
    KEY = "key"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        fault: what it is.
        account: whose it is, empty where it is about nobody.
        device: the public id of the device, empty where it is about none.
        peer: the other side of a conversation, or who wrote the message.
        first: the first position, sequence or number that it is about.
        last: the last one.
        detail: what was found there, for a person to look up.
    """

    fault: Fault
    account: str = ""
    device: str = ""
    peer: str = ""
    first: int = 0
    last: int = 0
    detail: str = ""


class Mailbox(Struct, frozen=True, kw_only=True):
    """A mailbox and the counters of its device."""

    account: str
    device: str
    last_position: int
    acked: int
    state: int
    waiting_since_ms: int

    @property
    def waiting(self) -> int:
        """How many positions have not been confirmed."""
        return self.last_position - self.acked


class ChainEnd(Struct, frozen=True):
    """What a device chain comes to, once it is verified."""

    head: bytes
    keys: Mapping[str, bytes]
    """Device to login key, of the devices that are authorised."""
    revoked: frozenset[str]
    sealed_for: frozenset[str] = frozenset()
    """The devices that have encryption keys, of those that are authorised."""


CheckChain = Callable[[Sequence[Link], str], ChainEnd]
"""Verifies the chain of an account, or raises a `JimError`; the storage has no cryptography."""


class MailboxWalked(Struct, frozen=True):
    """A mailbox that was looked through; `is_complete` tells that nothing was wrong in it."""

    mailbox: Mailbox
    is_complete: bool


class Report(Struct):
    """Everything about one database."""

    mailboxes: list[MailboxWalked] = []
    findings: list[Finding] = []

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


Item = Finding | MailboxWalked
