from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks import generator, rounds
from benchmarks.peers import PEERS
from benchmarks.peers.base import Peer, PeerError, Place, Running
from benchmarks.rounds import NotMeasuredError, Pace, Row
from benchmarks.workloads import WORKLOADS, Workload

if TYPE_CHECKING:
    import subprocess

PROGRAM = Path("/there/generator")
PACE = Pace(0.5, 2.0, 3, waiting=5000, store_s=7.0)


class _Process:
    """A process that has ended: nothing is signalled to it."""

    pid = 4711

    def poll(self) -> int:
        return 0


def row(key: str, *, tls: bool = True) -> Row:
    peer = next(peer for peer in PEERS if any(system.key == key for system in peer.systems))
    system = next(system for system in peer.systems if system.key == key)
    process = cast("subprocess.Popen[bytes]", _Process())
    place = Place(Path("/there/data"), 1001, 1002, Path("/there/server.pem"))
    return Row(system, tls, Running(peer, place, process))


def workload(key: str) -> Workload:
    return next(workload for workload in WORKLOADS if workload.key == key)


def values(of: Row, key: str) -> dict[str, object]:
    return rounds.values_of(of, of.server, workload(key), PACE)


def test_half_of_the_maximum_is_half_of_the_median_measured_so_far() -> None:
    redis = row("redis")
    redis.rounds["w64"] = [{"rate": rate} for rate in (90_000.0, 300_001.0, 200_000.0)]
    assert values(redis, "half")["rate"] == 100_000


def test_without_a_maximum_there_is_no_half_and_the_failure_says_so() -> None:
    redis = row("redis")
    with pytest.raises(NotMeasuredError):
        values(redis, "half")
    rounds.measure(redis, workload("half"), PROGRAM, PACE)
    assert redis.failures == {"half": "it needs the rate of w64"}
    redis.rounds["w64"] = [{"rate": 0.0}]
    with pytest.raises(NotMeasuredError):
        redis.rate("w64")


def test_the_generator_learns_how_much_waits_and_how_long_storing_may_take() -> None:
    found = values(row("redis"), "offline")
    assert (found["waiting"], found["store"], found["pairs"]) == (5000, 7.0, 1000)
    assert "waiting" not in values(row("redis"), "w64")


def test_the_generator_learns_where_the_server_is_and_what_to_watch() -> None:
    found = values(row("ngircd", tls=False), "latency")
    assert (found["port"], found["tls"], found["server_pid"]) == (1001, 0, 4711)
    assert (found["rate"], found["measure"]) == (2000, 4.0)
    assert values(row("jim"), "w64")["accounts"] == Path("/there/data/accounts")


def test_a_run_has_time_for_what_it_measures() -> None:
    assert PACE.run_s(workload("w64")) == 2.5
    assert PACE.run_s(workload("day")) == 10.5
    assert PACE.run_s(workload("offline")) == 7.0 + rounds.FETCH_S


def test_a_failure_of_the_generator_is_noted_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> list[dict[str, Any]]:
        raise generator.GeneratorError("the server hung up")

    monkeypatch.setattr(generator, "run", fail)
    redis = row("redis")
    rounds.measure_all([redis], [workload("w64"), workload("w1")], PROGRAM, Pace(0, 1, 1))
    assert redis.failures == dict.fromkeys(("w64", "w1"), "the server hung up")
    assert redis.figures()["workloads"] == {}


def test_rounds_take_turns_and_what_is_measured_once_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[object, object]] = []

    def note(_: Path, options: dict[str, object], __: float) -> list[dict[str, Any]]:
        seen.append((options["port"], options["mode"]))
        return [{"rate": 1.0, "share": 0.1}]

    monkeypatch.setattr(generator, "run", note)
    both = [row("redis", tls=True), row("redis", tls=False)]
    rounds.measure_all(both, [workload("w64"), workload("logins")], PROGRAM, Pace(0, 1, 2))
    turns = [(1002, "throughput"), (1001, "throughput")]
    assert seen == [*turns, (1002, "logins"), (1001, "logins"), *turns]
    assert len(both[0].rounds["w64"]) == 2


def test_a_workload_that_wants_it_has_a_server_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Peer, Path]] = []

    def refuse(peer: Peer, scratch: Path) -> None:
        asked.append((peer, scratch))
        raise PeerError("it does not start")

    monkeypatch.setattr(rounds, "running", refuse)
    ours = row("jim")
    rounds.measure(ours, workload("offline"), PROGRAM, PACE)
    assert asked == [(PEERS[0], Path("/there"))]
    assert ours.failures == {"offline": "it does not start"}
