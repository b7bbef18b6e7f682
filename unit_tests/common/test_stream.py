"""Messages on a byte stream, whatever the network makes of the bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from jim.common import stream as streams
from jim.common.stream import MessageStream
from jim.errors import FrameTooLong
from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Invalid, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    Connect = Callable[[Peer], Awaitable[MessageStream[m.ServerMessage]]]

LIMIT = 1000


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with contextlib.AsyncExitStack() as stack:

        async def connect(peer: Peer) -> MessageStream[m.ServerMessage]:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await peer(reader, writer)
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stream = MessageStream(reader, writer, FROM_SERVER, LIMIT)
            stack.push_async_callback(stream.aclose)
            return stream

        yield connect


async def everything(stream: MessageStream[m.ServerMessage]) -> list[m.ServerMessage | Invalid]:
    got: list[m.ServerMessage | Invalid] = []
    while messages := await stream.receive():
        got += messages
    return got


async def test_two_objects_in_one_segment_and_one_object_in_many(connect: Connect) -> None:
    pongs = [m.Pong(id=number) for number in range(3)]

    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b"".join(map(encode, pongs))
        writer.write(data)
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    assert await everything(await connect(peer)) == pongs + pongs


async def test_what_is_sent_is_one_write_of_whole_frames(connect: Connect) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def peer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        got.put_nowait(await reader.read())

    stream = await connect(peer)
    stream.send(m.Probe(id=1), m.Ack(position=7))
    await stream.drain()
    await stream.aclose()
    sent = await got.get()
    assert sent == encode(m.Probe(id=1)) + encode(m.Ack(position=7))
    assert all(isinstance(item, m.Probe | m.Ack) for item in MessageStreamDecoder(sent))


def MessageStreamDecoder(data: bytes) -> list[m.ClientMessage | Invalid]:  # noqa: N802
    from jim.protocol.codec import Decoder

    return Decoder(FROM_CLIENT, LIMIT).feed(data)


async def test_a_frame_over_the_limit_is_an_error_in_its_place(connect: Connect) -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(m.Pong(id=1)) + b"x" * (LIMIT + 1))

    pong, error = await everything(await connect(peer))
    assert pong == m.Pong(id=1)
    assert isinstance(error, Invalid)
    assert isinstance(error.error, FrameTooLong)


async def test_the_end_is_an_empty_list_again_and_again(connect: Connect) -> None:
    async def peer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    stream = await connect(peer)
    assert await stream.receive() == []
    assert await stream.receive() == []


async def test_after_closing_sending_does_nothing(connect: Connect) -> None:
    async def peer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    stream = await connect(peer)
    await stream.aclose()
    stream.send(m.Probe(id=1))
    await stream.aclose()


async def test_closing_does_not_wait_for_a_frozen_peer(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CLOSE_S", 0.05)
    over = asyncio.Event()

    async def peer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await over.wait()

    stream = await connect(peer)
    while not stream._writer.transport.get_write_buffer_size():
        stream.send(m.Pong(id="x" * 64), *[m.Pong(id="y" * 64)] * 10_000)
    await stream.aclose()
    await stream.aclose()
    over.set()


async def test_without_tls_there_is_no_tls_object(connect: Connect) -> None:
    async def peer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    assert (await connect(peer)).ssl_object is None
