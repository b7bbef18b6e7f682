"""Nonsense on a command line of the proof is wrong usage: no traceback, no success, no work."""

from __future__ import annotations

import argparse
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reliability
from reliability import __main__ as overview
from reliability import arguments, campaign, planted
from reliability.faults import __main__ as faults
from reliability.hostile import __main__ as hostile
from reliability.hostile.fuzz import __main__ as fuzz
from reliability.load import __main__ as load
from reliability.sealed import __main__ as sealed
from reliability.simulate import __main__ as simulate
from reliability.virtual import __main__ as virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    Main = Callable[[list[str]], int]

PROGRAMS: dict[str, Main] = {
    "reliability.simulate": simulate.main,
    "reliability.virtual": virtual.main,
    "reliability.faults": faults.main,
    "reliability.hostile": hostile.main,
    "reliability.hostile.fuzz": fuzz.main,
    "reliability.load": load.main,
    "reliability.planted": planted.main,
    "reliability.sealed": sealed.main,
    "reliability.campaign": campaign.main,
}


def ends_with(main: Main, words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simulate", "--jobs 0"),
        ("simulate", "--seeds -1"),
        ("simulate", "--schedule nonsense"),
        ("simulate", "--schedule 99/1"),
        ("simulate", "--schedule 0/1 jump:3"),
        ("virtual", "--runs 0"),
        ("virtual", "--jobs 0"),
        ("virtual", "--plant nothing"),
        ("planted", "--jobs 0"),
        ("faults", "--cycles 0"),
        ("faults", "--cycles -2"),
        ("hostile", "--every 0"),
        ("hostile", "--fuzz-s -1"),
        ("hostile", "--fuzz-s nan"),
        ("hostile.fuzz", "codec --runs 0"),
        ("hostile.fuzz", "codec --replay ###"),
        ("hostile.fuzz", "codec --corpus setup.cfg"),
        ("load", "leak --minutes -1"),
        ("load", "leak --minutes soon"),
        ("load", "frozen --minutes 1"),
        ("campaign", "--hours 0"),
        ("campaign", "--hours inf"),
    ],
)
def test_nonsense_is_wrong_usage(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").touch()
    option, _, value = words.partition("--schedule ")
    split = ["--schedule", value] if value else option.split()
    assert ends_with(PROGRAMS[f"reliability.{name}"], split) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["setup.cfg"]


@pytest.mark.parametrize(
    "words",
    [
        "simulate",
        "virtual",
        "planted",
        "faults kill",
        "hostile --short",
        "hostile.fuzz codec --engine mutation",
        "load restart",
    ],
)
def test_a_result_that_cannot_be_written_is_found_out_before_the_work(
    words: str, tmp_path: Path
) -> None:
    name, *rest = words.split()
    file = tmp_path / "none" / "result.json"
    assert ends_with(PROGRAMS[f"reliability.{name}"], [*rest, "--json", str(file)]) == 2


def test_looking_whether_a_file_can_be_written_changes_nothing(tmp_path: Path) -> None:
    fresh, old = tmp_path / "fresh", tmp_path / "old"
    old.write_text("kept")
    assert (arguments.result_file(str(fresh)), arguments.result_file(str(old))) == (fresh, old)
    assert not fresh.exists()
    assert old.read_text() == "kept"
    with pytest.raises(argparse.ArgumentTypeError, match="cannot write"):
        arguments.result_file(str(tmp_path))


def test_what_makes_sense_is_taken() -> None:
    assert arguments.positive("12") == 12
    assert arguments.duration("0.02") == 0.02
    assert arguments.duration_or_none("0") == 0
    assert arguments.base64_bytes("AQI=") == b"\x01\x02"


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_help_names_its_program_and_fits_the_screen(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert ends_with(PROGRAMS[name], ["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m {name} ")
    assert "`" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_overview_names_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert overview.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"python -m {name} " in text for name in PROGRAMS)
    root = Path(reliability.__file__).parent
    runnable = {
        module.name.removesuffix(".__main__")
        for module in pkgutil.walk_packages([str(root)], "reliability.")
        if module.name.endswith(".__main__")
    }
    assert runnable - {"reliability"} <= set(overview.PROGRAMS) == set(PROGRAMS)
