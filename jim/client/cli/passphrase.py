"""`jim passphrase set|change|remove`: seal the key of this device with a passphrase, or no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.cli.accounts import account
from jim.client.cli.output import complain, put
from jim.client.cli.places import account_place
from jim.client.cli.unlocking import (
    ask_new,
    from_file,
    from_keyring,
    from_terminal,
    read_passphrase,
)
from jim.client.console.explain import Exit
from jim.errors import AccountInUse, AccountMissing
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Do what was asked; the present passphrase is asked for where there is one.

    Raises:
        JimError: no such account, another process works with it, or the key cannot be opened.
    """
    from jim.client.local_accounts import KEY_FILE, LOCK_FILE
    from jim.client.lock import FileLock
    from jim.client.renewal import next_path

    chosen = account(options)
    place = account_place(chosen.address, chosen.name, options.data_dir)
    if place is None:
        raise AccountMissing
    lock = FileLock(place / LOCK_FILE)
    if not lock.acquire():
        raise AccountInUse
    try:
        key = place / KEY_FILE
        return _change(options, [path for path in (key, next_path(key)) if path.exists()])
    finally:
        lock.release()


def _change(options: argparse.Namespace, paths: list[Path]) -> int:
    from jim.crypto.key_files import public_key

    public, is_sealed = public_key(paths[0])
    if options.what == "set" and is_sealed:
        complain(_("The key has a passphrase already. Another one: jim passphrase change"))
        return Exit.USAGE
    if options.what != "set" and not is_sealed:
        complain(_("The key has no passphrase. Give it one: jim passphrase set"))
        return Exit.USAGE
    present = _present(paths[0], public) if is_sealed else None
    if options.what == "remove":
        return _remove(paths, public, present or "")
    return _set(options, paths, public, present)


def _present(path: Path, public: bytes) -> str:
    """Give the passphrase that opens the key."""
    from jim.client.key_opener import KeyOpener

    tried: list[str] = []

    def noted(public: bytes) -> Iterator[str]:
        for source in (from_keyring, from_file, from_terminal):
            for typed in source(public):
                tried.append(typed)
                yield typed

    KeyOpener([noted]).read(path)
    return tried[-1]


def _remove(paths: list[Path], public: bytes, present: str) -> int:
    from jim.crypto import keyring_store
    from jim.crypto.key_files import unprotect

    for path in paths:
        unprotect(path, present)
    keyring_store.delete(public)
    put(_("The key of this device is protected by the rights of its file alone now."))
    return Exit.OK


def _set(options: argparse.Namespace, paths: list[Path], public: bytes, present: str | None) -> int:
    from jim.crypto import keyring_store
    from jim.crypto.key_files import protect

    new = _new(options)
    if not new:
        complain(_("No new passphrase: nothing was changed. In a script: --new-passphrase-file"))
        return Exit.USAGE
    for path in paths:
        protect(path, new, None if present is None else lambda: present)
    put(
        _(
            "The key of this device is sealed with the passphrase now. Without it, only the twelve "
            "recovery words or another device of the account help."
        )
    )
    if options.keyring:
        if not keyring_store.put(public, new):
            complain(_("There is no keyring that keeps it. You will be asked for it."))
            return Exit.FAILURE
        put(_("The keyring of this machine keeps it."))
    else:
        keyring_store.delete(public)
    return Exit.OK


def _new(options: argparse.Namespace) -> str | None:
    if options.new_passphrase_file is not None:
        return read_passphrase(options.new_passphrase_file)
    return ask_new(_("New passphrase: "))
