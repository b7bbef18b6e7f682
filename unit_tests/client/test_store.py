"""The local store: it follows the same rules as the model, and refuses what it cannot use."""

# long module: one suite for the store

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest

from jim.client import store_rows as sql
from jim.client import sync
from jim.client.account_record import AccountRecord, Stage, read_account, write_account
from jim.client.encryption.contacts import Contacts
from jim.client.encryption.sealing import write_payload
from jim.client.events import UNKNOWN_OUTCOME, Message, MessageState
from jim.client.mailbox import MailboxStore
from jim.client.schema import MIGRATIONS, open_database
from jim.client.store import Draft
from jim.errors import StoreCorrupt, StoreTooNew, StoreUnwritable
from jim.protocol.messages import Delivery, Notice
from unit_tests.client.model import Kept, Store
from unit_tests.client.world import Faults, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ME = "0123456789abcdef"
ALICE = AccountRecord(name="alice", device=ME, stage=Stage.REGISTERED)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "account" / "store.db", create=True)
    yield connection
    connection.close()


def plain_store(connection: sqlite3.Connection) -> MailboxStore:
    """Make a store whose user allows texts that are not sealed, as these tests send them."""
    write_account(connection, ALICE)
    for name in ("alice", "bob", "carol"):
        Contacts(connection).allow_plain(name, allowed=True)
    return MailboxStore(connection, "alice", ME)


@pytest.fixture
def store(connection: sqlite3.Connection) -> MailboxStore:
    return plain_store(connection)


def queue(store: MailboxStore, *texts: str, to: str = "bob") -> list[Message]:
    return [store.enqueue(Draft(to, text, 1), released=False)[0] for text in texts]


def delivery(
    position: int, text: str = "hi", sender: str = "bob", to: str = "alice", seq: int = 0
) -> Delivery:
    return Delivery(
        position=position,
        seq=seq or position,
        sender=sender,
        device="f" * 16,
        n=position,
        to=to,
        time=1000 + position,
        message=text,
    )


def keep(store: MailboxStore, frames: Sequence[Delivery | Notice]) -> list[Any]:
    """Keep frames; where only deliveries come, only messages are given."""
    kept = store.keep(frames)
    assert (kept.position, kept.lacking) == (frames[-1].position, "")
    return kept.news


def seal(store: MailboxStore, *message_ids: int) -> None:
    """Seal messages as a store with a vault does, which `post.py` has."""
    payload = write_payload(sync.Payload({"f" * 16: "1mAAAA"}))
    store._sql.executemany(sql.SEAL, [(payload, False, message_id) for message_id in message_ids])


# --- the same rules as the model ------------------------------------------------------------------


class Mirrored(Store):
    """The model's disk, with the real store doing the same beside it."""

    real: MailboxStore

    def enqueue(self, uid: str, *, released: bool) -> None:
        super().enqueue(uid, released=released)
        message, _ = self.real.enqueue(Draft("bob", uid, 1), released=False)
        if released:
            seal(self.real, message.message_id)
        self.messages[-1].message_id = message.message_id  # received messages have ids, too
        self.compare()

    def keep(self, frames: list[tuple[int, str]]) -> None:
        super().keep(frames)
        keep(self.real, [delivery(position, uid) for position, uid in frames])
        self.compare()

    def apply(self, effect: object) -> list[Kept]:
        again = super().apply(effect)
        match effect:
            case sync.Seal(ids):
                seal(self.real, *ids)
            case sync.Confirm():
                self.real.confirm(effect)
            case sync.Refuse():
                self.real.refuse(effect)
            case sync.Restart():
                self.real.restart(effect)
            case sync.Requeue():
                found = [row for row, _ in self.real.requeue(effect)]
                assert [row.message_id for row in found] == [kept.message_id for kept in again]
                assert all(row.released for row in found)
            case sync.MoveCursor(epoch, position):
                self.real.move_cursor(epoch, position)
        self.compare()
        return again

    def compare(self) -> None:
        standing = self.real.standing()
        assert (standing.confirmed_n, standing.epoch, standing.position) == (
            self.confirmed,
            self.epoch,
            self.cursor,
        )
        known = self.real._sql.execute(
            "SELECT position FROM messages WHERE position <> 0 ORDER BY position"
        )
        (walked_from,) = self.real._sql.execute("SELECT walked_from FROM account").fetchone()
        assert [position for (position,) in known] == list(range(walked_from + 1, self.cursor + 1))
        rows = self.real.queued_after(0)
        assert [(row.message_id, m.n, row.released) for row, m in rows] == [
            (kept.message_id, kept.n, kept.released) for kept in self.queue()
        ]
        if self.messages:
            last = self.messages[-1]
            real = self.real.message(last.message_id)
            assert real is not None
            state = real.error_code if real.state is MessageState.FAILED else real.state
            assert (state, real.seq) == (last.state, last.seq)


