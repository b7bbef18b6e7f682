from __future__ import annotations

import pytest

from jim.crypto import bech32

# BIP 173, "Test vectors": these strings are valid.
VALID = [
    "a12uel5l",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    f"11{'q' * 82}c8247j",
    "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
    "?1ezyfcl",
]


@pytest.mark.parametrize("text", VALID)
def test_vectors_of_bip_173(text: str) -> None:
    prefix, _one, rest = text.rpartition("1")
    values = [bech32.ALPHABET.index(sign) for sign in rest[:-6]]
    assert bech32.encode_values(prefix, values) == text


def test_the_witness_programs_of_bip_173_regroup_their_bytes() -> None:
    program = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    values = [bech32.ALPHABET.index(sign) for sign in address[4:-6]]
    assert bech32.encode("x", program) == bech32.encode_values("x", values)


@pytest.mark.parametrize(("size", "groups"), [(0, 0), (1, 2), (5, 8), (32, 52)])
def test_zeros_fill_up_the_last_group(size: int, groups: int) -> None:
    text = bech32.encode("x", b"\xff" * size)
    assert len(text) == 2 + groups + 6
