"""Every test of the store's contract runs on each adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unit_tests.support.adapters import Adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jim.core.ports import Store


@pytest.fixture(params=["memory", "sqlite"])
async def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Adapter]:
    adapter = Adapter(request.param, tmp_path)
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def store(adapter: Adapter) -> Store:
    return await adapter.open()
