"""A store that cannot write any more: nothing is acknowledged, nothing that was is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from jim.core.limits import Limits
from jim.core.model import Batch
from jim.core.numbering import plan
from jim.errors import NameTaken, StoreCorrupt, StoreError, StoreFull, StoreUnwritable
from jim.storage.sqlite import files, open_store, writing
from jim.storage.sqlite.failures import translate
from unit_tests.support.accounts import (
    NOW_MS,
    add_account,
    enrolment,
    invite,
    registration,
    send,
)
from unit_tests.support.outcomes import Append, batch_of, outcomes, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

LIMITS = Limits(waiting_messages=1_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


async def begin(path: Path) -> tuple[SqliteStore, Identity, Identity]:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    return store, alice, bob


async def assert_refuses_everything(
    store: SqliteStore, alice: Identity, error: type[StoreError]
) -> None:
    for call in (
        send(store, alice, "bob", 2),
        store.commit(Batch([], {}), NOW_MS),
        store.standing(alice.device_id),
        store.load_after(alice.device_id, 0, 1),
        store.find_account("alice"),
        store.register(registration("carol"), NOW_MS),
        store.add_invite(invite("t"), NOW_MS),
        store.visible(alice.account_id),
    ):
        with pytest.raises(error):
            await call


async def assert_intact(path: Path, alice: Identity, bob: Identity, last_n: int = 1) -> None:
    store = await open_store(path, LIMITS)
    assert (await store.standing(alice.device_id)).last_n == last_n
    assert (await store.standing(bob.device_id)).position == last_n
    assert stored(outcomes(await send(store, alice, "bob", last_n + 1))[0]).seq == last_n + 1
    await store.aclose()


async def test_a_bug_inside_a_commit_ends_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, alice, bob = await begin(path)

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(writing, "_entry", fail)
    with pytest.raises(StoreError, match="a bug"):
        await send(store, alice, "bob", 2)
    monkeypatch.undo()
    await assert_refuses_everything(store, alice, StoreError)
    await store.aclose()
    await assert_intact(path, alice, bob)


async def test_an_unknown_device_ends_the_store_rather_than_guessing(path: Path) -> None:
    store, alice, bob = await begin(path)
    with pytest.raises(StoreError, match="no device 999"):
        await store.commit(Batch([], {999: 1}), NOW_MS)
    await assert_refuses_everything(store, alice, StoreError)
    await store.aclose()
    await assert_intact(path, alice, bob)


async def test_a_broken_constraint_in_the_tables_ends_the_store(path: Path) -> None:
    store, alice, bob = await begin(path)
    row = (bob.device_id, 2, 2, b"", b"")
    await store._writing.call(
        lambda: store._connection.execute("INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)", row)
    )
    await send(store, alice, "bob", 2)
    with pytest.raises(StoreError, match="UNIQUE"):
        await store._write(store._batches.settle)
    await assert_refuses_everything(store, alice, StoreError)
    await store.aclose()
    with pytest.raises(StoreError, match="UNIQUE"):
        await open_store(path, LIMITS)


async def test_a_broken_constraint_below_an_enrolment_is_none_of_its_refusals(path: Path) -> None:
    store, alice, bob = await begin(path)
    row = (bob.device_id, 2, 2, b"", b"")
    await store._writing.call(
        lambda: store._connection.execute("INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)", row)
    )
    await send(store, alice, "bob", 2)
    account = await store.find_account("bob")
    assert account is not None
    with pytest.raises(StoreError, match="UNIQUE"):
        await store.enrol(enrolment(account), NOW_MS)
    # Otherwise the next commits would drop an entry of the journal that no table has.
    await assert_refuses_everything(store, alice, StoreError)
    await store.aclose()
    with pytest.raises(StoreError, match="UNIQUE"):
        await open_store(path, LIMITS)


async def test_what_was_queued_behind_a_failing_commit_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, alice, bob = await begin(path)

    def fail_once(batch: Batch, *rest: object) -> object:
        if batch.runs[0].messages[0].n == 2:
            raise KeyError("a bug")
        return plan(batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "plan", fail_once)
    results = await asyncio.gather(
        *(send(store, alice, "bob", n) for n in (2, 3, 4)), return_exceptions=True
    )
    assert all(isinstance(result, StoreError) for result in results)
    monkeypatch.undo()
    await store.aclose()
    await assert_intact(path, alice, bob)


async def test_a_refused_registration_ends_nothing(path: Path) -> None:
    store, alice, _ = await begin(path)
    with pytest.raises(NameTaken):
        await store.register(registration("alice", salt="2"), NOW_MS)
    assert stored(outcomes(await send(store, alice, "bob", 2))[0]).seq == 2
    await store.aclose()


async def test_a_full_database_is_a_full_disk(path: Path) -> None:
    store, alice, bob = await begin(path)
    await store._writing.call(lambda: store._connection.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreFull, match="make room"):
        await send(store, alice, "bob", 2, text="x" * 100_000)
    await assert_refuses_everything(store, alice, StoreFull)
    await store.aclose()
    await assert_intact(path, alice, bob)


async def test_a_failed_store_leaves_the_log_for_the_next_opening(path: Path) -> None:
    # Moving the log into the database would write and sync once more, on a disk that just failed.
    store, alice, bob = await begin(path)
    await store._writing.call(lambda: store._connection.execute("PRAGMA max_page_count = 1"))
    before = path.read_bytes()
    with pytest.raises(StoreFull):
        await send(store, alice, "bob", 2, text="x" * 100_000)
    await store.aclose()
    assert path.read_bytes() == before
    assert path.with_name("server.db-wal").stat().st_size > 0
    await assert_intact(path, alice, bob)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreUnwritable),
        (sqlite3.SQLITE_IOERR_WRITE, StoreUnwritable),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreUnwritable),
        (sqlite3.SQLITE_CANTOPEN, StoreUnwritable),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreCorrupt),
        (sqlite3.SQLITE_NOTADB, StoreCorrupt),
        (sqlite3.SQLITE_BUSY, StoreError),
    ],
)
def test_result_codes_become_errors_with_the_path(code: int, error: type[StoreError]) -> None:
    raised = sqlite3.OperationalError("as SQLite words it")
    raised.sqlite_errorcode = code
    raised.sqlite_errorname = "SQLITE_NAME"
    translated = translate(Path("/some/server.db"), raised)
    assert type(translated) is error
    assert "/some/server.db" in str(translated)
    assert translated.fields["path"] == "/some/server.db"


# --- a file system that refuses -------------------------------------------------------------------


def commit_until_it_fails(path: str) -> str:
    """Give the script of a process that fills its disk and reports: acknowledged, error."""
    return f"""
