"""What the server's store holds, read from a copy while the server is down.

From a copy, because opening a database that was cut off repairs it, and that is the server's job.
The journal is laid over the tables by the server's own code: its next start has to show the same.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.errors import StoreError
from jim.storage.sqlite.overlay import lay_over
from reliability.history import Acked

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.ledger import Ledger

_UID: Final = re.compile(rb'"message":"([^ "]+) ')
"""The name that each text of the harness begins with, in a frame as it goes onto the wire."""

_NUMBER: Final = re.compile(rb'"device":"([^"]+)","n":(\d+)')
"""Who sent a frame and under which number: all that a sealed one shows of itself."""

_LAST: Final = "SELECT device, last_n FROM device JOIN sending USING (device_id)"
_WAITING: Final = "SELECT device, frames FROM device JOIN mailbox USING (device_id)"


class Shelf(Struct, frozen=True):
    """The store's content.

    Attributes:
        damage: what SQLite found, "ok" if nothing; the rest is empty if it could not be read.
        last_n: each device's last number stored.
        waiting: each device's messages that wait for it, by name or by sender and number.
    """

    damage: str
    last_n: dict[str, int]
    waiting: dict[str, set[str]]


def read(database: Path, scratch: Path) -> Shelf:
    """Copy a database with what belongs to it and read the copy; there may be none yet."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for part in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{database}{part}", scratch / f"server.db{part}")
    with contextlib.closing(sqlite3.connect(scratch / "server.db")) as connection:
        return _read(connection)


def _read(connection: sqlite3.Connection) -> Shelf:
    try:
        (damage,) = connection.execute("PRAGMA integrity_check").fetchone()
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'journal'").fetchone():
            return Shelf(str(damage), {}, {})
        lay_over(connection)
        waiting: dict[str, set[str]] = {}
        for device, frames in connection.execute(_WAITING):
            names = {name.decode() for name in _UID.findall(frames)}
            names |= {f"{sent.decode()}/{int(n)}" for sent, n in _NUMBER.findall(frames)}
            waiting.setdefault(device, set()).update(names)
        return Shelf(str(damage), dict(connection.execute(_LAST)), waiting)
    except (sqlite3.DatabaseError, StoreError) as error:
        return Shelf(str(error), {}, {})


def broken_promises(ledger: Ledger, shelf: Shelf) -> list[str]:
    """Hold what senders were told against the store: each ✓ is stored, and shown or waiting."""
    if shelf.damage != "ok":
        return [f"the store is damaged: {shelf.damage}"]
    found = []
    with ledger.news:
        numbers = {event.uid: event.n for event in ledger.events(Acked)}
        for uid, devices in ledger.unshown.items():
            names = {uid, f"{ledger.senders.get(uid)}/{numbers.get(uid)}"}
            lost = [device for device in devices if not names & shelf.waiting.get(device, set())]
            if lost:
                found.append(f"{uid} was acknowledged and is not kept for {', '.join(lost)}")
        for device, n in _highest_acked(ledger).items():
            if shelf.last_n.get(device, 0) < n:
                kept = shelf.last_n.get(device, 0)
                found.append(f"{device} saw ✓ for its number {n}, the store has {kept}")
    return found


def _highest_acked(ledger: Ledger) -> dict[str, int]:
    highest: dict[str, int] = {}
    for event in ledger.events(Acked):
        device = ledger.senders[event.uid]
        highest[device] = max(highest.get(device, 0), event.n)
    return highest
