from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from benchmarks import entering
from benchmarks.entering import STEPS, Took
from unit_tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from pathlib import Path


def figures(login_cpu: float) -> dict[str, object]:
    steps = {step: entering._figures([Took(10, 5), Took(30, 7)]) for step in STEPS}
    steps["login"] = entering._figures([Took(20, login_cpu)])
    return {"steps": steps}


def test_the_lowest_tenth_and_the_median_stand_in_the_table() -> None:
    text = entering.text_of(figures(3.0))
    assert "| the protocol alone, logging in | 10.0 | 20.0 | 6.0 |" in text
    assert text.endswith("| a client, logging in: until the welcome | 20.0 | 20.0 | 3.0 |")


def test_a_login_that_makes_its_keys_again_is_a_complaint() -> None:
    assert entering.complaints(figures(3.0)) == []
    assert len(entering.complaints(figures(6.0))) == 1


@pytest.mark.parametrize(
    ("row", "out"),
    [(None, False), ((2, None), False), ((102, b"keys"), False), ((102, None), True)],
)
def test_keys_are_out_when_the_server_has_confirmed_them(
    tmp_path: Path, row: tuple[int, bytes | None] | None, out: bool
) -> None:
    folder = tmp_path / "accounts" / "server" / "anna"
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "store.db") as connection:
        connection.execute("CREATE TABLE vault (next_key, offered)")
        if row is not None:
            connection.execute("INSERT INTO vault VALUES (?, ?)", row)
    connection.close()
    assert entering.keys_are_out(tmp_path) is out


@pytest.mark.e2e
def test_people_come_in_and_come_back(tmp_path: Path) -> None:
    found = measured("entering", tmp_path, "--quick")
    assert found["steps"].keys() == STEPS.keys()
    steps = found["steps"]
    assert all(step["low"] > 0 and step["cpu"] > 0 for step in steps.values())
    assert steps["register"]["median"] < steps["keys"]["median"]
