"""One connection: bytes under way in both directions, and what each end makes of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Decoder, Invalid
from jim.protocol.session import State, advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.link import Link
    from jim.errors import JimError
    from jim.protocol.messages import ClientMessage, ServerMessage
    from reliability.simulate.server import Node

FRAME_BYTES = 1 << 20
"""Above every frame of a run: too long frames are another suite's business."""


MOST_WORK = 10_000
"""Things that a server or a client does until it has to wait for the other: a hundred times the
most that 3,000 schedules needed (103)."""


class Unforeseen(BaseException):
    """An error of the core that the server would contain; here nothing may catch it on its way."""


class Overrun(BaseException):
    """Things went on for ever; nothing may catch that on its way either."""


class Wire:
    """A connection of one device; towards the hub it is the session's `Outlet`."""

    __slots__ = (
        "_client_state",
        "_from_client",
        "_from_server",
        "_server_state",
        "began_s",
        "catching_up",
        "closing",
        "device_id",
        "down",
        "link",
        "node",
        "out",
        "parked",
        "paused",
        "up",
    )

    def __init__(self, node: Node, device_id: int) -> None:
        """Open it, towards the node that is up at the moment."""
        self.node = node
        self.began_s = 0.0
        self.device_id = device_id
        self.up: deque[bytes] = deque()
        self.down: deque[bytes | None] = deque()
        """None is the end of the stream."""
        self.out: list[bytes] = []
        """What the server writes at the end of its turn."""
        self.closing = False
        self.paused = False
        self.parked: Callable[[], None] | None = None
        """The page that waits until the client reads again."""
        self.catching_up = False
        self.link: Link | None = None
        self._from_client = Decoder(FROM_CLIENT, FRAME_BYTES)
        self._from_server = Decoder(FROM_SERVER, FRAME_BYTES)
        self._client_state = self._server_state = State.VERIFYING

    # --- the outlet -------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue frames for the client."""
        if not self.closing:
            self.out.append(data)
            self.node.written.add(self)

    send_along = send
    """When a turn of the server writes is left to the schedule anyway."""

    def close(self, error: JimError) -> None:
        """End the stream after what is queued."""
        if not self.closing:
            self.closing = True
            self.flush()
            self.down.append(None)
            self.node.gone(self)

    def catch_up(self) -> None:
        """Read the mailbox from the store, in steps of their own."""
        if not self.catching_up and not self.closing:
            self.catching_up = True
            self.node.read_page(self)

    def fail(self, error: Exception) -> None:
        """Report a finding: nothing in a run gives the core a reason to fail."""
        raise Unforeseen from error

    def flush(self) -> None:
        """Put on its way what one turn of the server has written."""
        if self.out:
            self.down.append(b"".join(self.out))
            self.out.clear()

    # --- both ends --------------------------------------------------------------------------------

    def arrived_at_server(self, number: int) -> list[ClientMessage]:
        """Let the server read something of what the client sent."""
        messages = self._from_client.feed(_take(self.up, number))
        for message in messages:
            assert not isinstance(message, Invalid), message
            self._server_state = advance(self._server_state, type(message))
        return messages  # type: ignore[return-value]

    def arrived_at_client(self, number: int) -> list[ServerMessage] | None:
        """Let the client read something of what the server sent; None is the end."""
        if self.down[0] is None:
            return None
        messages = self._from_server.feed(_take(self.down, number))  # type: ignore[arg-type]
        for message in messages:
            assert not isinstance(message, Invalid), message
            self._client_state = advance(self._client_state, type(message))
        return messages  # type: ignore[return-value]

    def logged_in(self) -> None:
        """Note on the server's side that `welcome` is on its way."""
        self._server_state = State.ACTIVE


def _take(queue: deque[bytes], number: int) -> bytes:
    """Take a piece of what is under way: a part of the first write, all of it, or several."""
    kind = number % 8
    first = queue.popleft()
    if kind == 0 and len(first) > 1:
        cut = 1 + (number >> 3) % (len(first) - 1)
        queue.appendleft(first[cut:])
        return first[:cut]
    if kind < 4 or not queue or queue[0] is None:
        return first
    return first + queue.popleft()