@pytest.mark.parametrize(
    "faults", [Faults(), Faults(server_backup=True, drop_frame=0)], ids=["everyday", "restored"]
)
def test_it_keeps_the_same_books_as_the_model(faults: Faults) -> None:
    requeued = 0
    for seed in range(40):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        for script in MIGRATIONS:
            connection.executescript(script)
        write_account(connection, ALICE)
        mirrored = Mirrored()
        mirrored.real = MailboxStore(connection, "alice", ME)
        world = World(seed, faults, mirrored)
        world.run(150)
        world.check()
        requeued += world.restored
        connection.close()
    assert bool(requeued) is faults.server_backup


# --- own messages ---------------------------------------------------------------------------------


def test_numbers_follow_each_other_and_close_up_after_a_refusal(store: MailboxStore) -> None:
    first, second, third = queue(store, "a", "b", "c")
    assert [m.n for m in (first, second, third)] == [1, 2, 3]
    (failed,) = store.refuse(sync.Refuse(second.message_id, "recipient_unknown"))
    assert (failed.state, failed.error_code, failed.n) == ("failed", "recipient_unknown", 0)
    assert [message.n for _, message in store.queued_after(0)] == [1, 2]
    assert queue(store, "d")[0].n == 3


def marks(store: MailboxStore) -> list[str]:
    return [row.mark for row, _ in store.queued_after(0)]


def test_a_message_has_one_mark_whatever_becomes_of_it(
    store: MailboxStore, connection: sqlite3.Connection
) -> None:
    first, second, third = queue(store, "same", "same", "same")
    given = marks(store)
    assert len(set(given)) == 3
    store.refuse(sync.Refuse(first.message_id, "recipient_unknown"))
    seal(store, second.message_id)
    assert marks(store) == given[1:], "its number has changed, and nothing else"
    store.confirm(sync.Confirm(second.message_id, 1, 7, 5000))
    ((row, _),) = store.requeue(sync.Requeue(0))
    assert row.mark == given[1]
    assert marks(MailboxStore(connection, "alice", ME)) == given[1:]
    assert third.message_id > second.message_id


def test_a_copy_of_the_store_gives_the_same_marks_and_another_store_others(
    store: MailboxStore, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    queue(store, "a", "b")
    copied = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copied)
    assert marks(MailboxStore(copied, "alice", ME)) == marks(store)
    copied.close()
    other = open_database(tmp_path / "other" / "store.db", create=True)
    write_account(other, ALICE)
    another = MailboxStore(other, "alice", ME)
    queue(another, "a", "b")
    assert not set(marks(another)) & set(marks(store))
    other.close()


def test_a_confirmed_message_has_its_place(store: MailboxStore) -> None:
    (message,) = queue(store, "a")
    (stored,) = store.confirm(sync.Confirm(message.message_id, 1, 7, 5000))
    assert (stored.state, stored.seq, stored.time_ms, stored.n) == ("stored", 7, 5000, 1)
    assert store.confirm(sync.Confirm(message.message_id, 1, 7, 5000)) == []
    assert store.standing().confirmed_n == 1


