"""The server's store in the virtual world: one in memory that is as slow as a disk.

`SlowStore` gives the dictionaries of `MemoryStore` the behaviour of a disk. Two threads serve it,
as they serve the SQLite store: one does whatever changes something and what has to be seen in the
order of the calls, one reads beside it. A change is durable at the end of its time, and told later
still. A crash in between leaves it done or not, by the seed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from jim.errors import StoreError, StoreUnwritable, WireError
from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Sequence

    from jim.core.limits import Limits
    from jim.core.model import (
        AccountRecord,
        Batch,
        Committed,
        Contact,
        Enrolment,
        InviteRecord,
        Receipt,
        Registration,
        Segment,
        Standing,
    )
    from jim.protocol.messages import PublicKey
    from jim.storage.memory import MemoryStore
    from reliability.virtual.loop import VirtualLoop

T = TypeVar("T")

READ_S: Final = (0.000_05, 0.002)
"""A read of what is cached, and of what is not."""


class Pace:
    """How fast the server's disk is at the moment; the scenario changes it."""

    def __init__(self, commit_s: tuple[float, float]) -> None:
        self.commit_s = commit_s
        """Bounds of a commit with its fsync."""
        self.fails_next = False
        """The next commit ends with an error, and nobody knows whether it is on the disk."""


class Watcher(Protocol):
    """Somebody outside who sees what the store has made durable."""

    def stored(self, batch: Batch, committed: Committed) -> None:
        """See a commit."""

    def registered(self, registration: Registration) -> None:
        """See a registration."""

    def enrolled(self, enrolment: Enrolment) -> None:
        """See an enrolment."""


class _Call:
    """A call on its way to a thread."""

    __slots__ = ("changes", "future", "kind", "work")

    def __init__(
        self, work: Callable[[], Any], future: asyncio.Future[Any], *, changes: bool
    ) -> None:
        self.work = work
        self.future = future
        self.changes = changes


class _Thread:
    """Does one call after the other."""

    def __init__(self, loop: VirtualLoop, delay_s: Callable[[_Call], float]) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._calls: deque[_Call] = deque()
        self.before: Callable[[_Call], None] = lambda _: None

    def put(self, call: _Call) -> None:
        self._calls.append(call)
        if len(self._calls) == 1:
            self._begin()

    def crash(self) -> _Call | None:
        """Stop; gives the call that was being done."""
        return self._calls[0] if self._calls else None

    def _begin(self) -> None:
        delay_s = self._delay_s(self._calls[0])
        self._loop.scheduler.after(delay_s, self._loop.run_outside, self._end)

    def _end(self) -> None:
        call = self._calls[0]
        try:
            self.before(call)
            result = call.work()
        except Exception as error:  # noqa: BLE001 - raised again where the call is awaited
            self._loop.call_soon_threadsafe(_fail, call.future, error)
        else:
            self._loop.call_soon_threadsafe(_resolve, call.future, result)
        self._calls.popleft()
        if self._calls:
            self._begin()


