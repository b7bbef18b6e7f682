"""The secrets of this device's encryption: its account, its sessions, and the keys it gives out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct

from jim.crypto.device_keys import sign_key
from jim.crypto.keys import EncryptionKeys
from jim.crypto.olm import Olm
from jim.crypto.suite import read_ciphertext, write_ciphertext
from jim.errors import CannotDecrypt
from jim.protocol.messages import Keys, PublicKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from jim.crypto.keys import SigningKey
    from jim.crypto.suite import CryptoSuite, DeviceAccount, Sealed, Session

    _SessionRow = tuple[str, str, int, int]

PICKLE_LABEL: Final = "jim-vault-1"
"""For what the device's key gives the key that everything in here is encrypted with."""

MAX_SESSIONS: Final = 5
"""Kept of one device: both sides may begin one at the same time, and a mended one must still open
what was sealed before; Olm's own advice is "a handful"."""

ONE_TIME_KEYS: Final = 100
"""At the server: `Limits.one_time_keys`; it takes no more."""

FALLBACK_MS: Final = 7 * 86_400_000
"""Life of a fallback key: a week, for it opens more than one session. The one before is kept."""

_SESSIONS: Final = """
    SELECT session_id, pickle, used, wedged FROM sessions WHERE name = ? AND device = ?
    ORDER BY used DESC
"""
_BEST_SESSION: Final = """
    SELECT session_id, pickle FROM sessions WHERE name = ? AND device = ? AND NOT wedged
    ORDER BY used DESC LIMIT 1
"""
_MOVE_SESSION: Final = """
    UPDATE sessions SET pickle = ? WHERE name = ? AND device = ? AND session_id = ?
"""
_KEEP_SESSION: Final = """
    INSERT INTO sessions (name, device, session_id, pickle, used) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name, device, session_id) DO UPDATE SET
        pickle = excluded.pickle, used = max(used, excluded.used)
"""

SUITE: Final[CryptoSuite] = Olm()


class NewVault(Struct, frozen=True):
    """What a device begins with; `fallback` goes to the server with its link."""

    pickle: str
    keys: EncryptionKeys
    fallback: PublicKey
    next_key: int


def pickle_key(key: SigningKey) -> bytes:
    """Give the key that the vault of this device is encrypted with."""
    return key.derive(PICKLE_LABEL)


def new_vault(key: SigningKey, device: str) -> NewVault:
    """Make the encryption account of a new device and its first fallback key."""
    account = SUITE.new_account()
    fallback = sign_key(account, device, 1, account.new_fallback_key())
    return NewVault(account.pickle(pickle_key(key)), account.keys, fallback, 2)


