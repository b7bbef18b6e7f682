from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from reliability.faults.session import Done, Point
from reliability.faults.write_points import Sweep, choose

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from reliability.rig.inside import Room

ALL = [Point("store", "pwrite64", k) for k in range(1, 101)]


def test_a_sample_is_spread_and_a_campaign_takes_all() -> None:
    chosen = choose(ALL, 10, random.Random(1))
    assert [(point.k - 1) // 10 for point in chosen] == list(range(10))
    assert choose(ALL, 100, random.Random(1)) == ALL
    for seed in range(20):  # played twice at once, a point would be in its own way
        found = choose(ALL, 97, random.Random(seed))
        assert len(set(found)) == len(found) == 97


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Done(ALL[0], killed=True, acks=200, violations=[])
    (tmp_path / "points.jsonl").write_bytes(msgspec.json.encode(before) + b"\n")
    played: list[Point] = []

    def play(_: Sweep, point: Point, room: Room) -> Done:
        assert room is not None
        played.append(point)
        return Done(point, killed=True, acks=200, violations=[])

    monkeypatch.setattr(Sweep, "_play", play)
    work = Sweep("server", tmp_path, lambda _: None)
    work.run(ALL[:3])
    assert sorted(point.k for point in played) == [2, 3]
    assert len(Sweep("server", tmp_path, lambda _: None).done) == 3
