"""The load that goes on, compiled once; tests that need it are skipped without a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import generator
from benchmarks.generator import GeneratorError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def flow_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return generator.compiled(tmp_path_factory.mktemp("cache"))
    except GeneratorError as error:
        pytest.skip(str(error))
