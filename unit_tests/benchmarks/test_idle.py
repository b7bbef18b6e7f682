from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import idle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.e2e
async def test_known_devices_log_in_at_a_fresh_server(tmp_path: Path) -> None:
    found = await idle.on_a_fresh_server(tmp_path, 16, uncounted=4)
    assert found.connections == 16
    assert found.logins_per_s > 0
