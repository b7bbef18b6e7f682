"""What the benchmarks' own servers begin with: accept as our server does, on the same loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from benchmarks.targets import HOST
from jim.server.listener import Listener, open_sockets
from jim.server.loops import loop_factory, tune_gc, tune_malloc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

HANDSHAKE_S: Final = 30.0
"""For a TLS handshake, so generous that a loaded machine ends none: nobody is defended against."""


async def serve(
    port: int, take: Callable[[socket.socket], Coroutine[object, object, None]]
) -> None:
    """Accept until killed; `take` makes a connection of an accepted socket.

    One that has hung up meanwhile (OSError) is no failure: whoever only asks if we listen does.
    """
    tasks: set[asyncio.Task[None]] = set()  # the loop itself would let go of them

    async def take_in(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await take(sock)

    def accept(sock: socket.socket, _address: str) -> None:
        task = asyncio.get_running_loop().create_task(take_in(sock))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = Listener(open_sockets(HOST, port), accept)
    tune_gc()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        listener.close()


def run(serving: Coroutine[object, object, None]) -> None:
    """Run on the loop that our server runs on, tuned as it tunes itself."""
    tune_malloc()
    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        runner.run(serving)
