"""Server and load have a core each, in whatever order they are bound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks import targets

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def cores() -> Iterator[set[int]]:
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


@pytest.mark.e2e
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process")
def test_a_server_started_by_a_bound_load_has_its_own_core(cores: set[int]) -> None:
    wanted = {targets.SERVER_CORE, targets.LOAD_CORE}
    if not wanted <= cores:
        pytest.skip("this machine has one core")
    targets.pin(targets.LOAD_CORE)
    with targets.reference_relay() as (_, pid):
        assert os.sched_getaffinity(pid) == {targets.SERVER_CORE}
    assert os.sched_getaffinity(0) == {targets.LOAD_CORE}