class Vault:
    """The tables `vault` and `sessions`."""

    def __init__(self, connection: sqlite3.Connection, device: str, key: bytes) -> None:
        """Take the store's connection, whose secrets these are, and what opens them."""
        self._sql = connection
        self._device = device
        self._key = key

    @staticmethod
    def begin(connection: sqlite3.Connection, new: NewVault, now_ms: int) -> None:
        """Keep the vault of a new device in place of any that was there."""
        connection.execute(
            "INSERT OR REPLACE INTO vault (one, pickle, next_key, fallback, fallback_ms)"
            " VALUES (1, ?, ?, ?, ?)",
            (new.pickle, new.next_key, msgspec.json.encode(new.fallback), now_ms),
        )

    @staticmethod
    def fallback(connection: sqlite3.Connection) -> PublicKey | None:
        """Read the fallback key that goes to the server with the device's link."""
        row = connection.execute("SELECT fallback FROM vault").fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=PublicKey)

    # --- the account ------------------------------------------------------------------------------

    def account(self) -> DeviceAccount:
        """Restore this device's account; that works out a hundred public keys, so it takes 2.5 ms.

        Raises:
            CannotDecrypt: with `reason` pickle, if it is damaged or another key's.
        """
        row = self._sql.execute("SELECT pickle FROM vault").fetchone()
        if row is None:
            raise CannotDecrypt("this device has no encryption keys", reason="pickle")
        return SUITE.account(row[0], self._key)

    def _keep_account(self, account: DeviceAccount) -> None:
        self._sql.execute("UPDATE vault SET pickle = ?", (account.pickle(self._key),))

    def offer(self, at_server: int, now_ms: int) -> Keys | None:
        """Give the keys that the server should have, None if it has enough.

        What it has not confirmed is given again as it was: no key is ever made public under two
        numbers, nor a second one under its number.
        """
        row = self._sql.execute("SELECT offered, next_key, fallback_ms FROM vault").fetchone()
        if row is None:
            return None
        offered, next_key, fallback_ms = row
        if offered is not None:
            return msgspec.json.decode(offered, type=Keys)
        wanted = ONE_TIME_KEYS - at_server if at_server < ONE_TIME_KEYS // 2 else 0
        is_old = not fallback_ms <= now_ms < fallback_ms + FALLBACK_MS
        if wanted <= 0 and not is_old:
            return None
        account = self.account()
        made = account.new_one_time_keys(wanted) if wanted > 0 else []
        one_time = [
            sign_key(account, self._device, number, key)
            for number, key in enumerate(made, next_key)
        ]
        next_key += len(one_time)
        keys = Keys(id="keys", one_time=one_time)
        if is_old:
            fallback = account.new_fallback_key()
            keys.fallback = sign_key(account, self._device, next_key, fallback)
            next_key += 1
        self._keep_account(account)
        self._sql.execute(
            "UPDATE vault SET offered = ?, next_key = ?, fallback_ms = ?",
            (msgspec.json.encode(keys), next_key, now_ms if is_old else fallback_ms),
        )
        return keys

    def offer_taken(self, keys: Keys) -> None:
        """Note that the server has these keys."""
        if keys.fallback is not UNSET:
            self._sql.execute(
                "UPDATE vault SET fallback = ?", (msgspec.json.encode(keys.fallback),)
            )
        self._sql.execute("UPDATE vault SET offered = NULL")

    # --- sessions ---------------------------------------------------------------------------------

    def can_seal(self, name: str, device: str) -> bool:
        """Tell whether there is a session to seal with."""
        found = self._sql.execute(
            "SELECT 1 FROM sessions WHERE name = ? AND device = ? AND NOT wedged LIMIT 1",
            (name, device),
        )
        return found.fetchone() is not None

    def seal(self, name: str, device: str, plaintext: bytes) -> str:
        """Seal with the session that was heard from last; gives the ciphertext to send.

        Raises:
            LookupError: there is none.
        """
        row = self._sql.execute(_BEST_SESSION, (name, device)).fetchone()
        if row is None:
            raise LookupError(f"no session with {device}")
        session_id, pickle = row
        session = SUITE.session(pickle, self._key)
        sealed = session.encrypt(plaintext)
        self._sql.execute(_MOVE_SESSION, (session.pickle(self._key), name, device, session_id))
        return write_ciphertext(sealed)

    def begin_sessions(
        self, name: str, keys: Mapping[str, tuple[EncryptionKeys, bytes]]
    ) -> list[str]:
        """Begin sessions by devices' keys and claimed keys whose signatures have been checked.

        Gives the devices with which there is none: their keys are such as nobody honest has.
        """
        account = self.account()
        failed = []
        for device, (pair, key) in keys.items():
            try:
                session = account.begin(pair, key)
            except CannotDecrypt:
                failed.append(device)
                continue
            self._keep_session(name, device, session, self._read_sessions(name, device))
        self._keep_account(account)
        return failed

    def open(self, name: str, device: str, keys: EncryptionKeys, ciphertext: str) -> bytes:
        """Open what a device has sealed for this one, by whichever session it belongs to.

        Raises:
            CannotDecrypt: no session opens it; nothing has changed then.
        """
        sealed = read_ciphertext(ciphertext)
        known = self._read_sessions(name, device)
        for _, pickle, _, _ in known:
            session = SUITE.session(pickle, self._key)
            if sealed.is_first and not session.matches(sealed):
                continue
            try:
                plaintext = session.decrypt(sealed)
            except CannotDecrypt:
                if sealed.is_first:
                    raise
                continue
            self._keep_session(name, device, session, known)
            return plaintext
        if not sealed.is_first:
            raise CannotDecrypt("no session opens it", reason="session")
        return self._accept(name, device, keys, sealed)

    def wedge(self, name: str, device: str) -> None:
        """Seal no more with the sessions that there are; they still open what was sealed before."""
        self._sql.execute(
            "UPDATE sessions SET wedged = 1 WHERE name = ? AND device = ?", (name, device)
        )

    def _accept(self, name: str, device: str, keys: EncryptionKeys, sealed: Sealed) -> bytes:
        account = self.account()
        session, plaintext = account.accept(keys, sealed)
        self._keep_account(account)
        self._keep_session(name, device, session, self._read_sessions(name, device))
        return plaintext

    def _read_sessions(self, name: str, device: str) -> list[_SessionRow]:
        return self._sql.execute(_SESSIONS, (name, device)).fetchall()

    def _keep_session(
        self, name: str, device: str, session: Session, known: Sequence[_SessionRow]
    ) -> None:
        """Keep a session as the one that was used last, and not too many beside the known ones."""
        used = known[0][2] + 1 if known else 1
        row = (name, device, session.session_id, session.pickle(self._key), used)
        self._sql.execute(_KEEP_SESSION, row)
        others = [session_id for session_id, *_ in known if session_id != session.session_id]
        for session_id in others[MAX_SESSIONS - 1 :]:
            self._sql.execute(
                "DELETE FROM sessions WHERE name = ? AND device = ? AND session_id = ?",
                (name, device, session_id),
            )
