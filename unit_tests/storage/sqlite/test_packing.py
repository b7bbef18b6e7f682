from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.core.model import Stored
from jim.storage.sqlite.packing import (
    NO_ANSWERS,
    pack_answers,
    pack_marks,
    unpack_answers,
    unpack_marks,
)

ANSWERS = st.lists(
    st.tuples(
        st.integers(1, 2**48 - 1),
        st.integers(0, 2**48 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(1, 2**32 - 1),
    ),
    max_size=12,
)


@given(ANSWERS, st.integers(0, 2**40))
def test_answers_come_back_with_the_numbers_before_the_last_one(
    rows: list[tuple[int, int, int, int]], before: int
) -> None:
    answers: deque[Stored] = deque()
    n = before + 1
    for seq, time_ms, skipped, count in rows:
        answers.append(Stored(n, seq, time_ms, skipped, count))
        n += count
    assert unpack_answers(pack_answers(answers), n - 1) == answers


def test_answers_of_the_version_before_are_read() -> None:
    packed = bytes.fromhex("01 000000000007 000000000005 0002 000000000009 000000000006 0000")
    assert list(unpack_answers(packed, 4)) == [Stored(3, 7, 5, 2), Stored(4, 9, 6)]
    assert list(unpack_answers(NO_ANSWERS, 0)) == []


@pytest.mark.parametrize("packed", [b"", b"\x03", b"\x01abc", b"\x02abc"])
def test_an_unknown_format_is_no_answer(packed: bytes) -> None:
    with pytest.raises(ValueError, match="format"):
        unpack_answers(packed, 3)


@given(st.dictionaries(st.integers(1, 2**53), st.integers(1, 2**53)))
def test_marks_come_back_as_they_were(marks: dict[int, int]) -> None:
    assert unpack_marks(pack_marks(marks)) == marks


def test_no_marks_take_no_room() -> None:
    assert pack_marks({}) == b""
