"""An account's local store: its messages and its outbox, in SQLite; what comes in is `mailbox.py`.

Every public method runs in a transaction of its caller (`writer.py`) and takes effect wholly or not
at all. No decision is made here that `jim.client.sync` makes; the one rule both follow is that the
queued messages, in the order of their ids, have the numbers after `confirmed_n`, without a gap.
Other processes may write into the same database, so the rule is applied to the rows as they are,
never to what somebody remembers of them.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from jim.client import store_rows as sql
from jim.client.encryption.contacts import Contacts
from jim.client.encryption.content import AGAIN, TEXT
from jim.client.encryption.peers import Peers
from jim.client.encryption.sealing import (
    Needs,
    Outgoing,
    Sealing,
    Unsealable,
    read_payload,
    write_payload,
)
from jim.client.encryption.vault import Vault
from jim.client.events import UNKNOWN_OUTCOME, Conversation, Message, MessageState
from jim.client.mark import mark_of
from jim.client.sync import Confirm, Payload, Refuse, Requeue, Restart, Row, Seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jim.protocol.messages import PublicKey

MAX_ASKED = 100
"""Counts that are asked for at once: more would not fit into one text of the usual limits."""

RESENT = "resent"
"""Kind of a row that stands for an earlier message, to be sealed again for one device."""


class Draft(Struct, frozen=True):
    """A message that is to be queued; `key` makes it the same message every time.

    `kind` and `only_for` are for what goes between devices (`jim.client.encryption.content`).
    """

    to: str
    text: str
    time_ms: int
    key: str | None = None
    kind: str = TEXT
    only_for: str = ""


class Again(Struct, frozen=True):
    """The text of a `RESENT` row: which message, and the count that it had for the device."""

    message_id: int
    was: int = 0


class Standing(Struct, frozen=True):
    """Where the outbox and the mailbox of this device stand.

    `highest_id` is that of all messages which are here, in whatever state: later ones are new.
    """

    confirmed_n: int
    epoch: str
    position: int
    highest_id: int


class SealedRows(Struct):
    """What has come of `Seal`: payloads that are durable, messages that never can have one.

    `needs` says what has to be asked of the server before the rest can be sealed.
    """

    payloads: dict[int, Payload] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)


class MessageStore:
    """The messages of one account on this device."""

    def __init__(
        self, connection: sqlite3.Connection, name: str, device: str, key: bytes | None = None
    ) -> None:
        """Take an open database whose account row exists, and who this is.

        `key` opens the vault; without it nothing can be sealed or opened, only queued and read.
        """
        connection.row_factory = sqlite3.Row
        self._sql = connection
        self._id = self.store_id()
        self._be(name, device, key)

    def _be(self, name: str, device: str, key: bytes | None) -> None:
        """Be the device of this name."""
        self._name, self._device = name, device
        self._contacts = Contacts(self._sql)
        self._peers = Peers(self._sql)
        self._vault = None if key is None else Vault(self._sql, device, key)
        self._sealing = (
            None
            if self._vault is None
            else Sealing(name, device, self._contacts, self._vault, self._peers)
        )

    # --- own messages ---------------------------------------------------------------------------

    def enqueue(self, draft: Draft, *, released: bool) -> tuple[Message, bool]:
        """Queue a message under the next number; give it, and whether it is new.

        `released` also makes it ready to be transmitted, if nothing is lacking for that and nothing
        has to be sealed before it: the receiver takes counts that come out of order for a loss.
        """
        if draft.key is not None and (existing := self._by_key(draft.key)) is not None:
            return existing, False
        [queued] = self._queue(draft)
        if released and not self._sql.execute(sql.UNSEALED, (queued.message_id,)).fetchone():
            self._seal_row(queued.message_id, SealedRows())
        return queued, True

    def _queue(self, draft: Draft) -> list[Message]:
        return self._read(
            sql.QUEUE,
            (
                *(draft.to, self._name, draft.text, draft.time_ms),
                *(draft.key, draft.kind, draft.only_for),
            ),
        )

    def _by_key(self, key: str) -> Message | None:
        """Find what was sent under the key; a definite failure lets go of it."""
        found = self._read("SELECT * FROM messages WHERE send_key = ?", (key,))
        if not found:
            return None
        if found[0].state is MessageState.FAILED and found[0].error_code != UNKNOWN_OUTCOME:
            self._sql.execute("UPDATE messages SET send_key = NULL WHERE send_key = ?", (key,))
            return None
        return found[0]

    def queued_after(self, message_id: int) -> list[tuple[Row, Message]]:
        """Read what was queued later than a message, by this process or another one, in order."""
        found = self._sql.execute(
            "SELECT * FROM messages WHERE state = 'queued' AND message_id > ? ORDER BY message_id",
            (message_id,),
        )
        return [self._queued(row) for row in found]

    def _queued(self, row: sqlite3.Row) -> tuple[Row, Message]:
        """Give a message with what the outbox has to know of it."""
        message, packed = sql.message_of(row), row["payload"]
        queued = Row(
            message.message_id,
            message.peer,
            None if packed is None else read_payload(packed),
            released=bool(row["released"]),
            mark=self._mark_of(message),
        )
        return queued, message

    def _mark_of(self, message: Message) -> str:
        return mark_of(self._id, message.message_id, message.peer, message.text)

    # --- sealing --------------------------------------------------------------------------------

    def seal(self, effect: Seal) -> SealedRows:
        """Seal messages and mark them as possibly transmitted, up to one that lacks something.

        What has a payload already keeps it, unless it is stale. All that is stale is given up at
        once: the first that is sealed anew has to say so of the counts of the later ones too, for
        it comes before them.
        """
        done = SealedRows()
        self._unseal(effect.stale)
        for message_id in effect.message_ids:
            if not self._seal_row(message_id, done):
                break
        return done

    def _seal_row(self, message_id: int, done: SealedRows) -> bool:
        """Seal one message into `done`; False if something is lacking for it."""
        row = self._sql.execute(sql.TO_SEAL, (message_id,)).fetchone()
        if row is None:
            return True  # taken back meanwhile
        if self._sealing is None:
            return False
        if row["payload"] is not None:
            done.payloads[message_id] = read_payload(row["payload"])
            return True
        outgoing = self._outgoing(row)
        sealed = Unsealable(UNKNOWN_OUTCOME) if outgoing is None else self._sealing.seal(outgoing)
        if isinstance(sealed, Needs):
            done.needs = sealed
            return False
        if isinstance(sealed, Unsealable):
            done.failed[message_id] = sealed.code
            return True
        plain = sealed.ciphertexts is None
        self._sql.execute(sql.SEAL, (write_payload(sealed), plain, message_id))
        done.payloads[message_id] = sealed
        return True

    def _outgoing(self, row: sqlite3.Row) -> Outgoing | None:
        """Give what is to be sealed for a row; None if the message that it stands for is gone."""
        message, kind, only_for = sql.message_of(row), row["kind"], row["only_for"]
        outgoing = Outgoing(
            message_id=message.message_id,
            to=message.peer,
            content_id=self._mark_of(message),
            text=message.text,
            time_ms=message.time_ms,
            kind=kind,
            only_for=only_for,
        )
        if kind == AGAIN:
            missing = self._peers.missing(message.peer, only_for)[:MAX_ASKED]
            return msgspec.structs.replace(outgoing, text=msgspec.json.encode(missing).decode())
        if kind != RESENT:
            return outgoing
        again = msgspec.json.decode(message.text, type=Again)
        original = self.message(again.message_id)
        if original is None:
            return None
        return msgspec.structs.replace(
            outgoing,
            content_id=self._mark_of(original),
            text=original.text,
            time_ms=original.time_ms,
            kind=TEXT,
            was=again.was,
            seq=original.seq,
            n=original.n,
            origin="" if original.device == self._device else original.device,
        )

    def use_keys(self, name: str, devices: Sequence[str], keys: Mapping[str, PublicKey]) -> bool:
        """Begin a session with each device by its claimed key; tell whether all have one now."""
        return self._sealing is not None and self._sealing.use_keys(name, devices, keys)

    # --- what the server decides ------------------------------------------------------------------

    def confirm(self, effect: Confirm) -> list[Message]:
        """Keep the place that the server gave the message; who has delivered it stays delivered."""
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.n,))
        if self._end_between_devices(effect.message_id, effect.n):
            return []
        if not effect.seq:
            return self._read(sql.CONFIRM_SOMEWHERE, (effect.n, effect.message_id))
        place = (effect.n, effect.seq, effect.time_ms, effect.message_id)
        return self._read(sql.CONFIRM, place)

    def refuse(self, effect: Refuse) -> list[Message]:
        """Fail a message for good; the later ones close the gap in the numbers."""
        if self._sql.execute(sql.IS_SEALED, (effect.message_id,)).fetchone() is not None:
            behind = self._sql.execute(sql.SEALED_BEHIND, (effect.message_id,)).fetchall()
            self._unseal([row["message_id"] for row in behind])
        failed = self._fail([effect.message_id], effect.code)
        self._renumber()
        return failed

    def _unseal(self, message_ids: Iterable[int]) -> None:
        """Let go of what messages were sealed as: nothing will come with those counts."""
        for message_id in message_ids:
            self._peers.give_up(message_id)
            self._sql.execute(
                "UPDATE messages SET payload = NULL WHERE message_id = ?", (message_id,)
            )

    def requeue(self, effect: Requeue) -> list[tuple[Row, Message]]:
        """Queue confirmed messages again that the server has lost."""
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.after_n,))
        # What went between devices is made anew where it is still needed.
        self._sql.execute("DELETE FROM passed WHERE n > ?", (effect.after_n,))
        lost = self._sql.execute(sql.REQUEUE, (self._device, effect.after_n)).fetchall()
        self._renumber()
        lost.sort(key=lambda row: row["message_id"])
        return [self._queued(row) for row in lost]

    def restart(self, effect: Restart) -> list[Message]:
        """Go on behind numbers that somebody else used."""
        failed = self._fail(effect.unknown, UNKNOWN_OUTCOME)
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.last_n,))
        self._renumber()
        return failed

    def delivered(self, peer: str, seq: int) -> list[Message]:
        """Note that a device of the peer holds the conversation up to a sequence."""
        return self._read(
            "UPDATE messages SET state = 'delivered'"
            " WHERE outgoing AND state = 'stored' AND peer = ? AND seq BETWEEN 1 AND ?"
            " RETURNING *",
            (peer, seq),
        )

    def undelivered(self) -> list[str]:
        """Give the peers that have messages of ours which are stored and not known as delivered."""
        found = self._sql.execute(
            "SELECT DISTINCT peer FROM messages WHERE outgoing AND state = 'stored' AND peer <> ?",
            (self._name,),
        )
        return [peer for (peer,) in found]

    def _fail(self, message_ids: Iterable[int], code: str) -> list[Message]:
        failed: list[Message] = []
        for message_id in message_ids:
            self._peers.give_up(message_id)
            if not self._end_between_devices(message_id, 0):
                failed += self._read(sql.FAIL, (code, message_id))
        return failed

    def _end_between_devices(self, message_id: int, n: int) -> bool:
        """Drop what went between devices, under the number that it used; False if it is a text."""
        ended = self._sql.execute(
            "DELETE FROM messages WHERE message_id = ? AND state = 'queued' AND kind <> 'text'",
            (message_id,),
        ).rowcount
        if ended and n:
            self._sql.execute(sql.PASSED, (0, n))
        return bool(ended)

    def _renumber(self) -> None:
        """Give the queued messages the numbers after the confirmed one, in their order."""
        (confirmed,) = self._sql.execute("SELECT confirmed_n FROM account").fetchone()
        queued = self._sql.execute(
            "SELECT message_id, n FROM messages WHERE state = 'queued' ORDER BY message_id"
        ).fetchall()
        changed = [
            (n, message_id)
            for n, (message_id, before) in enumerate(queued, confirmed + 1)
            if n != before
        ]
        self._sql.executemany("UPDATE messages SET n = ? WHERE message_id = ?", changed)

    # --- reading --------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Read where this device stands."""
        return Standing(*self._sql.execute(sql.STANDING).fetchone())

    def message(self, message_id: int) -> Message | None:
        """Read one message."""
        found = self._read("SELECT * FROM messages WHERE message_id = ?", (message_id,))
        return found[0] if found else None

    def history(self, peer: str, before: int | None, limit: int) -> list[Message]:
        """Read the last messages of a conversation in its order, or the last before one of them."""
        if before is None:
            found = self._read(sql.PAGE, (peer, limit))
        else:
            found = self._read(sql.PAGE_BEFORE, (peer, limit, before))
        return found[::-1]

    def received_after(self, message_id: int, limit: int) -> list[Message]:
        """Read what others wrote behind a message id, in the order in which it was stored."""
        return self._read(sql.RECEIVED_AFTER, (message_id, limit))

    def conversations(self) -> list[Conversation]:
        """Read everybody we exchanged messages with, the latest conversation first."""
        return [Conversation(message.peer, message) for message in self._read(sql.LAST_OF_EACH, ())]

    def store_id(self) -> str:
        """Give what tells this store from one that was here before, or comes later."""
        return str(self._sql.execute("SELECT id FROM store").fetchone()[0])

    def is_settled(self, *, everything: bool = False) -> bool:
        """Tell whether the server has decided about all texts, or about everything."""
        found = self._sql.execute(
            "SELECT 1 FROM messages WHERE state = 'queued' AND (kind = 'text' OR ?) LIMIT 1",
            (everything,),
        )
        return found.fetchone() is None

    def _read(self, statement: str, arguments: Sequence[object]) -> list[Message]:
        """Run a statement that gives rows of the table, to the end."""
        return [sql.message_of(row) for row in self._sql.execute(statement, arguments).fetchall()]