def test_a_confirmation_without_a_place_keeps_the_time_of_writing(store: MailboxStore) -> None:
    (message,) = queue(store, "a")
    (stored,) = store.confirm(sync.Confirm(message.message_id, 1, 0, 0))
    assert (stored.state, stored.seq, stored.time_ms) == ("stored", 0, 1)
    assert store.delivered("bob", 99) == [], "nobody can say whether it is among them"


def test_a_place_in_a_server_that_lost_it_is_forgotten(store: MailboxStore) -> None:
    (message,) = queue(store, "a")
    store.confirm(sync.Confirm(message.message_id, 1, 7, 5000))
    store.requeue(sync.Requeue(0))
    (stored,) = store.confirm(sync.Confirm(message.message_id, 1, 0, 0))
    assert stored.seq == 0
    assert store.delivered("bob", 99) == []


def test_the_same_key_is_the_same_message(store: MailboxStore) -> None:
    first, new = store.enqueue(Draft("bob", "a", 1, "key"), released=False)
    again, new_again = store.enqueue(Draft("carol", "b", 2, "key"), released=False)
    assert (new, new_again, first) == (True, False, again)


@pytest.mark.parametrize(
    ("code", "another_try"), [("recipient_unknown", True), (UNKNOWN_OUTCOME, False)]
)
def test_a_key_is_free_again_after_a_definite_failure(
    store: MailboxStore, code: str, another_try: bool
) -> None:
    first, _ = store.enqueue(Draft("bob", "a", 1, "key"), released=False)
    store.refuse(sync.Refuse(first.message_id, code))
    _, new = store.enqueue(Draft("bob", "a", 2, "key"), released=False)
    assert new is another_try


def test_a_restart_fails_the_unknown_and_numbers_on_behind_the_last(store: MailboxStore) -> None:
    messages = queue(store, "a", "b", "c")
    failed = store.restart(sync.Restart(last_n=7, unknown=[messages[0].message_id]))
    assert [(m.text, m.error_code) for m in failed] == [("a", UNKNOWN_OUTCOME)]
    assert store.standing().confirmed_n == 7
    assert [(m.text, m.n) for _, m in store.queued_after(0)] == [("b", 8), ("c", 9)]


def test_delivery_states_only_move_forward(store: MailboxStore) -> None:
    messages = queue(store, "a", "b", "c")
    for n, message in enumerate(messages[:2], 1):
        store.confirm(sync.Confirm(message.message_id, n, n, 1))
    assert [m.text for m in store.delivered("bob", 1)] == ["a"]
    assert store.delivered("bob", 1) == []
    assert store.undelivered() == ["bob"]
    assert [m.text for m in store.delivered("bob", 99)] == ["b"]
    assert store.undelivered() == []
    assert [m.state for m in store.history("bob", None, 9)] == ["delivered", "delivered", "queued"]


def test_what_others_hold_says_nothing_about_this_conversation(store: MailboxStore) -> None:
    (message,) = queue(store, "a")
    store.confirm(sync.Confirm(message.message_id, 1, 1, 1))
    assert store.delivered("carol", 9) == []


def test_notes_to_oneself_wait_for_no_receipt(store: MailboxStore) -> None:
    (message,) = queue(store, "a", to="alice")
    store.confirm(sync.Confirm(message.message_id, 1, 1, 1))
    assert store.undelivered() == []


def test_what_another_process_queued_is_found(store: MailboxStore) -> None:
    first, second = queue(store, "a", "b")
    found = store.queued_after(first.message_id)
    assert [(row.message_id, row.to, row.payload, row.released) for row, _ in found] == [
        (second.message_id, "bob", None, False)
    ]
    assert [message.text for _, message in found] == ["b"]


# --- reading --------------------------------------------------------------------------------------


