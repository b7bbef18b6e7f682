"""Read an account's local store for `jim.client.verify`: never writing, beside a running client.

    report = verify_account(data_dir / "accounts" / … / "alice")

Everything is read in one transaction, so a client that works meanwhile changes nothing of what is
seen. Memory does not grow with the number of messages, only with that of conversations and faults.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.events import UNKNOWN_OUTCOME
from jim.client.local_accounts import STORE_FILE, account_directories
from jim.client.notice_store import ABOUT_KEYS
from jim.client.schema import BUSY_S, MIGRATIONS, ROTATED_SINCE, SEALED_SINCE, WALKED_SINCE
from jim.client.translate import store_errors
from jim.client.verify import (
    ConversationAudit,
    Finding,
    Kind,
    NumberAudit,
    PositionAudit,
    Report,
    Row,
    Whose,
    check_cursor,
    check_outbox,
)
from jim.errors import StoreCorrupt, StoreError, StoreTooNew
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ROWS: Final = """
    SELECT message_id, peer, outgoing, sender, device, n, text, seq, place, state, error_code,
        identity, {content_id}, {handed}
    FROM messages WHERE {texts} ORDER BY peer, seq, message_id
"""
_CONFIRMED: Final = """
    SELECT n, message_id FROM messages
    WHERE outgoing AND device = ? AND state IN ('stored', 'delivered') {passed} ORDER BY n, 2
"""
_UNKNOWN: Final = """
    SELECT count(*) FROM messages WHERE outgoing AND device = ? AND error_code = ?
"""
_QUEUED: Final = "SELECT n, message_id FROM messages WHERE state = 'queued' ORDER BY message_id"
_WALKED_FROM: Final = "SELECT walked_from FROM account"
_POSITIONS: Final = """
    SELECT position FROM messages WHERE position <> 0
    UNION ALL SELECT position FROM notices WHERE position <> 0 {passed} ORDER BY position
"""
_PASSED_NUMBERS: Final = "UNION ALL SELECT n, 0 FROM passed WHERE n <> 0"
_PASSED_POSITIONS: Final = "UNION ALL SELECT position FROM passed WHERE position <> 0"
_FORMER: Final = "SELECT device FROM former"
_NOTICES: Final = "SELECT code, behind_id FROM notices"
_RECEIVED: Final = "SELECT EXISTS (SELECT 1 FROM messages WHERE state = 'received')"


def verify_data_directory(data_dir: Path) -> dict[Path, Report]:
    """Verify every account below a data directory; a store that cannot be read is a finding."""
    return {place: verify_account(place) for place in account_directories(data_dir)}


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
    with store_errors(path):
        if not path.exists():
            text = _("{path}: there is no store; it was deleted, or the account never finished")
            raise StoreError(text.format(path=path), path=str(path))
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN")
            version = _version(connection, path)
            report.findings.extend(_integrity(connection))
            _walk(connection, path, report, version)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Give how many steps the database has taken (jim.client.schema)."""
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        text = _("{path}: the store is empty; put a copy in its place if you have one")
        raise StoreCorrupt(text.format(path=path), path=str(path))
    tables = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('migrations', 'account', 'messages')"
    ).fetchone()[0]
    if tables != 3:  # noqa: PLR2004 - the names in the query
        text = _("{path}: this is no store of jim, or parts of it are gone")
        raise StoreCorrupt(text.format(path=path), path=str(path))
    version = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        text = _("{path}: written by a newer version of jim; update jim")
        raise StoreTooNew(text.format(path=path), path=str(path))
    return int(version)


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Let SQLite compare every page, index and constraint; it names at most 100 faults."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding(kind=Kind.DAMAGED, detail=str(line))


def _walk(connection: sqlite3.Connection, path: Path, report: Report, version: int) -> None:
    row = connection.execute(
        "SELECT name, device, chain_seq, confirmed_n, epoch, position FROM account"
    ).fetchone()
    if row is None:
        text = _("{path}: the store belongs to no account")
        raise StoreCorrupt(text.format(path=path), path=str(path))
    name, device, chain_seq, confirmed_n, epoch, position = row
    former = connection.execute(_FORMER) if version >= ROTATED_SINCE else ()
    whose = Whose(name, device, chain_seq, frozenset(each for (each,) in former))
    report.name, report.device, report.confirmed_n = name, device, confirmed_n
    report.walked_from = report.position = position
    notices: Iterable[int] = ()
    if version >= WALKED_SINCE:  # an older version kept neither positions nor notices
        report.walked_from = connection.execute(_WALKED_FROM).fetchone()[0]
        notices = [
            behind_id for code, behind_id in connection.execute(_NOTICES) if code not in ABOUT_KEYS
        ]
        _walk_positions(connection, report, version)
    received = connection.execute(_RECEIVED).fetchone()[0]
    cursor = (epoch, report.walked_from, position)
    report.findings.extend(check_cursor(*cursor, has_received=bool(received)))
    _walk_numbers(connection, whose, report, version)
    _walk_conversations(connection, whose, notices, report, version)


def _walk_positions(connection: sqlite3.Connection, report: Report, version: int) -> None:
    positions = PositionAudit(report.walked_from, report.position)
    passed = _PASSED_POSITIONS if version >= SEALED_SINCE else ""
    for (position,) in connection.execute(_POSITIONS.format(passed=passed)):
        report.findings.extend(positions.add(position))
    report.findings.extend(positions.end())


def _walk_numbers(
    connection: sqlite3.Connection, whose: Whose, report: Report, version: int
) -> None:
    unknown = connection.execute(_UNKNOWN, (whose.device, UNKNOWN_OUTCOME)).fetchone()[0]
    numbers = NumberAudit(report.confirmed_n, unknown)
    passed = _PASSED_NUMBERS if version >= SEALED_SINCE else ""
    confirmed = connection.execute(_CONFIRMED.format(passed=passed), (whose.device,))
    for n, message_id in confirmed:
        report.findings.extend(numbers.add(n, message_id))
    report.findings.extend(numbers.end())
    for n, message_id in connection.execute(_QUEUED):
        report.queued += 1
        expected = report.confirmed_n + report.queued
        report.findings.extend(check_outbox(expected, n, message_id))


def _walk_conversations(
    connection: sqlite3.Connection,
    whose: Whose,
    notices: Iterable[int],
    report: Report,
    version: int,
) -> None:
    audit: ConversationAudit | None = None
    for row in _rows(connection, version):
        if audit is None or audit.peer != row.peer:
            _close(audit, report)
            audit = ConversationAudit(row.peer, whose, notices)
        report.findings.extend(audit.add(row))
    _close(audit, report)


def _close(audit: ConversationAudit | None, report: Report) -> None:
    if audit is not None:
        report.findings.extend(audit.end())
        report.conversations.append(audit.walked())


def _rows(connection: sqlite3.Connection, version: int) -> Iterator[Row]:
    is_new = version >= SEALED_SINCE
    content_id, handed, texts = "''", "0", "1"
    if is_new:
        content_id, handed, texts = "content_id", "handed", "kind = 'text'"
    query = _ROWS.format(content_id=content_id, handed=handed, texts=texts)
    for columns in connection.execute(query):
        number, peer, outgoing, sender, device, n, text, seq, place, state, code, *rest = columns
        identity, content_id, handed = rest
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
            content_id=content_id,
            handed=bool(handed),
        )
