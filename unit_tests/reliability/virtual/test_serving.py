from __future__ import annotations

import contextlib

import pytest

from jim.core.limits import Limits
from reliability.virtual.cast import DEVICES
from reliability.virtual.edges import replaced
from reliability.virtual.play import the_cast
from reliability.virtual.scenario import Action, Conditions, Scenario
from reliability.virtual.world import World


@pytest.mark.parametrize("sqlite", [False, True])
def test_whatever_the_store_the_world_sees_where_messages_are_and_whom_they_skip(
    sqlite: bool,
) -> None:
    actions = [Action(at_s=1.0 + n, kind="send", who="boris/1", to="anna") for n in range(5)]
    actions.insert(0, Action(at_s=0.5, kind="line_down", who="anna/2", seconds=30.0))
    conditions = Conditions(limits=Limits(waiting_messages=2), sqlite=sqlite)
    with replaced(), contextlib.ExitStack() as ending:
        world = World(Scenario(seed=1, conditions=conditions, actions=actions), the_cast())
        ending.callback(world.destroy)
        for device in DEVICES:
            world.add_person(device, new=False)
        result = world.run()
        assert result.violations == []
        assert sorted(world.skipped.values()) == [0, 0, 1, 1, 1]
        assert [world.position_of("anna/1", f"m{n}") for n in range(1, 6)] == [1, 2, 3, 4, 5]
