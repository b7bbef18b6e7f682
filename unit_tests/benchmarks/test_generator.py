from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks import accounts, generator
from benchmarks.peer import Account
from benchmarks.peers import jim
from benchmarks.peers.base import running
from benchmarks.workloads import FAULTS, summed_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NO_FAULTS = dict.fromkeys(FAULTS, 0)


@contextmanager
def ours(scratch: Path, monkeypatch: pytest.MonkeyPatch, pairs: int) -> Iterator[dict[str, object]]:
    """Run our server with a few accounts; give what the generator needs to know of it."""
    monkeypatch.setattr(accounts, "PAIRS", pairs)
    with running(jim.PEER, scratch) as server:
        yield {
            "protocol": "jim",
            "port": server.place.tls_port,
            "tls": 1,
            "server_pid": server.pid,
            "accounts": jim.accounts_file(server.place),
            "pairs": pairs,
            "warm": 0.1,
            "measure": 0.5,
        }


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return generator.compiled(tmp_path_factory.mktemp("cache"))
    except generator.GeneratorError as error:
        pytest.skip(str(error))


def test_options_are_spelled_as_the_generator_reads_them() -> None:
    assert generator.arguments({"logins_at_once": 8, "tls": 1}) == [
        "--logins-at-once",
        "8",
        "--tls",
        "1",
    ]


def test_results_are_lines() -> None:
    assert generator.results('{"rate":1.5}\n{"lost":2}\n') == [{"rate": 1.5}, {"lost": 2}]
    with pytest.raises(generator.GeneratorError, match="not a result"):
        generator.results("segmentation fault\n")


def test_without_a_compiler_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "compiler", lambda: None)
    with pytest.raises(generator.GeneratorError, match="apt-get install gcc"):
        generator.compiled(tmp_path)


def test_an_account_is_a_line_of_four_words() -> None:
    name, device, seed, head = accounts.line(Account("s7")).split()
    assert (name, len(device), len(seed), len(head)) == ("s7", 16, 64, 64)


@pytest.mark.e2e
def test_the_histogram_knows_every_value_to_a_thousandth(program: Path) -> None:
    values = [int(1.01**power) for power in range(100, 2400)]
    shown = subprocess.run(
        [program, "--mode", "histogram"],
        input="\n".join(map(str, values)),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(shown.stdout)
    assert found["count"] == len(values)
    assert found["max"] == values[-1]
    for name, share in {"p50": 0.5, "p99": 0.99, "p999": 0.999}.items():
        exact = values[round(share * len(values)) - 1]
        assert exact <= found[name] <= exact * 1.001


@pytest.mark.e2e
def test_a_server_that_is_not_there_is_a_failure_with_its_reason(program: Path) -> None:
    with pytest.raises(generator.GeneratorError, match="connect"):
        generator.run(program, {"protocol": "irc", "port": 1, "pairs": 1}, 1)


@pytest.mark.e2e
def test_our_server_gets_and_gives_everything_once_and_in_order(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours(tmp_path, monkeypatch, 2) as values:
        closed = generator.run(program, values, 1)
        opened = generator.run(program, values | {"mode": "latency", "rate": 100}, 1)
    assert closed[0]["rate"] > 0
    assert 0 < opened[0]["samples"] <= 51
    for found in (*closed, *opened):
        assert summed_up([found]) | NO_FAULTS == summed_up([found])
        assert found["server_share"] > 0


@pytest.mark.e2e
def test_a_schedule_above_what_a_window_allows_is_late_and_not_refused(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours(tmp_path, monkeypatch, 1) as values:
        # 2,000 messages are due at once, and a window of ours is 64.
        more = {"mode": "latency", "rate": 1e9, "warm": 0, "measure": 2e-6, "body": 35}
        (found,) = generator.run(program, values | more, 1)
    assert found["samples"] == found["offered"] * more["measure"] == 2000
    assert found["max_ms"] > found["p50_ms"] > 0
    assert found["sent_p99_ms"] > 0
    assert summed_up([found]) | NO_FAULTS == summed_up([found])


@pytest.mark.e2e
def test_what_waited_at_our_server_is_fetched_whole(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours(tmp_path, monkeypatch, 6) as values:
        more = {"mode": "offline", "senders": 2, "waiting": 600}
        (found,) = generator.run(program, values | more, 1)
    assert (found["waiting"], found["arrived"]) == (600, 600)
    assert found["store_rate"] > 0
    assert found["rate"] == pytest.approx(600 / found["fetch_s"], rel=0.01)
    assert summed_up([found]) | NO_FAULTS == summed_up([found])


@pytest.mark.e2e
def test_storing_ends_in_time_and_what_was_stored_is_fetched(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours(tmp_path, monkeypatch, 2) as values:
        more = {"mode": "offline", "senders": 1, "waiting": 10**9, "store": 0.2}
        (found,) = generator.run(program, values | more, 1)
    assert 0 < found["waiting"] == found["arrived"] < 10**9


@pytest.mark.e2e
def test_a_day_at_our_server_loses_nothing_though_people_come_and_go(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours(tmp_path, monkeypatch, 10) as values:
        more = {"mode": "day", "rate": 300, "comings": 20, "measure": 1}
        (found,) = generator.run(program, values | more, 2)
    assert found["logins"] > 0
    assert found["to_absent"] > 0
    assert 0 < found["samples"] < found["sent"]
    assert summed_up([found]) | NO_FAULTS == summed_up([found])


@pytest.mark.e2e
def test_a_protocol_without_a_mailbox_has_no_mode_for_the_absent(program: Path) -> None:
    values = {"protocol": "irc", "port": 1, "mode": "offline"}
    with pytest.raises(generator.GeneratorError, match="no protocol irc for this mode"):
        generator.run(program, values, 1)
