"""`jim export --jsonl [FILE]`: all messages, signed; `jim export --verify FILE` checks that."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from jim.client.cli.accounts import account
from jim.client.cli.output import complain, put
from jim.client.cli.places import account_place
from jim.client.cli.progress import Progress
from jim.client.cli.unlocking import from_file, from_keyring, from_terminal
from jim.client.console.explain import Exit, explain
from jim.client.console.text import safe_line
from jim.errors import AccountMissing, BackupInvalid, ExportInvalid
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from jim.client.export import Checked


def run(options: argparse.Namespace) -> int:
    """Write the lines, or check those of a file.

    Raises:
        JimError: no such account, its key cannot be opened, or the file cannot be used.
    """
    if options.verify is not None:
        return _verify(options.verify, options.root)
    if not options.jsonl:
        complain(_("Name the format: jim export --jsonl [FILE]"))
        return Exit.USAGE
    if options.file is not None and options.file.exists():
        raise BackupInvalid(str(options.file), reason="there")  # before all of it is written
    with Progress() as progress:
        lines = _lines(options, progress)
        if options.file is None:
            _write(sys.stdout.buffer, lines)
        else:
            from jim.client.private_files import file_errors
            from jim.common.files import appearing

            with file_errors(options.file), appearing(options.file, replace=False) as target:
                _write(target, lines)
    return Exit.OK


def _lines(options: argparse.Namespace, progress: Progress) -> Iterator[bytes]:
    from jim.client.export import export
    from jim.client.key_opener import KeyOpener
    from jim.client.known_servers import KnownServers
    from jim.client.local_accounts import KEY_FILE, STORE_FILE, default_data_dir

    chosen = account(options)
    folder = options.data_dir or default_data_dir()
    place = account_place(chosen.address, chosen.name, options.data_dir)
    server = KnownServers(folder).find(chosen.address)
    if place is None or server is None:
        raise AccountMissing
    opener = KeyOpener([from_keyring, from_file, from_terminal])
    key = opener.read(place / KEY_FILE)
    return export(place / STORE_FILE, key, server.server_id, progress)


def _write(target: IO[bytes], lines: Iterator[bytes]) -> None:
    for line in lines:
        target.write(line)
    target.flush()


def _verify(path: Path, root: str | None) -> int:
    from jim.client.export import check
    from jim.client.private_files import file_errors

    try:
        with file_errors(path), path.open("rb") as source:
            found = check(source, root)
    except ExportInvalid as error:
        put(f"{safe_line(str(path))}: {explain(error)}")
        return Exit.FAILURE
    for line in _found(found, is_known=root is not None):
        put(line)
    return Exit.OK


def _found(found: Checked, *, is_known: bool) -> Iterator[str]:
    header = found.header
    template = _("In order: {count} messages of {name}, signed by its device {device}.")
    yield template.format(
        count=header.messages, name=safe_line(header.account), device=safe_line(header.device)
    )
    yield _("root of the account: {root}").format(root=found.root)
    yield _("its number: {number}").format(number=found.number)
    if is_known:
        yield _("This is the account that was asked for.")
    else:
        yield _(
            "Whether this is the account that you mean, only the root or the number says: compare "
            "it, or name it with --root."
        )
