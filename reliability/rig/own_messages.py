"""What a client's own store says of the messages that its device has sent, read from outside.

For devices at which programs are used that tell nobody what they do; what has happened goes into
the ledger.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.local_accounts import STORE_FILE
from reliability.history import Displayed, digest
from reliability.rig import lines
from reliability.rig.programs import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.ledger import Ledger

_OUTGOING: Final = """
SELECT message_id, device, text, state, seq, n, error_code FROM messages
WHERE outgoing AND kind = 'text' AND message_id > ? ORDER BY message_id
"""

_REFUSED: Final = "failed"
_ACKED: Final = ("stored", "delivered")


class OwnMessages:
    """The outgoing messages of one device, from before they are handed to a program."""

    def __init__(self, name: str, data_dir: Path, ledger: Ledger) -> None:
        """Take the account's name, the client's data directory and where everything is kept."""
        self.device = ""
        """Has to be set before anything is written."""
        self.open: dict[str, tuple[str, str]] = {}
        """Those without a decision, in their order: addressee and text."""
        self._name = name
        self._data_dir = data_dir
        self._ledger = ledger
        self._written = 0
        self._numbers: dict[str, int] = {}
        """What is in the store, with its numbers there."""
        self._decided_id = 0
        """Up to this number everything is decided."""

    def write(self, to: str, size_bytes: int) -> tuple[str, str]:
        """Note that a message is about to be written; gives its name and text."""
        self._written += 1
        uid = f"{self._name}-{self.device[:4]}-{self._written}"
        text = lines.text_of(uid, size_bytes).rstrip()
        self._ledger.written(uid, self._name, self.device, to, digest(text))
        self.open[uid] = (to, text)
        return uid, text

    def is_queued(self, uid: str) -> bool:
        """Tell whether the store has had it."""
        return uid in self._numbers

    def look_at_all(self) -> None:
        """Read everything, as what was decided long ago must still be so."""
        self._decided_id = 0
        self.look()

    def look(self) -> None:
        """Read in the store what has become of the messages, and which copies have come.

        What other devices of the account have sent is kept, for `jim history`, and not printed.
        """
        path = next(self._data_dir.glob(f"accounts/*/{self._name}/{STORE_FILE}"))
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=DEADLINE_S)) as store:
            rows = store.execute(_OUTGOING, (self._decided_id,)).fetchall()
        everything_decided = True
        for message_id, device, text, state, seq, n, code in rows:
            uid = lines.uid_of(text)
            known = self._numbers.get(uid)
            self._numbers[uid] = message_id
            if known not in (None, message_id):
                self._ledger.odd(f"{self.device} has {uid} as number {known} and {message_id}")
            if device == self.device:
                everything_decided &= self._take_own(uid, state, seq, n, code)
            elif known is None:
                self._take_copy(uid, digest(text))
            if everything_decided:
                self._decided_id = message_id

    def _take_own(self, uid: str, state: str, seq: int, n: int, code: str | None) -> bool:
        """Take the state of an own message; tell whether it is decided."""
        is_decided = state in _ACKED or state == _REFUSED
        if uid not in self.open:
            if not is_decided:
                self._ledger.odd(f"✓ of {uid} was taken back: {self.device} sends it again")
        elif is_decided:
            del self.open[uid]
            if state in _ACKED:
                self._ledger.acked(uid, seq, n)
            else:
                self._ledger.failed(uid, code or "")
        return is_decided

    def _take_copy(self, uid: str, text_digest: str) -> None:
        now_s = self._ledger.now_s()
        # Without its place: when it is looked at has nothing to do with when it came.
        self._ledger.displayed(
            Displayed(now_s, self._name, self.device, uid, self._name, 0, digest=text_digest)
        )
