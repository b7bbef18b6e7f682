"""Sockets as the listener and the door of the server use them, on the virtual network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque

    from reliability.virtual.end import End
    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.network import Network


class VirtualSocket:
    """What a listening socket and an accepted one have in common."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._number = network.add_socket(self)
        self.watcher: VirtualLoop | None = None
        """The loop that waits for something to read."""

    @property
    def is_readable(self) -> bool:
        """Whether a call that reads would give something."""
        raise NotImplementedError

    def fileno(self) -> int:
        """Give the number, -1 once it is closed."""
        return self._number

    def alert(self) -> None:
        """Let whoever waits look."""
        if self.watcher is not None and self._number >= 0:
            self.watcher.alert(self._number)

    def setblocking(self, flag: bool) -> None:
        """Never block anyway."""

    def setsockopt(self, *_: object) -> None:
        """Have no options."""

    def _forget(self) -> bool:
        """Give the number back; False if that was done before."""
        if self._number < 0:
            return False
        del self._network.sockets[self._number]
        self._number = -1
        return True


class ListeningSocket(VirtualSocket):
    """A port that takes connections; the kernel's queue is in it."""

    def __init__(self, network: Network, loop: VirtualLoop, host: str, port: int) -> None:
        super().__init__(network)
        self.loop = loop
        self.queue: deque[End] = network.listen(self, port)
        self._address = (host, port)
        self._port = port

    @property
    def is_readable(self) -> bool:
        """Whether somebody waits."""
        return bool(self.queue)

    def getsockname(self) -> tuple[str, int]:
        """Give the address."""
        return self._address

    def listen(self, _backlog: int) -> None:
        """Listen already."""

    def accept(self) -> tuple[AcceptedSocket, tuple[str, int]]:
        """Take the next connection.

        Raises:
            BlockingIOError: there is none.
        """
        if not self.queue:
            raise BlockingIOError
        return AcceptedSocket(self._network, self.queue.popleft()), ("127.0.0.1", 1)

    def close(self) -> None:
        """Close; who waits is reset."""
        if self._forget():
            self._network.stop_listening(self, self._port)
            while self.queue:
                self.queue.popleft().abort()


class AcceptedSocket(VirtualSocket):
    """A connection on which nobody has shaken hands yet."""

    def __init__(self, network: Network, end: End) -> None:
        super().__init__(network)
        self.end = end
        end.socket = self

    @property
    def is_readable(self) -> bool:
        """Whether bytes, an end or an error is there."""
        try:
            return self.end.first_byte is not None
        except OSError:
            return True

    def recv(self, size_bytes: int, _flags: int = 0) -> bytes:
        """Look at the first byte, or when asked for more read what is there.

        Raises:
            BlockingIOError: nothing has come yet.
        """
        first = self.end.first_byte
        if first is None:
            raise BlockingIOError
        return first

    def send(self, data: bytes) -> int:
        """Send in the clear."""
        self.end.write(data)
        return len(data)

    def shutdown(self, _how: int) -> None:
        """Leave the end of the stream to `close`."""

    def hand_over(self) -> End:
        """Give the connection to TLS: this socket is nobody's any more."""
        self._forget()
        self.end.socket = None
        return self.end

    def close(self) -> None:
        """Close the connection."""
        if self._forget():
            self.end.socket = None
            self.end.close()
