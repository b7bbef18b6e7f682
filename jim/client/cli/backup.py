"""`jim backup FILE`: the whole account in one sealed file, also while a client runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.cli.accounts import account
from jim.client.cli.output import complain, put
from jim.client.cli.places import account_place
from jim.client.cli.progress import Progress
from jim.client.cli.unlocking import ask_new, read_passphrase
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.errors import AccountMissing
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from jim.crypto.sealed_file import Passphrase, Recipient


def run(options: argparse.Namespace) -> int:
    """Ask for the words or a passphrase, and write the file.

    Raises:
        JimError: no such account, or the file cannot be written.
    """
    from jim.client.backup import check_target, make_backup
    from jim.client.known_servers import KnownServers
    from jim.client.local_accounts import default_data_dir

    chosen = account(options)
    folder = options.data_dir or default_data_dir()
    place = account_place(chosen.address, chosen.name, options.data_dir)
    server = KnownServers(folder).find(chosen.address)
    if place is None or server is None:
        raise AccountMissing
    check_target(options.file, force=options.force)
    to = _sealed_to(options, place)
    if to is None:
        complain(_("No passphrase: nothing was written. In a script: --passphrase-file"))
        return Exit.USAGE
    with Progress() as progress:
        made = make_backup(place, server, options.file, to, force=options.force, progress=progress)
    template = _("{file}: {name} with all messages. To bring it back: jim restore {file}")
    shown = safe_line(str(options.file))
    put(template.format(file=shown, name=safe_line(made.name)))
    return Exit.OK


def _sealed_to(options: argparse.Namespace, place: Path) -> Passphrase | Recipient | None:
    from jim.crypto.sealed_file import Passphrase

    if options.words:
        from jim.client.backup import words_recipient
        from jim.client.cli.recover import ask_words
        from jim.crypto.words import parse_words

        words = ask_words()
        return words_recipient(place, parse_words(words)) if words.strip() else None
    if options.passphrase_file is not None:
        typed = read_passphrase(options.passphrase_file)
    else:
        typed = ask_new(_("Passphrase for the backup: ")) or ""
    return Passphrase(typed) if typed else None
