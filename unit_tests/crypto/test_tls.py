from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from jim.crypto import certificate, tls
from jim.errors import TlsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = datetime.now(UTC)
T = TypeVar("T")


@pytest.fixture
def made(tmp_path: Path) -> certificate.ServerCertificate:
    return certificate.ensure_certificate(tmp_path / "tls" / "server.pem", ["chat.test"], NOW)


@contextlib.contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    """Greet every TLS connection with one line, over real sockets."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                raw.settimeout(5)
                with contextlib.suppress(OSError):
                    with_tls = context.wrap_socket(raw, server_side=True)
                    with with_tls:
                        with_tls.sendall(b"hello\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def connect(port: int, context: ssl.SSLContext, name: str, look: Callable[[ssl.SSLSocket], T]) -> T:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as peer,
    ):
        assert peer.recv(100) == b"hello\n"
        return look(peer)


def version(peer: ssl.SSLSocket) -> str | None:
    return peer.version()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "chat.test"])
def test_the_certificate_passes_strict_verification(
    made: certificate.ServerCertificate, name: str
) -> None:
    context = tls.ca_context(made.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    with serving(tls.server_tls(made).context) as port:
        assert connect(port, context, name, version) == "TLSv1.3"


def test_a_foreign_name_or_certificate_fails_ca_verification(
    made: certificate.ServerCertificate, tmp_path: Path
) -> None:
    with serving(tls.server_tls(made).context) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            connect(port, tls.ca_context(made.certificate), "other.test", version)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, tls.ca_context(), "localhost", version)
        other = certificate.ensure_certificate(tmp_path / "other.pem", [], NOW)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, tls.ca_context(other.certificate), "localhost", version)


def test_an_expired_certificate_fails_ca_verification(tmp_path: Path) -> None:
    past = NOW - timedelta(days=400)
    old = certificate.ensure_certificate(tmp_path / "old.pem", [], past)
    with (
        serving(tls.server_tls(old).context) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        connect(port, tls.ca_context(old.certificate), "localhost", version)


def test_pinning_sees_the_spki_of_the_certificate_of_this_connection(
    made: certificate.ServerCertificate,
) -> None:
    server = tls.server_tls(made)
    with serving(server.context) as port:
        seen = connect(port, tls.pinning_context(), "anything.test", tls.peer_spki)
    assert seen == server.spki == made.spki


def test_pinning_accepts_an_expired_certificate_because_the_identity_is_signed(
    tmp_path: Path,
) -> None:
    past = NOW - timedelta(days=4000)
    old = certificate.ensure_certificate(tmp_path / "old.pem", [], past)
    with serving(tls.server_tls(old).context) as port:
        assert connect(port, tls.pinning_context(), "x.test", tls.peer_spki) == old.spki


def old_client(highest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = highest
    return context


def test_tls_1_2_is_refused_by_default(made: certificate.ServerCertificate) -> None:
    context = tls.server_tls(made).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    with (
        serving(tls.server_tls(made).context) as port,
        pytest.raises(ssl.SSLError, match=r"version|alert"),
    ):
        connect(port, old_client(ssl.TLSVersion.TLSv1_2), "localhost", version)


def test_the_intermediate_profile_takes_tls_1_2_with_good_ciphers_alone(
    made: certificate.ServerCertificate,
) -> None:
    context = tls.server_tls(made, intermediate=True).context
    with serving(context) as port:
        client = old_client(ssl.TLSVersion.TLSv1_2)
        assert connect(port, client, "localhost", version) == "TLSv1.2"
        cipher = connect(port, client, "localhost", lambda peer: peer.cipher())
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-ECDSA-")
        client.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256")
        with pytest.raises(ssl.SSLError):
            connect(port, client, "localhost", version)
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("intermediate", [False, True])
def test_our_client_speaks_tls_1_3_with_either_profile(
    made: certificate.ServerCertificate, intermediate: bool
) -> None:
    with serving(tls.server_tls(made, intermediate=intermediate).context) as port:
        assert connect(port, tls.pinning_context(), "localhost", version) == "TLSv1.3"
        assert connect(port, tls.ca_context(made.certificate), "localhost", version) == "TLSv1.3"


def test_our_client_refuses_a_server_of_tls_1_2(made: certificate.ServerCertificate) -> None:
    context = tls.server_tls(made, intermediate=True).context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(context) as port:
        assert connect(port, old_client(ssl.TLSVersion.TLSv1_2), "x.test", version) == "TLSv1.2"
        for client in (tls.pinning_context(), tls.ca_context(made.certificate)):
            with pytest.raises(ssl.SSLError, match=r"version|alert"):
                connect(port, client, "localhost", version)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("intermediate", [False, True])
def test_tls_1_1_is_refused_by_either_profile(
    made: certificate.ServerCertificate, intermediate: bool
) -> None:
    context = tls.server_tls(made, intermediate=intermediate).context
    client = old_client(ssl.TLSVersion.TLSv1_1)
    client.minimum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")  # below which OpenSSL 3 would not even offer it
    with serving(context) as port, pytest.raises(ssl.SSLError, match=r"protocol.version"):
        connect(port, client, "localhost", version)


def can_name(group: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(group)
    except (ValueError, ssl.SSLError):
        return False
    return True


@pytest.mark.parametrize("error", [ssl.SSLError("EC: UNKNOWN_GROUP"), ValueError("unknown")])
def test_where_python_cannot_name_x25519_it_is_p_256(
    made: certificate.ServerCertificate, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    named = ssl.SSLContext.set_ecdh_curve

    def without_x25519(context: ssl.SSLContext, group: str) -> None:
        if group == "X25519":
            raise error
        named(context, group)

    monkeypatch.setattr(ssl.SSLContext, "set_ecdh_curve", without_x25519)
    client = tls.pinning_context()
    client.set_ecdh_curve("prime256v1")
    with serving(tls.server_tls(made).context) as port:
        assert connect(port, client, "localhost", version) == "TLSv1.3"


@pytest.mark.parametrize(
    ("intermediate", "group", "accepted"),
    [
        (False, "X25519", True),
        (False, "secp521r1", False),
        (True, "prime256v1", True),
        (True, "secp521r1", False),
    ],
)
@pytest.mark.skipif(not can_name("X25519"), reason="this Python has P-256 in both")
def test_keys_are_agreed_on_with_the_group_of_the_profile_alone(
    made: certificate.ServerCertificate, intermediate: bool, group: str, accepted: bool
) -> None:
    client = tls.pinning_context()
    client.set_ecdh_curve(group)
    with serving(tls.server_tls(made, intermediate=intermediate).context) as port:
        if accepted:
            assert connect(port, client, "localhost", version) == "TLSv1.3"
        else:
            with pytest.raises(ssl.SSLError):
                connect(port, client, "localhost", version)


def test_clients_never_speak_less_than_tls_1_3() -> None:
    for context in (tls.pinning_context(), tls.ca_context()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.options & ssl.OP_NO_COMPRESSION


def test_servers_neither_compress_nor_renegotiate_nor_send_tickets(
    made: certificate.ServerCertificate,
) -> None:
    context = tls.server_tls(made).context
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.num_tickets == 0
    with serving(context) as port:
        client = tls.pinning_context()
        assert connect(port, client, "localhost", lambda peer: peer.compression()) is None
        session = connect(port, client, "localhost", lambda peer: peer.session)
        assert session is None or not session.has_ticket
    with serving(tls.server_tls(made, intermediate=True).context) as port:
        older = old_client(ssl.TLSVersion.TLSv1_2)
        session = connect(port, older, "localhost", lambda peer: peer.session)
        assert session is not None
        assert not session.has_ticket


def test_a_connection_without_a_certificate_has_no_spki() -> None:
    with pytest.raises(TlsError):
        tls.peer_spki(None)
    unconnected = tls.pinning_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    with pytest.raises(TlsError):
        tls.peer_spki(unconnected)


def test_a_missing_or_empty_ca_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(TlsError, match=r"ca\.pem"):
        tls.ca_context(path)
    path.touch()
    with pytest.raises(TlsError, match=r"ca\.pem"):
        tls.ca_context(path)


def test_a_file_that_vanished_between_check_and_use_is_one_error(
    made: certificate.ServerCertificate,
) -> None:
    made.certificate.unlink()
    with pytest.raises(TlsError, match=r"server\.pem"):
        tls.server_tls(made)
