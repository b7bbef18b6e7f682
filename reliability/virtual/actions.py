"""What each kind of action does to a world. A fault tells the history whether it took effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.history import Fault
from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.virtual.people import Person
    from reliability.virtual.scenario import Action
    from reliability.virtual.serving import Server
    from reliability.virtual.world import World

DISK_SLOWNESS: Final = 20.0
"""A disk that is busy with something else: that much slower."""

LURKS_S: Final = 2.0
"""How long a crash waits for its process to do something, so that it comes in the middle of it."""

BURST: Final = 5
"""Messages that somebody writes at once."""


def carry_out(world: World, action: Action) -> None:
    """Let it happen."""
    world.trace.note_text(world.now_s, Kind.ACTION, f"{action.kind} {action.who}")
    if action.who not in world.people and action.who not in {"", "server"}:
        return  # a second device, which a run with new accounts does not have
    if action.kind in _DOINGS:
        _DOINGS[action.kind](world.people[action.who], action)
    elif not world.is_healed:
        fired = _FAULTS[action.kind](world, action)
        world.record(Fault(world.now_s, action.kind, fired, action.who))


def _send(person: Person, action: Action) -> None:
    for _ in range(BURST if action.flag else 1):
        person.write(action.to, action.size)


_DOINGS: Final[dict[str, Callable[[Person, Action], object]]] = {
    "send": _send,
    "take_back": lambda person, _: person.take_back(),
    "watch": lambda person, _: person.watch(),
}


def _cut(world: World, action: Action) -> bool:
    found = world.network.open_connections(action.who)
    for connection in found:
        world.network.cut(connection)
    return bool(found)


def _half_open(world: World, action: Action) -> bool:
    found = world.network.open_connections(action.who)
    for connection in found:
        up, down = _ONE_WAY[action.size % len(_ONE_WAY)]
        world.network.silence(connection, up=up, down=down)
    return bool(found)


_ONE_WAY: Final = ((True, True), (True, False), (False, True))


def _one_sided_reset(world: World, action: Action) -> bool:
    found = world.network.open_connections(action.who)
    for connection in found:
        world.network.cut_one_side(connection, towards_server=action.flag)
    return bool(found)


def _stall(world: World, action: Action) -> bool:
    found = world.network.open_connections(action.who)
    for connection in found:
        world.network.stall(connection, world.now_s + action.seconds)
    return bool(found)


def _line_down(world: World, action: Action) -> bool:
    line = world.network.line(action.who)
    line.is_down = True
    world.scheduler.after(action.seconds, setattr, line, "is_down", False)
    _cut(world, action)
    return True


def _line_silent(world: World, action: Action) -> bool:
    line = world.network.line(action.who)
    line.is_silent = True
    world.scheduler.after(action.seconds, setattr, line, "is_silent", False)
    for connection in world.network.open_connections(action.who):
        if action.flag:
            world.network.silence(connection, up=True, down=True)
        else:
            world.network.stall(connection, world.now_s + action.seconds)
    return True


def _client_crash(world: World, action: Action) -> bool:
    person = world.people[action.who]
    if not person.is_alive:
        return False
    _kill(person, action)
    world.scheduler.after(LURKS_S + 0.01 + action.seconds, person.begin_life)
    return True


def _server_crash(world: World, action: Action) -> bool:
    if not world.server.is_alive:
        return False
    _kill(world.server, action)
    world.scheduler.after(LURKS_S + 0.01 + action.seconds, world.start_server)
    return True


def _kill(machine: Person | Server, action: Action) -> None:
    """Kill at once, or in the middle of what it does next; then within `LURKS_S`."""
    loop = machine.loop
    assert loop is not None

    def kill() -> None:
        if machine.loop is loop:
            machine.crash(power=action.flag)

    if action.size:
        if action.size % 2:
            loop.fuse = action.size
        else:
            loop.thread_fuse = 1 + action.size // 8
        loop.scheduler.after(LURKS_S, kill)
    else:
        kill()


def _client_restart(world: World, action: Action) -> bool:
    person = world.people[action.who]
    if not person.is_started:
        return False
    person.quit()
    world.scheduler.after(40.0, person.begin_life)
    return True


def _server_restart(world: World, _: Action) -> bool:
    if world.server.service is None:
        return False
    world.server.drain()
    return True


def _freeze(world: World, action: Action) -> bool:
    machine = world.server if action.who == "server" else world.people[action.who]
    if machine.loop is None or machine.loop.dead:
        return False
    machine.loop.freeze(world.now_s + action.seconds)
    return True


def _clock_jump(world: World, action: Action) -> bool:
    world.wall(action.who).offset_s += action.seconds
    return True


def _disk_slow(world: World, action: Action) -> bool:
    usual_s = world.conditions.commit_s
    world.pace.commit_s = (usual_s[0] * DISK_SLOWNESS, usual_s[1] * DISK_SLOWNESS)
    world.scheduler.after(action.seconds, setattr, world.pace, "commit_s", usual_s)
    return not world.conditions.sqlite


def _disk_error(world: World, _: Action) -> bool:
    if world.conditions.sqlite:
        return False
    world.pace.fails_next = True
    return True


_FAULTS: Final[dict[str, Callable[[World, Action], bool]]] = {
    "cut": _cut,
    "half_open": _half_open,
    "one_sided_reset": _one_sided_reset,
    "stall": _stall,
    "line_down": _line_down,
    "line_silent": _line_silent,
    "client_crash": _client_crash,
    "client_restart": _client_restart,
    "server_crash": _server_crash,
    "server_restart": _server_restart,
    "freeze": _freeze,
    "clock_jump": _clock_jump,
    "disk_slow": _disk_slow,
    "disk_error": _disk_error,
}
