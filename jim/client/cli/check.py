"""What `jim doctor` checks on this machine; each check says one thing and, if need be, the fix."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.cli.places import account_place
from jim.client.cli.terminal_probe import emoji_cells
from jim.client.console.explain import explain
from jim.client.console.text import safe_line
from jim.client.local_accounts import KEY_FILE, STORE_FILE, default_data_dir
from jim.crypto.key_files import public_key
from jim.errors import JimError, KeyFileError
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.client.address import Address

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"

LITTLE_BYTES: Final = 100 * 1024 * 1024
"""A busy account's store for some years; below it somebody should look."""

TOO_LITTLE_BYTES: Final = 5 * 1024 * 1024
"""SQLite's journal of one large transaction and the log of a day."""

NARROW: Final = 40
"""Cells: the smallest width that the screens are made for."""

FAMILY: Final = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"

ONE_EMOJI_CELLS: Final = 2
"""Width of one emoji, however many code points it is joined from (UAX 11, wide)."""


class Check(NamedTuple):
    """The result of one check; `name` is stable, for scripts."""

    name: str
    status: str
    text: str
    fix: str = ""


def here(address: Address, name: str, data_dir: Path | None) -> Iterator[Check]:
    """Check everything that needs no server."""
    folder = data_dir or default_data_dir()
    yield _directory(folder)
    yield _disk(folder)
    yield from _account(address, name, data_dir)
    yield _locale()
    yield from _terminal()


def _directory(folder: Path) -> Check:
    place = safe_line(str(folder))
    if not folder.exists():
        return Check(
            "data", OK, _("Data directory: {path} (made at the first start)").format(path=place)
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = _("Make it yours: {command}").format(
            command=f"sudo chown -R $USER {shlex.quote(place)}"
        )
        return Check(
            "data", FAIL, _("Data directory: {path} cannot be written").format(path=place), fix
        )
    return Check("data", OK, _("Data directory: {path}").format(path=place))


def _disk(folder: Path) -> Check:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    text = _("Free disk space: {megabytes} MB").format(megabytes=free // 1024**2)
    if free >= LITTLE_BYTES:
        return Check("disk", OK, text)
    fix = _("Make room on the disk of {path}.").format(path=safe_line(str(existing)))
    return Check("disk", WARN if free >= TOO_LITTLE_BYTES else FAIL, text, fix)


def _account(address: Address, name: str, data_dir: Path | None) -> Iterator[Check]:
    try:
        place = account_place(address, name, data_dir) if name else None
    except KeyFileError as error:
        yield Check("known_servers", FAIL, _("List of known servers"), explain(error))
        return
    if place is None or not (place / STORE_FILE).exists():
        text = _("Account: none on this machine for {address}").format(address=address)
        yield Check(
            "account", WARN, text, _("Make one: jim {address} -n NAME").format(address=address)
        )
        return
    yield _key(place / KEY_FILE)
    yield _store(place / STORE_FILE)


def _key(path: Path) -> Check:
    text = _("Key of this device: {path}").format(path=safe_line(str(path)))
    try:
        is_sealed = public_key(path)[1]
    except JimError as error:
        return Check("key", FAIL, text, safe_line(str(error)))
    if is_sealed:
        text += " " + _("(sealed with a passphrase)")
    return Check("key", OK, text)


def _store(path: Path) -> Check:
    import sqlite3

    text = _("Message store: {path}").format(path=safe_line(str(path)))
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        answer = str(error)
    if answer == "ok":
        return Check("store", OK, text)
    fix = _("It is damaged ({reason}). Move it away, then bring the account back: jim recover NAME")
    return Check("store", FAIL, text, fix.format(reason=safe_line(answer)))


def _locale() -> Check:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = _("Character encoding: {encoding}").format(encoding=sys.stdout.encoding)
    if encoding == "utf8":
        return Check("locale", OK, text)
    return Check("locale", WARN, text, _("Set a UTF-8 locale: export LANG=C.UTF-8"))


def _terminal() -> Iterator[Check]:
    if not sys.stdout.isatty():
        yield Check("terminal", OK, _("Terminal: none (output goes to a file or pipe)"))
        return
    size = shutil.get_terminal_size()
    text = _("Terminal: {kind}, {columns} columns, {rows} rows").format(
        kind=safe_line(os.environ.get("TERM", "?")), columns=size.columns, rows=size.lines
    )
    narrow = size.columns < NARROW
    fix = (
        _("Widen the window to {columns} columns or more.").format(columns=NARROW) if narrow else ""
    )
    yield Check("terminal", WARN if narrow else OK, text, fix)
    yield _emoji(emoji_cells(FAMILY))


def _emoji(cells: int | None) -> Check:
    if cells is None:
        text = _("Emoji: the terminal does not tell where its cursor is")
        return Check("emoji", WARN, text, _("Lines with emoji may be ragged; --plain avoids that."))
    if cells == ONE_EMOJI_CELLS:
        return Check("emoji", OK, _("Emoji: joined ones are drawn as one"))
    text = _("Emoji: joined ones are drawn in parts ({cells} cells)").format(cells=cells)
    return Check("emoji", WARN, text, _("Lines with such emoji may be ragged; messages are whole."))
