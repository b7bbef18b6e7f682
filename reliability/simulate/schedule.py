"""A schedule: what happens in which order, as plain numbers, so that it can be cut and replayed.

Nothing else in a simulated run is random. Every step carries a number of its own from which its
choices are made (which device, how much of what is under way arrives), so that a step means much
the same when others are taken out. A step that is not possible at its moment does nothing.
"""

from __future__ import annotations

import enum
import random
from typing import Final

from msgspec import Struct

from reliability import seeded
from reliability.seeded import CHOICES


class Kind(enum.IntEnum):
    """What a step does."""

    MOVE = 0
    """Something under way gets further: a frame, a commit, a job of a disk."""
    WRITE = 1
    WRITE_ELSEWHERE = 2
    """Another process of the same account queues a message."""
    CANCEL = 3
    CONNECT = 4
    CUT = 5
    """A connection is lost; the server may not notice."""
    CRASH_CLIENT = 6
    CRASH_SERVER = 7
    PAUSE = 8
    RESUME = 9
    LOSE_EVENT = 10
    """The bus drops the next event, and says so later."""
    SAVE = 11
    """Backups of a client's and of the server's disk are made."""
    RESTORE_CLIENT = 12
    RESTORE_SERVER = 13


_EVERYDAY: Final = (400, 200, 20, 15, 70, 40, 30, 20, 30, 25, 15, 0, 0, 0)
"""Weights of the kinds. Work outweighs faults, else nothing gets far enough to be broken; a crash
about every 20 steps."""

_STORMY: Final = (400, 170, 15, 10, 130, 80, 60, 40, 25, 20, 20, 0, 0, 0)
_CLIENT_RESTORED: Final = (400, 180, 15, 12, 80, 35, 25, 15, 15, 14, 8, 60, 60, 0)
_SERVER_RESTORED: Final = (400, 180, 15, 12, 80, 35, 25, 15, 15, 14, 8, 60, 0, 60)
"""So that a backup is put in place that lacks something in every fourth and every seventh run (half
as much of both: in every eleventh and every twentieth)."""


class Climate(Struct, frozen=True):
    """What kinds of steps a schedule is made of, and what the world is like."""

    name: str
    weights: tuple[int, ...]
    waiting_messages: int = 1_000
    """Bound of a mailbox; small ones overflow."""
    second_device: bool = False
    """Whether the second account has two devices."""


CLIMATES: Final = (
    Climate("everyday", _EVERYDAY),
    Climate("two devices", _EVERYDAY, second_device=True),
    Climate("stormy", _STORMY, second_device=True),
    Climate("full mailboxes", _EVERYDAY, waiting_messages=3, second_device=True),
    Climate("client restored", _CLIENT_RESTORED),
    Climate("server restored", _SERVER_RESTORED, second_device=True),
)
"""A seed's remainder says which one it gets."""

SHORTEST: Final = 12
LONGEST: Final = 48
"""Steps of a schedule: every planted bug is found within fewer than 60; beyond it more schedules
find more than longer ones."""


Schedule = seeded.Schedule[Climate]
"""Of this layer; `shuffle` seeds the order in which things under way are looked at."""

SCRIPT: Final = seeded.Script(Kind, CLIMATES)
"""How they are printed, and read again."""


def make(seed: int) -> Schedule:
    """Make the schedule of a seed."""
    chance = random.Random(seed)
    climate = CLIMATES[seed % len(CLIMATES)]
    length = chance.randrange(SHORTEST, LONGEST + 1)
    kinds = chance.choices(range(len(Kind)), climate.weights, k=length)
    bits = chance.getrandbits(30 * length)
    steps = []
    for kind in kinds:
        steps.append((kind, bits % CHOICES))
        bits >>= 30
    return Schedule(climate, chance.randrange(CHOICES), tuple(steps))
