"""Reaching the right server, and no other one, over real TLS."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

from jim.client import connector as connecting
from jim.client.address import Address
from jim.client.connector import Connector, Contact
from jim.client.known_servers import KnownServer, KnownServers
from jim.crypto import certificate as certificates
from jim.crypto import tls
from jim.crypto.keys import SigningKey, fingerprint
from jim.errors import (
    AuthFailed,
    ConnectFailed,
    JimError,
    NameTaken,
    Replaced,
    Revoked,
    ServerIdentityChanged,
    ServerIdentityInvalid,
    TlsError,
    UnsupportedVersion,
    WireError,
)
from jim.protocol import messages as m
from jim.protocol.replies import error_reply
from unit_tests.client.fake_server import FakeServer, Stream, self_signed
from unit_tests.support.serving import QUICK, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def own(tmp_path: Path) -> tls.ServerTls:
    return self_signed(tmp_path)


@pytest.fixture
async def server(own: tls.ServerTls) -> AsyncIterator[FakeServer]:
    async with FakeServer(own) as server:
        yield server


def connector(
    folder: Path,
    port: int,
    host: str = "127.0.0.1",
    pin: bytes | None = None,
    ca_file: Path | None = None,
) -> Connector:
    return Connector(Address(host, port), folder / "data", pin=pin, ca_file=ca_file)


async def meet(connector: Connector) -> Contact:
    contact = await connector.connect()
    await contact.link.aclose()
    return contact


async def test_a_first_contact_is_remembered_in_a_private_file(
    server: FakeServer, tmp_path: Path
) -> None:
    contact = await meet(connector(tmp_path, server.port))
    assert contact.first
    assert contact.greeting.server_id == server.identity.public
    assert contact.greeting.terms.server == "fake"
    path = tmp_path / "data" / "known_servers"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith(f"127.0.0.1:{server.port} pin ")
    again = connector(tmp_path, server.port)
    assert await again.identity() == server.identity.public
    assert not (await meet(again)).first


async def test_another_identity_at_a_known_address_is_refused(
    server: FakeServer, own: tls.ServerTls, tmp_path: Path
) -> None:
    known = SigningKey.generate().public
    address = Address("127.0.0.1", server.port)
    KnownServers(tmp_path / "data").remember(address, "pin", known)
    with pytest.raises(ServerIdentityChanged) as raised:
        await connector(tmp_path, server.port).connect()
    assert raised.value.fields["known"] == fingerprint(known)
    assert raised.value.fields["shown"] == fingerprint(server.identity.public)
    assert KnownServers(tmp_path / "data").all() == [KnownServer(str(address), "pin", known)]


async def test_a_pin_of_an_invite_holds_at_the_first_contact(
    server: FakeServer, tmp_path: Path
) -> None:
    with pytest.raises(ServerIdentityChanged):
        await connector(tmp_path, server.port, pin=SigningKey.generate().public).connect()
    assert KnownServers(tmp_path / "data").all() == []
    right = connector(tmp_path, server.port, pin=server.identity.public)
    assert await right.identity() == server.identity.public
    await meet(right)
    with pytest.raises(ServerIdentityChanged):
        await connector(tmp_path, server.port, pin=SigningKey.generate().public).identity()


async def test_a_renewed_certificate_raises_no_alarm(server: FakeServer, tmp_path: Path) -> None:
    await meet(connector(tmp_path, server.port))
    renewed = self_signed(tmp_path, "renewed")
    assert renewed.spki != server.certificate.spki
    async with FakeServer(renewed, identity=server.identity) as later:
        KnownServers(tmp_path / "data").remember(
            Address("127.0.0.1", later.port), "pin", server.identity.public
        )
        assert not (await meet(connector(tmp_path, later.port))).first


async def test_a_relay_with_a_certificate_of_its_own_is_found_out(
    own: tls.ServerTls, tmp_path: Path
) -> None:
    """It passes the real server's proof on, which speaks of the real server's certificate."""
    relays = self_signed(tmp_path, "relay")
    async with FakeServer(own, context=relays.context) as relay:
        with pytest.raises(ServerIdentityInvalid) as raised:
            await connector(tmp_path, relay.port).connect()
    assert raised.value.fields["reason"] == "spki"
    assert KnownServers(tmp_path / "data").all() == []


@pytest.mark.parametrize("lie", ["sig", "snonce", "terms", "server_id"])
async def test_a_proof_that_is_not_one_is_refused(
    own: tls.ServerTls, tmp_path: Path, lie: str
) -> None:
    lies: dict[str, Any] = {
        "sig": bytes(64),
        "snonce": bytes(32),
        "terms": "{}",
        "server_id": SigningKey.generate().public,
    }
    async with FakeServer(own, **{lie: lies[lie]}) as server:
        with pytest.raises(ServerIdentityInvalid):
            await connector(tmp_path, server.port).connect()
    assert KnownServers(tmp_path / "data").all() == []


async def test_a_relay_that_claims_its_own_certificate_cannot_sign_for_it(
    own: tls.ServerTls, tmp_path: Path
) -> None:
    relays = self_signed(tmp_path, "relay")
    async with FakeServer(own, context=relays.context, spki=relays.spki) as relay:
        with pytest.raises(ServerIdentityInvalid) as raised:
            await connector(tmp_path, relay.port).connect()
    assert raised.value.fields["reason"] == "signature"


# --- certificate authorities ----------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return ca


def issued(ca: trustme.CA, folder: Path, host: str) -> tls.ServerTls:
    leaf = ca.issue_cert(host)
    leaf.cert_chain_pems[0].write_to_path(folder / "leaf.pem")
    leaf.private_key_pem.write_to_path(folder / "leaf.key")
    (folder / "leaf.key").chmod(0o600)
    now = datetime.datetime.now(datetime.UTC)
    given = certificates.load_given(folder / "leaf.pem", folder / "leaf.key", now)
    return tls.server_tls(given)


async def test_a_certificate_of_an_authority_is_verified_and_stays_required(
    authority: trustme.CA, own: tls.ServerTls, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    async with FakeServer(issued(authority, tmp_path, "localhost")) as server:
        contact = await meet(connector(tmp_path, server.port, "localhost", ca_file=ca_file))
        assert (contact.first, contact.link.mode) == (True, "ca")
        identity, port = server.identity, server.port
    # Later the same server, with the same identity, shows a certificate that nobody vouches for.
    async with FakeServer(own, identity=identity) as fallen:
        data = KnownServers(tmp_path / "data")
        assert data.find(Address("localhost", port)) is not None
        data.remember(Address("localhost", fallen.port), "ca", identity.public)
        for named in (ca_file, None):
            with pytest.raises(TlsError, match="certificate"):
                await connector(tmp_path, fallen.port, "localhost", ca_file=named).connect()
        assert {known.mode for known in data.all()} == {"ca"}


async def test_a_certificate_for_another_host_is_refused(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async with FakeServer(issued(authority, tmp_path, "elsewhere.example")) as server:
        with pytest.raises(TlsError, match="localhost"):
            await connector(
                tmp_path, server.port, "localhost", ca_file=tmp_path / "ca.pem"
            ).connect()


async def test_who_names_authorities_gets_no_first_use_trust(
    authority: trustme.CA, server: FakeServer, tmp_path: Path
) -> None:
    with pytest.raises(TlsError):
        await connector(tmp_path, server.port, ca_file=tmp_path / "ca.pem").connect()
    assert KnownServers(tmp_path / "data").all() == []
    with pytest.raises(TlsError):
        await connector(tmp_path, server.port, ca_file=tmp_path / "missing.pem").connect()


async def test_a_known_pin_becomes_stricter_when_an_authority_vouches(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async with FakeServer(issued(authority, tmp_path, "localhost")) as server:
        assert (await meet(connector(tmp_path, server.port, "localhost"))).link.mode == "pin"
        await meet(connector(tmp_path, server.port, "localhost", ca_file=tmp_path / "ca.pem"))
    (known,) = KnownServers(tmp_path / "data").all()
    assert known.mode == "ca"


async def test_a_host_name_is_tried_with_authorities_first_and_pinned_if_nobody_vouches(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Address, "has_public_name", True)
    contact = await meet(connector(tmp_path, server.port, "localhost"))
    assert (contact.first, contact.link.mode) == (True, "pin")
    assert server.connections >= 1


# --- no JIM there ---------------------------------------------------------------------------------


async def failing(port: int, folder: Path) -> JimError:
    with pytest.raises(JimError) as raised:
        await connector(folder, port).connect()
    assert KnownServers(folder / "data").all() == []
    return raised.value


async def test_nobody_listens(server: FakeServer, tmp_path: Path) -> None:
    port = server.port
    await server.__aexit__()
    error = await failing(port, tmp_path)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "refused"


async def test_a_server_without_tls(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        error = await failing(server.sockets[0].getsockname()[1], tmp_path)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "tls"


async def test_a_server_that_has_no_place_left(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(QUICK, connections_per_address=1, exempt_networks=())
    async with serving(tmp_path / "server", limits) as real:
        await real.join("alice")
        error = await failing(real.port, tmp_path)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "turned_away"


async def test_a_server_that_hangs_up_at_once(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        error = await failing(server.sockets[0].getsockname()[1], tmp_path)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "closed"


async def test_tls_before_1_3_is_not_spoken(own: tls.ServerTls, tmp_path: Path) -> None:
    own.context.minimum_version = ssl.TLSVersion.TLSv1_2
    own.context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with FakeServer(own) as server:
        error = await failing(server.port, tmp_path)
    assert isinstance(error, ConnectFailed)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"action":"pong","id":1}\n']
)
async def test_a_server_of_something_else(
    own: tls.ServerTls, tmp_path: Path, answer: bytes
) -> None:
    async def talk(stream: Stream) -> None:
        stream._writer.write(answer)
        await stream.receive()

    async with FakeServer(own, script=talk) as server:
        server.greets = False
        error = await failing(server.port, tmp_path)
    assert isinstance(error, ConnectFailed)
    assert error.fields["reason"] == "protocol"


async def test_a_server_that_says_nothing(
    own: tls.ServerTls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "LOGIN_S", 0.05)
    async with FakeServer(own) as server:
        server.greets = False
        error = await failing(server.port, tmp_path)
    assert error.fields["reason"] == "timeout"


@pytest.mark.parametrize(
    "refusal", [Revoked(), AuthFailed(), Replaced(), NameTaken(), UnsupportedVersion()]
)
async def test_a_refusal_without_a_proof_ends_nothing_for_good(
    own: tls.ServerTls, tmp_path: Path, refusal: WireError
) -> None:
    """Whoever answers once in the place of a server that is known can be anybody."""

    async def talk(stream: Stream) -> None:
        (hello,) = await stream.receive()
        assert isinstance(hello, m.Hello)
        stream.send(error_reply(refusal, 0, hello.id))

    async with FakeServer(own, script=talk) as server:
        address = Address("127.0.0.1", server.port)
        KnownServers(tmp_path / "data").remember(address, "pin", server.identity.public)
        server.greets = False
        with pytest.raises(ConnectFailed) as raised:
            await connector(tmp_path, server.port).connect()
    error = raised.value
    is_version = isinstance(refusal, UnsupportedVersion)
    assert error.fields["reason"] == ("version" if is_version else "unproven")
    assert not error.final


async def test_a_server_of_another_version(own: tls.ServerTls, tmp_path: Path) -> None:
    async def talk(stream: Stream) -> None:
        (hello,) = await stream.receive()
        assert isinstance(hello, m.Hello)
        stream.send(error_reply(UnsupportedVersion(), 0, hello.id))

    async with FakeServer(own, script=talk) as server:
        server.greets = False
        error = await failing(server.port, tmp_path)
    assert isinstance(error, UnsupportedVersion)
