"""Where the passphrase of this device's key comes from: the keyring, a file, or a person.

Nothing heavy is imported before there is a sealed key at all (docs/client.md, "Speed").
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim.client.cli.output import complain
from jim.errors import KeyFileError
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from jim.client.address import Address
    from jim.client.key_opener import KeyOpener

FILE_VARIABLE: Final = "JIM_PASSPHRASE_FILE"

TRIES: Final = 3
"""As login(1) and sudo(8) have it."""

SEALED: Final = b"jim-key-2"
"""Begins a sealed key file (`jim.crypto.passphrase.FORMAT`, which is not loaded for a look)."""


def opener(
    options: argparse.Namespace, address: Address, name: str, *, share: bool = False
) -> KeyOpener | None:
    """Open the key of an account if a passphrase seals it; None if no key here is sealed.

    With `share` nobody is asked while another process has the account: that one has the key.

    Raises:
        KeyFileError: with `reason` locked or passphrase, or the file cannot be used.
    """
    if not _has_sealed(options):
        return None
    from jim.client.cli.places import account_place
    from jim.client.key_opener import KeyOpener
    from jim.client.local_accounts import KEY_FILE, LOCK_FILE
    from jim.core.names import normalise
    from jim.crypto.key_files import public_key

    found = KeyOpener([from_keyring, from_file])
    place = account_place(address, normalise(name), options.data_dir)
    if place is None or not (place / KEY_FILE).exists():
        return found
    if share and _is_held(place / LOCK_FILE):
        return found
    if public_key(place / KEY_FILE)[1]:
        found.read(place / KEY_FILE, [from_terminal])
    return found


def _has_sealed(options: argparse.Namespace) -> bool:
    """Tell whether any key of this machine is sealed; costs less than a millisecond."""
    folder = options.data_dir or os.environ.get("JIM_DATA_DIR")
    if folder is None:
        import platformdirs

        folder = platformdirs.user_data_path("jim", appauthor=False)
    for path in Path(folder).glob("accounts/*/*/device.key*"):
        try:
            with path.open("rb") as file:
                if file.read(len(SEALED)) == SEALED:
                    return True
        except OSError:
            continue  # whoever needs it says what is wrong with it
    return False


def _is_held(path: Path) -> bool:
    from jim.client.lock import FileLock

    lock = FileLock(path)
    is_free = lock.acquire()
    lock.release()
    return not is_free


def from_keyring(public: bytes) -> Iterator[str]:
    """Give what the desktop's keyring has."""
    from jim.crypto import keyring_store

    found = keyring_store.get(public)
    if found is not None:
        yield found


def from_file(_public: bytes) -> Iterator[str]:
    """Give what is in the file of JIM_PASSPHRASE_FILE."""
    path = os.environ.get(FILE_VARIABLE)
    if path:
        yield read_passphrase(Path(path))


def from_terminal(_public: bytes) -> Iterator[str]:
    """Ask a person, again if it was wrong; nothing where there is nobody."""
    for left in reversed(range(TRIES)):
        typed = ask(_("Passphrase of this device's key: "))
        if typed is None:
            return
        yield typed
        if left:
            complain(_("This is not the passphrase."))


def read_passphrase(path: Path) -> str:
    """Read a passphrase from a file that only we can read, without its last newline.

    Raises:
        KeyFileError: it cannot be read, or others can read it.
    """
    from jim.crypto.key_files import read_private

    try:
        return read_private(path).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        detail = f"{path}: this is no text"
        raise KeyFileError(detail, path=str(path), reason="damaged") from None


def ask(prompt: str) -> str | None:
    """Ask for something that must not be seen; None where there is nobody to ask."""
    if not _has_terminal():
        return None
    import getpass

    try:
        with _interruptible():
            return getpass.getpass(prompt)
    except EOFError:
        sys.stderr.write("\n")
        return None
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl+C raise, so that the terminal shows again what is typed.

    Ended on the spot (`ending_at_once`), the program would leave it without its echo.
    """
    before = signal.getsignal(signal.SIGINT)
    # In another thread than the main one nothing can be set, and nothing is interrupted.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def ask_new(prompt: str) -> str | None:
    """Ask twice for a new passphrase, until both are alike; None where there is nobody to ask."""
    while True:
        first = ask(prompt)
        if not first:
            return None
        if ask(_("The same again: ")) == first:
            return first
        complain(_("These were two different ones."))


def _has_terminal() -> bool:
    """Tell whether there is a terminal to ask at, whatever the standard streams are."""
    if os.name == "nt":
        return sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
