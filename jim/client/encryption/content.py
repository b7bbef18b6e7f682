"""What stands inside a ciphertext, and its padding."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from jim.errors import CannotDecrypt

VERSION: Final = 1

BUCKET_BYTES: Final = 256
"""Sizes are told in steps of so much: "yes" and a line of text look the same (security.md)."""

MAX_VOIDS: Final = 64
"""Counts given up that are told with every message: as many as can be on their way at once."""

TEXT: Final = "text"
"""A message for people."""
AGAIN: Final = "again"
"""Asks for the counts in the body, an empty list for nothing but the present count."""
HERE: Final = "here"
"""Answers `AGAIN`: no text, but the present count and what was given up."""
SINCE: Final = "since"
"""Asks for what was sealed for a device that the asking one has taken the place of (`Since`)."""

SAS: Final = "sas"
"""A step of comparing emoji (`jim.crypto.sas`)."""

UNREADABLE: Final = (msgspec.MsgspecError, RecursionError)
"""What a decoder raises for a body that makes no sense: one of unknown fields that are nested a
thousand deep meets Python's own limit. Whoever lets that through lets any stranger end this client,
and again at each start, for the frame waits in the mailbox."""

Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
ContentId = Annotated[str, Meta(min_length=1, max_length=64)]
"""Four times what ours have; none at all is what plain texts have."""


class Party(Struct, frozen=True, array_like=True):
    """A device of an account, by the names that the server uses and the key that it cannot fake."""

    name: str
    device: str
    ed: bytes


class Head(Struct, frozen=True, array_like=True):
    """Where a device chain ends."""

    seq: Number
    head: bytes


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"sender": "from"}):
    """Everything that one device tells another with one message.

    Attributes:
        id: which message it is, whoever delivers it how often; unique for its sender.
        time: when it was written, ms since the epoch.
        sender: who sealed it.
        to: for whom.
        chat: the addressee of the message, the sender's copies to itself included.
        count: the how-manieth it is that this sender seals for this device, from 1.
        voids: counts that were given up; nothing will ever come with them.
        mine: the end of the sender's own device chain.
        yours: the end of the receiver's chain as the sender knows it.
        kind: what it is for.
        body: the text.
        was: the count that it had before, when it is sealed again.
        seq: its place in the conversation, when it is sealed again.
        n: its number then.
        origin: the device that has sent it, when another one has taken its place since.
    """

    v: int = VERSION
    id: ContentId
    time: Number
    sender: Party
    to: Party
    chat: str
    count: Number
    voids: Annotated[list[Number], Meta(max_length=MAX_VOIDS)] = []
    mine: Head
    yours: Head
    kind: str = TEXT
    body: str = ""
    was: Number = 0
    seq: Number = 0
    n: Number = 0
    origin: str = ""


class Since(Struct, frozen=True):
    """The body of `SINCE`: a former device of the account, and what never came there.

    Attributes:
        device: the former one.
        after: the last count that came.
        missing: counts before it that did not.
    """

    device: str
    after: Number
    missing: list[Number] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Content)


def write_content(content: Content) -> bytes:
    """Write a content and pad it: a byte 0x80, then zeros up to the next step (ISO 7816-4)."""
    packed = _encoder.encode(content) + b"\x80"
    return packed + bytes(-len(packed) % BUCKET_BYTES)


def read_content(plaintext: bytes) -> Content:
    """Read what `write_content` wrote.

    Raises:
        CannotDecrypt: with `reason` content: it is nothing of the kind, or of a later version.
    """
    packed = plaintext.rstrip(b"\0")
    try:
        content = _decoder.decode(packed[:-1])
    except (*UNREADABLE, UnicodeDecodeError):
        raise CannotDecrypt("the content cannot be read", reason="content") from None
    if packed[-1:] != b"\x80" or content.v != VERSION:
        raise CannotDecrypt("the content cannot be read", reason="content")
    return content
