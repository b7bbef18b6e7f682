"""Write all messages of an account as signed JSON lines, and check such a file without a server.

The first line says whose it is and holds the account's device chain; then comes a line for each
message in the order in which this device came to know them; the last line has the number of
messages, the SHA-512 of all lines before it, and a signature of both by this device. Whoever knows
the account's root (`jim.crypto.chain`) can tell that one of its devices wrote exactly this.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from typing import IO, TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct

from jim.client.account_record import read_account
from jim.client.backup import read_only
from jim.client.encryption.content import UNREADABLE
from jim.client.store_rows import message_of
from jim.client.translate import store_errors
from jim.crypto import transcript
from jim.crypto.chain import ChainState, verify_chain
from jim.crypto.keys import SigningKey, device_id, format_pin, parse_pin, verify
from jim.crypto.safety_number import account_number
from jim.errors import AuthFailed, ChainInvalid, ExportInvalid
from jim.protocol.messages import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jim.client.events import Message

FORMAT: Final = "jim-export-1"

MAX_LINE_BYTES: Final = 2**24
"""Of a line to read: the longest text, every byte of it escaped, has a hundredth of that, and a
chain of ten thousand links a half."""

_COUNT: Final = "SELECT count(*) FROM messages WHERE kind = 'text'"
_ALL: Final = "SELECT * FROM messages WHERE kind = 'text' ORDER BY message_id"
_CHAIN: Final = "SELECT links FROM contacts WHERE name = ?"

ReadT = TypeVar("ReadT")


class Header(Struct, frozen=True, kw_only=True, tag_field="type", tag="export"):
    """The first line; `server` is the server's key as in an invite."""

    format: str
    account: str
    device: str
    server: str
    time_ms: int
    messages: int
    chain: list[Link]


class Seal(Struct, frozen=True, kw_only=True, tag_field="type", tag="signature"):
    """The last line; `digest` is the SHA-512 of all lines before it, in hexadecimal digits."""

    messages: int
    digest: str
    sig: bytes


class Checked(Struct, frozen=True, kw_only=True):
    """What a file that is in order says; `root` and `number` are the account's, to compare."""

    header: Header
    root: str
    number: str


