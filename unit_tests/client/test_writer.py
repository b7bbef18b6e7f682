"""The store's thread: order, one transaction for many, errors that hurt nobody else, kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jim.client.schema import open_database
from jim.client.writer import Writer
from jim.errors import StoreCorrupt, StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]


class Notes:
    """A store as small as it can be."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.sql = connection
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT UNIQUE)")

    def add(self, text: str) -> int:
        self.sql.execute("INSERT INTO notes VALUES (?)", (text,))
        return self.sql.execute("SELECT count(*) FROM notes").fetchone()[0]  # type: ignore[no-any-return]

    def all(self) -> list[str]:
        return [text for (text,) in self.sql.execute("SELECT text FROM notes ORDER BY rowid")]


def make(path: Path) -> Writer[Notes]:
    return Writer(path, lambda: open_database(path, create=True), Notes)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer[Notes]]:
    writer = make(tmp_path / "store.db")
    await writer.start()
    yield writer
    await writer.aclose()


async def test_another_process_waits_from_the_beginning_of_a_transaction(
    writer: Writer[Notes], tmp_path: Path
) -> None:
    def read_first(notes: Notes) -> str:
        # Let in between reading and writing, it would make our write fail, without a wait.
        other = sqlite3.connect(tmp_path / "store.db", timeout=0, isolation_level=None)
        with contextlib.closing(other):
            notes.all()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("INSERT INTO notes VALUES ('in between')")
        return str(notes.add("ours"))

    assert await writer.write(read_first) == "1"
    assert await writer.read(Notes.all) == ["ours"]


async def test_jobs_run_in_order_and_answer_in_order(writer: Writer[Notes]) -> None:
    answered: list[int] = []
    futures = []
    for number in range(50):
        future = writer.write(partial(Notes.add, text=str(number)))
        future.add_done_callback(lambda done: answered.append(done.result()))
        futures.append(future)
    reading = writer.read(lambda notes: len(notes.all()))
    assert await reading == 50
    assert answered == list(range(1, 51))


async def test_what_waits_together_is_committed_together(writer: Writer[Notes]) -> None:
    gate, begun = threading.Event(), threading.Event()

    commits: list[str] = []

    def block(notes: Notes) -> None:
        notes.sql.set_trace_callback(commits.append)
        begun.set()
        gate.wait(10)

    first = writer.read(block)
    await asyncio.to_thread(begun.wait, 10)
    rest = [writer.write(partial(Notes.add, text=str(n))) for n in range(20)]
    gate.set()
    await asyncio.gather(first, *rest)
    assert commits.count("COMMIT") == 1


async def test_a_job_that_fails_hurts_no_other_one(writer: Writer[Notes]) -> None:
    futures = [writer.write(partial(Notes.add, text=text)) for text in "abacd"]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(result, StoreError) for result in results] == [
        *(False, False, True),
        *(False, False),
    ]
    assert await writer.read(Notes.all) == ["a", "b", "c", "d"]


async def test_a_job_that_fails_leaves_nothing_of_itself(writer: Writer[Notes]) -> None:
    def half(notes: Notes) -> None:
        notes.add("half")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await writer.write(half)
    assert await writer.read(Notes.all) == []


