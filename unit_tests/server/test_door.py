"""One port for everything: what the first byte decides, on both loops, also when it is slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.crypto import tls
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.server import door, farewell
from unit_tests.support.serving import LOOPS, QUICK, Serving, run_on, serving, until
from unit_tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

both_loops = pytest.mark.parametrize("loop", LOOPS)


def hello_record() -> bytes:
    """Make a TLS client's first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.pinning_context().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class SlowTls:
    """A TLS client that decides itself how its bytes are cut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.pinning_context().wrap_bio(self.incoming, self.outgoing)

    async def drip(self, *, at_once: bytes = b"") -> None:
        """Send what is due byte by byte, in segments of their own; `at_once` rides on the last."""
        due = self.outgoing.read()
        for place in range(len(due) - 1):
            self.writer.write(due[place : place + 1])
            await self.writer.drain()
            if place < 16:
                await asyncio.sleep(0.002)
        self.writer.write(due[-1:] + at_once)

    async def pump(self) -> None:
        data = await asyncio.wait_for(self.reader.read(65536), 10)
        assert data, "the server has closed"
        self.incoming.write(data)

    async def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self.drip()
                await self.pump()

    async def ask(self, message: msgspec.Struct) -> bytes:
        """Let application data ride in the same segment as the end of the handshake."""
        self.tls.write(encode(message))
        await self.drip()
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self.pump()


@both_loops
def test_a_handshake_in_single_bytes_with_data_behind_its_end(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            client = SlowTls(*await server.raw())
            await client.handshake()
            answer = await client.ask(m.Hello(id=1, v=1, cnonce=bytes(32)))
            assert json.loads(answer)["action"] == "challenge"
            assert client.tls.version() == "TLSv1.3"
            client.writer.close()

    run_on(loop, go())


@both_loops
def test_plain_jim_is_refused_with_a_readable_line(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            reader, writer = await server.raw()
            writer.write(b'{"action":"presence","time":"now","from_user":{"account_name":"a"}}')
            answer = json.loads(await reader.read())
            assert (answer["code"], answer["response"]) == ("plaintext_refused", 403)
            assert answer["fatal"] is True
            assert "TLS" in answer["error"]
            writer.close()

    run_on(loop, go())


@both_loops
@pytest.mark.parametrize(
    "opening",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\x02\x03", b"\xff" * 60_000, b"EHLO there\r\n", b" {"],
    ids=["ssh", "binary", "much", "smtp", "space"],
)
def test_strangers_get_one_readable_line(loop: str, opening: bytes, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            reader, writer = await server.raw()
            writer.write(opening)
            answer = await reader.read()
            assert answer.startswith(b"This is a JIM server.")
            assert answer.count(b"\n") == 1
            writer.close()

    run_on(loop, go())


async def test_an_answer_is_followed_by_a_half_close_and_no_reset(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"hello?")
            while await loop.sock_recv(sock, 4096):
                pass
            # Who talks on after the answer is still listened to: a reset could overtake it.
            for _again in range(3):
                await loop.sock_sendall(sock, b"and another thing")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@both_loops
def test_a_browser_gets_http(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            reader, writer = await server.raw()
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000 + b"\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"JIM over TLS" in body
            assert f"Content-Length: {len(body)}".encode() in head
            writer.close()

    run_on(loop, go())


@both_loops
def test_limit_first_byte_s(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        limits = msgspec.structs.replace(QUICK, first_byte_s=0.05)
        async with serving(tmp_path, limits) as server:
            reader, writer = await server.raw()
            assert (await reader.read()).startswith(b"This is a JIM server.")
            writer.close()
            await until(lambda: server.service.admission.unauthenticated == 0)

    run_on(loop, go())


@both_loops
def test_limit_tls_s_is_a_total_not_per_byte(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        limits = msgspec.structs.replace(QUICK, tls_s=0.2)
        async with serving(tmp_path, limits) as server:
            reader, writer = await server.raw()
            ended = asyncio.ensure_future(reader.read())
            for byte in hello_record()[:200]:
                writer.write(bytes([byte]))
                await asyncio.wait([ended], timeout=0.01)
                if ended.done():
                    break
            assert ended.done(), "each byte has bought more time"
            ended.exception()
            writer.close()
            await until(lambda: server.service.admission.unauthenticated == 0)

    run_on(loop, go())


@both_loops
def test_older_tls_is_refused(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(tmp_path) as server:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            await until(lambda: server.service.admission.unauthenticated == 0)

    run_on(loop, go())


@both_loops
def test_a_client_that_hangs_up_at_any_point_leaves_nothing_behind(
    loop: str, tmp_path: Path
) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            flight = hello_record()
            for sent in (b"", flight[:1], flight[:100], flight):
                _, writer = await server.raw()
                writer.write(sent)
                await writer.drain()
                writer.close()
            wire = await server.wire()
            wire.close()
            await until(lambda: server.service.admission.unauthenticated == 0)
            await until(lambda: not server.service.node.connections)

    run_on(loop, go())


async def refusal(server: Serving) -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as caught:
        await Wire.connect(server.port)
    return caught.value


async def test_a_refused_connection_is_told_by_a_tls_alert_without_a_handshake(
    tmp_path: Path,
) -> None:
    limits = msgspec.structs.replace(QUICK, connections_per_address=1, exempt_networks=())
    async with serving(tmp_path, limits) as server:
        await server.join("alice")
        assert "ACCESS_DENIED" in str(await refusal(server)).upper().replace(" ", "_")
        reader, writer = await server.raw()
        writer.write(b'{"action":"hello"}\n')
        assert json.loads(await reader.read())["code"] == "too_many_connections"
        writer.close()


async def test_in_a_flood_the_refused_are_just_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_REFUSALS", 2)
    limits = msgspec.structs.replace(QUICK, connections_per_address=1, exempt_networks=())
    async with serving(tmp_path, limits) as server:
        await server.join("alice")
        silent = [await server.raw() for _ in range(2)]
        reader, writer = await server.raw()
        assert await reader.read() == b""
        for _, other in (*silent, (reader, writer)):
            other.close()


async def test_a_renewed_certificate_is_what_the_next_connection_sees(tmp_path: Path) -> None:
    from jim.server.identity import TLS_FILE, load_tls

    async with serving(tmp_path) as server:
        early = await server.wire()
        before = server.service.door.tls.spki
        (tmp_path / TLS_FILE).unlink()
        server.service.apply(server.service.settings, load_tls(server.service.settings))
        late = await server.wire()
        assert (await early.greet()).spki == before
        assert (await late.greet()).spki == server.service.door.tls.spki != before


async def test_whoever_finishes_the_handshake_during_a_drain_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        server.service.node.draining = True
        wire = await server.wire()
        (goodbye,) = await wire.ended()
        assert isinstance(goodbye, m.Goodbye)
        assert goodbye.code == "shutdown"


async def test_who_does_not_hang_up_after_the_answer_takes_no_more_descriptors_than_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each held one for a second, so a flood of a thousand a second held a thousand."""
    monkeypatch.setattr(door, "MAX_REFUSALS", 2)
    monkeypatch.setattr(farewell, "DRAIN_S", 20.0)
    async with serving(tmp_path) as server:
        strangers = [await server.raw() for _ in range(4)]
        answers = []
        for reader, writer in strangers:
            writer.write(b"{")
            with contextlib.suppress(ConnectionResetError):
                answers.append(await reader.read())
        assert sum(b"plaintext_refused" in answer for answer in answers) == 2
        for _, writer in strangers:
            writer.close()
        reader, writer = await server.raw()
        await until(lambda: not server.service.door.parting)
        writer.write(b"{")
        assert b"plaintext_refused" in await reader.read(), "there is room again"
        writer.close()
