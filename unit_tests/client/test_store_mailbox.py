"""What comes with the mailbox is kept once, in its place, together with its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.client import sync
from jim.client.events import MissingNotice
from jim.client.schema import open_database
from jim.protocol.messages import Notice
from unit_tests.client.test_store import ME, delivery, keep, plain_store, queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.client.mailbox import MailboxStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MailboxStore]:
    connection = open_database(tmp_path / "account" / "store.db", create=True)
    yield plain_store(connection)
    connection.close()


def test_equal_words_and_numbers_of_two_devices_are_two_messages(store: MailboxStore) -> None:
    one, other = delivery(1), delivery(2)
    other.device, other.n = "e" * 16, one.n
    assert len(keep(store, [one, other])) == 2


def test_a_notice_is_kept_in_its_place_until_it_was_shown(store: MailboxStore) -> None:
    notice = Notice(position=2, code="mailbox_full", time=70)
    first, told, later = keep(store, [delivery(1), notice, delivery(3, "later")])
    assert (first.text, later.text) == ("hi", "later")
    assert told == MissingNotice("mailbox_full", 70, told.notice_id)
    assert store.standing().position == 3
    again = store.note("restored", 80)
    assert store.unshown_notices() == [told, again]
    store.notice_shown(told.notice_id)
    assert store.unshown_notices() == [again]
    rows = store._sql.execute("SELECT behind_id, position FROM notices ORDER BY notice_id")
    assert [tuple(row) for row in rows] == [(first.message_id, 2), (later.message_id, 0)]


def test_a_message_is_kept_once_however_often_it_comes(store: MailboxStore) -> None:
    assert [m.text for m in keep(store, [delivery(1), delivery(2, "two")])] == ["hi", "two"]
    moved = delivery(7, "two")
    moved.n = 2
    assert keep(store, [moved]) == []
    assert store.standing().position == 7


def positions(store: MailboxStore) -> dict[str, int]:
    """Give the position of every message, by its text."""
    return dict(store._sql.execute("SELECT text, position FROM messages").fetchall())


def test_where_a_message_stands_in_the_mailbox_is_kept(store: MailboxStore) -> None:
    (mine,) = queue(store, "mine")
    store.confirm(sync.Confirm(mine.message_id, 1, 1, 9))
    own = delivery(3, "mine", sender="alice", to="bob")
    own.device, own.n = ME, 1
    keep(store, [delivery(1, "one"), delivery(2, "two", sender="alice", to="bob"), own])
    assert positions(store) == {"mine": 3, "one": 1, "two": 2}
    again = delivery(4, "one")
    again.n = 1
    assert keep(store, [again]) == []
    assert positions(store) == {"mine": 3, "one": 1, "two": 2}
    passed = [tuple(row) for row in store._sql.execute("SELECT position, n FROM passed")]
    assert passed == [(4, 0)], "the place is known, although it brought nothing"


def test_what_is_here_has_its_place_in_another_lineage_too(store: MailboxStore) -> None:
    keep(store, [delivery(1, "one"), delivery(2, "two")])
    store.move_cursor("another lineage", 0)
    again = delivery(1, "two")
    again.n = 2
    assert keep(store, [again]) == []
    assert positions(store) == {"one": 0, "two": 1}
    assert store._sql.execute("SELECT count(*) FROM passed").fetchone()[0] == 0


def test_a_cursor_that_was_moved_has_walked_nothing(store: MailboxStore) -> None:
    keep(store, [delivery(1), Notice(position=2, code="mailbox_full", time=70)])
    store.move_cursor("another lineage", 7)
    assert positions(store) == {"hi": 0}
    for query in ("SELECT position FROM notices", "SELECT walked_from - position FROM account"):
        assert [tuple(row) for row in store._sql.execute(query)] == [(0,)]
    assert store.standing().position == 7


def test_a_message_that_is_new_takes_one_statement(store: MailboxStore) -> None:
    """Only the first ones of somebody cost a look at whether there are any."""
    keep(store, [delivery(1), delivery(2, "two")])
    ran: list[str] = []
    store._sql.set_trace_callback(ran.append)
    keep(store, [delivery(3, "three"), delivery(4, "four"), delivery(5, "five")])
    store._sql.set_trace_callback(None)
    assert len([statement for statement in ran if "messages" in statement]) == 3
    assert len(ran) == 4


def test_the_same_number_with_another_text_is_another_message(store: MailboxStore) -> None:
    keep(store, [delivery(1)])
    other = delivery(2, "other")
    other.n = 1
    assert [m.text for m in keep(store, [other])] == ["other"]


def test_fields_that_run_together_are_still_different_messages(store: MailboxStore) -> None:
    one, other = delivery(1, sender="alice", to="2x"), delivery(12, sender="alice", to="x")
    assert len(keep(store, [one, other])) == 2


def test_what_i_wrote_on_another_device_is_mine(store: MailboxStore) -> None:
    (message,) = keep(store, [delivery(1, sender="alice", to="bob")])
    assert (message.outgoing, message.peer, message.state) == (True, "bob", "stored")
    assert store.undelivered() == ["bob"]


def test_a_text_that_was_not_sealed_is_kept_as_such(store: MailboxStore) -> None:
    (message,) = keep(store, [delivery(1)])
    assert message.plain


def test_what_this_device_wrote_does_not_come_twice(store: MailboxStore) -> None:
    own = delivery(1, sender="alice", to="bob")
    own.device = ME
    assert keep(store, [own]) == []
