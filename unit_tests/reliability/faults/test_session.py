from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from reliability.faults.session import Point, Session, Target
from reliability.rig.inside import Room

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("target", ["server", "client"])
def test_who_is_killed_at_a_write_loses_nothing(tmp_path: Path, target: Target) -> None:
    with Room() as room:
        session = Session(target, tmp_path / "session", room, messages=40)
        with session.scene:
            done = session.play(Point("store", "pwrite64", 80))
    assert done.killed
    assert done.acks == 40
    assert done.violations == []
