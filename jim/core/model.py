"""The nouns of the core: who sends, what is stored, what came of it. Data without behaviour."""

from __future__ import annotations

import enum

from msgspec import Struct

from jim.errors import WireError
from jim.protocol.messages import Link


class Identity(Struct, frozen=True, gc=False):
    """Who is behind a session, as proved at the login."""

    account_id: int
    device_id: int
    name: str
    device: str
    """The public id of the device (design of the chain), unique within the account."""


class Append(Struct, gc=False):
    """One message on its way into the store."""

    sender: Identity
    n: int
    to_key: str
    """The addressee's name, normalised (`jim.core.names.lookup_key`)."""
    text: str
    mark: str = ""
    """What the sender's device knows the message by, empty if it gave nothing."""


class Stored(Struct, gc=False):
    """The message is on disk; a repetition gets the values of the first time."""

    n: int
    seq: int
    time_ms: int
    skipped: int = 0
    """Devices of the addressee that take nothing for now."""
    introduced: int = 0
    """Account id of an addressee whom the sender wrote to for the first time, else 0."""


class Refused(Struct):
    """The message is not stored and its number not used."""

    n: int
    error: WireError


Outcome = Stored | Refused


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
    """What is committed together: messages in order of arrival, and the latest ack per device."""

    appends: list[Append]
    acks: dict[int, int]
    """device_id to the mailbox position that it confirmed."""
    steady_ms: int | None = None
    """The time by a clock that nobody sets (`jim.server.node.SteadyClock`), None where there is
    none."""


class Committed(Struct):
    """What a commit did. Everything in here is durable."""

    outcomes: list[Outcome]
    """One for each append, in their order."""
    segments: list[Segment]
    delivered: list[DeliveredUpTo]


class Standing(Struct, frozen=True):
    """Where a device stands, read after every commit that was submitted before."""

    last_n: int
    position: int
    acked: int
    last_mark: str = ""
    """The mark of the message with the number `last_n`; empty if it had none."""


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


class Enrolment(Struct, frozen=True):
    """A further device of an account, by a verified `add` link."""

    account_id: int
    link: Link
    head: bytes
    max_devices: int


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
