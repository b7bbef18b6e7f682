from __future__ import annotations

import pickle
import secrets
from typing import Any

import nacl.bindings
import nacl.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.crypto import keys
from jim.crypto.keys import SigningKey, verify
from jim.errors import AuthFailed
from unit_tests.crypto import edwards

MESSAGE = b"jim-auth-1\0 something that is signed"

# RFC 8032, section 7.1: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
            "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

SIGN = 1 << 255
Y_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER = {
    f"{name}{' with sign bit' if sign else ''}": (y | sign).to_bytes(32, "little")
    for sign in (0, SIGN)
    for name, y in {
        "identity": 1,
        "order 2": edwards.P - 1,
        "order 4": 0,
        "order 8": Y_OF_ORDER_8,
        "order 8, other": edwards.P - Y_OF_ORDER_8,
        "order 4, not canonical": edwards.P,
        "identity, not canonical": edwards.P + 1,
    }.items()
}


def forged(public: bytes, message: bytes) -> bytes | None:
    """Make, without any secret, a signature of a small-order key that lax verification accepts."""
    for scalar in range(1, 64):
        r = edwards.encode(edwards.multiply(scalar, edwards.BASE))
        signature = r + scalar.to_bytes(32, "little")
        if edwards.lax_verify(public, signature, message):
            return signature
    return None


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_vectors_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify(key.public, bytes.fromhex(signature), bytes.fromhex(message))


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_every_flipped_bit_of_a_signature_is_refused(
    seed: str, public: str, message: str, signature: str
) -> None:
    raw = bytes.fromhex(signature)
    for bit in range(512):
        bad = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(64, "big")
        with pytest.raises(AuthFailed):
            verify(bytes.fromhex(public), bad, bytes.fromhex(message))


