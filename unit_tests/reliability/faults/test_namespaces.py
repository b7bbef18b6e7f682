from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.faults import namespaces
from reliability.injectors.namespaces import NEEDS
from reliability.injectors.system import missing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing(*NEEDS)), reason=f"needs {missing(*NEEDS)}"),
]


def test_a_pulled_cable_loses_nothing(tmp_path: Path) -> None:
    run = namespaces.on_cable("link down", namespaces.pull_cable)
    result = run(1, 5, tmp_path, lambda _: None)
    assert result.violations == []
    assert (result.cycles, result.fired) == (1, 1)
    assert "cable out" in result.details
