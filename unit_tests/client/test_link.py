"""One connection: requests and answers, its end, and signs of life."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from jim.client import policy
from jim.client.address import Address
from jim.client.link import Link, connect
from jim.errors import (
    ConnectFailed,
    JimError,
    RateLimited,
    RecipientUnknown,
    Shutdown,
    TooManyFrames,
)
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.replies import error_reply, goodbye
from unit_tests.client.fake_server import FakeServer, Stream, self_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from msgspec import Struct

    Open = Callable[[Callable[[Stream], Awaitable[None]]], Awaitable[Link]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Connect to a server that follows a script, without a login."""
    servers: list[FakeServer] = []
    made: list[Link] = []
    certificate = self_signed(tmp_path)

    async def open_link(script: Callable[[Stream], Awaitable[None]]) -> Link:
        server = FakeServer(certificate, script=script)
        server.greets = False
        servers.append(await server.__aenter__())
        link = await connect(Address("127.0.0.1", server.port), "pin")
        made.append(link)
        return link

    yield open_link
    for link in made:
        await link.aclose()
    for server in servers:
        await server.__aexit__()


def saying(*messages: Struct) -> Callable[[Stream], Awaitable[None]]:
    """Say something and wait for the client to go."""

    async def script(stream: Stream) -> None:
        stream.send(*messages)
        while await stream.receive():
            pass

    return script


async def until_the_end(link: Link) -> tuple[list[m.ServerMessage], JimError]:
    got: list[m.ServerMessage] = []
    async with asyncio.timeout(10):
        while True:
            try:
                got += await link.receive()
            except JimError as error:
                return got, error


async def test_answers_find_their_requests(opened: Open) -> None:
    async def script(stream: Stream) -> None:
        asked: list[m.ClientMessage] = []
        while len(asked) < 2:
            asked += [a for a in await stream.receive() if isinstance(a, m.Receipts | m.Presence)]
        receipts, presence = asked
        assert isinstance(receipts, m.Receipts)
        assert isinstance(presence, m.Presence)
        stream.send(
            m.Contacts(id=presence.id, response=200, time=1, online=["bob"], offline=[]),
            m.ReceiptsReply(id=receipts.id, response=200, time=1, delivered={"bob": 7}),
            m.Delivered(name="bob", seq=1, time=1),
        )
        await stream.receive()

    link = await opened(script)
    receipts = link.request(m.Receipts(id="", names=["bob"]))
    presence = link.request(m.Presence(id=""))
    rest = await link.receive()
    while not receipts.done():
        rest += await link.receive()
    contacts, delivered = await presence, await receipts
    assert isinstance(contacts, m.Contacts)
    assert contacts.online == ["bob"]
    assert isinstance(delivered, m.ReceiptsReply)
    assert delivered.delivered == {"bob": 7}
    assert [type(message) for message in rest] == [m.Delivered]


async def test_a_refused_request_raises_and_the_link_lives(opened: Open) -> None:
    async def script(stream: Stream) -> None:
        (request,) = await stream.receive()
        assert isinstance(request, m.Presence)
        stream.send(error_reply(RecipientUnknown(), 1, request.id))
        await saying(m.Delivered(name="bob", seq=1, time=1))(stream)

    link = await opened(script)
    answer = link.request(m.Presence(id=""))
    got = await link.receive()
    while not got:
        got = await link.receive()
    with pytest.raises(RecipientUnknown):
        await answer


async def test_the_servers_probe_is_answered(opened: Open) -> None:
    answers: asyncio.Queue[m.ClientMessage] = asyncio.Queue()

    async def script(stream: Stream) -> None:
        stream.send(m.Probe(id="are you there"))
        for message in await stream.receive():
            assert not isinstance(message, m.Hello)
            answers.put_nowait(message)  # type: ignore[arg-type]

    link = await opened(script)
    assert await link.receive() == []
    assert await asyncio.wait_for(answers.get(), 10) == m.Pong(id="are you there")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (goodbye(Shutdown(retry_after_ms=500), 1), Shutdown),
        (error_reply(RateLimited(), 1, 7), RateLimited),
        (error_reply(TooManyFrames(), 1), TooManyFrames),
    ],
)
async def test_the_server_says_why_it_ends(
    opened: Open, last: Struct, expected: type[JimError]
) -> None:
    link = await opened(saying(m.Delivered(name="bob", seq=1, time=1), last))
    waiting = link.request(m.Presence(id=""))
    got, error = await until_the_end(link)
    assert isinstance(got[0], m.Delivered), "what came before the end is not lost"
    assert isinstance(error, expected)
    with pytest.raises(expected):
        await waiting
    with pytest.raises(expected):
        await link.request(m.Presence(id=""))


