"""Where accounts live on this machine, and which of them is meant.

    <data>/known_servers
    <data>/accounts/<server's short fingerprint>/<name>/device.key, store.db, lock

An account belongs to a server's identity, not to its address: a server that moves keeps them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import platformdirs
from msgspec import Struct

from jim.client.address import Address
from jim.client.known_servers import KnownServers
from jim.crypto.keys import fingerprint, short_fingerprint
from jim.errors import AccountMissing

DATA_DIR_VARIABLE: Final = "JIM_DATA_DIR"
ACCOUNTS: Final = "accounts"
KEY_FILE: Final = "device.key"
STORE_FILE: Final = "store.db"
LOCK_FILE: Final = "lock"


class KnownAccount(Struct, frozen=True):
    """An account on this machine, with one address under which its server was met."""

    address: Address
    name: str
    fingerprint: str


def default_data_dir() -> Path:
    """Give where everything is kept unless somebody says otherwise."""
    chosen = os.environ.get(DATA_DIR_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_data_path("jim", appauthor=False)


def account_directory(data_dir: Path, server_id: bytes, name: str) -> Path:
    """Give where an account lives; `name` is normalised, so it is one harmless path component."""
    return data_dir / ACCOUNTS / short_fingerprint(server_id) / name


def account_directories(data_dir: Path) -> list[Path]:
    """List where accounts are, or were: of each at least the key or the store is still there."""
    folder = data_dir / ACCOUNTS
    found = {path.parent for file in (KEY_FILE, STORE_FILE) for path in folder.glob(f"*/*/{file}")}
    return sorted(found)


def known_accounts(data_dir: Path | None = None) -> list[KnownAccount]:
    """List the accounts of this machine, servers in the order in which they were met.

    Raises:
        KeyFileError: the file of known servers cannot be used.
    """
    return list(_found(data_dir or default_data_dir()).values())


def _found(data_dir: Path) -> dict[Path, KnownAccount]:
    """Find the accounts by their stores."""
    found: dict[Path, KnownAccount] = {}
    for server in KnownServers(data_dir).all():
        folder = data_dir / ACCOUNTS / short_fingerprint(server.server_id)
        for store in sorted(folder.glob(f"*/{STORE_FILE}")):
            account = KnownAccount(
                Address.parse(server.address), store.parent.name, fingerprint(server.server_id)
            )
            found.setdefault(store, account)
    return found


def choose_account(
    address: Address | None, name: str | None, data_dir: Path | None = None
) -> KnownAccount:
    """Give the one account that the address and the name, as far as given, leave.

    What was begun and never became an account (a `jim link` that was killed, a name that the server
    has refused) is passed over where there is a real one.

    Raises:
        AccountMissing: there is none, or several.
        NameInvalid: the name cannot be one.
    """
    # Its tables are half of what importing this module would take, and a prompt waits for it.
    from jim.core.names import normalise  # noqa: PLC0415

    wanted = None if name is None else normalise(name)
    folder = data_dir or default_data_dir()
    known = None if address is None else KnownServers(folder).find(address)
    fitting = {
        store: account
        for store, account in _found(folder).items()
        if wanted in {None, account.name}
        and (address is None or (known and fingerprint(known.server_id) == account.fingerprint))
    }
    if len(fitting) > 1:
        fitting = {store: fitting[store] for store in fitting if _is_in_use(store)} or fitting
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if not fitting:
        raise AccountMissing("this machine has no such account", reason="none")
    names = ", ".join(f"{account.name} at {account.address}" for account in fitting.values())
    raise AccountMissing(f"which account? {names}", reason="several")


def _is_in_use(store: Path) -> bool:
    """Tell whether a store is that of a registered device; one that cannot be read counts as such.

    What is wrong with it says whoever opens it.
    """
    return stage_of(store) in {None, "registered"}


def stage_of(store: Path) -> str | None:
    """Read how far an account has come (`Stage`), None if its store does not say."""
    import sqlite3  # noqa: PLC0415 - as above

    address = f"{store.absolute().as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            row = connection.execute("SELECT stage FROM account").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def remove_files(directory: Path) -> None:
    """Remove what an account has on the disk, while its lock is held; what cannot be stays."""
    store = directory / STORE_FILE
    companions = (store.with_name(f"{STORE_FILE}-{end}") for end in ("wal", "shm"))
    with contextlib.suppress(OSError):
        # The key last: a store without one is damaged, a key without a store is only unused.
        for path in (store, *companions, directory / KEY_FILE):
            path.unlink(missing_ok=True)


def remove_directory(directory: Path) -> None:
    """Remove what is left then, and the server's directory unless there are others in it."""
    with contextlib.suppress(OSError):
        (directory / LOCK_FILE).unlink(missing_ok=True)
        directory.rmdir()
        directory.parent.rmdir()
