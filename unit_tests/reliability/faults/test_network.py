from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.faults import network

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.e2e


def quiet(_: str) -> None:
    pass


def test_torn_connections_lose_nothing(tmp_path: Path) -> None:
    result = network.through_proxy("reset", network.reset)(1, 5, tmp_path, quiet)
    assert result.violations == []
    assert (result.cycles, result.fired) == (1, 1)
    assert result.acks > 1
    assert "connections torn off" in result.details


def test_every_trouble_of_a_mixture_is_one_that_is_run_by_itself_too() -> None:
    assert set(network.MIXED) < set(network.TROUBLES)
    assert network.delay not in network.MIXED
