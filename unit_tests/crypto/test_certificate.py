from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from jim.crypto import certificate
from jim.crypto.certificate import ServerCertificate, ensure_certificate, load_given
from jim.errors import KeyFileError, TlsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[list[str]]:
    says: list[str] = []
    with pytest.raises(TlsError) as caught:
        yield says
    assert caught.value.fields["reason"] == reason
    says.append(str(caught.value))


def parsed(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(leaf: x509.Certificate) -> set[str]:
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = found.get_values_for_type(x509.IPAddress)
    return {*found.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tls" / "server.pem"


@pytest.fixture
def given_pair(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path, "given", certificate.make_certificate(["chat.example.org"], NOW))


def written(directory: Path, name: str, pem: bytes) -> tuple[Path, Path]:
    """Split the PEM of key and certificate into two files, as operators have them."""
    key, begin, rest = pem.partition(b"-----BEGIN CERTIFICATE")
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    paths[0].write_bytes(begin + rest)
    paths[1].write_bytes(key)
    paths[1].chmod(0o600)
    return paths


def test_a_new_certificate_has_what_strict_clients_want(path: Path) -> None:
    ensure_certificate(path, ["chat.example.org", "192.0.2.7", "2001:db8::7"], NOW)
    leaf = parsed(path)
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(leaf.public_key().curve, ec.SECP256R1)  # type: ignore[union-attr]
    assert leaf.version is x509.Version.v3
    assert leaf.issuer == leaf.subject
    assert leaf.serial_number > 2**64
    extensions = leaf.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.digital_signature
    assert not usage.value.key_encipherment
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    assert extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == server
    subject_key = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == subject_key.digest
    assert names(leaf) == {
        "localhost",
        "127.0.0.1",
        "::1",
        "chat.example.org",
        "192.0.2.7",
        "2001:db8::7",
    }


def test_validity_covers_skewed_clocks_and_a_year(path: Path) -> None:
    ensure_certificate(path, [], NOW)
    leaf = parsed(path)
    assert leaf.not_valid_before_utc == NOW - DAY
    assert leaf.not_valid_after_utc == NOW + 365 * DAY


def test_names_that_nobody_can_ask_for_are_left_out(path: Path) -> None:
    ensure_certificate(path, ["", "0.0.0.0", "::", "чат.рф", "fe80::1%eth0", "x" * 70], NOW)
    russian = "xn--80a0bn.xn--p1ai"
    assert names(parsed(path)) == {"localhost", "127.0.0.1", "::1", "fe80::1", russian}


def test_the_file_is_private_and_holds_key_and_certificate(path: Path) -> None:
    made = ensure_certificate(path, [], NOW)
    assert made.certificate == made.key == path
    key = load_pem_private_key(path.read_bytes(), None)
    assert key.public_key() == parsed(path).public_key()
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_good_certificate_is_used_again(path: Path) -> None:
    first = ensure_certificate(path, ["chat"], NOW)
    content = path.read_bytes()
    for now in (NOW, NOW + 334 * DAY):
        assert ensure_certificate(path, [], now) == first
        assert ensure_certificate(path, ["chat"], now) == first
    assert path.read_bytes() == content


@pytest.mark.parametrize("days", [336, 365, 4000, -2])
def test_an_old_certificate_is_renewed_with_a_new_key(path: Path, days: int) -> None:
    first = ensure_certificate(path, [], NOW)
    later = NOW + days * DAY
    second = ensure_certificate(path, [], later)
    assert second.spki != first.spki
    assert parsed(path).not_valid_after_utc == later + 365 * DAY


def test_a_new_name_renews_it(path: Path) -> None:
    first = ensure_certificate(path, [], NOW)
    assert ensure_certificate(path, ["chat.example.org"], NOW).spki != first.spki
    assert "chat.example.org" in names(parsed(path))


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_certificate_is_made_anew(path: Path, content: bytes) -> None:
    ensure_certificate(path, [], NOW)
    path.write_bytes(content)
    assert ensure_certificate(path, [], NOW).spki


def test_a_certificate_without_its_key_is_made_anew(path: Path) -> None:
    first = ensure_certificate(path, [], NOW)
    path.write_bytes(path.read_bytes().partition(b"-----BEGIN CERTIFICATE")[2])
    assert ensure_certificate(path, [], NOW).spki != first.spki


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_a_certificate_file_that_others_can_read_is_refused(path: Path) -> None:
    ensure_certificate(path, [], NOW)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ensure_certificate(path, [], NOW)


def test_spki_is_the_hash_of_the_public_key_as_openssl_gives_it(path: Path) -> None:
    made = ensure_certificate(path, [], NOW)
    leaf = parsed(path)
    info = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.spki == hashlib.sha256(info).digest()
    assert made.spki == certificate.spki_sha256(leaf.public_bytes(Encoding.DER))
    assert info in leaf.public_bytes(Encoding.DER)


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x00", os.urandom(300)])
def test_what_is_no_certificate_has_no_spki(der: bytes) -> None:
    with refused("unreadable"):
        certificate.spki_sha256(der)


# --- given files ---


def test_a_given_pair_is_taken(given_pair: tuple[Path, Path]) -> None:
    made = load_given(*given_pair, NOW)
    leaf = parsed(given_pair[0])
    assert made == ServerCertificate(
        *given_pair,
        certificate.spki_sha256(leaf.public_bytes(Encoding.DER)),
    )


def test_the_leaf_of_a_chain_file_comes_first(
    given_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = load_given(*given_pair, NOW)
    other, _ = written(tmp_path, "ca", certificate.make_certificate(["ca"], NOW))
    given_pair[0].write_bytes(given_pair[0].read_bytes() + other.read_bytes())
    assert load_given(*given_pair, NOW).spki == alone.spki


def test_a_foreign_key_is_a_mismatch(given_pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, foreign = written(tmp_path, "other", certificate.make_certificate(["x"], NOW))
    with refused("mismatch") as says:
        load_given(given_pair[0], foreign, NOW)
    assert str(foreign) in says[0]
    assert str(given_pair[0]) in says[0]


def test_dates_are_checked(given_pair: tuple[Path, Path]) -> None:
    load_given(*given_pair, NOW + 365 * DAY)
    with refused("expired") as says:
        load_given(*given_pair, NOW + 366 * DAY)
    assert "2027-03-01" in says[0]
    with refused("not_yet_valid"):
        load_given(*given_pair, NOW - 2 * DAY)


@pytest.mark.parametrize("which", [0, 1])
def test_missing_and_damaged_files_are_named(given_pair: tuple[Path, Path], which: int) -> None:
    given_pair[which].write_bytes(b"rubbish")
    with refused("unreadable") as says:
        load_given(*given_pair, NOW)
    assert str(given_pair[which]) in says[0]
    given_pair[which].unlink()
    with refused("unreadable") as says:
        load_given(*given_pair, NOW)
    assert "No such file" in says[0]


def test_swapped_files_are_named(given_pair: tuple[Path, Path]) -> None:
    given_pair[0].chmod(0o600)
    with refused("unreadable"):
        load_given(given_pair[1], given_pair[0], NOW)


def test_an_encrypted_key_is_refused_without_asking(given_pair: tuple[Path, Path]) -> None:
    key = load_pem_private_key(given_pair[1].read_bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    given_pair[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    with refused("encrypted"):
        load_given(*given_pair, NOW)


ROOT = sys.platform != "win32" and os.geteuid() == 0


@pytest.mark.skipif(not ROOT, reason="files of root are made by root")
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_key_of_root_may_be_read_by_its_group(given_pair: tuple[Path, Path], mode: int) -> None:
    given_pair[1].chmod(mode)
    load_given(*given_pair, NOW)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602, 0o650, 0o641, 0o777])
def test_a_key_that_others_can_use_is_refused(given_pair: tuple[Path, Path], mode: int) -> None:
    given_pair[1].chmod(mode)
    with refused("permissions") as says:
        load_given(*given_pair, NOW)
    assert "chmod" in says[0]


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_a_key_of_somebody_else_is_refused(given_pair: tuple[Path, Path]) -> None:
    os.chown(given_pair[1], 12345, -1)
    with refused("permissions"):
        load_given(*given_pair, NOW)


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_our_own_key_may_not_be_read_by_a_group(
    given_pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(given_pair[1], 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    load_given(*given_pair, NOW)
    given_pair[1].chmod(0o640)
    with refused("permissions") as says:
        load_given(*given_pair, NOW)
    assert "chmod 600" in says[0]


def test_ip_names_are_addresses_not_dns_names(path: Path) -> None:
    ensure_certificate(path, ["192.0.2.7"], NOW)
    found = parsed(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("192.0.2.7") in found.get_values_for_type(x509.IPAddress)
    assert "192.0.2.7" not in found.get_values_for_type(x509.DNSName)
