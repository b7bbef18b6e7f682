"""The part of an account's store that lets it become another device; `renewal.py` says when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim.client.account_record import write_account
from jim.client.encryption.content import SINCE, TEXT, Since
from jim.client.encryption.vault import NewVault, Vault
from jim.client.events import ROTATED, UNKNOWN_OUTCOME, Message
from jim.client.mailbox import MailboxStore
from jim.client.store import MAX_ASKED, RESENT, Again, Draft
from jim.client.sync import Confirm, Settled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from jim.client.account_record import AccountRecord
    from jim.protocol.messages import Link

NEVER: Final = -1
"""`Rotation.last_n` until the server has said it of the old device."""

_LOST: Final = """
    UPDATE messages SET state = 'queued'
    WHERE outgoing AND device = ? AND n > ? AND state = 'stored'
    RETURNING message_id
"""
_MAY_BE_SENT: Final = "SELECT message_id FROM messages WHERE state = 'queued' AND released"
_OF_THE_OLD: Final = ("sessions", "peers", "sealed", "missing", "passed", "rotation")
"""Tables that mean nothing to another device."""


class Rotation(Struct, frozen=True, kw_only=True):
    """That this device has to be replaced by a new one, and how far that has come.

    Attributes:
        why: `RESTORED`, `BEHIND`, or another word for the log.
        device: id of the new device once its keys are durable, empty before.
        vault: what it begins with.
        last_n: the old device's last number at the server, told on the connection that revokes it.
        last_mark: the mark of that message.
    """

    why: str
    device: str = ""
    vault: NewVault | None = None
    last_n: int = NEVER
    last_mark: str = ""


def read_rotation(connection: sqlite3.Connection) -> Rotation | None:
    """Read whether the device has to be replaced."""
    row = connection.execute(
        "SELECT why, device, vault, last_n, last_mark FROM rotation"
    ).fetchone()
    if row is None:
        return None
    why, device, vault, last_n, last_mark = row
    return Rotation(
        why=why,
        device=device,
        vault=None if vault is None else msgspec.json.decode(vault, type=NewVault),
        last_n=last_n,
        last_mark=last_mark,
    )


def write_rotation(connection: sqlite3.Connection, rotation: Rotation) -> None:
    """Keep that the device has to be replaced, and how far that has come."""
    vault = None if rotation.vault is None else msgspec.json.encode(rotation.vault)
    connection.execute(
        "INSERT OR REPLACE INTO rotation VALUES (1, ?, ?, ?, ?, ?)",
        (rotation.why, rotation.device, vault, rotation.last_n, rotation.last_mark),
    )


class RotatingStore(MailboxStore):
    """The messages of an account whose device may be replaced."""

    def rotation(self) -> Rotation | None:
        """Read whether the device has to be replaced."""
        return read_rotation(self._sql)

    def keep_rotation(self, rotation: Rotation) -> None:
        """Keep how far that has come."""
        write_rotation(self._sql, rotation)

    def become(
        self,
        record: AccountRecord,
        vault: NewVault,
        key: bytes,
        now_ms: int,
        settled: Settled | None = None,
        links: Sequence[Link] = (),
    ) -> list[Message]:
        """Be the device of `record` from now on; gives the messages that were decided about.

        `settled` is what the server had of the old device in the end, None where nobody asked: of
        what that may have sent nobody can find out any more whether it arrived. What it certainly
        did not send goes out from the new device, under its own numbers. What was on its way to the
        old one is asked for. `links` is our chain, if it is at hand; `key` opens the vault.
        """
        if links:  # before anybody is asked: an older copy may know none of our other devices
            self._contacts.learn(self._name, links)
        decided = self._settle(settled or self._unsettled())
        again, asked = self._take_resent(), self._asked_since(record.device)
        self._leave_device()
        write_account(self._sql, record)
        self._sql.execute("UPDATE account SET confirmed_n = 0, revoked = 0")
        self.move_cursor(self.standing().epoch, 0)
        Vault.begin(self._sql, vault, now_ms)
        self._sql.execute(
            "UPDATE messages SET device = ?, payload = NULL, released = 0, plain = 0"
            " WHERE state = 'queued'",
            (record.device,),
        )
        self._be(record.name, record.device, key)
        self._renumber()
        for message, device in again:
            self._queue_again(message, device, now_ms, was=0)
        for draft in asked:
            self._queue(msgspec.structs.replace(draft, time_ms=now_ms))
        self._replaced(now_ms)
        if settled is not None:  # otherwise its user has just asked for it
            self.note(ROTATED, now_ms)
        return decided

    def _unsettled(self) -> Settled:
        """Give what is known of the messages of a device without its server."""
        sent = self._sql.execute(_MAY_BE_SENT).fetchall()
        return Settled([], [message_id for (message_id,) in sent], self.standing().confirmed_n)

    def _settle(self, settled: Settled) -> list[Message]:
        """Decide about everything that the old device has sent."""
        decided: list[Message] = []
        (confirmed,) = self._sql.execute("SELECT confirmed_n FROM account").fetchone()
        for n, message_id in enumerate(settled.stored, confirmed + 1):
            decided += self.confirm(Confirm(message_id, n, 0, 0))
        lost = self._sql.execute(_LOST, (self._device, settled.lost_after)).fetchall()
        unknown: Iterable[int] = [*settled.unknown, *(message_id for (message_id,) in lost)]
        return decided + self._fail(unknown, UNKNOWN_OUTCOME)

    def _take_resent(self) -> list[tuple[Message, str]]:
        """Take what waits for single devices out of the outbox; gives what is to be sent again."""
        taken = self._sql.execute(
            "DELETE FROM messages WHERE state = 'queued' AND kind <> ?"
            " RETURNING kind, text, only_for, message_id",
            (TEXT,),
        ).fetchall()
        found: list[tuple[Message, str]] = []
        for kind, text, device, _ in sorted(taken, key=lambda row: row["message_id"]):
            again = msgspec.json.decode(text, type=Again) if kind == RESENT else None
            message = None if again is None else self.message(again.message_id)
            if message is not None:
                found.append((message, device))
        return found

    def _asked_since(self, new: str) -> list[Draft]:
        """Ask every device that may have sealed for the old one for what never came there.

        One of which nothing has come may have begun after an older copy of this store was made.
        """
        drafts: list[Draft] = []
        for (name,) in self._sql.execute("SELECT name FROM contacts ORDER BY name").fetchall():
            contact = self._contacts.get(name)
            for device in contact.state.keys if contact and contact.state else ():
                if device in {self._device, new}:
                    continue
                missing = self._peers.missing(name, device)[:MAX_ASKED]
                since = Since(self._device, self._peers.received(name, device), missing)
                body = msgspec.json.encode(since).decode()
                drafts.append(Draft(name, body, 0, None, SINCE, device))
        return drafts

    def _leave_device(self) -> None:
        """Drop what means nothing to another device; it has a mailbox and ratchets of its own."""
        self._sql.execute("INSERT OR IGNORE INTO former VALUES (?)", (self._device,))
        for table in _OF_THE_OLD:
            self._sql.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
