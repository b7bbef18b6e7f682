"""Keep the passphrase of a key in the desktop's keyring, where there is one.

The package `keyring` is optional, and what is behind it may be absent, locked, broken or waiting
for a person. So nothing here raises, and nothing waits for ever: without a keyring there simply is
no passphrase in it. Entries are named by the key's short fingerprint.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from jim.crypto.keys import short_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

SERVICE: Final = "jim"

WAIT_S: Final = 30.0
"""A person may have to unlock the keyring first; who is not there does not stop the program."""

LEAST_PRIORITY: Final = 1
"""What keyring recommends begins there (its "priority"); below are files in plain text."""

logger = logging.getLogger(__name__)


def get(public: bytes) -> str | None:
    """Give the passphrase of the key, or None if there is none to be had."""
    found: list[str | None] = []
    user = short_fingerprint(public)
    _ask(lambda keyring: found.append(keyring.get_password(SERVICE, user)))
    return found[0] if found else None


def put(public: bytes, passphrase: str) -> bool:
    """Keep the passphrase of the key; tells whether it is kept now."""
    user = short_fingerprint(public)
    return _ask(lambda keyring: keyring.set_password(SERVICE, user, passphrase))


def delete(public: bytes) -> bool:
    """Forget the passphrase of the key; tells whether there was one and it is gone."""
    user = short_fingerprint(public)
    return _ask(lambda keyring: keyring.delete_password(SERVICE, user))


def _ask(question: Callable[[KeyringBackend], None]) -> bool:
    """Put a question to the keyring; tells whether it was answered in time."""
    answered = threading.Event()

    def run() -> None:
        try:
            question(_backend())
        except BaseException as error:  # noqa: BLE001 - of whatever backend; a text may hold secrets
            logger.info("no help from the keyring: %s", type(error).__name__)
        else:
            answered.set()

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(WAIT_S)
    if thread.is_alive():
        logger.info("the keyring did not answer within %s s", WAIT_S)
    return answered.is_set()


def _backend() -> KeyringBackend:
    """Load the keyring in use; loading alone may look for it on the desktop's bus."""
    import keyring  # noqa: PLC0415 - optional, and slow to load

    backend = keyring.get_keyring()
    if backend.priority < LEAST_PRIORITY:
        raise LookupError("no keyring that keeps a secret")
    return backend
