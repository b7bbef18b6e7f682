"""Who this device is on its server: the account row of the local store.

Registration survives a crash at any point, because everything that is sent is in here before it is
sent for the first time: the same link goes out again, and the server answers a repetition alike.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from jim.protocol.messages import Link

if TYPE_CHECKING:
    import sqlite3


class Stage(enum.StrEnum):
    """How far the account has come; the value is what the store keeps."""

    REGISTERING = "registering"
    ENROLLING = "enrolling"
    LINKING = "linking"
    REGISTERED = "registered"


class AccountRecord(Struct, frozen=True, kw_only=True):
    """The account row.

    Attributes:
        name: normalised.
        device: id of this device.
        stage: how far it has come.
        link: what `register` or `enroll` sends, until one of them was answered.
        words: recovery words that nobody has seen yet, in one line.
        chain_seq: number of the last link that was seen.
        chain_head: its hash, the pin of the chain. While linking, that of the chain as whoever
            knows this device's code has it; zeros until then.
    """

    name: str
    device: str
    stage: Stage
    link: Link | None = None
    words: str | None = None
    chain_seq: int = 0
    chain_head: bytes = bytes(32)


def read_account(connection: sqlite3.Connection) -> AccountRecord | None:
    """Read the account row, None in a new store."""
    row = connection.execute(
        "SELECT name, device, stage, link, words, chain_seq, chain_head FROM account"
    ).fetchone()
    if row is None:
        return None
    name, device, stage, link, words, chain_seq, chain_head = row
    return AccountRecord(
        name=name,
        device=device,
        stage=Stage(stage),
        link=None if link is None else msgspec.json.decode(link, type=Link),
        words=words,
        chain_seq=chain_seq,
        chain_head=chain_head,
    )


def write_account(connection: sqlite3.Connection, record: AccountRecord) -> None:
    """Create or change the account row; where the messages stand is not touched."""
    connection.execute(
        "INSERT INTO account (one, name, device, stage, link, words, chain_seq, chain_head)"
        " VALUES (1, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
        " name = excluded.name, device = excluded.device, stage = excluded.stage,"
        " link = excluded.link, words = excluded.words, chain_seq = excluded.chain_seq,"
        " chain_head = excluded.chain_head",
        (
            record.name,
            record.device,
            record.stage,
            None if record.link is None else msgspec.json.encode(record.link),
            record.words,
            record.chain_seq,
            record.chain_head,
        ),
    )
