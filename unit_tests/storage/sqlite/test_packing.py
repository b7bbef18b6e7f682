from __future__ import annotations

from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.core.model import Stored
from jim.storage.sqlite.packing import (
    NO_ANSWERS,
    append_answers,
    pack_marks,
    unpack_answers,
    unpack_marks,
)

ANSWERS = st.lists(
    st.tuples(st.integers(1, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1)).map(
        lambda columns: Stored(0, *columns)
    ),
    max_size=12,
)


@given(st.lists(ANSWERS, max_size=6), st.integers(1, 10))
def test_appending_keeps_the_last_window_in_order(batches: list[list[Stored]], window: int) -> None:
    packed = NO_ANSWERS
    expected: deque[Stored] = deque(maxlen=window)
    n = 0
    for batch in batches:
        for answer in batch:
            n += 1
            expected.append(msgspec.structs.replace(answer, n=n))
        packed = append_answers(packed, batch, window)
        assert unpack_answers(packed, n) == expected


def test_a_window_that_was_made_smaller_drops_the_oldest() -> None:
    packed = append_answers(NO_ANSWERS, [Stored(n, n, 5) for n in range(1, 9)], 8)
    packed = append_answers(packed, [Stored(9, 9, 5)], 3)
    assert [answer.n for answer in unpack_answers(packed, 9)] == [7, 8, 9]


@pytest.mark.parametrize("packed", [b"", b"\x02", b"\x01abc"])
def test_an_unknown_format_is_no_answer(packed: bytes) -> None:
    with pytest.raises(ValueError, match="format"):
        unpack_answers(packed, 3)


@given(st.dictionaries(st.integers(1, 2**53), st.integers(1, 2**53)))
def test_marks_come_back_as_they_were(marks: dict[int, int]) -> None:
    assert unpack_marks(pack_marks(marks)) == marks


def test_no_marks_take_no_room() -> None:
    assert pack_marks({}) == b""
