"""Turn the signals that end a program into something that every wait of the launcher notices."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from typing import TYPE_CHECKING, Any, Self

from jim.errors import JimError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType


class Interrupted(JimError):
    """A signal asks the launcher to end; `status` is what a shell expects then."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.status = 128 + signum


class Stop:
    """Turns the signals that end a program into something that waits can watch.

    Use as a context manager in the main thread. The end of a child wakes up a wait too, where the
    system has a signal for it.
    """

    def __init__(self, names: Iterable[str] = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")) -> None:
        self.signum = 0
        self._names = (*names, "SIGCHLD")
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on; call `check` when it is readable."""
        return self._reader.fileno()

    def pause(self, seconds: float, *others: socket.socket) -> list[socket.socket]:
        """Wait until a signal comes, one of the other sockets is readable or the time is over.

        Returns:
            Those of the other sockets that are readable.

        Raises:
            Interrupted: a signal asks us to end.
        """
        ready, _write, _error = select.select([self._reader, *others], [], [], seconds)
        self.check()
        return [one for one in ready if one is not self._reader]

    def check(self) -> None:
        """Raise `Interrupted` if a signal asks us to end."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        if self.signum:
            raise Interrupted(self.signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if signum != getattr(signal, "SIGCHLD", None):
            self.signum = self.signum or signum
        with contextlib.suppress(BlockingIOError):  # full of unread wake-ups: one is enough
            self._writer.send(b"\0")
