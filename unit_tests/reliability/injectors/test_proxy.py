from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from reliability.injectors.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FRAME = b"hello, this is a frame of forty bytes...\n"


class Echo:
    """A server that repeats each line, and keeps what it was sent."""

    def __init__(self) -> None:
        self.got = b""
        self.ends: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                writer.write(data)
                await writer.drain()
            self.ends.append("end")
        except OSError:
            self.ends.append("reset")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


Parts = tuple[Proxy, Echo]
Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[:2], random.Random(7))
    await proxy.open()
    yield proxy, echo
    await proxy.aclose()
    assert proxy.alive == 0
    server.close()
    await asyncio.sleep(0.02)


async def connected(proxy: Proxy) -> Link:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def answers(link: Link, frame: bytes = FRAME) -> bytes:
    link[1].write(frame)
    return await asyncio.wait_for(link[0].readexactly(len(frame)), 5)


async def silent(link: Link, for_s: float = 0.15) -> bool:
    try:
        await asyncio.wait_for(link[0].read(1), for_s)
    except TimeoutError:
        return True
    return False


async def hung_up(link: Link) -> None:
    link[1].close()
    with contextlib.suppress(OSError):
        await link[1].wait_closed()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_passes_bytes_and_ends_on(parts: Parts) -> None:
    proxy, echo = parts
    link = await connected(proxy)
    big = random.Random(1).randbytes(3_000_000)
    link[1].write(big)
    link[1].write_eof()
    assert await asyncio.wait_for(link[0].read(-1), 5) == big
    assert (proxy.up.tally.passed_bytes, proxy.down.tally.passed_bytes) == (len(big), len(big))
    assert echo.ends == ["end"]
    await hung_up(link)
    await until(lambda: proxy.alive == 0)


async def test_delays_and_keeps_the_order(parts: Parts) -> None:
    proxy, _ = parts
    link = await connected(proxy)
    await answers(link)
    proxy.up.delay_s = proxy.down.delay_s = 0.3
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    link[1].write(b"first ")
    await until(lambda: proxy.up.tally.delayed_bytes >= 6)
    proxy.up.delay_s = 0.0  # what comes later must not overtake
    link[1].write(b"second")
    assert await asyncio.wait_for(link[0].readexactly(12), 5) == b"first second"
    assert loop.time() - began_s >= 0.6
    await hung_up(link)


async def test_holds_everything_while_it_is_blocked(parts: Parts) -> None:
    proxy, echo = parts
    link, ending = await connected(proxy), await connected(proxy)
    await answers(link)
    await answers(ending)
    proxy.up.block()
    proxy.down.block()
    link[1].write(FRAME)
    ending[1].write_eof()
    newcomer = await connected(proxy)
    newcomer[1].write(FRAME)
    assert await silent(link)
    assert await silent(newcomer)
    assert echo.got == FRAME + FRAME
    assert echo.ends == []
    assert proxy.connections == 2
    assert proxy.up.tally.held_bytes == len(FRAME)
    proxy.calm()
    assert await asyncio.wait_for(link[0].readexactly(len(FRAME)), 5) == FRAME
    assert await asyncio.wait_for(newcomer[0].readexactly(len(FRAME)), 5) == FRAME
    await until(lambda: echo.ends == ["end"])
    for each in (link, ending, newcomer):
        await hung_up(each)


async def test_loses_what_was_held_when_it_is_cut(parts: Parts) -> None:
    proxy, echo = parts
    link = await connected(proxy)
    await answers(link)
    proxy.up.block()
    link[1].write(FRAME)
    await until(lambda: proxy.up.tally.held_bytes == len(FRAME))
    await asyncio.sleep(0.02)
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(link[0].read(1), 5)
    await until(lambda: echo.ends == ["reset"])
    assert echo.got == FRAME
    assert proxy.up.tally.lost_bytes == len(FRAME)
    await hung_up(link)


async def test_blocks_one_way_only(parts: Parts) -> None:
    proxy, echo = parts
    link = await connected(proxy)
    await answers(link)
    proxy.down.block()
    link[1].write(FRAME)
    assert await silent(link)
    assert echo.got == FRAME + FRAME
    assert proxy.down.tally.held_bytes == len(FRAME)
    assert proxy.up.tally.held_bytes == 0
    await hung_up(link)


async def test_forgets_connections_but_takes_new_ones(parts: Parts) -> None:
    proxy, echo = parts
    link = await connected(proxy)
    await answers(link)
    assert proxy.forget() == 1
    link[1].write(FRAME)
    assert await silent(link)
    newcomer = await connected(proxy)
    assert await answers(newcomer) == FRAME
    await hung_up(link)
    await asyncio.sleep(0.05)
    assert echo.ends == []  # nobody tells the server
    assert proxy.up.tally.lost_bytes == len(FRAME)
    assert proxy.forget() == 1  # the newcomer; the first one was forgotten before
    await hung_up(newcomer)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_tears_a_connection_off_in_the_middle_of_a_frame(parts: Parts, way: str) -> None:
    proxy, echo = parts
    direction = proxy.up if way == "up" else proxy.down
    direction.reset_within_bytes = len(FRAME) - 1
    link = await connected(proxy)
    link[1].write(FRAME)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)) as caught:
        await asyncio.wait_for(link[0].readexactly(len(FRAME)), 5)
    await until(lambda: echo.ends == ["reset"])
    passed = direction.tally.passed_bytes
    assert 0 < passed < len(FRAME)
    assert direction.tally.resets == 1
    if way == "up":
        assert echo.got == FRAME[:passed]
    elif isinstance(caught.value, asyncio.IncompleteReadError):
        assert caught.value.partial == FRAME[:passed]
    await hung_up(link)


async def test_tears_off_at_another_byte_each_time_and_the_same_with_the_same_seed() -> None:
    def drawn(seed: int) -> list[int]:
        proxy = Proxy(("127.0.0.1", 1), random.Random(seed))
        proxy.up.reset_within_bytes = 1000
        return [proxy.allowance(proxy.up) for _ in range(5)]

    assert drawn(3) == drawn(3)
    assert len(set(drawn(3))) > 1


async def test_passes_a_reset_of_one_side_on(parts: Parts) -> None:
    proxy, echo = parts
    link = await connected(proxy)
    await answers(link)
    link[1].transport.abort()  # unread bytes make it a reset
    await until(lambda: echo.ends)
    await until(lambda: proxy.alive == 0)


async def test_throttles(parts: Parts) -> None:
    proxy, _ = parts
    link = await connected(proxy)
    await answers(link)
    proxy.up.bytes_per_s = 4000
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert await answers(link, b"x" * 2000) == b"x" * 2000
    assert loop.time() - began_s >= 0.45
    assert proxy.up.tally.throttled_bytes == 2000
    await hung_up(link)


async def test_resets_who_comes_when_the_target_is_gone() -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = gone.sockets[0].getsockname()[:2]
    gone.close()
    proxy = Proxy(address, random.Random(1))
    await proxy.open()
    link = await connected(proxy)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(link[0].read(1), 5)
    await hung_up(link)
    await proxy.aclose()
