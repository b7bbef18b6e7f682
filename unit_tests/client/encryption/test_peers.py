"""What is counted per device: a gap is noticed, and what was given up leaves none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jim.client.encryption.content import MAX_VOIDS
from jim.client.encryption.peers import MAX_MISSING, Peers
from jim.client.schema import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOB = ("bob", "b" * 16)
OTHER = ("bob", "c" * 16)


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    with contextlib.closing(open_database(tmp_path / "store.db", create=True)) as connection:
        yield Peers(connection)


def test_every_device_has_counts_of_its_own(peers: Peers) -> None:
    assert [peers.next_count(*BOB, message_id)[0] for message_id in (7, 8)] == [1, 2]
    assert peers.next_count(*OTHER, 8) == (1, [])
    assert peers.message_of(*BOB, 2) == peers.message_of(*OTHER, 1) == 8
    assert peers.message_of(*OTHER, 2) is None


def test_what_is_missing_has_a_limit_however_often_counts_jump(peers: Peers) -> None:
    for jump in range(1, 5):
        peers.take(*BOB, jump * 10 * MAX_MISSING, [])
    missing = peers.missing(*BOB)
    assert len(missing) == MAX_MISSING
    assert missing[-1] == 40 * MAX_MISSING - 1, "the latest ones"


def test_what_is_given_up_is_told_with_everything_later(peers: Peers) -> None:
    for message_id in (7, 8):
        peers.next_count(*BOB, message_id)
    peers.next_count(*OTHER, 8)
    peers.give_up(8)
    assert peers.message_of(*BOB, 2) is None
    assert peers.next_count(*BOB, 9) == (3, [2])
    assert peers.next_count(*OTHER, 9) == (2, [1])
    peers.give_up(8)
    assert peers.next_count(*BOB, 10) == (4, [2])


def test_only_the_latest_that_were_given_up_are_told(peers: Peers) -> None:
    for message_id in range(1, MAX_VOIDS + 6):
        peers.next_count(*BOB, message_id)
        peers.give_up(message_id)
    _, voids = peers.next_count(*BOB, 999)
    assert voids == list(range(6, MAX_VOIDS + 6))


def test_what_is_asked_for_and_gone_is_given_up_but_nothing_that_was_never_used(
    peers: Peers,
) -> None:
    peers.voids(*BOB, [1])  # nobody has had anything
    peers.next_count(*BOB, 7)
    peers.next_count(*BOB, 8)
    peers.voids(*BOB, [2, 3, 99])
    peers.voids(*BOB, [2])
    assert peers.next_count(*BOB, 9) == (3, [2])


def test_what_comes_in_order_leaves_nothing_missing(peers: Peers) -> None:
    assert [peers.take(*BOB, count, []) for count in (1, 2, 3)] == [(True, 0)] * 3
    assert peers.missing(*BOB) == []
    assert peers.take(*BOB, 2, []) == (False, 0)


def test_a_gap_is_told_once_and_closes_when_it_comes(peers: Peers) -> None:
    assert peers.take(*BOB, 4, []) == (True, 3)
    assert peers.missing(*BOB) == [1, 2, 3]
    assert peers.missing(*OTHER) == []
    assert peers.take(*BOB, 5, []) == (True, 0)
    assert peers.take(*BOB, 2, []) == (True, 0)
    assert peers.take(*BOB, 2, []) == (False, 0)
    assert peers.forget(*BOB, 1)
    assert not peers.forget(*BOB, 1)
    assert peers.missing(*BOB) == [3]


def test_what_was_given_up_is_not_missing(peers: Peers) -> None:
    assert peers.take(*BOB, 4, [2, 3]) == (True, 1)
    assert peers.missing(*BOB) == [1]
    assert peers.take(*BOB, 5, [1]) == (True, 0)
    assert peers.missing(*BOB) == []


def test_what_could_not_be_opened_is_missing_but_did_come(peers: Peers) -> None:
    peers.note_unopened(*BOB)
    assert peers.take(*BOB, 3, []) == (True, 1)
    assert peers.missing(*BOB) == [1, 2]
    assert peers.take(*BOB, 5, []) == (True, 1), "it was counted with the gap before"


def test_more_unopened_than_missing_is_no_gap(peers: Peers) -> None:
    for _ in range(3):
        peers.note_unopened(*BOB)
    assert peers.take(*BOB, 2, []) == (True, 0)


def test_a_count_far_ahead_does_not_fill_the_disk(peers: Peers) -> None:
    far = 2**53 - 1
    assert peers.take(*BOB, far, []) == (True, MAX_MISSING)
    assert peers.missing(*BOB) == list(range(far - MAX_MISSING, far))


def test_a_session_is_mended_only_so_often(peers: Peers) -> None:
    asked = [peers.may_repair(*BOB, now, 100) for now in (1000, 1001, 1099, 1100, 1101)]
    assert asked == [True, False, False, True, False]
    assert peers.may_repair(*OTHER, 1101, 100)
    assert peers.may_repair(*BOB, 50, 100), "a clock that was put back must not forbid it for years"
