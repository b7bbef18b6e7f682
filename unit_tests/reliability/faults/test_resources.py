from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.faults.resources import StarvingServer

if TYPE_CHECKING:
    from pathlib import Path

STARVED = """\
2026-01-01 00:00:00,000 ERROR runners run Fatal error on SSL protocol
  Traceback (most recent call last):
  MemoryError
"""
BLUNDER = """\
2026-01-01 00:00:01,000 ERROR node incident 12 in a task
  Traceback (most recent call last):
  KeyError: 'x'
"""


def server_with_log(directory: Path, text: str) -> StarvingServer:
    server = StarvingServer(directory, port=1)
    (directory / "log").mkdir()
    (directory / "log" / "server.log").write_text(text)
    return server


def test_a_lack_of_memory_is_counted_and_is_no_blunder(tmp_path: Path) -> None:
    server = server_with_log(tmp_path, STARVED)
    assert server.starved() == 1
    assert server.blunders() == []


def test_any_other_traceback_is_one(tmp_path: Path) -> None:
    server = server_with_log(tmp_path, STARVED + BLUNDER + STARVED)
    assert server.starved() == 2
    assert server.blunders()
