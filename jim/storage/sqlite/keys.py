"""The keys that sessions with a device are begun with: kept, and each one-time key given once.

Every function works on the connection that it is given, inside the transaction of its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.protocol.messages import PublicKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_BEGIN: Final = "INSERT INTO fallback_key VALUES (?, ?, ?, ?, ?)"
_LAST_NUMBER: Final = "SELECT last_number FROM fallback_key WHERE device_id = ?"
_TOOK: Final = "UPDATE fallback_key SET last_number = ? WHERE device_id = ?"
_REPLACE: Final = "UPDATE fallback_key SET number = ?, key = ?, sig = ? WHERE device_id = ?"
_ADD: Final = "INSERT INTO one_time_key VALUES (?, ?, ?, ?)"
_COUNT: Final = "SELECT count(*) FROM one_time_key WHERE device_id = ?"
_OWNER: Final = """
SELECT device_id FROM device JOIN fallback_key USING (device_id)
WHERE account_id = ? AND device = ?
"""
_TAKE: Final = """
DELETE FROM one_time_key WHERE device_id = :device AND number = (
    SELECT min(number) FROM one_time_key WHERE device_id = :device
) RETURNING number, key, sig
"""
_FALLBACK: Final = "SELECT number, key, sig FROM fallback_key WHERE device_id = ?"
_DROP_ONE_TIME: Final = "DELETE FROM one_time_key WHERE device_id = ?"
_DROP_FALLBACK: Final = "DELETE FROM fallback_key WHERE device_id = ?"


def begin(connection: sqlite3.Connection, device_id: int, fallback: PublicKey) -> None:
    """Keep the first key of a new device: from now on texts can be sealed for it."""
    row = (device_id, fallback.id, fallback.id, fallback.key, fallback.sig)
    connection.execute(_BEGIN, row)


def add(
    connection: sqlite3.Connection,
    device_id: int,
    one_time: Sequence[PublicKey],
    fallback: PublicKey | None,
    most: int,
) -> int:
    """Keep keys with new numbers, of one-time keys no more than `most`; give how many wait."""
    row = connection.execute(_LAST_NUMBER, (device_id,)).fetchone()
    if row is None:
        return 0
    last = row[0]
    fresh = {key.id: key for key in one_time if key.id > last}
    waiting = count(connection, device_id)
    kept = [fresh[number] for number in sorted(fresh)][: max(0, most - waiting)]
    connection.executemany(_ADD, [(device_id, key.id, key.key, key.sig) for key in kept])
    numbers = [last, *fresh]
    if fallback is not None and fallback.id > last and fallback.id not in fresh:
        numbers.append(fallback.id)
        connection.execute(_TOOK, (max(numbers), device_id))
        connection.execute(_REPLACE, (fallback.id, fallback.key, fallback.sig, device_id))
    elif fresh:
        connection.execute(_TOOK, (max(numbers), device_id))
    return waiting + len(kept)


def claim(
    connection: sqlite3.Connection, account_id: int, devices: Sequence[str]
) -> dict[str, PublicKey]:
    """Take a key of each of these devices of the account that has some."""
    claimed = {}
    for device in dict.fromkeys(devices):
        owner = connection.execute(_OWNER, (account_id, device)).fetchone()
        if owner is None:
            continue
        row = connection.execute(_TAKE, {"device": owner[0]}).fetchone()
        if row is None:
            row = connection.execute(_FALLBACK, owner).fetchone()
        claimed[device] = PublicKey(id=row[0], key=row[1], sig=row[2])
    return claimed


def count(connection: sqlite3.Connection, device_id: int) -> int:
    """Give how many one-time keys of a device nobody has claimed."""
    (waiting,) = connection.execute(_COUNT, (device_id,)).fetchone()
    return int(waiting)


def drop(connection: sqlite3.Connection, device_id: int) -> None:
    """Forget all keys of a device that is revoked."""
    connection.execute(_DROP_ONE_TIME, (device_id,))
    connection.execute(_DROP_FALLBACK, (device_id,))
