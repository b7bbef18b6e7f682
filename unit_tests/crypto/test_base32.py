from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.crypto import base32


@given(st.binary(max_size=70))
def test_what_is_written_is_read_back(raw: bytes) -> None:
    text = base32.encode(raw)
    assert set(text) <= set(base32.ALPHABET)
    assert base32.decode(text, len(raw)) == base32.decode(text.upper(), len(raw)) == raw


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26))
def test_every_value_has_one_spelling(text: str) -> None:
    try:
        raw = base32.decode(text, 16)
    except ValueError:
        return
    assert base32.encode(raw) == text


@pytest.mark.parametrize(
    ("typed", "hint"), [("0", "'o'"), ("1", "'l'"), ("8", "'b'"), ("9", "'g'")]
)
def test_digits_that_do_not_occur_are_explained(typed: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"meant {hint}"):
        base32.decode(typed + "a" * 7, 5)


@pytest.mark.parametrize("text", ["İaaaaaaa", "aaaaaaa=", "aaaa aaa", "ａaaaaaaa", "\u212aaaaaaaa"])
def test_other_signs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"never occurs|characters instead"):
        base32.decode(text, 5)


def test_groups() -> None:
    assert base32.grouped("abcdefghij") == "abcd efgh ij"
    assert base32.grouped("") == ""
