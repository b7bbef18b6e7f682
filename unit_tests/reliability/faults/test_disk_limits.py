from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.faults import disk_limits
from reliability.injectors.small_disk import TINY_NEEDS
from reliability.injectors.system import missing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing(*TINY_NEEDS)), reason=f"needs {missing(*TINY_NEEDS)}"),
]


def test_a_server_on_a_full_disk_says_so_and_has_everything_later(tmp_path: Path) -> None:
    result = disk_limits.run_tiny_disk(1, 5, tmp_path, lambda _: None)
    assert result.violations == []
    assert (result.cycles, result.fired) == (1, 1)
    assert disk_limits.FULL in result.details
