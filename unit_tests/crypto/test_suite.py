from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.crypto.suite import Sealed, read_ciphertext, write_ciphertext
from jim.errors import CannotDecrypt


def test_a_ciphertext_as_the_protocol_writes_it() -> None:
    assert write_ciphertext(Sealed("1", True, b"\xff\xfe\xfd\xfc")) == "1p//79/A"
    assert write_ciphertext(Sealed("1", False, b"\0")) == "1mAA"


@given(st.sampled_from("123ab"), st.booleans(), st.binary(min_size=1, max_size=600))
def test_what_was_written_is_read_back(suite: str, is_first: bool, body: bytes) -> None:
    sealed = Sealed(suite, is_first, body)
    text = write_ciphertext(sealed)
    assert text.isascii()
    assert "=" not in text
    assert read_ciphertext(text) == sealed


@pytest.mark.parametrize(
    "text",
    ["", "1", "1p", "1m", "1xAA", "1PAA", "p1AA", "1pA", "1pAA AA", "1p\nAA", "1pA-_A", "1pёё"],
)
def test_anything_else_is_no_ciphertext(text: str) -> None:
    with pytest.raises(CannotDecrypt) as caught:
        read_ciphertext(text)
    assert caught.value.fields["reason"] == "format"


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        sealed = read_ciphertext(text)
    except CannotDecrypt:
        return
    assert sealed.body
