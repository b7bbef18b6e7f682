"""A death at every commit of every flow: the end is always the same."""

from __future__ import annotations

import pytest

from reliability.sealed.plants import PLANTS
from reliability.sealed.points import FLOWS, Flow, check, run_flow

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_it_does_not_matter_where_one_dies(flow: Flow) -> None:
    points = list(check(flow))
    assert len(points) > 3, "a flow without commits proves nothing"
    assert [each for each in points if each[1]] == []


@pytest.mark.parametrize("name", ["session_without_text", "cursor_before_text"])
def test_what_is_kept_in_two_transactions_is_found(name: str) -> None:
    plant = next(plant for plant in PLANTS if plant.name == name)
    flow = next(flow for flow in FLOWS if flow.name == "receive")
    with plant.planted():
        assert any(found for _, found in check(flow))


def test_the_flows_do_what_they_are_named_for() -> None:
    told = {flow.name: run_flow(flow)[0].book for flow in FLOWS}
    assert told["first contact"].counts["one-time keys"]
    assert told["notice what cannot be opened"].told["undecryptable"] == 1
    assert told["seal for changed devices"].told["device_added"]
