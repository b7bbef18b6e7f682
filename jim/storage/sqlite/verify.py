"""Read a whole database for `jim.core.audit`: never writing, in one transaction, beside a server.

    report = verify(data_dir / "server.db")

The segments are streamed, and what tells messages apart over all mailboxes is kept in a temporary
database of SQLite's own, which moves to the disk when it becomes large: memory does not grow with
the number of messages. What only the journal has counts as if it were in the tables. While it runs,
the log of a running server cannot shrink.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from typing import TYPE_CHECKING, Final

import msgspec

from jim.core.audit import (
    MailboxAudit,
    Membership,
    check_answers,
    check_conversation,
    check_totals,
)
from jim.core.findings import CheckChain, Fault, Finding, Item, Mailbox, MailboxWalked, Report
from jim.core.model import MailboxState
from jim.errors import JimError, StoreCorrupt, StoreError, StoreTooNew
from jim.i18n import _
from jim.protocol.messages import Link
from jim.storage.sqlite import files, schema
from jim.storage.sqlite.failures import located, translated
from jim.storage.sqlite.overlay import lay_over
from jim.storage.sqlite.packing import unpack_answers, unpack_marks
from jim.storage.sqlite.verify_memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRESS_SEGMENTS: Final = 1024
"""Between two calls of `progress`: a tenth of a second of work."""

_DEVICES: Final = """
SELECT a.name, d.device_id, d.device, s.last_n, s.answers, r.last_position, r.acked, r.state,
    r.waiting_since_ms
FROM device AS d JOIN account AS a USING (account_id)
LEFT JOIN sending AS s USING (device_id) LEFT JOIN receiving AS r USING (device_id)
ORDER BY a.name, d.device_id
"""
_SEGMENTS: Final = """
SELECT first_position, last_position, frames, marks FROM mailbox
WHERE device_id = ? ORDER BY first_position
"""
_CONVERSATIONS: Final = """
SELECT c.conversation_id, low, high, last_seq, m.account_id, a.name, m.wrote, m.delivered_seq
FROM conversation AS c
LEFT JOIN member AS m
  ON m.account_id IN (c.low, c.high) AND m.conversation_id = c.conversation_id
LEFT JOIN account AS a ON a.account_id = m.account_id
ORDER BY c.conversation_id, m.account_id
"""
_STRANGERS: Final = """
SELECT a.name, c.conversation_id FROM member AS m
JOIN conversation AS c USING (conversation_id) JOIN account AS a USING (account_id)
WHERE m.account_id NOT IN (c.low, c.high)
"""
_CHAINS: Final = """
SELECT account_id, name, chain_head FROM account ORDER BY account_id
"""
_LINKS: Final = "SELECT head, body FROM link WHERE account_id = ? ORDER BY seq"
_KEYS: Final = """
SELECT device, login_key, state, fallback_key.device_id IS NOT NULL
FROM device LEFT JOIN receiving USING (device_id) LEFT JOIN fallback_key USING (device_id)
WHERE account_id = ?
"""
_BAD_KEYS: Final = """
SELECT a.name, d.device, k.number FROM (
    SELECT device_id, number, key, sig FROM fallback_key
    UNION ALL SELECT device_id, number, key, sig FROM one_time_key
) AS k
JOIN device AS d USING (device_id) JOIN account AS a USING (account_id)
LEFT JOIN fallback_key AS f USING (device_id)
WHERE length(k.key) <> 32 OR length(k.sig) <> 64 OR k.number < 0
    OR k.number > ifnull(f.last_number, -1)
ORDER BY a.name, d.device_id, k.number
"""
_TOTALS: Final = """
SELECT (SELECT coalesce(sum(last_n), 0) FROM sending),
    (SELECT coalesce(sum(alone), 0) FROM sending),
    (SELECT coalesce(sum(last_seq), 0) FROM conversation)
