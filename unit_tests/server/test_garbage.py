"""Connections that have ended free their memory at once, without waiting for the collector.

Each keeps TLS buffers of tens of kilobytes, and the collector of the server comes rarely.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from jim.server.connection import Connection
from unit_tests.server.test_door import hello_record
from unit_tests.support.serving import LOOPS, Serving, run_on, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def connections() -> int:
    return sum(type(thing) is Connection for thing in gc.get_objects())


async def log_in_and_leave(server: Serving) -> None:
    wire, person = await server.join("alice")
    await wire.sync()
    wire.close()
    wire = await server.back(person)
    wire.close()


async def hang_up_before_the_login(server: Serving) -> None:
    wire = await server.wire()
    await wire.greet()
    wire.close()


async def break_the_handshake(server: Serving) -> None:
    for sent in (hello_record(), hello_record()[:50], b"\x16\x03\x01\xff\xff" + bytes(100)):
        begun = server.service.door.handshakes
        _, writer = await server.raw()
        writer.write(sent)
        await until(lambda before=begun: server.service.door.handshakes > before)  # type: ignore[misc]
        writer.transport.abort()
        await until(lambda: server.service.admission.unauthenticated == 0)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("visit", [log_in_and_leave, hang_up_before_the_login, break_the_handshake])
@pytest.mark.usefixtures("no_collector")
def test_a_connection_that_has_ended_is_gone_at_once(visit, loop: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    async def go() -> None:
        before = connections()
        async with serving(tmp_path) as server:
            await visit(server)
            await until(lambda: not server.service.node.connections)
            await until(lambda: connections() == before)

    run_on(loop, go())
