"""The one thread that touches an account's database: the event loop never waits for a disk.

Jobs run in the order in which they were submitted. All writing jobs that are waiting when the
thread gets to them share one transaction, and none is answered before it is committed: many
messages cost one flush of the disk, and what a job gives is durable.

After a failed COMMIT nothing is tried again: a disk that did not flush once may forget what it was
given, whatever it says the next time (docs/adr/0002-sqlite-full-writer-thread.md). From then on
every write is refused with the first error, and `failed` tells it; what is there can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from jim.client.translate import store_error
from jim.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

StoreT = TypeVar("StoreT")
ResultT = TypeVar("ResultT")

GROUP: Final = 256
"""Jobs in one transaction at most: bounds how long the first of them waits for its answer."""


class _Job:
    """Work for the thread, and where its result goes."""

    __slots__ = ("ended", "error", "future", "result", "work", "writes")

    def __init__(
        self, work: Callable[[Any], Any], future: asyncio.Future[Any], *, writes: bool
    ) -> None:
        self.work = work
        self.future = future
        self.writes = writes
        self.result: Any = None
        self.error: Exception | None = None
        self.ended = False

    def end(self, error: Exception | None) -> None:
        """Note how it went; the last time counts."""
        self.error, self.ended = error, True


class Writer(Generic[StoreT]):
    """Runs jobs on a store in a thread of its own; made and used on one event loop.

    A job may run twice: when one raises in a transaction with others, each is tried by itself.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        open_store: Callable[[sqlite3.Connection], StoreT],
    ) -> None:
        """Take how the thread opens the database and what it works with; `start` opens it."""
        self._path = path
        self._connect = connect
        self._open_store = open_store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._seen_version = -1
        self._failure: StoreError | None = None
        self.failed: asyncio.Future[StoreError] = self._loop.create_future()
        """Done when the store takes nothing more, with the reason."""

    async def start(self) -> None:
        """Start the thread and open the database.

        Raises:
            StoreError: it cannot be opened.
        """
        self._start_thread()
        await asyncio.shield(self._opened)

    def write(self, work: Callable[[StoreT], ResultT]) -> asyncio.Future[ResultT]:
        """Run a job in a transaction; its result is durable when the future has it.

        The future raises `StoreError` if nothing of it happened. Results come in the order of the
        jobs. Cancelling the future does not stop the job.
        """
        return self._submit(work, writes=True)

    def read(self, work: Callable[[StoreT], ResultT]) -> asyncio.Future[ResultT]:
        """Run a job that only reads, after every job submitted before."""
        return self._submit(work, writes=False)

    async def changed_elsewhere(self) -> bool:
        """Tell whether another process has committed since the last time this was asked."""
        return await self._submit(self._data_version, writes=False)

    async def aclose(self) -> None:
        """Finish every job, then close the database."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        with contextlib.suppress(StoreError):
            await asyncio.shield(self._opened)
        await asyncio.shield(self._ended)

    def _start_thread(self) -> None:
        """Start the thread. A simulation takes its place here, and calls the steps of `_run`."""
        threading.Thread(target=self._run, name="jim-store", daemon=True).start()

    def _submit(
        self, work: Callable[[StoreT], ResultT], *, writes: bool
    ) -> asyncio.Future[ResultT]:
        future: asyncio.Future[ResultT] = self._loop.create_future()
        if self._closing:
            future.set_exception(StoreError(f"{self._path}: the store is closed"))
        else:
            self._jobs.put(_Job(work, future, writes=writes))
        return future

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        if self._open():
            while (first := self._jobs.get()) is not None:
                self._run_waiting(first)
            self._close()

    def _open(self) -> bool:
        """Open the database and tell `start`; False if that is not possible."""
        try:
            connection = self._connect()
            store = self._open_store(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller of start() gets it
            self._deliver(functools.partial(self._opened.set_exception, error))
            self._deliver(lambda: self._ended.set_result(None))
            return False
        self._connection, self._store = connection, store
        self._data_version(store)
        self._deliver(lambda: self._opened.set_result(None))
        return True

    def _close(self) -> None:
        """Close the database and tell `aclose`."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._deliver(lambda: self._ended.set_result(None))

    def _run_waiting(self, first: _Job) -> None:
        """Run what is waiting, writes that follow each other together."""
        waiting = [first]
        with contextlib.suppress(queue.Empty):
            while len(waiting) < GROUP:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)
                    break
                waiting.append(job)
        try:
            self._run_groups(waiting)
        except Exception as error:  # noqa: BLE001 - the thread lives as long as somebody may wait
            self._fail(error)
        for job in waiting:
            if not job.ended:
                job.end(self._failure)
        self._deliver(lambda: _answer(waiting))

    def _run_groups(self, waiting: list[_Job]) -> None:
        group: list[_Job] = []
        for job in waiting:
            if job.writes:
                group.append(job)
                continue
            self._commit(group)
            group = []
            self._read(job)
        self._commit(group)

    def _read(self, job: _Job) -> None:
        if self._failure is not None and self._connection.in_transaction:
            job.end(self._failure)  # it would see what was never committed
            return
        try:
            job.result = job.work(self._store)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the job
            job.end(self._translated(error))
        else:
            job.end(None)

    def _commit(self, group: list[_Job]) -> None:
        """Run jobs in one transaction, or one by one if one of them raises."""
        if group and not self._transact(group) and len(group) > 1:
            for job in group:
                self._transact([job])

    def _transact(self, jobs: list[_Job]) -> bool:
        """Run jobs in one transaction; False if one of them raised, so that nothing happened."""
        raised = False
        error = self._failure or self._begin()
        if error is None:
            try:
                for job in jobs:
                    job.result = job.work(self._store)
            except Exception as cause:  # noqa: BLE001 - handed to whoever waits for the jobs
                raised, error = True, self._translated(cause)
                self._roll_back()
            else:
                error = self._flush()
        for job in jobs:
            job.end(error)
        return not raised

    def _begin(self) -> Exception | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return self._translated(error)
        return None

    def _flush(self) -> StoreError | None:
        """Commit; a failure is the end of the store."""
        try:
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - becomes the reason of the end
            self._fail(error)
            self._roll_back()
        return self._failure

    def _roll_back(self) -> None:
        """Undo what has begun; SQLite may have done so itself, and a failure ends the store."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - becomes the reason of the end
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Take nothing more, for the first such reason."""
        if self._failure is not None:
            return
        translated = self._translated(error)
        if not isinstance(translated, StoreError):
            translated = StoreError(
                f"{self._path}: the store failed: {error}", path=str(self._path)
            )
        self._failure = translated
        self._deliver(lambda: self.failed.set_result(translated))

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, (sqlite3.Error, OSError)):
            return store_error(error, self._path)
        return error

    def _data_version(self, _: StoreT) -> bool:
        """Ask SQLite's counter of commits by others (sqlite.org, PRAGMA data_version)."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        seen, self._seen_version = self._seen_version, version
        return bool(seen != version)

    def _deliver(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
