"""A death at every commit of a flow, one after the other: the end is always the same.

Each flow is run once to count the commits of its actor, then again for each of them and each moment
around it (before, inside, after), and its end is compared with that of the undisturbed run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reliability.promise import Violation
from reliability.sealed.book import CANARY
from reliability.sealed.disk import Moment
from reliability.sealed.liar import Lie
from reliability.sealed.machine import Machine
from reliability.sealed.schedule import CLIMATES, Schedule
from reliability.sealed.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flow(Struct, frozen=True):
    """Something that takes several commits.

    Attributes:
        prepare: makes what has to be there before, and gives whose commits are counted.
        go: does it; what is left of it after a death is done by the healing.
    """

    name: str
    prepare: Callable[[World], Machine]
    go: Callable[[World, Machine], None]


class Point(Struct, frozen=True):
    """One death: at which commit of a flow, and where."""

    flow: str
    commit: int
    moment: Moment


def _meet(world: World, *names: str) -> list[Machine]:
    """Connect one device of each account; gives them."""
    found = [next(each for each in world.machines if each.name == name) for name in names]
    for machine in found:
        world.let(machine, lambda client: client.connect())
    return found


def _work(world: World, machine: Machine) -> None:
    """Let a device come back and do all that it can."""
    for _ in range(2):
        if not machine.client.is_online:
            world.let(machine, lambda client: client.connect())
        while world.let(machine, lambda client: client.move(0)):
            pass


def _strangers(world: World) -> Machine:
    [ann] = _meet(world, "ann")
    _meet(world, "bob", "cat")
    return ann


def _talking(world: World) -> tuple[Machine, Machine]:
    """Let two have sessions in both directions."""
    ann, bob = _meet(world, "ann", "bob")
    for one, other in ((ann, bob), (bob, ann), (ann, bob)):
        world.write_text(one, other.name)
        _work(world, one)
        _work(world, other)
    return ann, bob


def _send_two(world: World, machine: Machine) -> None:
    """Two at once, so that there is something behind the one that is on its way."""
    for _ in range(2):
        world.write_text(machine, "bob")
    _work(world, machine)


def _waiting(world: World) -> Machine:
    """Let something wait for a device that has no session yet."""
    ann, bob = _meet(world, "ann", "bob")
    for _ in range(2):
        world.write_text(ann, "bob")
    _work(world, ann)
    return bob


def _spoilt(world: World) -> Machine:
    """Let something wait that cannot be opened: the session is wedged."""
    ann, bob = _talking(world)
    world.server.kinds = [Lie.DAMAGE]
    world.server.lie(0)
    world.write_text(ann, "bob")
    _work(world, ann)
    return bob


def _asked(world: World) -> Machine:
    """Let somebody be asked to seal again what could not be opened."""
    bob = _spoilt(world)
    _work(world, bob)
    return next(machine for machine in world.machines if machine.name == "ann")


def _grown(world: World) -> Machine:
    """Let the list of devices be out of date, for two texts that are sealed already."""
    ann, _ = _talking(world)
    for _ in range(2):
        world.write_text(ann, "bob")
    ann.client.cut(0)
    world.add_device("bob")
    world.add_device("ann")
    return ann


def _gone_back(world: World) -> Machine:
    """Let a store be put back behind texts of both sides, and something wait in it."""
    ann, bob = _talking(world)
    copy = ann.disk.copy()
    _send_two(world, ann)
    _work(world, bob)
    world.write_text(bob, "ann")
    _work(world, bob)
    _work(world, ann)
    ann.saved = copy
    world.put_back(ann)
    world.write_text(bob, "ann")
    _work(world, bob)
    return ann


def _without_keys(world: World) -> Machine:
    """Stand before the first keys that a device gives the server."""
    return next(machine for machine in world.machines if machine.name == "ann")


FLOWS: Final = (
    Flow("first contact", _strangers, _send_two),
    Flow("send", lambda world: _talking(world)[0], _send_two),
    Flow("receive", _waiting, _work),
    Flow("key upload", _without_keys, _work),
    Flow("notice what cannot be opened", _spoilt, _work),
    Flow("seal again", _asked, _work),
    Flow("seal for changed devices", _grown, _work),
    Flow("be replaced by a new device", _gone_back, _work),
)
"""The rules of persistence of docs/adr/0017, each with the commits that it is about."""

_QUIET: Final = Schedule(CLIMATES[0], 0, ())
"""Nothing happens but the flow."""


def run_flow(flow: Flow, commit: int = 0, moment: Moment = Moment.AFTER) -> tuple[World, int]:
    """Run a flow, with a death at one commit (0 for none); gives the world and the commits."""
    world = World(_QUIET)
    with world.limits():
        world.begin()
        machine = flow.prepare(world)
        before = machine.disk.commits
        if commit:
            machine.disk.die_soon(commit, moment)
        flow.go(world, machine)
        count = machine.disk.commits - before
        world.heal(rounds=1)
        world.book.close(world.machines, world.server.chains)
    return world, count


def outcome(world: World) -> dict[str, list[tuple[object, ...]]]:
    """Give what everybody has in the end, in words that are the same in every run.

    Whether somebody has heard that a text was delivered depends on when they asked.
    """
    return {
        f"{machine.name} {index}": sorted(
            (text, peer, state.replace("delivered", "stored"))
            for text, peer, state in machine.disk.rows(
                "SELECT text, peer, state FROM messages WHERE kind = 'text'"
            )
        )
        for index, machine in enumerate(world.machines)
    }


def check(flow: Flow) -> Iterator[tuple[Point, list[Violation]]]:
    """Die at every commit of a flow; gives each point with the rules that were broken there."""
    undisturbed, commits = run_flow(flow)
    yield Point(flow.name, 0, Moment.AFTER), undisturbed.book.violations
    wanted = outcome(undisturbed)
    for commit in range(1, commits + 1):
        for moment in Moment:
            world, _ = run_flow(flow, commit, moment)
            found = list(world.book.violations)
            if not world.book.counts["crash"]:
                found.append(Violation("point", "nobody died"))
            if not _is_like(outcome(world), wanted):
                found.append(Violation("point", "the end is another one"))
            yield Point(flow.name, commit, moment), found


def _is_like(
    got: dict[str, list[tuple[object, ...]]], wanted: dict[str, list[tuple[object, ...]]]
) -> bool:
    """Compare two ends: a text that was being queued when its author died was never written."""
    texts = {str(row[0]) for rows in got.values() for row in rows}
    return all(
        [row for row in got[who] if str(row[0]) in texts]
        == [row for row in wanted[who] if str(row[0]) in texts]
        for who in wanted
    ) and all(text.startswith(CANARY) for text in texts)
