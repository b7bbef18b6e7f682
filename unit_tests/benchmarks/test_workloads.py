from __future__ import annotations

import pytest

from benchmarks.accounts import names
from benchmarks.peers import PEERS
from benchmarks.peers.base import IRC_BODY_BYTES, System
from benchmarks.workloads import WORKLOADS, chosen, summed_up


def keys(system: System, *, tls: bool) -> set[str]:
    return {workload.key for workload in WORKLOADS if workload.fits(system, tls=tls)}


def test_rounds_become_median_range_and_sums() -> None:
    rounds = [
        {"rate": 3.0, "share": 0.2, "lost": 1, "doubled": 0},
        {"rate": 1.0, "share": 0.6, "lost": 0, "doubled": 2},
        {"rate": 2.0, "share": 0.1, "lost": 0, "doubled": 0},
    ]
    figures = summed_up(rounds)
    assert figures["rate"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert (figures["share"], figures["lost"], figures["doubled"]) == (0.6, 1, 2)
    assert figures["rounds"] == rounds


def test_no_device_is_connected_twice_while_idle_connections_are_counted() -> None:
    [idle] = [workload for workload in WORKLOADS if workload.key == "idle"]
    assert max(map(int, str(idle.values["idle"]).split(","))) <= len(names())


def test_a_line_of_irc_carries_no_long_body() -> None:
    irc = System("irc", "IRC", "irc", durable=False, most_body_bytes=IRC_BODY_BYTES)
    assert not {"1kB", "16kB"} & keys(irc, tls=True)
    assert {"w64", "half"} <= keys(irc, tls=True)


def test_messages_wait_only_where_the_server_keeps_them_and_people_come_where_there_are_any() -> (
    None
):
    stream = System("s", "Stream", "redis", durable=True, keeps=True)
    chat = System("c", "Chat", "irc", durable=False, people=True)
    assert {"offline", "day"} & keys(stream, tls=True) == {"offline"}
    assert {"offline", "day"} & keys(chat, tls=True) == {"day"}


def test_what_takes_long_is_measured_in_plain_text_only_where_there_is_no_tls() -> None:
    both = System("s", "Both", "jim", durable=True, keeps=True, people=True)
    plain = System("s", "Plain", "jim", durable=True, keeps=True, people=True, tls=(False,))
    assert not {"offline", "day"} & keys(both, tls=False)
    assert {"offline", "day"} <= keys(plain, tls=False)


def test_ours_does_everything() -> None:
    (ours,) = PEERS[0].systems
    assert keys(ours, tls=True) == {workload.key for workload in WORKLOADS}


def test_a_choice_of_workloads_keeps_their_order_and_brings_what_they_need() -> None:
    assert chosen(None) == WORKLOADS
    assert [workload.key for workload in chosen("offline,w1")] == ["w1", "offline"]
    assert [workload.key for workload in chosen("half")] == ["w64", "half"]


def test_what_a_workload_needs_comes_before_it() -> None:
    order = [workload.key for workload in WORKLOADS]
    for workload in WORKLOADS:
        if workload.half_of:
            assert order.index(workload.half_of) < order.index(workload.key)


def test_an_unknown_workload_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"no workload w65; there are w64, w1"):
        chosen("w64,w65")


def test_a_round_that_lost_messages_has_no_latency_to_sum_up() -> None:
    assert "p50_ms" not in summed_up([{"p50_ms": 1.0}, {"lost": 3}])


def test_the_generators_share_is_the_largest_of_both_halves_of_an_absence() -> None:
    assert summed_up([{"rate": 1.0, "share": 0.2, "store_share": 0.7}])["share"] == 0.7