@pytest.mark.parametrize("public", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_small_order_keys_are_refused(public: bytes) -> None:
    point = edwards.decode(public)
    assert point is not None
    assert edwards.multiply(8, point) == edwards.IDENTITY
    signature = forged(public, MESSAGE)
    assert signature is not None, "the test has to hold a signature that lax verification accepts"
    assert not keys.is_public_key(public)
    with pytest.raises(AuthFailed):
        verify(public, signature, MESSAGE)
    with pytest.raises(nacl.exceptions.BadSignatureError):  # libsodium alone refuses as well
        nacl.bindings.crypto_sign_open(signature + MESSAGE, public)


def test_all_fourteen_encodings_of_small_order_are_covered() -> None:
    assert len(set(SMALL_ORDER.values())) == 14
    orders = {edwards.decode(raw) for raw in SMALL_ORDER.values()}
    assert len(orders) == 8


def test_an_s_beyond_the_group_order_is_refused() -> None:
    key = SigningKey.generate()
    good = key.sign(MESSAGE)
    s = int.from_bytes(good[32:], "little")
    for beyond in (s + edwards.L, s + 2 * edwards.L, s + 15 * edwards.L):
        if beyond < 1 << 256:
            bad = good[:32] + beyond.to_bytes(32, "little")
            assert edwards.lax_verify(key.public, bad, MESSAGE)
            with pytest.raises(AuthFailed):
                verify(key.public, bad, MESSAGE)


def test_our_own_check_of_s_does_not_rely_on_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", lambda signed, public: signed[64:])
    key = SigningKey.generate()
    with pytest.raises(AuthFailed):
        verify(key.public, bytes(32) + edwards.L.to_bytes(32, "little"), MESSAGE)
    verify(key.public, bytes(32) + (edwards.L - 1).to_bytes(32, "little"), MESSAGE)
    with pytest.raises(AuthFailed):
        verify(SMALL_ORDER["identity"], bytes(64), MESSAGE)


def test_a_key_of_mixed_order_is_refused() -> None:
    seed = secrets.token_bytes(32)
    scalar = edwards.secret_scalar(seed)
    torsion = edwards.decode(SMALL_ORDER["order 8"])
    assert torsion is not None
    public = edwards.encode(edwards.add(edwards.multiply(scalar, edwards.BASE), torsion))
    r = edwards.encode(edwards.multiply(12345, edwards.BASE))
    s = (12345 + edwards.challenge(r, public, MESSAGE) * scalar) % edwards.L
    signature = r + s.to_bytes(32, "little")
    assert edwards.lax_verify(public, signature, MESSAGE)
    assert not keys.is_public_key(public)
    with pytest.raises(AuthFailed):
        verify(public, signature, MESSAGE)


def test_an_r_of_small_order_is_refused() -> None:
    seed = secrets.token_bytes(32)
    key = SigningKey(seed)
    r = SMALL_ORDER["identity"]
    s = edwards.challenge(r, key.public, MESSAGE) * edwards.secret_scalar(seed) % edwards.L
    signature = r + s.to_bytes(32, "little")
    assert edwards.lax_verify(key.public, signature, MESSAGE)
    with pytest.raises(AuthFailed):
        verify(key.public, signature, MESSAGE)


def test_a_key_that_is_no_point_or_not_canonical_is_refused() -> None:
    not_a_point = next(
        raw for n in range(2, 50) if edwards.decode(raw := n.to_bytes(32, "little")) is None
    )
    for public in (not_a_point, (edwards.P + 3).to_bytes(32, "little"), b"\xff" * 32):
        assert not keys.is_public_key(public)
        with pytest.raises(AuthFailed):
            verify(public, bytes(64), MESSAGE)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_keys_of_a_wrong_length_are_refused(size: int) -> None:
    with pytest.raises(AuthFailed):
        verify(bytes(size), bytes(64), MESSAGE)
    with pytest.raises(ValueError, match="seed"):
        SigningKey(bytes(size))


@pytest.mark.parametrize("size", [0, 32, 63, 65, 128])
def test_signatures_of_a_wrong_length_are_refused(size: int) -> None:
    key = SigningKey.generate()
    padded = (key.sign(MESSAGE) + bytes(64))[:size]
    with pytest.raises(AuthFailed):
        verify(key.public, padded, MESSAGE)


def test_bytes_moved_between_signature_and_message_are_refused() -> None:
    key = SigningKey.generate()
    signature = key.sign(MESSAGE)
    with pytest.raises(AuthFailed):
        verify(key.public, signature + MESSAGE[:1], MESSAGE[1:])
    with pytest.raises(AuthFailed):
        verify(key.public, signature[:40], signature[40:] + MESSAGE)
    with pytest.raises(AuthFailed):
        verify(key.public, signature, MESSAGE + b"\0")


def test_a_foreign_key_is_refused() -> None:
    with pytest.raises(AuthFailed):
        verify(SigningKey.generate().public, SigningKey.generate().sign(MESSAGE), MESSAGE)


def test_the_seed_is_in_no_text_and_no_pickle() -> None:
    key = SigningKey.generate()
    assert key.seed.hex() not in repr(key)
    assert str(key.seed) not in f"{key!r} {key!s}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_seed_gives_the_same_key_again() -> None:
    key = SigningKey.generate()
    assert SigningKey(key.seed).public == key.public
    assert SigningKey.generate().public != key.public


def test_keys_for_other_purposes_never_change_and_are_told_apart_by_their_label() -> None:
    key = SigningKey(bytes(range(32)))
    assert (
        key.derive("store").hex()
        == "e14ce0b931c3e08763f549de3f5fb3ae32e1df3577d9eaa37b0c4ff6e90e6bb5"
    )
    given = {key.derive(label) for label in ("store", "backup", "", "Store", "store ", "ё")}
    assert len(given) == 6
    assert {len(raw) for raw in given} == {32}
    assert SigningKey(bytes(32)).derive("store") != key.derive("store")
    assert not given & {key.seed, key.public}


def test_the_texts_of_a_known_key_never_change() -> None:
    public = SigningKey(bytes(range(32))).public
    assert keys.device_id(public) == "fb2c2bij3q37gzwx"
    assert keys.fingerprint(public) == "kzdv vj2u mndu yauf 35o3 6k6k w462 mujv"
    assert keys.short_fingerprint(public) == "kzdvvj2umnduyauf"
    assert keys.format_pin(public) == "aoqqpp7tzyil4hlq3umoos6atft6jvrqtosq2xy53sdgiesvgg4a"


def test_device_id_is_no_prefix_of_the_fingerprint() -> None:
    public = SigningKey.generate().public
    assert len(keys.device_id(public)) == 16
    assert keys.device_id(public) != keys.short_fingerprint(public)


def test_a_fingerprint_is_eight_groups_of_four() -> None:
    groups = keys.fingerprint(SigningKey.generate().public).split(" ")
    assert [len(group) for group in groups] == [4] * 8


@given(st.binary(min_size=32, max_size=32))
def test_a_pin_is_read_back_however_it_is_typed(seed: bytes) -> None:
    public = SigningKey(seed).public
    pin = keys.format_pin(public)
    assert len(pin) == 52
    typed = f" {pin[:20].upper()}-{pin[20:40]} {pin[40:]}\n"
    assert keys.parse_pin(pin) == keys.parse_pin(typed) == public


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda pin: pin[:-1], "51 characters instead of 52"),
        (lambda pin: pin + "a", "53 characters"),
        (lambda pin: "0" + pin[1:], "meant 'o'"),
        (lambda pin: "é" + pin[1:], "'é'"),
        (lambda pin: "", "0 characters"),
    ],
)
def test_a_wrong_pin_is_explained(change: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        keys.parse_pin(change(keys.format_pin(SigningKey.generate().public)))


def test_a_pin_with_leftover_bits_or_a_small_order_key_is_refused() -> None:
    pin = keys.format_pin(SigningKey(bytes(32)).public)
    for last in "abcdefghijklmnopqrstuvwxyz234567":
        if last not in "aq":  # the two that differ in the key's last bit and leave no other
            with pytest.raises(ValueError, match="wrong"):
                keys.parse_pin(pin[:-1] + last)
    with pytest.raises(ValueError, match="not a key"):
        keys.parse_pin(keys.format_pin(SMALL_ORDER["identity"]))
