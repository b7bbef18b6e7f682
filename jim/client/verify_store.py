"""Read an account's local store for `jim.client.verify`: never writing, beside a running client.

    report = verify_account(data_dir / "accounts" / … / "alice")

Everything is read in one transaction, so a client that works meanwhile changes nothing of what is
seen. Memory does not grow with the number of messages, only with that of conversations and faults.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.accounts import ACCOUNTS, STORE_FILE
from jim.client.events import UNKNOWN_OUTCOME
from jim.client.schema import BUSY_S, MIGRATIONS
from jim.client.translate import store_errors
from jim.client.verify import (
    ConversationAudit,
    Finding,
    Kind,
    NumberAudit,
    Report,
    Row,
    Whose,
    check_cursor,
    check_outbox,
)
from jim.errors import StoreCorrupt, StoreError, StoreTooNew

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROWS: Final = """
    SELECT message_id, peer, outgoing, sender, device, n, text, seq, place, state, error_code,
        identity
    FROM messages ORDER BY peer, seq, message_id
"""
_CONFIRMED: Final = """
    SELECT n, message_id FROM messages
    WHERE outgoing AND device = ? AND state IN ('stored', 'delivered') ORDER BY n, message_id
"""
_UNKNOWN: Final = """
    SELECT count(*) FROM messages WHERE outgoing AND device = ? AND error_code = ?
"""
_QUEUED: Final = "SELECT n, message_id FROM messages WHERE state = 'queued' ORDER BY message_id"
_HAS_NOTICES: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'notices'"
_NOTICES: Final = "SELECT behind_id FROM notices"
_RECEIVED: Final = "SELECT EXISTS (SELECT 1 FROM messages WHERE state = 'received')"


def verify_data_directory(data_dir: Path) -> dict[Path, Report]:
    """Verify every account below a data directory; a store that cannot be read is a finding."""
    stores = sorted((data_dir / ACCOUNTS).glob(f"*/*/{STORE_FILE}"))
    return {store.parent: verify_account(store.parent) for store in stores}


def verify_account(directory: Path) -> Report:
    """Verify the store in an account's directory; that it cannot be read is a finding too."""
    report = Report()
    try:
        verify_store(directory / STORE_FILE, report)
    except StoreError as error:
        report.findings.append(Finding(kind=Kind.UNREADABLE, detail=str(error)))
    return report


def verify_store(path: Path, report: Report) -> None:
    """Verify a store into a report, which keeps what was found before a failure.

    Raises:
        StoreError: it cannot be opened, read to the end, or understood.
    """
    if not path.exists():
        raise StoreError(f"{path}: there is no store", path=str(path))
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with store_errors(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN")
            _check_version(connection, path)
            report.findings.extend(_integrity(connection))
            _walk(connection, path, report)


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('migrations', 'account', 'messages')"
    ).fetchone()[0]
    if tables != 3:  # noqa: PLR2004 - the names in the query
        raise StoreCorrupt(f"{path}: this is no store of jim", path=str(path))
    version = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreTooNew(f"{path}: written by a newer version of jim; update jim", path=str(path))


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Let SQLite compare every page, index and constraint; it names at most 100 faults."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding(kind=Kind.DAMAGED, detail=str(line))


def _walk(connection: sqlite3.Connection, path: Path, report: Report) -> None:
    row = connection.execute(
        "SELECT name, device, chain_seq, confirmed_n, epoch, position FROM account"
    ).fetchone()
    if row is None:
        raise StoreCorrupt(f"{path}: the store belongs to no account", path=str(path))
    name, device, chain_seq, confirmed_n, epoch, position = row
    whose = Whose(name, device, chain_seq)
    report.name, report.device, report.confirmed_n = name, device, confirmed_n
    received = connection.execute(_RECEIVED).fetchone()[0]
    report.findings.extend(check_cursor(epoch, position, has_received=bool(received)))
    _walk_numbers(connection, whose, report)
    _walk_conversations(connection, whose, report)


def _walk_numbers(connection: sqlite3.Connection, whose: Whose, report: Report) -> None:
    unknown = connection.execute(_UNKNOWN, (whose.device, UNKNOWN_OUTCOME)).fetchone()[0]
    numbers = NumberAudit(report.confirmed_n, unknown)
    for n, message_id in connection.execute(_CONFIRMED, (whose.device,)):
        report.findings.extend(numbers.add(n, message_id))
    report.findings.extend(numbers.end())
    for n, message_id in connection.execute(_QUEUED):
        report.queued += 1
        expected = report.confirmed_n + report.queued
        report.findings.extend(check_outbox(expected, n, message_id))


def _walk_conversations(connection: sqlite3.Connection, whose: Whose, report: Report) -> None:
    audit: ConversationAudit | None = None
    notices = _notices(connection)
    for row in _rows(connection):
        if audit is None or audit.peer != row.peer:
            _close(audit, report)
            audit = ConversationAudit(row.peer, whose, notices)
        report.findings.extend(audit.add(row))
    _close(audit, report)


def _notices(connection: sqlite3.Connection) -> list[int]:
    """Read where something missing was noted; a store of an older version has noted nothing."""
    if connection.execute(_HAS_NOTICES).fetchone() is None:
        return []
    return [behind_id for (behind_id,) in connection.execute(_NOTICES)]


def _close(audit: ConversationAudit | None, report: Report) -> None:
    if audit is not None:
        report.findings.extend(audit.end())
        report.conversations.append(audit.walked())


def _rows(connection: sqlite3.Connection) -> Iterator[Row]:
    for columns in connection.execute(_ROWS):
        number, peer, outgoing, sender, device, n, text, seq, place, state, code, identity = columns
        yield Row(
            message_id=number,
            peer=peer,
            outgoing=bool(outgoing),
            sender=sender,
            device=device,
            n=n,
            text=text,
            seq=seq,
            place=place,
            state=state,
            error_code=code,
            identity=identity,
        )
