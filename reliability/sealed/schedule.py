"""A schedule of devices that seal: what happens in which order, as plain numbers.

As in `reliability.simulate`, nothing else in a run is random that anything depends on: keys and
sessions are, but no step looks at their bits. A step that is not possible at its moment does
nothing, so a schedule can be cut and replayed.
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
    """Something under way gets further: a message, an answer, a frame, a push."""
    WRITE = 1
    CONNECT = 2
    CUT = 3
    """A connection is lost; of what was sent a part may still arrive."""
    CRASH = 4
    """A client dies at one of its next commits: before it, in it, or after it."""
    LOSE = 5
    """One of the next questions to the server, or its answer, is lost with the connection."""
    TIME = 6
    JOIN = 7
    REVOKE = 8
    RESET = 9
    SAVE = 10
    """A copy of a device's store is made."""
    RESTORE = 11
    """The copy is put in place: the device notices at its login and is replaced."""
    CLONE = 12
    """The copy is put in place, and the server sees to it that the device cannot notice."""
    LIE = 13
    """The server does what it must not."""
    FULL = 14
    """The server refuses the next text: the mailbox that it is for is full."""


#                    move  wr  con cut cr  los tim joi rev res sav rst cln lie ful
_CALM: Final = (400, 150, 60, 30, 100, 50, 25, 0, 0, 0, 0, 0, 0, 0, 15)
_GROWING: Final = (400, 150, 60, 30, 80, 40, 25, 25, 0, 0, 0, 0, 0, 0, 15)
_SHRINKING: Final = (400, 150, 60, 30, 40, 30, 25, 30, 18, 8, 0, 0, 0, 0, 10)
_RESTORED: Final = (400, 150, 60, 30, 30, 20, 20, 15, 0, 0, 60, 40, 0, 0, 5)
_LYING: Final = (400, 150, 60, 20, 25, 20, 25, 12, 0, 0, 0, 0, 0, 150, 5)
_CLONED: Final = (400, 150, 60, 25, 25, 15, 20, 12, 0, 0, 60, 0, 40, 30, 5)


class Climate(Struct, frozen=True):
    """What kinds of steps a schedule is made of."""

    name: str
    weights: tuple[int, ...]


CLIMATES: Final = (
    Climate("calm", _CALM),
    Climate("growing", _GROWING),
    Climate("shrinking", _SHRINKING),
    Climate("restored", _RESTORED),
    Climate("lying", _LYING),
    Climate("cloned", _CLONED),
)
"""A seed's remainder says which one it gets. In the first two nothing lies and nobody goes back: no
user may ever be told there that something could not be opened."""

SHORTEST: Final = 20
LONGEST: Final = 70
"""Steps of a schedule: a message takes about six to be shown, one that is mended twice that."""


Schedule = seeded.Schedule[Climate]
"""Of this layer; `shuffle` seeds what is chosen once for a run: keys, how many devices there are,
which lies are told."""

SCRIPT: Final = seeded.Script(Kind, CLIMATES)
"""How they are printed, and read again."""


def make(seed: int) -> Schedule:
    """Make the schedule of a seed."""
    chance = random.Random(seed)
    climate = CLIMATES[seed % len(CLIMATES)]
    length = chance.randrange(SHORTEST, LONGEST + 1)
    kinds = chance.choices(range(len(Kind)), climate.weights, k=length)
    steps = tuple((kind, chance.randrange(CHOICES)) for kind in kinds)
    return Schedule(climate, chance.randrange(CHOICES), steps)
