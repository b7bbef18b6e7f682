from __future__ import annotations

import re

import pytest

from jim.crypto.safety_number import account_number, safety_number

ALICE = ("alice", bytes(range(32)))
PETER = ("пётр", bytes(range(32, 64)))


def test_known_numbers_never_change() -> None:
    assert account_number(*ALICE) == "77055 43704 71259 77845 65708 23823"
    assert account_number(*PETER) == "02482 78957 84693 64276 95840 45658"
    assert safety_number(ALICE, PETER) == (
        "02482 78957 84693 64276 95840 45658 77055 43704 71259 77845 65708 23823"
    )


def test_both_sides_see_the_same() -> None:
    assert safety_number(ALICE, PETER) == safety_number(PETER, ALICE)


def test_the_forms_are_twelve_and_six_groups_of_five() -> None:
    assert re.fullmatch(r"(\d{5} ){11}\d{5}", safety_number(ALICE, PETER))
    assert re.fullmatch(r"(\d{5} ){5}\d{5}", account_number(*PETER))


@pytest.mark.parametrize(
    "other", [("alicf", ALICE[1]), ("", ALICE[1]), ("alice", ALICE[1][:-1] + b"!")]
)
def test_another_name_or_root_gives_another_number(other: tuple[str, bytes]) -> None:
    assert safety_number(other, PETER) != safety_number(ALICE, PETER)
    ours, theirs = account_number(*ALICE).split(), account_number(*other).split()
    assert not any(one == two for one, two in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_root_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        safety_number(ALICE, ("bob", bytes(size)))