import asyncio, json
from pathlib import Path
from jim.core.limits import Limits
from jim.errors import StoreError
from jim.storage.sqlite import open_store
from unit_tests.support.accounts import add_account, send
from unit_tests.support.outcomes import outcomes, stored

async def main():
    store = await open_store(Path({path!r}), Limits(waiting_messages=1_000_000))
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    n = 0
    try:
        while n < 5000:
            stored(outcomes(await send(store, alice, "bob", n + 1, text="x" * 10_000))[0])
            n += 1
    except StoreError as error:
        again = None
        try:
            await send(store, alice, "bob", n + 1)
        except StoreError as second:
            again = type(second).__name__
        print(json.dumps([n, type(error).__name__, again, str(error)]))
    await store.aclose()

asyncio.run(main())
"""


def limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size_bytes = 100 * files.PAGE_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


async def assert_all_acknowledged_are_there(path: Path, last_n: int) -> None:
    store = await open_store(path, LIMITS)
    account = await store.find_account("alice")
    assert account is not None
    standing = await store.standing(account.devices[0].device_id)
    assert standing.last_n == last_n
    bob = await store.find_account("bob")
    assert bob is not None
    segments = await store.load_after(bob.devices[0].device_id, 0, 1 << 30)
    assert [segment.first for segment in segments] == list(range(1, last_n + 1))
    await store.aclose()


async def test_a_write_error_stops_the_acknowledging_and_loses_nothing(path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", commit_until_it_fails(str(path))],
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    last_n, error, again, text = json.loads(ran.stdout)
    assert last_n > 5
    assert (error, again) == ("StoreUnwritable", "StoreUnwritable")
    assert str(path) in text
    await assert_all_acknowledged_are_there(path, last_n)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=False)


async def test_a_full_disk_stops_the_acknowledging_and_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "server.db"
    ran = subprocess.run(
        [sys.executable, "-c", commit_until_it_fails(str(path))],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    last_n, error, again, _ = json.loads(ran.stdout)
    assert last_n > 5
    assert (error, again) == ("StoreFull", "StoreFull")
    remount = ["mount", "-o", "remount,size=8m", str(small_disk)]
    subprocess.run(remount, check=True)
    await assert_all_acknowledged_are_there(path, last_n)


async def test_a_disk_that_is_full_from_the_start_is_said_so(small_disk: Path) -> None:
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        for _ in range(10_000):
            filler.write(b"x" * 4096)
    with pytest.raises(StoreFull, match="disk is full"):
        await open_store(small_disk / "server.db", LIMITS)


# --- kill -9 --------------------------------------------------------------------------------------


class Told(NamedTuple):
    """One message that was acknowledged."""

    sender: str
    n: int
    to: str
    seq: int
    time_ms: int
    text: str


def kill_after(path: Path, commits: int) -> list[Told]:
    """Let a process store messages, kill it after so many commits, give all that it reported."""
    command = [sys.executable, "-m", "unit_tests.support.committing", str(path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(commits)]
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
    return [Told(*row) for line in lines if line.endswith("\n") for row in json.loads(line)]


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    told: list[Told] = []
    for round_number in range(4):
        told += kill_after(path, 5 + 11 * round_number)
        assert len({(each.sender, each.n) for each in told}) == len(told) >= 5
        store = await open_store(path, LIMITS)
        await check_mailboxes(store, told)
        for name in ("alice", "bob", "carol"):
            await check_answers(store, [each for each in told if each.sender == name])
        await store.aclose()


async def check_mailboxes(store: SqliteStore, told: list[Told]) -> None:
    """Look for every text in the one mailbox where it has to be, and for gaps in any."""
    for name in ("alice", "bob", "carol"):
        [device] = await add_account(store, name)
        segments = await store.load_after(device.device_id, 0, 1 << 30)
        lines = [msgspec.json.decode(f) for each in segments for f in each.frames.splitlines()]
        assert [line["position"] for line in lines] == list(range(1, len(lines) + 1))
        found = Counter((line["from"], line["n"], line["seq"], line["message"]) for line in lines)
        assert set(found.values()) == {1}
        wanted = {(t.sender, t.n, t.seq, t.text) for t in told if t.to == name != t.sender}
        assert wanted <= set(found)


async def check_answers(store: SqliteStore, told: list[Told]) -> None:
    """Send the last window again: the very answers of the first time come back."""
    [sender] = await add_account(store, told[0].sender)
    standing = await store.standing(sender.device_id)
    last_n = standing.last_n
    assert last_n >= max(each.n for each in told)
    assert standing.last_mark == str(last_n), "number and mark are not of one transaction"
    recent = [each for each in told if each.n > last_n - 64]
    appends = [Append(sender, each.n, "nobody", "again") for each in recent]
    again = outcomes(await store.commit(batch_of(appends), NOW_MS + 9_999))
    for each, outcome in zip(recent, again, strict=True):
        answer = stored(outcome)
        assert (answer.n, answer.seq, answer.time_ms) == (each.n, each.seq, each.time_ms)
