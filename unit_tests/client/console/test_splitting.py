"""Long texts are split without a loss, at the best place there is."""

from __future__ import annotations

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from jim.client.console.splitting import split_text

TEXTS = st.text() | st.text("ab \nя👩\u200d👧🇷🇺e\u0301", max_size=300)


@given(TEXTS, st.integers(4, 64))
def test_the_parts_joined_are_the_text_and_none_is_too_long(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(len(part.encode("utf-8", "surrogatepass")) <= limit for part in parts)
    assert all(parts) or parts == [""]


@given(st.lists(st.sampled_from(["👩\u200d👩\u200d👧", "e\u0301", "🇷🇺", "я", "👍🏽"]), min_size=1))
def test_a_grapheme_that_fits_is_never_divided(clusters: list[str]) -> None:
    text = "".join(clusters)
    whole = list(wcwidth.iter_graphemes(text))
    for part in split_text(text, 40):
        for cluster in wcwidth.iter_graphemes(part):
            assert cluster in whole


def test_the_best_place_is_a_line_then_a_word() -> None:
    assert split_text("one two\nthree four five", 12) == ["one two\n", "three four ", "five"]
    assert split_text("one two three", 9) == ["one two ", "three"]
    assert split_text("a\n" + "b" * 20, 12) == ["a\n" + "b" * 10, "b" * 10]


def test_a_text_within_the_limit_is_one_part() -> None:
    assert split_text("я" * 8, 16) == ["я" * 8]
    assert split_text("", 16) == [""]


def test_200_kilobytes_are_split_in_no_time() -> None:
    text = "👩\u200d👩\u200d👧" * 12_000
    assert "".join(split_text(text, 16 * 1024)) == text


def test_a_limit_below_a_code_point_is_refused() -> None:
    with pytest.raises(ValueError, match="3"):
        split_text("x", 3)
