from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmarks import accounts, generator
from benchmarks.peer import Account
from benchmarks.peers import jim
from benchmarks.peers.base import running

if TYPE_CHECKING:
    from pathlib import Path


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
    monkeypatch.setattr(jim, "PAIRS", 2)
    with running(jim.PEER, tmp_path) as server:
        values = {
            "protocol": "jim",
            "port": server.place.tls_port,
            "tls": 1,
            "accounts": jim.accounts_file(server.place),
            "pairs": 2,
            "warm": 0.1,
            "measure": 0.5,
        }
        closed = generator.run(program, values, 1)
        opened = generator.run(program, values | {"mode": "latency", "rate": 100}, 1)
    assert closed[0]["rate"] > 0
    assert 0 < opened[0]["samples"] <= 51
    for found in (*closed, *opened):
        assert (found["lost"], found["wrong"]) == (0, 0)
