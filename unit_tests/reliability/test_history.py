"""Histories on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.history import Acked, Fault, Written, digest, load, save

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.history import Event

EVENTS: list[Event] = [
    Written(0.5, "m1", "ann", "ann1", "боб", digest("привет")),
    Acked(1.5, "m1", 7, 3, 1),
    Fault(2.0, "kill", fired=False, detail="server"),
]


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path / "h.jsonl", EVENTS)
    assert list(load(tmp_path / "h.jsonl")) == EVENTS


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    save(path, EVENTS)
    path.write_bytes(path.read_bytes()[:-5])
    assert list(load(path)) == EVENTS[:-1]


def test_a_digest_depends_on_every_letter() -> None:
    assert digest("a") != digest("b")
    assert len(digest("")) == 16