class Failing:
    """A connection on which one statement fails."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.fails = ""
        self.ran: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        self.ran.append(statement)
        if statement == self.fails:
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *arguments)


@contextlib.asynccontextmanager
async def failing(path: Path) -> AsyncIterator[tuple[Writer[Notes], Failing]]:
    made: list[Failing] = []

    def connect() -> Any:
        made.append(Failing(open_database(path, create=True)))
        return made[0]

    writer = Writer(path, connect, Notes)
    await writer.start()
    async with asyncio.timeout(20):
        yield writer, made[0]
        await writer.aclose()


async def test_after_a_failed_commit_nothing_is_tried_again(tmp_path: Path) -> None:
    async with failing(tmp_path / "store.db") as (writer, connection):
        await writer.write(partial(Notes.add, text="before"))
        gate, begun = threading.Event(), threading.Event()

        def block(_: Notes) -> None:
            begun.set()
            gate.wait(10)

        blocking = writer.read(block)
        await asyncio.to_thread(begun.wait, 10)
        connection.fails, connection.ran = "COMMIT", []
        group = [writer.write(partial(Notes.add, text=str(n))) for n in range(3)]
        gate.set()
        await blocking
        results = await asyncio.gather(*group, return_exceptions=True)
        assert [type(result) for result in results] == [StoreError] * 3
        assert connection.ran.count("COMMIT") == 1
        assert await writer.failed is results[0]
        connection.fails = ""
        with pytest.raises(StoreError, match="disk I/O error"):
            await writer.write(partial(Notes.add, text="after"))
        assert connection.ran.count("COMMIT") == 1
        assert await writer.read(Notes.all) == ["before"], "what is there can still be read"


async def test_a_failed_rollback_fails_the_store_and_everybody_hears_of_it(tmp_path: Path) -> None:
    async with failing(tmp_path / "store.db") as (writer, connection):
        connection.fails = "ROLLBACK"

        def half(notes: Notes) -> None:
            notes.add("half")
            raise RuntimeError("half way")

        first = writer.write(half)
        with pytest.raises((RuntimeError, StoreError)):
            await first
        assert isinstance(await writer.failed, StoreError)
        with pytest.raises(StoreError, match="disk I/O error"):
            await writer.write(partial(Notes.add, text="after"))
        with pytest.raises(StoreError):
            await writer.read(Notes.all)  # it would see the half that was never committed


async def test_whatever_happens_in_the_thread_every_job_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with failing(tmp_path / "store.db") as (writer, _):

        def broken(group: list[object]) -> None:
            if group:
                raise RuntimeError("a bug")

        monkeypatch.setattr(writer, "_commit", broken)
        with pytest.raises(StoreError, match="a bug"):
            await writer.write(partial(Notes.add, text="lost"))
        assert await writer.read(Notes.all) == []


async def test_a_full_disk_is_an_error_and_the_store_goes_on(writer: Writer[Notes]) -> None:
    await writer.write(lambda notes: notes.add("before"))
    pages = await writer.read(lambda notes: notes.sql.execute("PRAGMA page_count").fetchone()[0])
    await writer.read(lambda n: n.sql.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(StoreFull, match="disk is full"):
        await writer.write(lambda notes: notes.add("x" * 100_000))
    await writer.read(lambda n: n.sql.execute(f"PRAGMA max_page_count = {pages + 999}").fetchone())
    assert await writer.write(lambda notes: notes.add("after")) == 2


async def test_commits_of_others_are_noticed_and_only_those(
    writer: Writer[Notes], tmp_path: Path
) -> None:
    await writer.write(lambda notes: notes.add("own"))
    assert not await writer.changed_elsewhere()
    other = make(tmp_path / "store.db")
    await other.start()
    await other.write(lambda notes: notes.add("theirs"))
    await other.aclose()
    assert await writer.changed_elsewhere()
    assert not await writer.changed_elsewhere()


async def test_a_commit_of_others_before_the_first_question_counts(
    writer: Writer[Notes], tmp_path: Path
) -> None:
    other = make(tmp_path / "store.db")
    await other.start()
    await other.write(lambda notes: notes.add("theirs"))
    await other.aclose()
    assert await writer.changed_elsewhere()


async def test_after_the_end_every_job_is_refused(tmp_path: Path) -> None:
    writer = make(tmp_path / "store.db")
    await writer.start()
    last = writer.write(lambda notes: notes.add("in time"))
    await writer.aclose()
    assert await last == 1
    with pytest.raises(StoreError, match="closed"):
        await writer.write(lambda notes: notes.add("too late"))
    await writer.aclose()


async def test_a_store_that_cannot_be_opened_says_so_and_closes(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"rubbish" * 1000)
    writer = make(tmp_path / "store.db")
    with pytest.raises(StoreCorrupt):
        await writer.start()
    await writer.aclose()


async def test_the_loop_never_waits_for_the_disk(tmp_path: Path, no_blocking_calls: None) -> None:
    writer = make(tmp_path / "store.db")
    await writer.start()
    await writer.write(lambda notes: notes.add("a"))
    await writer.aclose()


# --- kill -9 --------------------------------------------------------------------------------------

KILLS = 12


def test_killed_at_any_point_nothing_that_was_durable_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "account" / "store.db"
    chance = random.Random(7)
    queued: set[int] = set()
    confirmed: set[int] = set()
    kept = 0
    for _ in range(KILLS):
        lines = run_and_kill(path, lines=chance.randrange(5, 200))
        for word, number in lines:
            if word == "kept":
                kept = max(kept, number)
            else:
                (queued if word == "queued" else confirmed).add(number)
        check(path, queued, confirmed, kept)
    assert len(queued) > KILLS
    assert kept > KILLS


def run_and_kill(path: Path, lines: int) -> list[tuple[str, int]]:
    """Let the worker say so many things, then kill it in the middle of the next."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "unit_tests.client.store_worker", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        assert worker.stdout is not None
        said = [worker.stdout.readline() for _ in range(lines)]
        worker.kill()
        said += worker.stdout.readlines()
    whole = [line.split() for line in said if line.endswith("\n")]
    return [(word, int(number)) for word, number in whole]


def check(path: Path, queued: set[int], confirmed: set[int], kept: int) -> None:
    database = open_database(path, create=False)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = database.execute("SELECT message_id, state, n FROM messages WHERE outgoing").fetchall()
    state = {message_id: found for message_id, found, _ in rows}
    assert queued <= state.keys()
    assert all(state[message_id] == "stored" for message_id in confirmed)
    (confirmed_n, position) = database.execute(
        "SELECT confirmed_n, position FROM account"
    ).fetchone()
    waiting = [n for _, found, n in rows if found == "queued"]
    assert waiting == list(range(confirmed_n + 1, confirmed_n + 1 + len(waiting)))
    (received,) = database.execute(
        "SELECT count(*) FROM messages WHERE sender = 'carol'"
    ).fetchone()
    assert received == position >= kept
    database.close()
