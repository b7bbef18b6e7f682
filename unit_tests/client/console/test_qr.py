"""A QR picture in the terminal: its width, and that every square is where it belongs."""

from __future__ import annotations

import pytest
import segno

from jim.client.console.qr import BORDER, HALVES, qr_lines
from jim.crypto.link_code import CHARACTERS, PREFIX

TEXT = PREFIX + "A" * CHARACTERS


def test_a_code_fits_beside_other_text() -> None:
    lines = qr_lines(TEXT)
    assert {len(line) for line in lines} == {29}
    assert len(lines) == 15


def test_the_picture_is_the_one_of_the_text() -> None:
    squares = [
        [line[column] in above for column in range(29)]
        for line in qr_lines(TEXT)
        for above in ((HALVES[2], HALVES[3]), (HALVES[1], HALVES[3]))
    ]
    code = segno.make(TEXT, micro=False, error="m", boost_error=False)
    wanted = [[bool(square) for square in row] for row in code.matrix_iter(border=BORDER)]
    assert code.mode == "alphanumeric"
    assert squares[:29] == wanted
    assert squares[29] == [False] * 29


@pytest.mark.parametrize("letters", [0, 26, 40, 64])
def test_any_code_of_ours_is_at_most_40_columns_wide(letters: int) -> None:
    assert max(map(len, qr_lines(PREFIX + "A" * letters))) <= 40


def test_a_plain_terminal_gets_the_text() -> None:
    assert qr_lines(TEXT, blocks=False) == [TEXT]