def test_a_conversation_is_in_the_order_of_the_server(store: MailboxStore) -> None:
    (mine,) = queue(store, "mine, written first, stored second")
    keep(store, [delivery(1, "theirs", seq=1)])
    store.confirm(sync.Confirm(mine.message_id, 1, 2, 9))
    queue(store, "not yet stored")
    keep(store, [delivery(2, "later", seq=3)])
    assert [m.text for m in store.history("bob", None, 9)] == [
        "theirs",
        "mine, written first, stored second",
        "later",
        "not yet stored",
    ]


def test_a_failed_message_stays_where_it_failed(store: MailboxStore) -> None:
    first, second, third, fourth = queue(store, "stored", "refused", "forgotten", "stored later")
    store.confirm(sync.Confirm(first.message_id, 1, 5, 9))
    store.refuse(sync.Refuse(second.message_id, "mailbox_full"))
    store.confirm(sync.Confirm(third.message_id, 2, 0, 0))
    store.confirm(sync.Confirm(fourth.message_id, 3, 7, 9))
    keep(store, [delivery(1, "answer", seq=8)])
    found = [m.text for m in store.history("bob", None, 9)]
    assert found == ["stored", "refused", "forgotten", "stored later", "answer"]


def test_a_failed_message_follows_the_one_it_failed_behind(store: MailboxStore) -> None:
    waiting, stored = queue(store, "fails at the end", "stored")
    store.confirm(sync.Confirm(stored.message_id, 1, 5, 9))
    store.refuse(sync.Refuse(waiting.message_id, UNKNOWN_OUTCOME))
    assert [m.text for m in store.history("bob", None, 9)] == ["stored", "fails at the end"]


def test_pages_join_without_gap_or_overlap(store: MailboxStore) -> None:
    keep(store, [delivery(i, f"m{i}") for i in range(1, 26)])
    pages: list[Message] = []
    before: int | None = None
    while page := store.history("bob", before, 10):
        pages = page + pages
        before = page[0].message_id
    assert [m.text for m in pages] == [f"m{i}" for i in range(1, 26)]
    assert store.history("carol", None, 10) == []
    assert store.history("bob", 9999, 10) == []


def test_conversations_come_latest_first(store: MailboxStore) -> None:
    assert store.conversations() == []
    keep(store, [delivery(1), delivery(2, "to carol", sender="alice", to="carol")])
    keep(store, [delivery(3, "newest", sender="bob")])
    found = [(c.peer, c.last.text) for c in store.conversations()]
    assert found == [("bob", "newest"), ("carol", "to carol")]


# --- the file -------------------------------------------------------------------------------------


def test_it_is_private_and_durable(connection: sqlite3.Connection, tmp_path: Path) -> None:
    write_account(connection, ALICE)
    folder = tmp_path / "account"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_account_row_comes_back_as_it_was(connection: sqlite3.Connection) -> None:
    assert read_account(connection) is None
    write_account(connection, ALICE)
    assert read_account(connection) == ALICE


def test_opening_again_changes_nothing(connection: sqlite3.Connection, tmp_path: Path) -> None:
    write_account(connection, ALICE)
    again = open_database(tmp_path / "account" / "store.db", create=False)
    assert read_account(again) == ALICE
    again.close()


def test_a_newer_database_is_left_alone(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.execute("INSERT INTO migrations VALUES (99)")
    path = tmp_path / "account" / "store.db"
    with pytest.raises(StoreTooNew, match="newer version"):
        open_database(path, create=False)


@pytest.mark.parametrize("content", [b"no database" * 500, b"SQLite format 3\0" + bytes(4096)])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"store\.db"):
        open_database(path, create=True)
    assert path.read_bytes()[:16] == content[:16]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreUnwritable):
        open_database(tmp_path / "store.db", create=True)
    with pytest.raises(StoreUnwritable):
        open_database(tmp_path / "missing.db", create=False)
