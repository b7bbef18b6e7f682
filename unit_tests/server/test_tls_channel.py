"""TLS between a transport that keeps everything and a protocol that keeps everything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from jim.crypto import certificate
from jim.crypto.tls import pinning_context, server_tls
from jim.server.tls_channel import TlsChannel, accept_tls

if TYPE_CHECKING:
    from pathlib import Path

    from jim.crypto.tls import ServerTls

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Raw(asyncio.Transport):
    """The plain transport."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.calls: list[object] = []

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append((high, low))

    def get_write_buffer_size(self) -> int:
        return 42

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return f"raw {name}"


class Inner(asyncio.Protocol):
    """The protocol that knows of no TLS."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.calls: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.got.append(data)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(("lost", exc))


class Bench:
    """A channel with a client at its other end."""

    def __init__(self, tls: ServerTls) -> None:
        self.raw, self.inner = Raw(), Inner()
        self.begun = 0
        self.shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.channel = TlsChannel(tls.context, self._begin, self.shaken)
        self.channel.connection_made(self.raw)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = pinning_context().wrap_bio(self.incoming, self.outgoing)

    def _begin(self) -> Inner:
        self.begun += 1
        return self.inner

    def take(self) -> None:
        """Let the client's TLS have what the server has written."""
        self.incoming.write(self.raw.written)
        self.raw.written = b""

    def shake(self, piece: int = 1 << 20, then: bytes = b"") -> None:
        """Shake hands, the client's bytes cut into pieces; `then` follows the last ones at once."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
                self.client.write(then) if then else None
                self.give(piece)
                return
            self.give(piece)
            self.take()

    def give(self, piece: int = 1 << 20) -> None:
        """Let the server have what the client has written."""
        data = self.outgoing.read()
        for place in range(0, len(data), piece):
            self.channel.data_received(data[place : place + piece])

    def read(self) -> bytes:
        """Read as the client, to the end of what has come."""
        self.take()
        found = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.client.read(1 << 16):
                found += part
        return found


def tls_of(directory: Path) -> ServerTls:
    made = certificate.ensure_certificate(directory / "tls" / "server.pem", ["chat.test"], NOW)
    return server_tls(made)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tls_of(tmp_path))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
async def test_the_protocol_begins_when_the_handshake_is_done(bench: Bench, piece: int) -> None:
    assert bench.begun == 0
    bench.shake(piece)
    assert (bench.begun, bench.inner.calls) == (1, ["made"])
    await bench.shaken
    assert bench.client.version() == "TLSv1.3"


async def test_what_follows_the_handshake_at_once_is_not_lost(bench: Bench) -> None:
    bench.shake(then=b"hello")
    assert bench.inner.got == [b"hello"]


@pytest.mark.parametrize("piece", [1, 100, 16_406, 1 << 20])
async def test_what_the_client_says_comes_whole_and_in_order(bench: Bench, piece: int) -> None:
    bench.shake()
    said = b"".join(b"%d " % number for number in range(12_000))  # several records
    rest = said
    while rest:
        rest = rest[bench.client.write(rest) :]
    bench.give(piece)
    assert b"".join(bench.inner.got) == said
    assert all(bench.inner.got)


async def test_one_read_of_several_records_is_handed_on_at_once(bench: Bench) -> None:
    bench.shake()
    for word in (b"one ", b"two ", b"three"):
        bench.client.write(word)
    bench.give()
    assert bench.inner.got == [b"one two three"]


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 300_000])
async def test_what_is_written_reaches_the_client(bench: Bench, size: int) -> None:
    bench.shake()
    bench.read()
    said = bytes(number % 251 for number in range(size))
    bench.channel.write(said)
    assert bench.read() == said


class Watched:
    """A buffer of OpenSSL that notes how much went through it at once."""

    def __init__(self, bio: ssl.MemoryBIO) -> None:
        self._bio = bio
        self.most_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bio, name)

    def write(self, data: bytes) -> int:
        self.most_bytes = max(self.most_bytes, len(data))
        return self._bio.write(data)

    def read(self) -> bytes:
        data = self._bio.read()
        self.most_bytes = max(self.most_bytes, len(data))
        return data


async def test_buffers_that_never_shrink_never_grow_beyond_a_record(bench: Bench) -> None:
    # Each connection would keep 300 kB after the first page of a mailbox.
    bench.shake()
    bench.read()
    channel: Any = bench.channel
    incoming, outgoing = Watched(channel._incoming), Watched(channel._outgoing)
    channel._incoming, channel._outgoing = incoming, outgoing
    said = bytes(300_000)
    bench.channel.write(said)
    assert bench.read() == said
    rest = said
    while rest:
        rest = rest[bench.client.write(rest) :]
    bench.give()
    assert b"".join(bench.inner.got) == said
    overhead_bytes = 256  # RFC 8446, 5.2: a header of 5 bytes and at most 256 of the cipher's
    assert 0 < incoming.most_bytes <= 16_384 + overhead_bytes
    assert 0 < outgoing.most_bytes <= 16_384 + overhead_bytes


async def test_nothing_is_read_behind_a_record_that_was_altered(bench: Bench) -> None:
    bench.shake()
    bench.client.write(b"x" * 16_000)
    bench.client.write(b"y" * 16_000)
    data = bytearray(bench.outgoing.read())
    data[100] ^= 1
    bench.channel.data_received(bytes(data))
    assert bench.inner.got == []
    assert bench.raw.calls.count("close") == 1


async def test_closing_says_so_and_drops_what_still_comes(bench: Bench) -> None:
    bench.shake()
    bench.channel.pause_reading()
    bench.channel.write(b"goodbye")
    bench.channel.close()
    bench.channel.close()
    bench.channel.write(b"not any more")
    assert bench.raw.calls == ["pause", "resume"]
    assert bench.read() == b"goodbye"
    bench.client.write(b"still talking")
    bench.give()
    assert bench.inner.got == []
    with contextlib.suppress(ssl.SSLError):
        bench.client.unwrap()
    bench.give()
    assert bench.raw.calls[-1] == "close"
    bench.channel.connection_lost(None)
    assert bench.inner.calls == ["made", ("lost", None)]


async def test_a_client_that_ends_its_side_is_closed(bench: Bench) -> None:
    bench.shake()
    bench.client.write(b"last words")
    with contextlib.suppress(ssl.SSLError):
        bench.client.unwrap()
    bench.give()
    assert bench.inner.got == [b"last words"]
    assert bench.raw.calls == ["close"]


async def test_what_is_no_tls_gets_an_alert(bench: Bench) -> None:
    bench.channel.data_received(b"\x16\x03\x01\x00\x05hello")
    assert bench.raw.written[:1] == b"\x15"
    assert bench.raw.calls == ["close"]
    assert bench.begun == 0
    with pytest.raises(ssl.SSLError):
        await bench.shaken
    bench.channel.connection_lost(None)


async def test_a_record_that_was_altered_ends_the_connection(bench: Bench) -> None:
    bench.shake()
    bench.client.write(b"hello")
    record = bytearray(bench.outgoing.read())
    record[-1] ^= 1
    bench.channel.data_received(bytes(record))
    bench.channel.data_received(b"more")
    assert bench.inner.got == []
    assert "close" in bench.raw.calls
    bench.channel.connection_lost(None)
    assert bench.inner.calls == ["made", ("lost", None)]


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
async def test_a_connection_lost_before_the_end_of_the_handshake(
    bench: Bench, error: Exception | None
) -> None:
    bench.channel.connection_lost(error)
    with pytest.raises(ConnectionResetError):
        await bench.shaken
    assert bench.begun == 0


async def test_pressure_goes_through_in_both_directions(bench: Bench) -> None:
    bench.channel.pause_writing()  # before there is anybody to tell
    bench.shake()
    bench.channel.set_write_buffer_limits(high=10)
    bench.channel.pause_writing()
    bench.channel.resume_writing()
    bench.channel.pause_reading()
    bench.channel.resume_reading()
    assert bench.raw.calls == [(10, None), "pause", "resume"]
    assert bench.inner.calls == ["made", "pause", "resume"]
    assert bench.channel.get_write_buffer_size() == 42
    assert bench.channel.get_extra_info("peername") == "raw peername"
    assert isinstance(bench.channel.get_extra_info("ssl_object"), ssl.SSLObject)
    bench.channel.abort()
    assert bench.raw.calls[-1] == "abort"
    assert bench.channel.is_closing()
    bench.channel.pause_reading()
    bench.channel.write(b"x")
    assert bench.raw.calls[-1] == "abort"


@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_a_handshake_that_never_ends_is_cut_off(tmp_path: Path, how: str) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    limit_s = 0.01 if how == "too late" else 60
    work = asyncio.ensure_future(accept_tls(ours, tls_of(tmp_path).context, Inner, limit_s))
    expected: type[BaseException] = ConnectionAbortedError
    if how == "cancelled":
        expected = asyncio.CancelledError
        for _ in range(5):
            await asyncio.sleep(0)
        work.cancel()
    with pytest.raises(expected):
        await work
    await asyncio.sleep(0)
    assert ours.fileno() == -1
    theirs.close()


async def test_a_protocol_that_cannot_begin_is_told_of_the_end_and_nobody_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bench.inner, "connection_made", fail)
    with pytest.raises(MemoryError):
        bench.shake()
    bench.channel.connection_lost(None)
    assert bench.inner.calls == [("lost", None)]
    await bench.shaken
