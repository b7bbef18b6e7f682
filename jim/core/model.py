"""The nouns of the core: who sends, what is stored, what came of it. Data without behaviour."""

from __future__ import annotations

import enum
from typing import NamedTuple

from msgspec import Struct

from jim.protocol.messages import Link, Msg, PublicKey


class Identity(Struct, frozen=True, gc=False):
    """Who is behind a session, as proved at the login."""

    account_id: int
    device_id: int
    name: str
    device: str
    """The public id of the device (design of the chain), unique within the account."""


class Run(Struct):
    """Messages of one session on their way into the store, in the order in which they came."""

    sender: Identity
    messages: list[Msg]
    """Each has a text or ciphertexts, of which none is too long (`jim.core.sealing.check`)."""


class Stored(Struct, gc=False):
    """Consecutive messages of one device that are on disk; a repetition is told the same again.

    The message `n + i` has the place `seq + i` of its conversation, for each `i` below `count`;
    with a `seq` of 0 none of them has a place: they were for one device alone.
    """

    n: int
    seq: int
    time_ms: int
    skipped: int = 0
    """Devices of the addressee that take nothing for now."""
    count: int = 1

    @property
    def last_n(self) -> int:
        """The last number."""
        return self.n + self.count - 1

    def place(self, n: int) -> int:
        """Give the place of one of the messages in its conversation, 0 where it has none."""
        return self.seq + n - self.n if self.seq else 0


class Answers(Struct, gc=False):
    """What the sender of a run is told: a frame for each message, in their order."""

    frames: bytes
    introduced: tuple[int, ...] = ()
    """Accounts that the sender wrote to for the first time."""
    revoked: bool = False
    """The device has been taken out of its account: nothing was stored, the session has to end."""


class Segment(Struct, gc=False):
    """What one commit adds to one mailbox: consecutive frames, as the bytes for the wire."""

    account_id: int
    device_id: int
    first: int
    last: int
    frames: bytes


class DeliveredUpTo(Struct, gc=False):
    """A device of `by_name` holds the conversation with `account_id` up to `seq`."""

    account_id: int
    by_name: str
    seq: int


class Batch(Struct):
    """What is committed together: messages, and the latest confirmation of each device."""

    runs: list[Run]
    """In order of arrival."""
    acks: dict[int, int]
    """device_id to the mailbox position that it confirmed."""
    steady_ms: int | None = None
    """The time by a clock that nobody sets (`jim.server.node.SteadyClock`), None where there is
    none."""


class Committed(Struct):
    """What a commit did. Everything in here is durable."""

    answers: list[Answers]
    """One for each run, in their order."""
    segments: list[Segment]
    delivered: list[DeliveredUpTo]


class Standing(Struct, frozen=True):
    """Where a device stands, read after every commit that was submitted before."""

    last_n: int
    position: int
    acked: int
    last_mark: str = ""
    """The mark of the message with the number `last_n`; empty if it had none."""
    revoked: bool = False
    """The device has been taken out of its account."""
    one_time_keys: int = 0
    """How many of the device nobody has claimed yet."""


class Receipt(NamedTuple):
    """How far somebody holds a conversation, and where their device chain ends."""

    seq: int
    chain_seq: int


class DeviceRecord(Struct, frozen=True):
    """A device as the login needs it."""

    device_id: int
    device: str
    login_key: bytes
    revoked: bool


class AccountRecord(Struct, frozen=True):
    """An account as the login needs it; `links` is its device chain, oldest first."""

    account_id: int
    name: str
    links: list[Link]
    devices: list[DeviceRecord]


class Registration(Struct, frozen=True):
    """Everything that a new account consists of; verified before it comes here."""

    name: str
    skeleton: str
    genesis: Link
    head: bytes
    invite_hash: bytes | None
    """Consumed in the same transaction; None where the policy asks for none."""
    fallback: PublicKey | None = None
    """Of a device with encryption keys, and only of one; so with `Enrolment`."""


class Enrolment(Struct, frozen=True):
    """A verified link for the end of an account's chain: a further device, or one device less."""

    account_id: int
    link: Link
    head: bytes
    max_devices: int
    fallback: PublicKey | None = None


class InviteRecord(Struct, frozen=True):
    """An invite as the server keeps it: never the token, only its hash."""

    token_hash: bytes
    uses: int
    expires_ms: int


class Contact(Struct, frozen=True):
    """Somebody on the other side of a conversation."""

    account_id: int
    name: str


class MailboxState(enum.IntEnum):
    """Whether a mailbox takes messages; stored as the integer."""

    LIVE = 0
    STALE = 1
    """Full or abandoned: nothing is added until everything waiting has been collected."""
    REVOKED = 2
