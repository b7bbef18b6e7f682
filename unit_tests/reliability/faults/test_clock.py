from __future__ import annotations

import sqlite3
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from reliability.faults import clock
from reliability.injectors.clock import HOUR_S, YEAR_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def person_with(directory: Path, *stamps: tuple[bool, float]) -> Any:
    """A person whose store has messages: written by themself or not, and stamped so far off."""
    path = directory / "accounts" / "server" / "anna" / "store.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE messages (message_id INTEGER PRIMARY KEY, outgoing, time_ms)"
        )
        rows = [(outgoing, int((time.time() + off_s) * 1000)) for outgoing, off_s in stamps]
        connection.executemany("INSERT INTO messages (outgoing, time_ms) VALUES (?, ?)", rows)
    connection.close()
    return cast("Any", SimpleNamespace(data_dir=directory))


def test_a_jump_is_seen_by_the_last_message_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "STAMPED_WITHIN_S", 0.2)
    person = person_with(tmp_path, (False, 0), (False, HOUR_S), (True, 0))
    assert clock._await_stamp(person, HOUR_S)
    assert not clock._await_stamp(person, 0)
    assert not clock._await_stamp(person, 10 * YEAR_S)


def test_a_short_run_has_every_jump() -> None:
    short = clock.FAULTS[0].short
    jumps_s = [jump_s for cycle in range(short) for jump_s in clock.JUMPS_S[cycle]]
    assert sorted(jumps_s) == [-10 * YEAR_S, -HOUR_S, HOUR_S, 10 * YEAR_S]
