"""Some cycles of faults; that each planted bug is caught is for `reliability.planted` to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.faults import front_ends, kills, plants, power_cut
from reliability.faults.catching import NOT_KEPT, caught
from reliability.faults.disk_errors import FSYNC_EIO, _places
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
def test_a_database_that_does_not_flush_is_caught(tmp_path: Path) -> None:
    launch = Launch(env=plants.careless_sqlite(tmp_path / "plant", "OFF"))
    result = power_cut.run_server_cuts(5, 1, tmp_path, silent, launch)
    assert caught(result, NOT_KEPT)
    assert result.kept == str(tmp_path)
    assert (tmp_path / "history.jsonl").exists()


@pytest.mark.e2e
def test_killed_front_ends_lose_nothing(tmp_path: Path) -> None:
    result = front_ends.run_front_ends(1, 1, tmp_path, silent)
    assert result.violations == []
    assert (result.cycles, result.fired >= 1, result.acks > 0) == (1, True, True)
