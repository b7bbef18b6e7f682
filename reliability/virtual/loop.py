"""The event loop of one virtual process: asyncio's rules, without a selector, thread or real clock.

What asyncio guarantees is kept exactly: callbacks of `call_soon` run in their order, those that are
added meanwhile wait for the next turn, timers fire in the order of their times and never early.
What it leaves open is drawn by the seed: how long a call in a thread takes, and when its result
comes back.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from asyncio import events
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

    from reliability.virtual.disk import ClientDisk
    from reliability.virtual.network import Network
    from reliability.virtual.scheduler import Scheduler
    from reliability.virtual.sockets import VirtualSocket

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREAD_S = (0.000_05, 0.004)
"""How long a call in a thread takes, and again until the loop hears of it: from a cached read to
a write of a busy disk."""

DISK_S = (0.000_1, 0.02)
"""From a job's arrival at a store's thread to the end of its transaction: from a cached read to an
fsync of a slow disk. A run may have another one."""

_MAX_CLOSINGS = 50
"""How often a coroutine may go on awaiting while it is being closed."""


class WallClock:
    """What a process takes for the time of day; somebody may set it."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s


class VirtualLoop(asyncio.BaseEventLoop):
    """One process's loop; `turn` is called by the scheduler."""

    current: VirtualLoop | None = None
    """Whose code is running: of a loop's callbacks as of its threads."""

    def __init__(
        self, scheduler: Scheduler, network: Network, name: str, number: int, wall: WallClock
    ) -> None:
        """Take the world that it lives in; `number` stands for it in traces."""
        super().__init__()
        self.scheduler = scheduler
        self.network = network
        self.name = name
        self.number = number
        self.wall = wall
        self.disks: dict[str, ClientDisk] = {}
        """What survives the processes, by the name of the machine."""
        self.locks: dict[str, VirtualLoop] = {}
        """Which process holds which lock; the system lets go when that dies."""
        self.disk_s = DISK_S
        self.dead = False
        self.is_runnable = False
        """Whether the scheduler has it among those that want a turn."""
        self.frozen_until_s = 0.0
        """Until then the process does not run, as after SIGSTOP."""
        self.fuse = 0
        """After so many more callbacks `on_fuse` is called, in the middle of a turn; 0 never."""
        self.thread_fuse = 0
        """As `fuse`, but before a step of a thread: what it was to write is not written."""
        self.on_fuse: Callable[[], None] = lambda: None
        self.on_error: Callable[[dict[str, Any]], None] = lambda _: None
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self._task_numbers = itertools.count()
        self._soon: deque[asyncio.Handle] = deque()
        self._threadsafe_s = 0.0
        self._readers: dict[int, tuple[VirtualSocket, asyncio.Handle]] = {}
        self._alert: dict[int, None] = {}

    # --- for the scheduler ------------------------------------------------------------------------

    def wake(self) -> None:
        """Ask for a turn."""
        if not self.is_runnable and not self.dead and self.frozen_until_s <= self.scheduler.now_s:
            self.is_runnable = True
            self.scheduler.runnable.append(self)

    def turn(self) -> bool:
        """Run what is ready now; what it adds waits for the next turn. Tells if there will be."""
        scheduler, soon = self.scheduler, self._soon
        if self.dead or self.frozen_until_s > scheduler.now_s:
            return False
        if self._alert:
            self._look_at_readers()
        events._set_running_loop(self)  # noqa: SLF001
        VirtualLoop.current = self
        for _ in range(len(soon)):
            if not soon:  # the process has died meanwhile
                break
            handle = soon.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - as every loop of asyncio does
                if self.fuse and not self._burn():
                    break
        VirtualLoop.current = None
        return bool(soon or self._alert)

    def _burn(self) -> bool:
        """Burn a bit of the fuse; tells whether the process still lives."""
        self.fuse -= 1
        if not self.fuse:
            self.on_fuse()
        return not self.dead

    def freeze(self, until_s: float) -> None:
        """Stop the process until a time."""
        self.frozen_until_s = max(self.frozen_until_s, until_s)
        self.scheduler.at(until_s, self.wake)

    def thaw(self) -> None:
        """Let the process go on now."""
        self.frozen_until_s = 0.0
        self.wake()

    def die(self) -> None:
        """End without a word: nothing of this process runs any more."""
        self.dead = True
        self._soon.clear()
        self._readers.clear()
        self._alert.clear()
        self.scheduler.trace.note(self.scheduler.now_s, Kind.DIED, self.number)

    def dispose(self) -> None:
        """Take apart what a dead process has left, so that nothing of it is ever run by chance."""
        events._set_running_loop(self)  # noqa: SLF001
        VirtualLoop.current = self
        try:
            with warnings.catch_warnings():
                # What a task would have awaited first is now never awaited.
                warnings.simplefilter("ignore", RuntimeWarning)
                while self.tasks:
                    _, task = self.tasks.popitem()
                    _dismantle(task)
        finally:
            events._set_running_loop(None)  # noqa: SLF001
            VirtualLoop.current = None
        self._soon.clear()
        self.close()

    # --- time and callbacks -----------------------------------------------------------------------

    def time(self) -> float:
        """Give the virtual monotonic clock."""
        return self.scheduler.now_s

    def is_running(self) -> bool:
        """Tell that the loop lives."""
        return VirtualLoop.current is self

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run in the next turn, in the order of the calls."""
        handle = asyncio.Handle(callback, args, self, context)
        self._post(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run when the loop hears of it from another thread: later, in the order of the calls."""
        handle = asyncio.Handle(callback, args, self, context)
        when_s = self.scheduler.now_s + self._thread_s()
        self._threadsafe_s = max(self._threadsafe_s, when_s)
        self.scheduler.at(self._threadsafe_s, self._post, handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run after a delay."""
        return self.call_at(self.scheduler.now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self.scheduler.at(when, self._fire, timer)
        return timer

    def _fire(self, timer: asyncio.TimerHandle) -> None:
        if not timer.cancelled() and not self.dead:
            self.scheduler.trace.note(self.scheduler.now_s, Kind.TIMER, self.number, timer.when())
            self._post(timer)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Make a task, and remember it in the order of making until it is done."""
        task: asyncio.Task[T] = asyncio.Task(
            coro, loop=self, name=None if name is None else str(name), context=context
        )
        number = next(self._task_numbers)
        self.tasks[number] = task
        task.add_done_callback(lambda _: self.tasks.pop(number, None))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what nobody has caught."""
        if not self.dead:
            self.on_error(context)

    # --- threads ----------------------------------------------------------------------------------

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function after a while, as a thread would, and hand over what it gives."""
        future: asyncio.Future[T] = self.create_future()
        self.scheduler.after(self._thread_s(), self._run_thread, lambda: func(*args), future)
        return future

    def run_outside(self, work: Callable[[], object]) -> bool:
        """Do the work of a thread of this process now; False if it is dead or stopped."""
        if self.dead:
            return False
        if self.frozen_until_s > self.scheduler.now_s:
            self.scheduler.at(self.frozen_until_s, self.run_outside, work)
            return False
        self.scheduler.trace.note(self.scheduler.now_s, Kind.THREAD, self.number)
        if self.thread_fuse:
            self.thread_fuse -= 1
            if not self.thread_fuse:
                self.on_fuse()
                return False
        if self.fuse and not self._burn():
            return False
        VirtualLoop.current = self
        try:
            work()
        finally:
            VirtualLoop.current = None
        if self.fuse:
            self._burn()
        return True

    def _run_thread(self, work: Callable[[], T], future: asyncio.Future[T]) -> None:
        def finish() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - raised again where the call is awaited
                self.scheduler.after(self._thread_s(), self.post, _fail, future, error)
            else:
                self.scheduler.after(self._thread_s(), self.post, _resolve, future, result)

        self.run_outside(finish)

    def _thread_s(self) -> float:
        low_s, high_s = THREAD_S
        return low_s + (high_s - low_s) * self.scheduler.chance.random() ** 3

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Let the outside world (network, threads) have something run in the next turn."""
        self._post(asyncio.Handle(callback, args, self))

    def _post(self, handle: asyncio.Handle) -> None:
        if not self.dead:
            self._soon.append(handle)
            if not self.is_runnable:
                self.wake()

    # --- sockets ----------------------------------------------------------------------------------

    def add_reader(  # type: ignore[override]
        self, fd: int, callback: Callable[[*Ts], object], *args: *Ts
    ) -> None:
        """Call in every turn in which the socket has something to read."""
        socket = self.network.sockets[fd]
        self._readers[fd] = (socket, asyncio.Handle(callback, args, self))
        socket.watcher = self
        if socket.is_readable:
            self.alert(fd)

    def remove_reader(self, fd: int) -> bool:  # type: ignore[override]
        """Stop that."""
        self._alert.pop(fd, None)
        found = self._readers.pop(fd, None)
        if found is not None:
            found[1].cancel()
        return found is not None

    def alert(self, fd: int) -> None:
        """Note that a socket may have become readable."""
        if fd in self._readers:
            self._alert[fd] = None
            self.wake()

    def _look_at_readers(self) -> None:
        for fd in list(self._alert):
            socket, handle = self._readers[fd]
            if socket.is_readable:
                self._soon.append(handle)
            else:
                del self._alert[fd]

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Connect through the virtual network; of TLS there is only the certificate."""
        return await self.network.connect(self, protocol_factory, host, port)


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _dismantle(task: asyncio.Task[Any]) -> None:
    """Close a task's coroutine, however often it goes on awaiting."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    coroutine = task.get_coro()
    for _ in range(_MAX_CLOSINGS):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except Exception:  # noqa: BLE001 - the process is dead, nobody is to hear of it
            pass
        return
