"""Bytes to messages and messages to bytes: newline-delimited JSON in UTF-8.

A decoder is fed whatever the transport delivered and gives the messages that are complete; any
chunking of the same bytes gives the same messages. Size is checked before parsing, nesting before
decoding. What cannot be decoded comes back in its place as an `Invalid`, so that the session
decides what becomes of it. The decoder never raises on input and never waits.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from jim.errors import BadRequest, FrameTooLong, Malformed, UnknownAction, WireError
from jim.protocol.messages import ClientMessage, RequestId, ServerMessage

MAX_DEPTH: Final = 16
"""Levels of nesting: the deepest message has 4 (a key in a list of `offers`); the rest is room for
unknown fields, far below the recursion limit that a decoder would otherwise meet."""

_SEALED: Final = b'"ciphertexts":'
"""What a connection sends is mostly alike: where the first line has it, the others have it too."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")

MessageT = TypeVar("MessageT")


class Invalid(Struct, frozen=True):
    """A frame that is no message: the error to report, and the request it belongs to if known."""

    error: WireError
    id: int | str | None = None


class _Head(Struct):
    """The two fields that an error reply wants to know of a frame that is otherwise unusable."""

    action: Any = None
    id: Any = None


_head_decoder = msgspec.json.Decoder(_Head)
_id_type: Any = RequestId


def _is_utf8(data: bytes) -> bool:
    """Check the encoding of everything, for msgspec looks only at the strings that it keeps."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _depth_of(frame: bytes) -> int:
    """Measure the nesting of brackets outside strings; linear in the size of the frame."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", frame)):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _is_shallow(chunk: bytes, frames: list[bytes]) -> bool:
    """Tell whether surely none of the lines is nested too deeply, without a look at each of them.

    Together they have few brackets beside the one of each line. Sealed messages have two each, so
    there every line has to have few, which takes no longer: it is parted, up to so many parts.
    """
    has_lists = b"[" in chunk  # looking for one is ten times as fast as counting
    if _SEALED in frames[0] and not has_lists:
        parts = map(bytes.split, frames, repeat(b"{"), repeat(MAX_DEPTH + 1))
        return max(map(len, parts)) <= MAX_DEPTH + 1
    lists = chunk.count(b"[") if has_lists else 0
    return chunk.count(b"{") + lists - len(frames) < MAX_DEPTH


class Decoder(Generic[MessageT]):
    """Turns a byte stream into messages of one side; one per connection."""

    __slots__ = ("_actions", "_closed", "_decode", "_rest", "max_frame_bytes")

    def __init__(self, parser: Parser[MessageT], max_frame_bytes: int) -> None:
        """Take the shared `parser` and the longest frame in bytes, its newline not counted."""
        self._decode = parser.json.decode
        self._actions = parser.actions
        self._rest = bytearray()
        self._closed = False
        self.max_frame_bytes = max_frame_bytes

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an incomplete frame are held."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[MessageT | Invalid]:
        """Give the messages that `data` completes, in order.

        After a frame that is too long the rest of the stream has no known boundaries: the last item
        is then an `Invalid` with a fatal error, and nothing more comes out of this decoder.
        """
        if self._closed:
            return []
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest += data
            return self._check_rest([])
        if self._rest:
            self._rest += data[:end]
            chunk = bytes(self._rest)
            self._rest = bytearray(data[end:])
        else:
            chunk = data if end == len(data) else data[:end]
            if end != len(data):
                self._rest += data[end:]
        return self._check_rest(self._decode_chunk(chunk))

    def _check_rest(self, items: list[MessageT | Invalid]) -> list[MessageT | Invalid]:
        if len(self._rest) > self.max_frame_bytes and not self._closed:
            items.append(self._too_long(len(self._rest)))
        return items

    def _too_long(self, size_bytes: int) -> Invalid:
        self._closed = True
        self._rest.clear()
        return Invalid(FrameTooLong(size_bytes=size_bytes, limit_bytes=self.max_frame_bytes))

    def _decode_chunk(self, chunk: bytes) -> list[MessageT | Invalid]:
        """Decode whole lines, all of them without a closer look where none is needed.

        Lines are parted here and not by the decoder, which reads a stream of JSON values: it would
        accept two on one line too, and one over two lines.
        """
        frames = chunk[:-1].split(b"\n")
        if len(chunk) <= self.max_frame_bytes and _is_shallow(chunk, frames) and _is_utf8(chunk):
            try:
                return list(map(self._decode, frames))
            except (msgspec.MsgspecError, RecursionError):
                pass  # lines without a bracket make room for others that are too deep
        return self._decode_each(frames)

    def _decode_each(self, frames: list[bytes]) -> list[MessageT | Invalid]:
        items: list[MessageT | Invalid] = []
        for frame in frames:
            if len(frame) > self.max_frame_bytes:
                items.append(self._too_long(len(frame)))
                break
            if frame and not frame.isspace():
                items.append(self._decode_one(frame))
        return items

    def _decode_one(self, frame: bytes) -> MessageT | Invalid:
        opened = frame.count(b"{") + frame.count(b"[")
        if opened > MAX_DEPTH and _depth_of(frame) > MAX_DEPTH:
            return Invalid(Malformed("the frame is nested too deeply", limit=MAX_DEPTH))
        if not _is_utf8(frame):
            return Invalid(Malformed("the frame is not UTF-8"))
        try:
            return self._decode(frame)
        except msgspec.ValidationError as error:
            return self._explain(frame, str(error))
        except (msgspec.DecodeError, RecursionError):
            return Invalid(Malformed())

    def _explain(self, frame: bytes, reason: str) -> Invalid:
        try:
            head = _head_decoder.decode(frame)
        except (msgspec.MsgspecError, RecursionError):
            return Invalid(Malformed())
        try:
            request_id: int | str | None = msgspec.convert(head.id, _id_type)
        except msgspec.ValidationError:
            request_id = None
        if isinstance(head.action, str) and head.action not in self._actions:
            return Invalid(UnknownAction(), request_id)
        return Invalid(BadRequest(reason), request_id)


class Parser(Generic[MessageT]):
    """What all decoders of one side share: the compiled schema and the names of its actions."""

    __slots__ = ("actions", "json")

    def __init__(self, union: Any) -> None:
        """Compile the schema of a union of message structures."""
        self.json: msgspec.json.Decoder[MessageT] = msgspec.json.Decoder(union)
        self.actions = frozenset(
            str(cls.__struct_config__.tag) for cls in getattr(union, "__args__", (union,))
        )


FROM_CLIENT: Final[Parser[ClientMessage]] = Parser(ClientMessage)
FROM_SERVER: Final[Parser[ServerMessage]] = Parser(ServerMessage)

_encoder = msgspec.json.Encoder()


def encode(message: Struct) -> bytes:
    """Write one message as a frame, its newline included."""
    return _encoder.encode(message) + b"\n"


encode_all = _encoder.encode_lines
"""Write messages as frames, one after the other: half as dear as one by one."""