"""
_COUNT: Final = "SELECT count(*) FROM mailbox"

_decode_link = msgspec.json.Decoder(Link).decode


def verify(path: Path, check_chain: CheckChain | None) -> Report:
    """Collect what `walk` finds; that the database cannot be read is a finding too."""
    report = Report()
    try:
        for item in walk(path, check_chain):
            if isinstance(item, Finding):
                report.findings.append(item)
            else:
                report.mailboxes.append(item)
    except StoreError as error:
        report.findings.append(Finding(fault=Fault.UNREADABLE, detail=str(error)))
    return report


def walk(
    path: Path,
    check_chain: CheckChain | None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Item]:
    """Look through the database, and give what is wrong and each mailbox once it is read.

    `check_chain` is asked about every account; without it the chains are not looked at. `progress`
    hears now and then how many segments of how many were read.

    Raises:
        StoreError: the database cannot be opened, read to the end, or understood.
    """
    with _reading(path) as connection, contextlib.closing(Memory(connection)) as memory:
        yield from _integrity(connection)
        try:
            if check_chain is not None:
                yield from _chains(connection, check_chain)
            yield from _bad_keys(connection)
            yield from _mailboxes(connection, memory, progress or _silent)
            yield from _conversations(connection)
            yield from check_totals(*connection.execute(_TOTALS).fetchone())
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            text = _("{path}: a value cannot be read ({reason}); put a backup in its place")
            raise StoreCorrupt(text.format(path=path, reason=error), path=str(path)) from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database as it is, and hold one state of it until the end of the block."""
    _check_file(path)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path, reading=True):
        connection = sqlite3.connect(uri, uri=True, timeout=files.BUSY_S, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN")
            _check_version(connection, path)
            try:
                lay_over(connection)
            except StoreCorrupt as error:
                raise located(path, error) from error
            yield connection


def _check_file(path: Path) -> None:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        text = _("{path}: there is no database; is the data directory the right one?")
        raise StoreError(text.format(path=path), path=str(path)) from None
    except OSError as error:
        text = _("{path}: cannot be read ({reason}); check the disk, the owner and the rights")
        worded = text.format(path=path, reason=error.strerror)
        raise StoreError(worded, path=str(path)) from error
    if not is_file:
        text = _("{path}: this is no file")
        raise StoreError(text.format(path=path), path=str(path))


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what cannot be looked through, in the words of somebody who only wants to look."""
    steps = schema.migrations()
    try:
        empty = schema.check_owner(connection)
        known = schema.check_known(connection, steps)
    except StoreTooNew as error:
        text = _("{path}: a newer version of JIM wrote the database; use that one")
        raise _worded(text, path, error) from error
    except StoreCorrupt as error:
        text = _("{path}: this is no database of JIM, or another version wrote it")
        raise _worded(text, path, error) from error
    if empty:
        text = _(
            "{path}: the database is empty; put a backup in its place before a server starts, which"
            " would begin it anew"
        )
        raise StoreCorrupt(text.format(path=path), path=str(path))
    if not known:
        text = _("{path}: a part of the database is gone; put a backup in its place")
        raise StoreCorrupt(text.format(path=path), path=str(path))
    if known != len(steps):
        text = _("{path}: an older version of JIM wrote it; start the server once to update it")
        raise StoreError(text.format(path=path), path=str(path))


def _worded(text: str, path: Path, error: StoreError) -> StoreError:
    return type(error)(text.format(path=path), **{**error.fields, "path": str(path)})


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Let SQLite compare every page, index and constraint; it names at most 100 faults."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding(fault=Fault.DAMAGED, detail=str(line))
    for table, rowid, parent, *_rest in connection.execute("PRAGMA foreign_key_check"):
        detail = f"{table} -> {parent}"
        yield Finding(fault=Fault.REFERENCE, first=rowid or 0, last=rowid or 0, detail=detail)


def _chains(connection: sqlite3.Connection, check_chain: CheckChain) -> Iterator[Finding]:
    for account_id, name, head in connection.execute(_CHAINS):
        rows = connection.execute(_LINKS, (account_id,)).fetchall()
        devices = connection.execute(_KEYS, (account_id,)).fetchall()
        try:
            links = [_decode_link(body) for _, body in rows]
            end = check_chain(links, name)
        except (JimError, msgspec.MsgspecError) as error:
            yield Finding(fault=Fault.CHAIN, account=name, detail=str(error))
            continue
        heads = [link.prev for link in links[1:]] + [end.head]
        if heads != [kept for kept, _ in rows] or head != end.head:
            yield Finding(fault=Fault.CHAIN, account=name, detail="head")
        authorised = {each: key for each, key, *_ in devices if each not in end.revoked}
        revoked = {each for each, _, state, _ in devices if state == MailboxState.REVOKED}
        if authorised != dict(end.keys) or revoked != end.revoked & {each for each, *_ in devices}:
            yield Finding(fault=Fault.CHAIN, account=name, detail="devices")
        if {each for each, *_, has_keys in devices if has_keys} != end.sealed_for:
            yield Finding(fault=Fault.CHAIN, account=name, detail="keys")


def _bad_keys(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look for keys that cannot have come in: of a wrong size, or beyond the highest number."""
    for name, device, number in connection.execute(_BAD_KEYS):
        yield Finding(fault=Fault.KEY, account=name, device=device, first=number, last=number)


def _mailboxes(
    connection: sqlite3.Connection, memory: Memory, progress: Callable[[int, int], None]
) -> Iterator[Item]:
    (total,) = connection.execute(_COUNT).fetchone()
    done = 0
    for row in connection.execute(_DEVICES):
        name, device_id, device, last_n, answers, last_position, acked, state, since_ms = row
        if last_n is None or last_position is None:
            detail = "sending" if last_n is None else "receiving"
            yield Finding(fault=Fault.REFERENCE, account=name, device=device, detail=detail)
            continue
        yield from _answers(name, device, last_n, answers)
        mailbox = Mailbox(
            account=name,
            device=device,
            last_position=last_position,
            acked=acked,
            state=state,
            waiting_since_ms=since_ms,
        )
        audit = MailboxAudit(mailbox, memory)
        complete = True
        for first, last, frames, marks in connection.execute(_SEGMENTS, (device_id,)):
            for finding in audit.add(first, last, frames, _marks(marks)):
                complete = False
                yield finding
            done += 1
            if not done % PROGRESS_SEGMENTS:
                progress(done, total)
        for finding in audit.end():
            complete = False
            yield finding
        yield MailboxWalked(mailbox, complete)


def _marks(packed: bytes) -> dict[int, int]:
    """Read the marks of a segment; what cannot be read fits no segment."""
    try:
        return unpack_marks(packed)
    except msgspec.MsgspecError:
        return {-1: -1}


def _answers(name: str, device: str, last_n: int, packed: bytes) -> Iterator[Finding]:
    try:
        answers = unpack_answers(packed, last_n)
    except ValueError as error:
        yield Finding(fault=Fault.ANSWERS, account=name, device=device, detail=str(error))
    else:
        yield from check_answers(name, device, last_n, answers)


def _conversations(connection: sqlite3.Connection) -> Iterator[Finding]:
    members: list[Membership] = []
    current: tuple[int, int, int, int] | None = None
    for conversation_id, low, high, last_seq, account_id, name, wrote, seq in connection.execute(
        _CONVERSATIONS
    ):
        if current is not None and current[0] != conversation_id:
            yield from check_conversation(current[1:3], current[3], members)
            members = []
        current = (conversation_id, low, high, last_seq)
        if account_id is not None:
            members.append(
                Membership(account_id=account_id, name=name or "", wrote=wrote, delivered_seq=seq)
            )
    if current is not None:
        yield from check_conversation(current[1:3], current[3], members)
    for name, conversation_id in connection.execute(_STRANGERS):
        detail = str(conversation_id)
        yield Finding(fault=Fault.MEMBER, account=name, detail=detail)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
