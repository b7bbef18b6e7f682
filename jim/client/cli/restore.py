"""`jim restore FILE`: bring an account back from the file of `jim backup`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.client.cli.accounts import say_how_to_talk
from jim.client.cli.output import complain, put
from jim.client.cli.progress import Progress
from jim.client.cli.unlocking import TRIES, ask, read_passphrase
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.errors import BackupInvalid
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from jim.client.restoring import Restored
    from jim.crypto.keys import SigningKey
    from jim.crypto.sealed_file import Passphrase


def run(options: argparse.Namespace) -> int:
    """Ask for what it was sealed with, unpack, verify; 1 if messages are missing in it.

    Raises:
        JimError: it does not open, is damaged, or there is such an account already.
    """
    from jim.client.local_accounts import default_data_dir, known_accounts

    folder = options.data_dir or default_data_dir()
    restored = _restored(options, folder)
    if restored is None:
        complain(_("No passphrase and no words: nothing was done. In a script: --passphrase-file"))
        return Exit.USAGE
    status = _tell(restored)
    for account in known_accounts(folder):
        if (account.name, account.fingerprint) == (
            restored.manifest.name,
            restored.manifest.server,
        ):
            say_how_to_talk(account.address, account.name)
    return status


def _restored(options: argparse.Namespace, folder: Path) -> Restored | None:
    """Open the file and put the account there; None if there is nothing to open it with."""
    from jim.client.restoring import restore

    left = TRIES
    while (by := _opened_by(options)) is not None:
        left -= 1
        try:
            with Progress() as progress:
                return restore(options.file, by, folder, force=options.force, progress=progress)
        except BackupInvalid as error:
            if not left or not _was_mistyped(options, error):
                raise
        complain(_("This is not the passphrase."))
    return None


def _was_mistyped(options: argparse.Namespace, error: BackupInvalid) -> bool:
    """Tell whether a person can type it again; a wrong word shows before anything is opened."""
    return options.passphrase_file is None and error.fields.get("reason") == "passphrase"


def _opened_by(options: argparse.Namespace) -> Passphrase | SigningKey | None:
    from jim.crypto.sealed_file import Passphrase, Recipient, sealed_with

    if sealed_with(options.file) is Recipient:
        from jim.client.cli.recover import ask_words
        from jim.crypto.words import parse_words

        words = ask_words()
        return parse_words(words) if words.strip() else None
    if options.passphrase_file is not None:
        typed = read_passphrase(options.passphrase_file)
    else:
        typed = ask(_("Passphrase of the backup: ")) or ""
    return Passphrase(typed) if typed else None


def _tell(restored: Restored) -> int:
    manifest, report = restored.manifest, restored.report
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(manifest.time_ms / 1000))
    template = _("{name} is here again, as it was at {time}.")
    put(template.format(name=safe_line(manifest.name), time=made))
    put(
        _(
            "With the next connection this machine becomes a new device of the account, and the "
            "one that was backed up leaves it: nobody can know whether it is still used somewhere."
        )
    )
    if restored.replaced is not None:
        place = safe_line(str(restored.replaced))
        put(_("What was here before is in {path} now.").format(path=place))
    if not report.is_complete:
        complain(_("Messages are missing in it: jim verify says which."))
        return Exit.FAILURE
    return Exit.OK
