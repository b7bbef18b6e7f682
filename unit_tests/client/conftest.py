"""A real server, a network in between, and clients: what the tests with a server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unit_tests.client.household import Household
from unit_tests.client.relay import Relay
from unit_tests.support.serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path / "server") as running:
        yield running


@pytest.fixture
async def house(server: Serving, tmp_path: Path) -> AsyncIterator[Household]:
    household = Household(server.port, tmp_path)
    yield household
    await household.aclose()


@pytest.fixture
async def relay(server: Serving) -> AsyncIterator[Relay]:
    async with Relay(server.port) as relay:
        yield relay
