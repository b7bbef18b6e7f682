"""Wycheproof's vectors (see vectors/README.md) through what we verify and agree keys with."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
import vodozemac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from jim.crypto.keys import EncryptionKeys, is_public_key, verify
from jim.crypto.olm import Olm
from jim.errors import AuthFailed, CannotDecrypt
from unit_tests.crypto import edwards

VECTORS = Path(__file__).parent / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Read the tests of a file, bytes as bytes."""
    texts = {"tcId", "comment", "flags", "result"}
    return [
        {field: value if field in texts else bytes.fromhex(value) for field, value in row.items()}
        for row in json.loads((VECTORS / name).read_text(encoding="utf-8"))
    ]


ED25519 = load("wycheproof_ed25519.json")
X25519 = load("wycheproof_x25519.json")
LOW_ORDER = sorted({row["public"] for row in X25519 if "ZeroSharedSecret" in row["flags"]})


def named(row: dict[str, Any]) -> str:
    return f"{row['tcId']} {row['result']}"


def test_the_files_are_whole() -> None:
    assert [row["tcId"] for row in ED25519] == list(range(1, 211))
    assert [row["tcId"] for row in X25519] == list(range(1, 519))


# --- Ed25519 ---


@pytest.mark.parametrize("row", ED25519, ids=named)
def test_a_valid_signature_verifies_and_every_other_fails(row: dict[str, Any]) -> None:
    if row["result"] == "valid":
        verify(row["pk"], row["sig"], row["msg"])
        return
    with pytest.raises(AuthFailed):
        verify(row["pk"], row["sig"], row["msg"])


def test_what_is_acceptable_elsewhere_is_refused_for_its_key() -> None:
    rows = [row for row in ED25519 if row["result"] == "acceptable"]
    assert {flag for row in rows for flag in row["flags"]} == {
        "SmallOrderPublicKey",
        "MixedOrderPublicKey",
    }
    for row in rows:
        assert not is_public_key(row["pk"])
        assert edwards.lax_verify(row["pk"], row["sig"], row["msg"])


# --- X25519 ---


def text(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


def sealed_with(shared: bytes, public: bytes) -> vodozemac.Message:
    """Seal "hello" as libolm's m.megolm_backup.v1 does with a shared secret.

    It is the one way to vodozemac's X25519 with a private key of one's own choice: opening this
    succeeds if, and only if, both have the same secret. Its MAC is over nothing, as libolm's is,
    which is why JIM never uses it.
    """
    derived = HKDF(SHA256(), 80, None, b"").derive(shared)
    padder = PKCS7(128).padder()
    padded = padder.update(b"hello") + padder.finalize()
    encryptor = Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[64:])).encryptor()
    body = encryptor.update(padded) + encryptor.finalize()
    mac = hmac.digest(derived[32:64], b"", "sha256")[:8]
    return vodozemac.Message.from_base64(text(body), text(mac), text(public))


@pytest.mark.parametrize("row", X25519, ids=named)
def test_vodozemac_agrees_on_the_shared_secret_and_refuses_zero(row: dict[str, Any]) -> None:
    key = vodozemac.PkDecryption.from_key(vodozemac.Curve25519SecretKey.from_bytes(row["private"]))
    message = sealed_with(row["shared"], row["public"])
    assert ("ZeroSharedSecret" in row["flags"]) == (row["shared"] == bytes(32))
    if row["shared"] == bytes(32):
        with pytest.raises(vodozemac.PkDecodeException, match="contributory"):
            key.decrypt(message)
        return
    assert key.decrypt(message) == b"hello"


def test_a_wrong_secret_does_not_open_it() -> None:
    row = X25519[0]
    key = vodozemac.PkDecryption.from_key(vodozemac.Curve25519SecretKey.from_bytes(row["private"]))
    with pytest.raises(vodozemac.PkDecodeException):
        key.decrypt(sealed_with(bytes([row["shared"][0] ^ 1]) + row["shared"][1:], row["public"]))


@pytest.mark.parametrize("public", LOW_ORDER, ids=bytes.hex)
def test_no_session_is_begun_with_a_key_of_low_order(public: bytes) -> None:
    alice, bob = Olm().new_account(), Olm().new_account()
    [key] = bob.new_one_time_keys(1)
    for peer, other in ((bob.keys, public), (EncryptionKeys(bob.keys.ed, public), key)):
        with pytest.raises(CannotDecrypt) as caught:
            alice.begin(peer, other)
        assert caught.value.fields["reason"] == "key"


@pytest.mark.parametrize("public", LOW_ORDER, ids=bytes.hex)
def test_no_session_is_accepted_with_a_key_of_low_order(public: bytes) -> None:
    alice, bob = Olm().new_account(), Olm().new_account()
    [key] = bob.new_one_time_keys(1)
    first = alice.begin(bob.keys, key).encrypt(b"x")
    base = first.body.index(b"\x12\x20") + 2  # field 2 of a pre-key message: the base key
    bad = first._replace(body=first.body[:base] + public + first.body[base + 32 :])
    with pytest.raises(CannotDecrypt):
        bob.accept(alice.keys, bad)
    with pytest.raises(CannotDecrypt):
        bob.accept(EncryptionKeys(alice.keys.ed, public), first)


def test_all_low_order_points_of_curve25519_are_covered() -> None:
    """0, 1, -1 and the two of order 8; p and p + 1 are 0 and 1 again; each with the top bit."""
    assert len(LOW_ORDER) == 14
    assert len({int.from_bytes(raw, "little") % 2**255 % edwards.P for raw in LOW_ORDER}) == 5
