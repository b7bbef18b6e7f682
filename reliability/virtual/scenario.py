"""What happens in one run: how the world is, and who does or suffers what at which moment.

A scenario is drawn from the seed before the run begins, so that a failing one can be shrunk by
leaving actions out; what is drawn while it runs (delays, pieces, turns) comes from the seed too.
"""

from __future__ import annotations

import random
from typing import Final

import msgspec
from msgspec import Struct

from jim.core.limits import Limits
from reliability.virtual.cast import DEVICES
from reliability.virtual.network import Weather

STRANGER: Final = "nemo"
"""A name that nobody has."""

NAMES: Final = tuple(dict.fromkeys(device.partition("/")[0] for device in DEVICES))

FRESH_SHARE: Final = 0.06
"""Runs in which the accounts are registered under faults; these cost five times as much."""

SQLITE_SHARE: Final = 0.2
"""Runs in which the server has its real SQLite store."""


class Action(Struct, frozen=True, kw_only=True):
    """Something that happens.

    Attributes:
        at_s: when.
        kind: a name of `reliability.virtual.actions`.
        who: a device, or "server"; for some kinds "" means all.
        to: the addressee of a message.
        size: of a text in bytes, or how many messages.
        seconds: how long it lasts, or how far a clock jumps.
        flag: one of two ways to do it.
    """

    at_s: float
    kind: str
    who: str = ""
    to: str = ""
    size: int = 0
    seconds: float = 0.0
    flag: bool = False

    def __str__(self) -> str:
        parts = [f"{self.at_s:8.3f} s  {self.kind} {self.who}"]
        if self.to:
            parts.append(f"to {self.to}")
        if self.size:
            parts.append(f"size {self.size}")
        if self.seconds:
            parts.append(f"{self.seconds:.3f} s")
        return " ".join([*parts, "*" if self.flag else ""]).rstrip()


class Conditions(Struct, frozen=True, kw_only=True):
    """How the world of a run is."""

    weather: Weather = Weather()
    limits: Limits = Limits()
    commit_s: tuple[float, float] = (0.000_5, 0.02)
    client_disk_s: tuple[float, float] = (0.000_1, 0.02)
    tick_s: float = 5.0
    fresh: bool = False
    sqlite: bool = False


class Scenario(Struct, frozen=True, kw_only=True):
    """One run, wholly determined."""

    seed: int
    conditions: Conditions
    actions: list[Action]

    def without(self, index: int) -> Scenario:
        """Leave one action out."""
        return msgspec.structs.replace(
            self, actions=self.actions[:index] + self.actions[index + 1 :]
        )


def draw(seed: int) -> Scenario:
    """Draw the scenario of a seed."""
    chance = random.Random(f"scenario {seed}")
    conditions = _draw_conditions(chance)
    length_s = chance.choice((1.0, 5.0, 20.0, 60.0))
    faultiness = chance.choice((0.15, 0.3, 0.5))
    count = chance.randint(6, 30)
    moments = sorted(chance.uniform(0.0, length_s) for _ in range(count))
    actions = []
    for at_s in moments:
        if chance.random() < faultiness:
            actions.append(_draw_fault(chance, at_s, length_s))
        else:
            actions.append(_draw_sending(chance, at_s))
    return Scenario(seed=seed, conditions=conditions, actions=actions)


def _draw_conditions(chance: random.Random) -> Conditions:
    sqlite = chance.random() < SQLITE_SHARE
    fast = chance.random() < 0.5
    return Conditions(
        weather=Weather(
            latency_s=(0.000_1, 0.002) if fast else (0.002, 0.15),
            straggling=chance.choice((0.0, 0.02, 0.1)),
            splitting=chance.choice((0.0, 0.3, 0.8)),
            buffer_bytes=chance.choice(((512, 4096), (4096, 65_536), (65_536, 262_144))),
        ),
        limits=_draw_limits(chance),
        commit_s=chance.choice(((0.000_1, 0.001), (0.001, 0.02), (0.01, 0.3))),
        client_disk_s=chance.choice(((0.000_1, 0.002), (0.000_1, 0.02), (0.05, 0.5))),
        tick_s=chance.choice((2.0, 10.0, 30.0, 30.0, 30.0)),
        fresh=chance.random() < FRESH_SHARE,
        sqlite=sqlite,
    )


def _draw_limits(chance: random.Random) -> Limits:
    """Draw limits as they are, or so small that they are reached all the time."""
    limits = Limits(penalty_start_s=0.0)
    if chance.random() < 0.4:
        limits = msgspec.structs.replace(limits, outgoing_bytes=chance.choice((2048, 8192, 32_768)))
    if chance.random() < 0.4:
        limits = msgspec.structs.replace(limits, page_bytes=chance.choice((200, 1000, 4000)))
    if chance.random() < 0.4:
        limits = msgspec.structs.replace(limits, window=chance.choice((1, 2, 5, 16)))
    if chance.random() < 0.3:
        limits = msgspec.structs.replace(limits, messages_per_s=0.0, bytes_per_s=0)
    if chance.random() < 0.15:
        limits = msgspec.structs.replace(limits, waiting_messages=chance.choice((2, 4, 8)))
    return limits


def _draw_sending(chance: random.Random, at_s: float) -> Action:
    who = chance.choice(DEVICES)
    kind = chance.choices(("send", "take_back", "watch"), (16, 2, 1))[0]
    to = STRANGER if chance.random() < 0.08 else chance.choice(NAMES)
    size = chance.choice((0, 10, 10, 100, 700, 3000))
    return Action(at_s=at_s, kind=kind, who=who, to=to, size=size, flag=chance.random() < 0.25)


FAULTS: Final = {
    "cut": 6,
    "half_open": 4,
    "one_sided_reset": 2,
    "stall": 3,
    "line_down": 2,
    "line_silent": 2,
    "client_crash": 4,
    "client_restart": 1,
    "server_crash": 3,
    "server_restart": 1,
    "freeze": 3,
    "clock_jump": 2,
    "disk_slow": 1,
    "disk_error": 1,
}
"""Every kind of fault, and how often it comes compared with the others."""


def _draw_fault(chance: random.Random, at_s: float, length_s: float) -> Action:
    kind = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
    everybody = kind in {"cut", "stall", "half_open"} and chance.random() < 0.2
    who = "" if everybody else chance.choice(DEVICES)
    at_server = kind.startswith(("server", "disk"))
    if at_server or (kind in {"freeze", "clock_jump"} and chance.random() < 0.3):
        who = "server"
    seconds = chance.choice((0.05, 0.5, 3.0, 15.0)) * chance.random()
    if kind == "clock_jump":
        seconds = chance.choice((-1, 1)) * chance.choice((5.0, 3600.0, 315_360_000.0))
    return Action(
        at_s=at_s,
        kind=kind,
        who=who,
        size=chance.choice((0, chance.randint(1, 8), chance.randint(1, 40))),
        seconds=min(seconds, max(length_s, 1.0)) if kind != "clock_jump" else seconds,
        flag=chance.random() < 0.5,
    )
