from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

import pytest

from reliability.faults import disk_errors, front_ends, kills, plants, power_cut
from reliability.faults.catching import NOT_KEPT, catch, caught
from reliability.faults.disk_errors import FSYNC_EIO, _places
from reliability.injectors.system import missing
from reliability.rig.programs import Launch

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.faults.model import Fault

CUT: Fault = power_cut.FAULTS[0]

needs_disk = pytest.mark.skipif(bool(CUT.missing()), reason=f"needs {CUT.missing()}")


def silent(_: str) -> None:
    """Tell nobody."""


def test_every_third_error_is_met_at_a_checkpoint() -> None:
    places = _places(FSYNC_EIO, 6)
    assert [place.is_checkpoint for place in places] == [False, False, True] * 2
    assert all(1 <= place.k <= FSYNC_EIO.last for place in places)


@pytest.mark.e2e
def test_kills_lose_nothing(tmp_path: Path) -> None:
    result = kills.run_kills(2, 1, tmp_path, silent)
    assert result.violations == []
    assert (result.cycles, result.fired >= 2, result.acks > 0) == (2, True, True)


@pytest.mark.e2e
@needs_disk
def test_power_cuts_lose_nothing(tmp_path: Path) -> None:
    result = power_cut.run_server_cuts(2, 1, tmp_path, silent)
    assert result.violations == []
    assert (result.cycles, result.fired, result.acks > 0) == (2, 2, True)


@pytest.mark.e2e
@needs_disk
@pytest.mark.parametrize("mode", ["OFF", "NORMAL"])
def test_a_database_that_does_not_flush_is_caught(
    tmp_path: Path, mode: Literal["OFF", "NORMAL"]
) -> None:
    launch = Launch(env=plants.careless_sqlite(tmp_path / "plant", mode))
    result = power_cut.run_server_cuts(5, 1, tmp_path, silent, launch)
    assert caught(result, NOT_KEPT)
    assert result.kept == str(tmp_path)
    assert (tmp_path / "history.jsonl").exists()


@pytest.mark.e2e
@needs_disk
@pytest.mark.skipif(bool(missing("libeatmydata")), reason="needs libeatmydata")
def test_a_disk_that_lies_about_flushing_is_caught(tmp_path: Path) -> None:
    assert catch("eatmydata", tmp_path).rule


@pytest.mark.e2e
@needs_disk
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_server_that_ignores_a_failed_flush_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_errors, "ENDING_S", 0.5)
    launch = Launch(env=plants.deaf_sqlite(tmp_path / "plant"))
    result = disk_errors.run_fsync_eio(1, 1, tmp_path, silent, launch)
    assert result.fired == 1
    assert any("goes on after the error" in violation for violation in result.violations)


@pytest.mark.e2e
def test_killed_front_ends_lose_nothing(tmp_path: Path) -> None:
    result = front_ends.run_front_ends(2, 1, tmp_path, silent)
    assert result.violations == []
    assert (result.cycles, result.fired >= 2, result.acks > 0) == (2, True, True)


@pytest.mark.e2e
@pytest.mark.timeout(240)  # up to eight cycles of many programs, for three seeds
@pytest.mark.parametrize("name", ["shown_is_not_noted", "noted_before_shown", "send_without_key"])
def test_a_front_end_that_notes_wrongly_is_caught(tmp_path: Path, name: str) -> None:
    assert catch(name, tmp_path).rule
