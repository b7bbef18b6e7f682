from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from reliability.injectors.signals import freeze
from reliability.rig.programs import Ended, Launch
from reliability.rig.server import LIFTED, Server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


def test_it_comes_back_at_the_same_place_and_keeps_its_log(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        server.start()
        first = server.pid
        assert server.kill() == -9
        server.start()
        assert server.pid != first
        socket.create_connection(server.address, 5).close()
        assert server.stop() == 0
        server.start()
        assert server.stop() == 0
        assert server.starts == 3
        assert server.log_text().count("has stopped") == 2
        assert server.blunders() == []
        assert server.complaint == ""


def test_what_no_fault_may_cause_is_found_in_the_log_of_any_life(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert server.log_text() == ""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "server.log").write_text("all is well\ncoroutine was never awaited\n")
    (tmp_path / "log" / "server.log.1").write_text("incident 0a1b in msg\nincidentally\n")
    assert server.blunders() == ["coroutine was never awaited", "incident 0a1b in msg"]


def test_nothing_runs_on_when_the_block_ends(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.start(wait=False)
    assert server.status == -9


def test_a_server_that_does_not_end_is_killed_in_time(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.start()
        freeze(server.pid)
        with pytest.raises(Ended, match=r"within 0\.2 s"):
            server.stop(0.2)
        assert server.status == -9


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with (
        Server(tmp_path, limits=LIFTED | {"no_such_limit": "1"}) as server,
        pytest.raises(Ended, match="no_such_limit"),
    ):
        server.start()


def test_words_and_environment_of_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, sys; sys.stderr.write(os.environ['A'])")
    launch = Launch(env={"PYTHONPATH": str(tmp_path)})
    with Server(tmp_path / "server", launch=launch) as server:
        server.launch_with(prefix=("env", "A=planted"))
        server.start()
        server.stop()
        assert server.complaint == "planted"
