from __future__ import annotations

import pytest

from benchmarks import side_by_side
from benchmarks.rounds import Pace
from benchmarks.side_by_side import Shape


@pytest.mark.e2e
async def test_both_are_measured_in_every_round() -> None:
    with side_by_side.running() as both:
        found = await side_by_side.rates(both, Shape("small", 2, 4), Pace(0.0, 0.1, 2))
    assert (len(found.jim), len(found.relay), found.errors) == (2, 2, 0)
    assert min(found.jim + found.relay) > 0
    # A round as short as this one may take less than a tick of the kernel's count, 10 ms.
    assert len(found.cpu_us) == 2
    assert min(found.cpu_us) >= 0
