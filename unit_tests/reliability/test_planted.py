"""The table of planted bugs; that each is caught is for `python -m reliability.planted` to show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reliability import planted
from reliability.planted import Row, worded
from reliability.plants import CAUGHT_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_all_layers_together_have_more_than_twenty_bugs_each_with_a_story() -> None:
    names = {layer: list_names() for layer, (list_names, _) in planted._LAYERS.items()}
    assert set(names) == {"core", "virtual", "sealed", "processes"}
    assert sum(map(len, names.values())) > 40
    assert {"eatmydata", "synchronous_normal", "synchronous_off"} <= set(names["processes"])


@pytest.mark.parametrize("name", ["leak", "no_dedupe"])
def test_a_bug_of_the_core_is_found_and_said_so(name: str) -> None:
    row = planted.look_for("core", name)
    assert (row.layer, row.name) == ("core", name)
    assert row.rule
    assert row.story in worded(row)


def test_a_bug_that_is_missed_fails_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        Row("core", "one", "it leaks", "misdelivered", "seed 0", 0.1),
        Row("processes", "two", "it forgets", skipped="strace"),
    ]

    def found(_layers: list[str], _jobs: int) -> Iterator[Row]:
        yield from rows

    monkeypatch.setattr(planted, "look_for_all", found)
    file = tmp_path / "table.json"
    assert planted.main(["--json", str(file)]) == 0
    assert "1 of 2 caught, 1 skipped" in capsys.readouterr().out
    assert [row["name"] for row in json.loads(file.read_text())] == ["one", "two"]
    rows.append(Row("core", "three", "it doubles"))
    assert planted.main([]) == 1
    assert "NOT CAUGHT" in capsys.readouterr().out


def test_an_unknown_layer_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        planted.main(["clouds"])
    assert ended.value.code == 2


@pytest.mark.parametrize("layer", ["core", "processes"])
def test_a_bug_that_is_caught_too_late_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], layer: str
) -> None:
    good = Row("core", "one", "it leaks", "misdelivered", "seed 0", CAUGHT_WITHIN_S)
    late = Row(layer, "two", "it loses", "lost", "cycle 9", 4_000.0)
    monkeypatch.setattr(planted, "look_for_all", lambda *_: iter([good, late]))
    assert planted.main([]) == 1
    printed = capsys.readouterr().out
    assert "TOO LATE: lost at cycle 9" in printed
    assert "1 of 2 caught" in printed


def test_a_table_in_which_everything_was_skipped_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [Row("processes", name, "it forgets", skipped="root") for name in ("one", "two")]
    monkeypatch.setattr(planted, "look_for_all", lambda *_: iter(rows))
    assert planted.main(["processes"]) == 1


def test_what_was_seen_instead_of_the_bug_is_told() -> None:
    row = Row("processes", "one", "it forgets", seconds=2.0, instead="the server has ended")
    assert not row.is_caught
    assert "NOT CAUGHT, but the server has ended" in worded(row)
