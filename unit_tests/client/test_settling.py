"""What becomes of the messages of a device that is left, by the rules of the welcome."""

from __future__ import annotations

import pytest

from jim.client.sync import Outbox, Row, Settled, settle


def outbox(confirmed: int, *rows: tuple[int, bool, bool]) -> Outbox:
    """Make an outbox of (message id, released, fresh), each with a mark of its own."""
    made = [Row(i, "bob", released=r, fresh=f, mark=f"mark {i}") for i, r, f in rows]
    return Outbox(confirmed, made, 64)


@pytest.mark.parametrize(
    ("last_n", "mark", "wanted"),
    [
        (5, "", Settled([], [], 5)),
        (6, "mark 11", Settled([11], [], 5)),
        (7, "mark 12", Settled([11, 12], [], 5)),
        (7, "", Settled([11, 12], [], 5)),
        (6, "another", Settled([], [11, 12, 13], 5)),
        (8, "mark 13", Settled([], [11, 12, 13], 5)),  # never released: another life used it
        (9, "", Settled([], [11, 12, 13], 5)),
        (3, "", Settled([], [], 3)),
        (0, "", Settled([], [], 0)),
    ],
)
def test_what_is_stored_unknown_and_lost(last_n: int, mark: str, wanted: Settled) -> None:
    box = outbox(5, (11, True, False), (12, True, False), (13, False, False))
    assert settle(box, last_n, mark) == wanted


def test_what_was_written_just_now_and_never_sent_is_not_unknown() -> None:
    box = outbox(5, (11, True, False), (12, True, True), (13, False, True))
    assert settle(box, 9, "").unknown == [11, 12]
