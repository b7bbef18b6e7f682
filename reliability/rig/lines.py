"""What the harness tells an actor, and what an actor tells the harness: JSON lines, both ways."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from reliability.history import digest

# --- commands -------------------------------------------------------------------------------------


class Send(Struct, tag_field="do", tag="send", frozen=True):
    """Write a message; the same `uid` again is the same message, however often it is told."""

    uid: str
    to: str
    size_bytes: int


class Retry(Struct, tag_field="do", tag="retry", frozen=True):
    """Try to connect now, as somebody does who sees that the server is back."""


class Sync(Struct, tag_field="do", tag="sync", frozen=True):
    """Answer with `Synced` when everything that has reached the process is told."""

    token: int


class Look(Struct, tag_field="do", tag="look", frozen=True):
    """Tell everything that the store holds behind a local number."""

    token: int
    after: int = 0


class Ask(Struct, tag_field="do", tag="ask", frozen=True):
    """Ask the server who is online, and tell how long the answer took."""

    token: int


Command = Send | Retry | Sync | Look | Ask

# --- reports --------------------------------------------------------------------------------------


class Row(Struct, frozen=True):
    """A message as the actor's store has it; the text as its name and its digest."""

    message_id: int
    mine: bool
    peer: str
    sender: str
    device: str
    n: int
    seq: int
    uid: str
    digest: str
    state: str
    code: str


class Store(Struct, tag_field="is", tag="store", frozen=True):
    """What the store holds: at each start, from what was asked for; or all of it, on demand.

    Attributes:
        device: whose it is.
        position: the cursor of the mailbox.
        rows: in the order in which the store came to know them.
        token: of the `Look`, 0 at the start.
    """

    device: str
    position: int
    rows: list[Row]
    token: int = 0


class Change(Struct, tag_field="is", tag="change", frozen=True):
    """A message is new, or its state has changed; durable."""

    row: Row


class Link(Struct, tag_field="is", tag="link", frozen=True):
    """The state of the connection."""

    state: str
    error: str


class Notice(Struct, tag_field="is", tag="notice", frozen=True):
    """The user was told that messages are missing."""

    code: str


class Words(Struct, tag_field="is", tag="words", frozen=True):
    """The recovery words, once the name is registered."""

    words: str


class Unsent(Struct, tag_field="is", tag="unsent", frozen=True):
    """The message could not be queued: it was never on its way."""

    uid: str
    error: str


class Synced(Struct, tag_field="is", tag="synced", frozen=True):
    """The answer to `Sync`, and to `Ask` with the time that it took or the error."""

    token: int
    took_s: float = 0.0
    error: str = ""


class Fatal(Struct, tag_field="is", tag="fatal", frozen=True):
    """The client has stopped for good."""

    error: str


Report = Store | Change | Link | Notice | Words | Unsent | Synced | Fatal

_encoder = msgspec.json.Encoder()
commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
reports: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


def encoded(line: Command | Report) -> str:
    """Give the line without its end."""
    return _encoder.encode(line).decode()


# --- texts ----------------------------------------------------------------------------------------


def text_of(uid: str, size_bytes: int) -> str:
    """Make the text of a message: its name, then what only this message has, up to the size."""
    block = hashlib.sha256(uid.encode()).hexdigest() + " привет "
    size = len(block.encode())
    wanted = max(0, size_bytes - len(uid) - 1)
    filling = (block * (wanted // size + 1)).encode()[:wanted].decode(errors="ignore")
    return f"{uid} {filling}"


def uid_of(text: str) -> str:
    """Give the name that a text begins with."""
    return text.partition(" ")[0]


def described(text: str) -> tuple[str, str]:
    """Give name and digest of a text."""
    return uid_of(text), digest(text)
