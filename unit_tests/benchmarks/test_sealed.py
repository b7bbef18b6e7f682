from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import sealed
from benchmarks.commits import SEALED_BYTES, Shape, ratios
from benchmarks.devices import ADDRESSEE, Talk
from benchmarks.stocking import stocked
from jim.storage.sqlite.verify import verify
from unit_tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from pathlib import Path


def a_round(rate: float, share: float, **values: Any) -> dict[str, Any]:
    """What the generator prints of a round of 2 s."""
    found = {"rate": rate, "arrived": 2 * rate, "seconds": 2.0, "server_share": share}
    return found | {"share": 0.1, "lost": 0, "wrong": 0} | values


def figures(*rounds: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one workload with these rounds, plain and sealed."""
    plain, with_keys = zip(*rounds, strict=True)
    found = sealed._figures({sealed.PLAIN: list(plain), sealed.SEALED: list(with_keys)})
    return {"body_bytes": SEALED_BYTES, "floor": sealed.FLOOR, "workloads": {"w64": found}}


def test_the_ratio_is_of_each_round_and_the_median_counts() -> None:
    found = figures(
        (a_round(100, 0.5), a_round(90, 0.5)),
        (a_round(10, 0.5), a_round(9, 0.5)),
        (a_round(100, 0.5), a_round(20, 0.5)),
    )
    assert found["workloads"]["w64"]["ratio"] == pytest.approx(0.9)
    assert sealed.complaints(found) == []
    assert sealed.cpu_us(a_round(100, 0.5)) == pytest.approx(5000)
    assert "| 50 pairs, window 64 | 100 | 20 | 0.90 |" in sealed.text_of(found)


def test_a_fifth_less_is_the_most_and_nothing_may_get_lost() -> None:
    slow = figures((a_round(100, 1.0), a_round(79, 1.0)))
    expected = "w64: sealed messages make 0.79 of plain ones, less than 0.80"
    assert sealed.complaints(slow) == [expected]
    wrong = figures((a_round(100, 1.0), a_round(100, 1.0, wrong=1)))
    assert len(sealed.complaints(wrong)) == 1


def test_a_ciphertext_is_as_long_as_the_client_makes_it(tmp_path: Path) -> None:
    talk = Talk(tmp_path, 1)
    talk.begin(talk.claimed())
    talk.exchange("hello")
    payload = talk.sender.payload(talk.sender.send(ADDRESSEE, "x" * 100))
    assert payload.ciphertexts is not None
    assert [len(text) for text in payload.ciphertexts.values()] == [SEALED_BYTES]


def test_sealed_batches_are_really_stored_for_every_device(tmp_path: Path) -> None:
    shape = Shape(pairs=1, messages=3, batches=4, devices=2, body_bytes=50)
    with stocked(tmp_path / "server.db") as stock:
        found = ratios(stock, shape, "c")
    assert len(found) == 4
    assert min(map(min, found)) > 0
    report = verify(tmp_path / "server.db", None)
    assert report.is_complete
    # Nine batches: all but the last one's messages have been confirmed.
    waiting = [(each.mailbox.account, each.mailbox.waiting) for each in report.mailboxes]
    assert sorted(waiting) == [
        ("cpr0", 3),
        ("cpr0", 3),
        ("cps0", 0),
        ("cxr0", 3),
        ("cxr0", 3),
        ("cxs0", 0),
    ]


@pytest.mark.e2e
def test_the_command_measures_both_kinds_and_loses_nothing(tmp_path: Path) -> None:
    # Where others use the cores, one round says nothing about the ratio: only that it is measured.
    found = measured("sealed", tmp_path, "--quick", "--workloads", "w64,w1", "--floor", "0")
    for workload in found["workloads"].values():
        for kind in (sealed.PLAIN, sealed.SEALED):
            assert workload[kind]["rate"]["median"] > 0
            assert workload[kind]["lost"] == workload[kind]["wrong"] == 0
        assert workload["ratio"] > 0
        assert workload["cpu_ratio"] > 0
