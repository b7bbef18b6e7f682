"""Remember up to which message everything has been shown, so that nothing is shown twice or never.

The library's events tell what arrives while a front end runs. But `jim send` collects messages too,
and a client may be killed between storing and showing. So the number of the last message shown is
kept beside the account's store, and a front end begins with what came after it. The number is
written after the message, by the very thread that has written the message: killed in between, the
next front end shows the last message again, which is a nuisance where a message that nobody ever
sees would be a loss.

The number belongs to one store, whose id stands beside it. In another store (a recovered account,
after the old one was moved away) it says nothing, so everything there is still to be shown.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.console.library import Messenger
    from jim.client.events import Message

FILE_NAME: Final = "shown"
DIGITS: Final = 20
"""Fixed width, so that the file is overwritten in place by one small write."""

ID_CHARACTERS: Final = 32

PAGE: Final = 200
"""Messages read from the store at once."""


class Shown:
    """The cursor of one account; without a path it is only kept in memory."""

    def __init__(self, path: Path | None, store_id: str = "", highest_id: int = 0) -> None:
        """Read the cursor; a new account or store, or a damaged file, begins at 0.

        It is never ahead of `highest_id`, the newest message of the store: that of a store which
        was restored from a copy would hide what comes under the same numbers again.

        Raises:
            OSError: the file cannot be opened.
        """
        self.number = 0
        """The last message shown; may be put back to show older ones again."""
        self._store_id = store_id.encode()
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if path is not None:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            written = os.read(self._descriptor, ID_CHARACTERS + 1 + DIGITS)
            found_id, _space, digits = written.partition(b" ")
            known = found_id == self._store_id and digits.isdigit()
            self.number = min(int(digits), highest_id) if known else 0
        self._noted = self.number

    def advance(self, message: Message) -> bool:
        """Say whether the message has still to be shown; the next time it has not."""
        if message.message_id <= self.number:
            return False
        self.number = message.message_id
        return True

    def written(self, message: Message) -> None:
        """Note on disk that the message has been shown; any thread may call it.

        One that is shown again, by its number, changes nothing.
        """
        number = message.message_id
        with self._lock:
            if self._descriptor is not None and number > self._noted:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.write(self._descriptor, b"%b %0*d" % (self._store_id, DIGITS, number))
                self._noted = number

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


async def after(client: Messenger, number: int) -> list[Message]:
    """List what others wrote and this store got after message `number`, oldest first.

    Raises:
        JimError: of the store.
    """
    # By one number over all conversations: a read that looked at one after the other would miss
    # what came to an earlier one meanwhile, and the cursor would then pass it by.
    found: list[Message] = []
    while page := await client.received_after(number, PAGE):
        found += page
        number = page[-1].message_id
    return found
