"""What is prepared before the server runs."""

from __future__ import annotations

import ctypes
import platform
from types import SimpleNamespace
from typing import Any

import pytest

from jim.server import loops


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_takes_the_thresholds() -> None:
    assert loops.tune_malloc()


def test_blocks_of_the_size_of_a_commit_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def mallopt(parameter: int, value: int) -> int:
        asked.append((parameter, value))
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert loops.tune_malloc()
    assert dict(asked) == {
        loops.M_MMAP_THRESHOLD: loops.KEPT_BYTES,
        loops.M_TRIM_THRESHOLD: loops.KEPT_BYTES,
    }


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_libc_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def library(_: None) -> Any:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert not loops.tune_malloc()
