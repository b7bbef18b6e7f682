"""What the user has to know: notices of the account's store, each in its conversation."""

from __future__ import annotations

from collections import deque
from typing import Final

from jim.client import store_rows as sql
from jim.client.encryption import opening
from jim.client.events import BEHIND, RESTORED, ROTATED, MissingNotice
from jim.client.store import MessageStore

DEVICE_ADDED: Final = "device_added"
"""Code of a notice: an account has a further device."""
DEVICE_REMOVED: Final = "device_removed"
"""Code of a notice: a device was taken out of an account."""
KEYS_CHANGED: Final = "keys_changed"
"""Code of a notice: an account began anew with other keys, by its recovery words."""
VERIFIED_CHANGED: Final = "verified_changed"
"""Code of a notice: so did one that the user had verified; nothing is sent there any more."""
CHAIN_INVALID: Final = "chain_invalid"
"""Code of a notice: the server shows a device chain that cannot be that of this account."""
FORGOTTEN: Final = "forgotten"
"""Code of a notice: the user has let go of the keys of somebody; the next ones are believed."""

INCOMPLETE: Final = "history_incomplete"
"""Code of a notice: not all of the history came that another device has handed over."""

ABOUT_KEYS: Final = frozenset(
    {
        *(DEVICE_ADDED, DEVICE_REMOVED, KEYS_CHANGED, VERIFIED_CHANGED, CHAIN_INVALID),
        *(opening.FORKED, opening.FORKED_OWN, opening.CLONED, FORGOTTEN),
    }
)
"""Codes of notices with which no message is missing."""

_ONCE: Final = frozenset({opening.FORKED, opening.FORKED_OWN, CHAIN_INVALID})
"""Said once of each conversation: the server would be caught with every message again."""

_OURS: Final = _ONCE | {
    opening.UNDECRYPTABLE,
    opening.UNKNOWN_DEVICE,
    opening.FORGED,
    opening.CLONED,
    opening.DROPPED,
    DEVICE_ADDED,
    DEVICE_REMOVED,
    KEYS_CHANGED,
    VERIFIED_CHANGED,
    FORGOTTEN,
    BEHIND,
    RESTORED,
    ROTATED,
    INCOMPLETE,
}
"""What only this device can find out: it is said in its own voice, and must not be put into its
mouth by a server that wants an account to be given up."""

_WAS_WARNED: Final = """
    SELECT 1 FROM notices WHERE code = ?1 AND peer = ?2 AND notice_id > (
        SELECT coalesce(max(notice_id), 0) FROM notices WHERE code = ?3 AND peer = ?2)
    LIMIT 1
"""
ALARMS: Final = 64
ALARMS_MS: Final = 3_600_000
"""So many notices an hour about what a server can invent: people whom nobody has talked with, and
what it says itself. An honest one says a few in a year, and who has been told 64 knows that
something is wrong. They are counted since the program began."""

MAX_FAMILIAR: Final = 1_000
"""Names that are remembered so that a message costs no look at others: a crowd."""

MAX_CODE: Final = 64
"""Signs of a code that the server may give: three times its longest. All are kept for good."""


class NoticeStore(MessageStore):
    """The messages of one account, and what there is to say about them."""

    def _be(self, name: str, device: str, key: bytes | None) -> None:
        super()._be(name, device, key)
        self._alarms: deque[int] = deque(maxlen=ALARMS)
        self._familiar: set[str] = set()
        """Some of those with whom there are messages; nobody stops being one of them."""

    def _may_alarm(self, now_ms: int) -> bool:
        """Tell whether one more notice may be kept of what a server can invent, and count it."""
        is_full = len(self._alarms) == ALARMS
        if is_full and self._alarms[0] <= now_ms < self._alarms[0] + ALARMS_MS:
            return False
        self._alarms.append(now_ms)
        return True

    def _is_familiar(self, peer: str) -> bool:
        """Tell whether there are messages with somebody."""
        if peer in self._familiar:
            return True
        found = self._sql.execute(sql.FAMILIAR, (peer,)).fetchone() is not None
        if found:
            if len(self._familiar) >= MAX_FAMILIAR:
                self._familiar.clear()
            self._familiar.add(peer)
        return found

    def note(self, code: str, time_ms: int, *, position: int = 0, peer: str = "") -> MissingNotice:
        """Keep something that the user has to know, behind everything that is here."""
        found = self._sql.execute(sql.NOTE_MISSING, (code, time_ms, position, peer)).fetchone()
        return MissingNotice(code, time_ms, found[0], peer)

    def note_of_server(self, code: str, time_ms: int, position: int) -> MissingNotice:
        """Keep what the server says, as what the server says."""
        said = f"server: {code}" if code in _OURS else code[:MAX_CODE]
        return self.note(said, time_ms, position=position)

    def _was_said(self, code: str, peer: str) -> bool:
        """Tell whether a notice says the same already, and no text has come after it."""
        return self._sql.execute(sql.WAS_SAID, (code, peer)).fetchone() is not None

    def _warn(self, code: str, peer: str, time_ms: int) -> list[MissingNotice]:
        """Keep a warning, unless it was kept before of these keys and is one to be said once."""
        known = self._sql.execute(_WAS_WARNED, (code, peer, FORGOTTEN)).fetchone()
        return [] if known and code in _ONCE else [self.note(code, time_ms, peer=peer)]

    def unshown_notices(self) -> list[MissingNotice]:
        """Read the notices that nobody is known to have seen, in their order."""
        found = self._sql.execute(
            "SELECT code, time_ms, notice_id, peer FROM notices WHERE NOT shown ORDER BY notice_id"
        )
        return [MissingNotice(*row) for row in found]

    def notices_of(self, peer: str) -> list[MissingNotice]:
        """Read every notice of a conversation, in their order."""
        return [MissingNotice(*row) for row in self._sql.execute(sql.NOTICES_OF, (peer,))]

    def notice_shown(self, notice_id: int) -> None:
        """Note that somebody has seen a notice."""
        self._sql.execute("UPDATE notices SET shown = 1 WHERE notice_id = ?", (notice_id,))