class SlowStore:
    """The `Store` port on a `MemoryStore` that outlives this process."""

    def __init__(
        self, memory: MemoryStore, loop: VirtualLoop, pace: Pace, watcher: Watcher
    ) -> None:
        """Take what is on the disk, how fast that is, and who sees from outside what gets there."""
        self.epoch = memory.epoch
        self._memory = memory
        self._loop = loop
        self._pace = pace
        self._watcher = watcher
        self._failure: StoreError | None = None
        self._writing = _Thread(loop, self._time_s)
        self._writing.before = self._maybe_fail
        self._reading = _Thread(loop, self._time_s)
        self._is_closed = False

    @property
    def limits(self) -> Limits:
        """The limits of the mailboxes."""
        return self._memory.limits

    def crash(self) -> None:
        """Lose everything but what is durable; the change in flight may be."""
        call = self._writing.crash()
        if call is not None and call.changes and self._loop.scheduler.chance.random() < 0.5:
            self._loop.scheduler.trace.note(self._loop.time(), Kind.STORE, self._loop.number, 1)
            try:
                call.work()
            except (WireError, StoreError):
                return

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        """Number and keep a batch."""

        def work() -> Committed:
            committed = finish_now(self._memory.commit(batch, now_ms))
            self._watcher.stored(batch, committed)
            return committed

        return await self._change(work)

    async def standing(self, device_id: int) -> Standing:
        """Read where a device stands, after every commit that was submitted before."""
        return await self._ask(lambda: self._memory.standing(device_id))

    async def load_after(self, device_id: int, position: int, limit_bytes: int) -> list[Segment]:
        """Read waiting segments."""
        return await self._read(lambda: self._memory.load_after(device_id, position, limit_bytes))

    async def find_account(self, name_key: str) -> AccountRecord | None:
        """Read an account."""
        return await self._ask(lambda: self._memory.find_account(name_key))

    async def register(self, registration: Registration, now_ms: int) -> AccountRecord:
        """Create an account."""

        def work() -> AccountRecord:
            record = finish_now(self._memory.register(registration, now_ms))
            self._watcher.registered(registration)
            return record

        return await self._change(work)

    async def enrol(self, enrolment: Enrolment, now_ms: int) -> AccountRecord:
        """Add a device."""

        def work() -> AccountRecord:
            record = finish_now(self._memory.enrol(enrolment, now_ms))
            self._watcher.enrolled(enrolment)
            return record

        return await self._change(work)

    async def extend(self, extension: Enrolment, now_ms: int) -> AccountRecord:
        """Add or revoke a device."""

        def work() -> AccountRecord:
            record = finish_now(self._memory.extend(extension, now_ms))
            self._watcher.enrolled(extension)
            return record

        return await self._change(work)

    async def add_keys(
        self, device_id: int, one_time: Sequence[PublicKey], fallback: PublicKey | None
    ) -> int:
        """Keep keys of a device."""
        return await self._change(
            lambda: finish_now(self._memory.add_keys(device_id, one_time, fallback))
        )

    async def claim_keys(self, account_id: int, devices: Sequence[str]) -> dict[str, PublicKey]:
        """Take keys of devices."""
        return await self._change(lambda: finish_now(self._memory.claim_keys(account_id, devices)))

    async def receipts(self, account_id: int, name_keys: Sequence[str]) -> dict[str, Receipt]:
        """Read what others hold."""
        return await self._read(lambda: self._memory.receipts(account_id, name_keys))

    async def visible_to(self, account_id: int) -> list[Contact]:
        """Read whom the account wrote to."""
        return await self._read(lambda: self._memory.visible_to(account_id))

    async def visible(self, account_id: int) -> list[Contact]:
        """Read who wrote to the account."""
        return await self._read(lambda: self._memory.visible(account_id))

    async def add_invite(self, invite: InviteRecord, now_ms: int) -> None:
        """Keep an invite."""
        await self._change(lambda: finish_now(self._memory.add_invite(invite, now_ms)))

    async def aclose(self) -> None:
        """Finish what was submitted; the memory itself stays, it is the disk."""
        if not self._is_closed:
            await self._submit(self._writing, lambda: None, changes=False)
            self._is_closed = True

    # --- threads ----------------------------------------------------------------------------------

    async def _change(self, work: Callable[[], T]) -> T:
        return await self._submit(self._writing, work, changes=True)

    async def _ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._submit(self._writing, lambda: finish_now(call()), changes=False)

    async def _read(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._submit(self._reading, lambda: finish_now(call()), changes=False)

    async def _submit(self, thread: _Thread, work: Callable[[], T], *, changes: bool) -> T:
        if self._is_closed:
            raise StoreError("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        thread.put(_Call(work, future, changes=changes))
        return await future

    def _time_s(self, call: _Call) -> float:
        low_s, high_s = self._pace.commit_s if call.changes else READ_S
        return low_s + (high_s - low_s) * self._loop.scheduler.chance.random() ** 2

    def _maybe_fail(self, call: _Call) -> None:
        if self._failure is not None:
            raise self._failure
        if call.changes and self._pace.fails_next:
            self._pace.fails_next = False
            self.crash()
            self._failure = StoreUnwritable("the disk failed")
            raise self._failure


def finish_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of a store that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError("a store in memory has waited for something")


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