async def test_goodbye_brings_the_time_to_wait(opened: Open) -> None:
    link = await opened(saying(goodbye(Shutdown(retry_after_ms=500), 1)))
    _, error = await until_the_end(link)
    assert error.fields["retry_after_ms"] == 500


async def test_a_closed_connection_fails_what_still_waits(opened: Open) -> None:
    async def script(stream: Stream) -> None:
        await stream.receive()

    link = await opened(script)
    waiting = link.request(m.Presence(id=""))
    _, error = await until_the_end(link)
    assert isinstance(error, ConnectFailed)
    with pytest.raises(ConnectFailed):
        await waiting


async def test_what_a_newer_server_may_say_is_skipped(opened: Open) -> None:
    async def script(stream: Stream) -> None:
        stream._writer.write(b'{"action":"fireworks","id":1}\n')
        await saying(m.Delivered(name="bob", seq=1, time=1))(stream)

    link = await opened(script)
    got = await link.receive()
    while not got:
        got = await link.receive()
    assert isinstance(got[0], m.Delivered)
    assert not link.request(m.Presence(id="")).done(), "the connection goes on"


@pytest.mark.parametrize("rubbish", [b"\xff\xfe\n", b"[1]\n", b'{"action":"msg","position":"x"}\n'])
async def test_rubbish_ends_the_connection(opened: Open, rubbish: bytes) -> None:
    async def script(stream: Stream) -> None:
        stream._writer.write(rubbish)
        await saying()(stream)

    _, error = await until_the_end(await opened(script))
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "protocol"


@pytest.mark.parametrize(
    "message",
    [
        m.Delivered(name="bob", seq=2**64, time=1),
        m.Notice(position=-1, code="x", time=1),
        m.ReceiptsReply(id=1, response=200, time=1, delivered={"bob": 2**53}),
    ],
)
async def test_numbers_that_nobody_can_keep_end_the_connection(
    opened: Open, message: Struct
) -> None:
    before = m.Delivered(name="bob", seq=2**53 - 1, time=1)
    got, error = await until_the_end(await opened(saying(before, message, before)))
    assert got == [before]
    assert isinstance(error, ConnectFailed)


async def test_a_frame_without_an_end_is_cut_off(opened: Open) -> None:
    async def script(stream: Stream) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream._writer.write(b"x" * 65_536)
                await stream.drain()

    _, error = await until_the_end(await opened(script))
    assert isinstance(error, ConnectFailed)


async def test_silence_is_probed_and_then_the_other_side_is_dead(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "SILENCE_S", 0.01)
    monkeypatch.setattr(policy, "DEAD_S", 0.01)
    link = await opened(saying())
    link.start_watching()
    _, error = await until_the_end(link)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "timeout"


async def test_whoever_answers_probes_lives(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "SILENCE_S", 0.001)
    monkeypatch.setattr(policy, "DEAD_S", 1.0)

    async def script(stream: Stream) -> None:
        for _ in range(3):
            (probe,) = await stream.receive()
            assert isinstance(probe, m.Probe)
            stream.send(m.Pong(id=probe.id))
        stream.send(goodbye(Shutdown(), 1))

    link = await opened(script)
    link.start_watching()
    _, error = await until_the_end(link)
    assert isinstance(error, Shutdown)


async def test_a_probe_can_be_asked_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(stream: Stream) -> None:
        (probe,) = await stream.receive()
        assert isinstance(probe, m.Probe)
        stream.send(goodbye(Shutdown(), 1))

    link = await opened(script)
    link.start_watching()
    link.probe_now()
    _, error = await until_the_end(link)
    assert isinstance(error, Shutdown)


async def test_what_is_pushed_during_a_login_is_no_answer(opened: Open) -> None:
    chain = m.Chain(id="login", response=200, time=1, links=[])
    pushed = (m.Delivered(name="bob", seq=1, time=1), m.Probe(id=1))
    link = await opened(saying(*pushed, chain))
    assert await link.ask(m.ChainRequest(id="login")) == chain


async def test_what_is_sent_is_counted_but_not_what_was_counted_before(opened: Open) -> None:
    link = await opened(saying())
    counted: list[tuple[int, int]] = []
    link.on_sent = lambda count, size: counted.append((count, size))
    link.send(m.Probe(id=1), m.Ack(position=1))
    link.send_paced(encode(m.Probe(id=2)))
    assert counted == [(1, len(encode(m.Probe(id=1)) + encode(m.Ack(position=1))))]


async def test_a_reason_of_ours_is_what_receive_raises(opened: Open) -> None:
    link = await opened(saying())
    link.give_up(ConnectFailed("ours"))
    _, error = await until_the_end(link)
    assert str(error) == "ours"
