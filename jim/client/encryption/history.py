"""What one device hands over to a new one of the same account: how it is written and read.

A part is one line of JSON and behind it the texts, one after the other: so a text takes no more
room than it takes as a message, whatever characters it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from jim.client.encryption.content import UNREADABLE, Number
from jim.protocol.messages import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTACTS: Final = "contacts"
"""Kind of a content: pinned chains of others, and what the user knows of them."""
HISTORY: Final = "history"
"""Kind of a content: messages of before."""
HISTORY_END: Final = "history_end"
"""Kind of a content: everything was handed over, in so many parts."""
HISTORY_WANTED: Final = "history_wanted"
"""Kind of a content: parts are missing, so everything is asked for once more."""

LINE_BYTES: Final = 256
"""What a message adds to its text at most: its line with the longest numbers and name."""

Size = Annotated[int, Meta(ge=0)]


class Past(Struct, frozen=True, array_like=True):
    """A message of before without its text, which has `size` characters.

    Attributes:
        peer: the other side of the conversation.
        place: of a message whose sequence nobody knows (`seq` 0), where it stands.
        unread: nobody has seen it yet.
    """

    peer: str
    outgoing: bool
    device: str
    n: Number
    seq: Number
    time: Number
    content_id: str
    plain: bool
    delivered: bool
    unread: bool
    place: Number
    size: Size


class Pinned(Struct, frozen=True, array_like=True):
    """A contact, or a piece of a long chain: then `trust` comes with the last one.

    Attributes:
        trust: what the user knows (`Trust`), empty for nothing yet.
        plain: texts that are not sealed are allowed.
    """

    name: str
    links: list[Link]
    trust: str
    plain: bool


class Part(Struct, frozen=True):
    """A part of the history: `done` of `total` messages, these ones included."""

    done: Size
    total: Size
    messages: list[Past]


class End(Struct, frozen=True):
    """The end: so many parts there were, with so many messages."""

    parts: Size
    messages: Size


_part = msgspec.json.Decoder(Part)


def size_of(past: Past, text: str) -> int:
    """Give how many bytes a message adds to its part."""
    return len(msgspec.json.encode(past)) + 1 + len(text.encode())


def write_part(done: int, total: int, messages: Iterable[tuple[Past, str]]) -> str:
    """Write a part of the history."""
    found = list(messages)
    line = msgspec.json.encode(Part(done, total, [past for past, _ in found])).decode()
    return line + "\n" + "".join(text for _, text in found)


def read_part(body: str) -> tuple[Part, list[str]] | None:
    """Read what `write_part` wrote: it and the texts; None if it is nothing of the kind."""
    line, _, texts = body.partition("\n")
    try:
        part = _part.decode(line)
    except UNREADABLE:
        return None
    found, place = [], 0
    for past in part.messages:
        found.append(texts[place : place + past.size])
        place += past.size
    return (part, found) if place == len(texts) else None


def write_contacts(contacts: list[Pinned]) -> str:
    """Write contacts."""
    return msgspec.json.encode(contacts).decode()


def read_contacts(body: str) -> list[Pinned]:
    """Read what `write_contacts` wrote; nothing if it is nothing of the kind."""
    try:
        return msgspec.json.decode(body, type=list[Pinned])
    except UNREADABLE:
        return []


def write_end(end: End) -> str:
    """Write the end."""
    return msgspec.json.encode(end).decode()


def read_end(body: str) -> End | None:
    """Read what `write_end` wrote, None if it is nothing of the kind."""
    try:
        return msgspec.json.decode(body, type=End)
    except UNREADABLE:
        return None
