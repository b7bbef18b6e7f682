from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from reliability.load.server import HOST, LIFTED, LoadServer
from reliability.rig.programs import Ended

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


def test_it_is_looked_at_from_outside(tmp_path: Path) -> None:
    with LoadServer(tmp_path / "server") as server:
        server.start()
        gauge = server.gauge()
        assert server.address[0] == HOST
        assert gauge.at_s > server.started_s > 0
        assert gauge.rss_mib > 10
        assert gauge.descriptors > 5
        assert gauge.threads >= 3
        assert gauge.database_mib > 0
        assert server.cpu_s() > 0
        server.stop()
        with pytest.raises(ProcessLookupError):
            server.gauge()


def test_a_kill_that_comes_too_late_proves_nothing(tmp_path: Path) -> None:
    with LoadServer(tmp_path / "server") as server:
        server.start()
        assert server.kill() == -signal.SIGKILL
        server.start()
        server.stop()
        with pytest.raises(Ended, match="before it was killed"):
            server.kill()


def test_only_the_named_limits_are_lifted(tmp_path: Path) -> None:
    server = LoadServer(tmp_path, {"exempt_networks": ""})
    assert server.limits == {"exempt_networks": ""}
    assert LoadServer(tmp_path).limits == LIFTED
