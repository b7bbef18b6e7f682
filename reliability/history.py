"""What was seen from outside, in one order: who wrote, who was told ✓, who showed what, what broke.

A history is kept by the program that makes the faults, on its own monotonic clock, never by what
is being broken. Every layer of the proof (simulated core, virtual loop, real processes) speaks in
these events, and one checker (`reliability.checker`) reads them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def digest(text: str) -> str:
    """Give what stands for a text in a history: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Written(Struct, tag="written", frozen=True, gc=False):
    """Somebody wrote a message: from now on the sender's device owes it to the addressee.

    Attributes:
        at_s: on the recorder's monotonic clock; so in every event.
        uid: unique in the history, a part of the text.
        sender: name of the account.
        device: of the sender.
        to: name of the addressee's account.
        digest: of the whole text.
    """

    at_s: float
    uid: str
    sender: str
    device: str
    to: str
    digest: str = ""


class Acked(Struct, tag="acked", frozen=True, gc=False):
    """The sender saw ✓.

    Attributes:
        seq: place in the conversation; 0: stored, but the place is not known any more
            (docs/adr/0006).
        n: the sending device's number, 0 where it was not told.
        skipped: devices of the addressee that take nothing for now, as the sender was told.
    """

    at_s: float
    uid: str
    seq: int = 0
    n: int = 0
    skipped: int = 0


class Failed(Struct, tag="failed", frozen=True, gc=False):
    """The sender was told that the message is not stored; `unknown_outcome`: that nobody knows."""

    at_s: float
    uid: str
    code: str


class Displayed(Struct, tag="displayed", frozen=True, gc=False):
    """A device of the account `name` showed a message that it had received.

    Attributes:
        position: in the device's mailbox, 0 where the front end does not tell it.
        seq: in the conversation.
        sender: whom the device named as the author.
    """

    at_s: float
    name: str
    device: str
    uid: str
    sender: str
    seq: int
    position: int = 0
    digest: str = ""


class Cursor(Struct, tag="cursor", frozen=True, gc=False):
    """A device has durably moved its cursor: it will never ask for what lies before."""

    at_s: float
    device: str
    position: int


class Again(Struct, tag="again", frozen=True, gc=False):
    """A device was given a message that it has already, and showed nothing."""

    at_s: float
    device: str
    uid: str
    position: int


class Vanished(Struct, tag="vanished", frozen=True, gc=False):
    """After a crash the server's disk does not have what it had acknowledged."""

    at_s: float
    uid: str


class Fault(Struct, tag="fault", frozen=True, gc=False):
    """Something was broken. `fired` says that it was seen to take effect."""

    at_s: float
    kind: str
    fired: bool = True
    detail: str = ""


class Told(Struct, tag="told", frozen=True, gc=False):
    """A device told its user that messages are missing; `code` says why.

    `position` is that of a tombstone in the mailbox, 0 for what the client found out by itself.
    """

    at_s: float
    device: str
    code: str
    position: int = 0


class Lives(Struct, tag="lives", frozen=True, gc=False):
    """A device began anew with an older state of its disk: it may show again what that lacks.

    Attributes:
        waiting: messages of its own that this state holds as not yet decided about.
        shown: what this state holds of others.
        position: its cursor.
    """

    at_s: float
    device: str
    waiting: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    position: int = 0


class Lineage(Struct, tag="lineage", frozen=True, gc=False):
    """The server's store was replaced by an older copy: other places are given out anew.

    Nothing that an earlier copy has said is under way any more. `kept` are the messages that this
    one has stored.
    """

    at_s: float
    kept: tuple[str, ...] = ()


class Healed(Struct, tag="healed", frozen=True, gc=False):
    """Nothing is broken any more; of several before one `Settled` the first counts."""

    at_s: float


class Settled(Struct, tag="settled", frozen=True, gc=False):
    """The harness saw that everything was delivered (or gave up waiting)."""

    at_s: float


Event = (
    Written
    | Acked
    | Again
    | Failed
    | Displayed
    | Cursor
    | Vanished
    | Fault
    | Told
    | Lives
    | Lineage
    | Healed
    | Settled
)

_JSON = msgspec.json.Encoder()
_EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def save(path: Path, events: Iterable[Event]) -> None:
    """Write a history as JSON lines."""
    with path.open("wb") as file:
        for event in events:
            file.write(_JSON.encode(event) + b"\n")


def load(path: Path) -> Iterator[Event]:
    """Read a history; a last line that a crash has torn is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _EVENTS.decode(line)
