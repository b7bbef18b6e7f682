"""What a client tells its front ends: messages, people, and the events about them. Data only.

Texts and names are exactly what came over the wire; whoever shows them makes them safe first.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from jim.errors import JimError


class LinkState(enum.StrEnum):
    """How the client and its server stand; the value is a stable word."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    STOPPED = "stopped"
    SHARED = "shared"
    """Another process of this machine holds the account and sends for us."""


class MessageState(enum.StrEnum):
    """How far a message has come; the value is what the store keeps."""

    QUEUED = "queued"
    STORED = "stored"
    DELIVERED = "delivered"
    FAILED = "failed"
    RECEIVED = "received"


UNKNOWN_OUTCOME = "unknown_outcome"
"""Error code of a message that may or may not have been stored: its number cannot be trusted."""

CANCELLED = "cancelled"
"""Error code of a message that its author took back before it was ever sent."""

BEHIND = "behind"
"""Code of a notice: the server holds confirmations that this store does not know of."""

RESTORED = "restored"
"""Code of a notice: the device has sent messages that this store does not know of."""

ROTATED = "rotated"
"""Code of a notice: this store goes on as a new device, in place of the one that it was."""


class Message(Struct, frozen=True, kw_only=True):
    """A message as the local store has it.

    Attributes:
        message_id: local number, in the order in which this store came to know the messages.
        peer: the other side of the conversation.
        outgoing: I wrote it, on this device or on another one of mine.
        sender: who wrote it.
        text: as written.
        time_ms: when the server stored it; while queued, when it was written (ms since the epoch).
        seq: place in the conversation, 0 while unknown.
        n: the sending device's number, 0 for none.
        device: the sending device.
        state: how far it has come.
        error_code: why it failed, None if it did not.
        plain: it was not encrypted.
        withheld: it was not, and unencrypted messages are not allowed with the peer: it is kept,
            but its text is not given (`Client.allow_plain`).
        kind: `text`; anything else goes between devices, and front ends never hear of it.
    """

    message_id: int
    peer: str
    outgoing: bool
    sender: str
    text: str
    time_ms: int
    seq: int
    n: int
    device: str
    state: MessageState
    error_code: str | None = None
    plain: bool = False
    withheld: bool = False
    kind: str = "text"

    @property
    def is_text(self) -> bool:
        """Whether it is for people; what is not goes between devices, and nobody is shown it."""
        return self.kind == "text"

    @property
    def settled(self) -> bool:
        """Whether the server has decided about it."""
        return self.state is not MessageState.QUEUED

    @property
    def is_stored(self) -> bool:
        """Whether the server has, or had, this message of ours."""
        return self.state in {MessageState.STORED, MessageState.DELIVERED}


OwnMessage = Message


class Conversation(Struct, frozen=True):
    """Somebody I exchanged messages with, and the last one of them."""

    peer: str
    last: Message


class Contacts(Struct, frozen=True):
    """Who of those I may see is online and who is not, as the server said."""

    online: list[str]
    offline: list[str]


class ContactInfo(Struct, frozen=True, kw_only=True):
    """What is known of somebody's keys.

    Attributes:
        name: who.
        known: the list of devices has been seen.
        devices: so many devices can open what is sealed for them.
        verified: the user has compared the keys.
        changed: they were compared, and are others since: nothing is sent there.
        plain: unencrypted messages are allowed.
    """

    name: str
    known: bool = False
    devices: int = 0
    verified: bool = False
    changed: bool = False
    plain: bool = False


class ComparisonStage(enum.StrEnum):
    """How far two people have come who compare emoji."""

    ASKED = "asked"
    """They ask; `Client.compare_emoji` agrees, `Client.answer_emoji` with False declines."""
    WAITING = "waiting"
    """We have asked, or agreed."""
    SHOWN = "shown"
    """There are emoji; `Client.answer_emoji` says whether they are the same."""
    CONFIRMED = "confirmed"
    """We said that they are; the other side has not yet."""
    VERIFIED = "verified"
    FAILED = "failed"


class ComparisonChanged(Struct, frozen=True):
    """Comparing emoji with somebody has come to a further stage.

    It lives in memory: after the end of the program it begins anew.

    Attributes:
        name: with whom.
        stage: how far it has come.
        emoji: signs with their English names, seven of them while they are shown.
        reason: why it has failed: timeout, cancelled (by them), withdrawn (by them, before we
            agreed), declined or differ (by us), changed (other keys meanwhile), or one of
            `jim.crypto.sas`.
    """

    name: str
    stage: ComparisonStage
    emoji: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class LinkChanged(Struct, frozen=True):
    """The link to the server changed its state; `retry_in_s` is set while it waits."""

    state: LinkState
    retry_in_s: float | None = None
    error: JimError | None = None


class FirstContact(Struct, frozen=True):
    """A server was met for the first time, and its identity is remembered from now on."""

    address: str
    fingerprint: str
    mode: str


class Registered(Struct, frozen=True):
    """The name belongs to this account; `words` have not been shown yet."""

    name: str
    words: tuple[str, ...] | None


class Received(Struct, frozen=True):
    """A message from somebody else is durably here."""

    message: Message


class OwnChanged(Struct, frozen=True):
    """A message of mine is new or has changed its state; both are durable."""

    message: Message


class PresenceChanged(Struct, frozen=True):
    """Somebody came or went."""

    name: str
    online: bool


class MissingNotice(Struct, frozen=True):
    """Something that the user has to know; mostly that messages are missing from here on.

    `code` says what; `peer` with whom it has to do, empty for nobody. It comes again with every
    start until the front end says that it was shown (`Client.notice_shown`).
    """

    code: str
    time_ms: int
    notice_id: int
    peer: str = ""


class DevicesChanged(Struct, frozen=True):
    """The account's device chain has grown since this device last logged in.

    Only where it was not known here; otherwise a `MissingNotice` says of each device what happened.
    """

    chain_seq: int


class HistoryMoved(Struct, frozen=True):
    """A part of the history went from one device of this account to another one that is new.

    `device` is the other one. Of `total` messages `done` are there, as far as this side knows;
    `ended` says that nothing more follows, and `is_gone` that this is because the other device was
    taken out of the account.
    """

    device: str
    incoming: bool
    done: int
    total: int
    ended: bool = False
    is_gone: bool = False


class Fatal(Struct, frozen=True):
    """The client has stopped for good."""

    error: JimError


Event = (
    LinkChanged
    | FirstContact
    | Registered
    | Received
    | OwnChanged
    | PresenceChanged
    | MissingNotice
    | ComparisonChanged
    | DevicesChanged
    | HistoryMoved
    | Fatal
)