def export(
    path: Path,
    key: SigningKey,
    server_id: bytes,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Iterator[bytes]:
    """Give the lines of an export of the store at `path`, one by one.

    `progress` hears how many messages of how many are done. A client may run meanwhile.

    Raises:
        ExportInvalid: with `reason` chain: the store does not know the account's devices yet, or
            the key is none of them.
        StoreError: the store cannot be read.
    """
    with store_errors(path), contextlib.closing(read_only(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        header = _header(connection, key, server_id)
        digest = hashlib.sha512()
        for done, line in enumerate(_lines(connection, header)):
            digest.update(line)
            yield line
            progress(done, header.messages)
    signed = transcript.export(
        header.account, header.device, server_id, header.messages, digest.digest()
    )
    yield _line(
        msgspec.to_builtins(
            Seal(messages=header.messages, digest=digest.hexdigest(), sig=key.sign(signed))
        )
    )


def check(source: IO[bytes], root: str | None = None) -> Checked:
    """Check a file from its first byte to its last.

    `root` is what the account's root has to be: 64 hexadecimal digits, its number of 30 digits, or
    a safety number of 60 digits in which that is.

    Raises:
        ExportInvalid: with `reason` format (it is no whole export), signature (something in it was
            altered), chain (the list of devices is not valid, or the device is not on it), count or
            root.
        OSError: of the source.
    """
    first = _read_line(source)
    header = _decoded(first, Header)
    if header.format != FORMAT:
        raise _invalid("format", "it was written by a newer version of jim; update jim")
    digest, count, last = hashlib.sha512(first), -1, b""
    while line := _read_line(source):
        digest.update(last)
        count, last = count + 1, line
    seal = _decoded(last, Seal)
    if _line(msgspec.to_builtins(seal)) != last:
        raise _invalid("signature", "the last line was altered")
    state = _state(header)
    if seal.messages != header.messages or count != header.messages:
        raise _invalid("count", f"it has {count} messages and should have {header.messages}")
    _check_signature(header, seal, state, digest.digest())
    found = Checked(
        header=header,
        root=state.root.hex(),
        number=account_number(header.account, state.root),
    )
    if root is not None and not _fits(found, root):
        raise _invalid("root", found.root)
    return found


def _header(connection: sqlite3.Connection, key: SigningKey, server_id: bytes) -> Header:
    record = read_account(connection)
    name = record.name if record else ""
    row = connection.execute(_CHAIN, (name,)).fetchone()
    links = msgspec.json.decode(row["links"], type=list[Link]) if row else []
    device = device_id(key.public)
    if not links:
        raise _invalid("early", "")
    if device not in verify_chain(links, name).devices:
        raise _invalid("chain", "this device is none of the account's")
    return Header(
        format=FORMAT,
        account=name,
        device=device,
        server=format_pin(server_id),
        time_ms=int(time.time() * 1000),
        messages=connection.execute(_COUNT).fetchone()[0],
        chain=links,
    )


def _lines(connection: sqlite3.Connection, header: Header) -> Iterator[bytes]:
    yield _line(msgspec.to_builtins(header))
    for row in connection.execute(_ALL):
        yield _line(_record(message_of(row)))


def _record(message: Message) -> dict[str, object]:
    """Give what is kept of a message, by the names that `jim history --json` uses."""
    record: dict[str, object] = {
        "type": "message",
        "id": message.message_id,
        "peer": message.peer,
        "from": message.sender,
        "device": message.device,
        "n": message.n,
        "outgoing": message.outgoing,
        "text": message.text,
        "time_ms": message.time_ms,
        "seq": message.seq,
        "state": str(message.state),
        "plain": message.plain,
    }
    if message.error_code is not None:
        record["error"] = message.error_code
    return record


def _line(record: object) -> bytes:
    """Write a line in the one way: ASCII alone, so that no terminal obeys what is in it."""
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _read_line(source: IO[bytes]) -> bytes:
    line = source.readline(MAX_LINE_BYTES)
    if line and not line.endswith(b"\n"):
        raise _invalid("format", "it ends in the middle of a line")
    return line


def _decoded(line: bytes, kind: type[ReadT]) -> ReadT:
    try:
        return msgspec.json.decode(line, type=kind)
    except (*UNREADABLE, UnicodeDecodeError):
        raise _invalid("format", "its first or last line is not that of an export") from None


def _state(header: Header) -> ChainState:
    try:
        state = verify_chain(header.chain, header.account)
    except ChainInvalid as error:
        raise _invalid("chain", str(error)) from None
    if header.device not in state.devices:
        raise _invalid("chain", "the device that signed is none of the account's")
    return state


def _check_signature(header: Header, seal: Seal, state: ChainState, digest: bytes) -> None:
    try:
        server_id = parse_pin(header.server)
        signed = transcript.export(
            header.account, header.device, server_id, header.messages, digest
        )
        verify(state.devices[header.device], seal.sig, signed)
    except (AuthFailed, ValueError):
        raise _invalid("signature", "something in it was altered") from None
    if seal.digest != digest.hex():
        raise _invalid("signature", "the last line was altered")


def _fits(found: Checked, root: str) -> bool:
    """Tell whether a root that somebody wrote down is that of the account."""
    typed = "".join(root.split()).lower()
    number = "".join(found.number.split())
    return typed in {found.root, number} or (
        len(typed) == 2 * len(number) and number in {typed[: len(number)], typed[len(number) :]}
    )


def _invalid(reason: str, detail: str) -> ExportInvalid:
    return ExportInvalid(detail, reason=reason)
