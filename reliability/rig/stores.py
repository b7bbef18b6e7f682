"""What the programs' own checks say of the stores, once nobody works with them any more.

They are those of `jim-server verify` and `jim verify`: a store that our own promise calls whole and
they call broken is a fault of one of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jim.client.verify_store import verify_account
from jim.storage.sqlite.verify import verify

if TYPE_CHECKING:
    from pathlib import Path


def verify_server(database: Path) -> list[str]:
    """Look through the server's store, if there is one; give what is wrong."""
    if not database.exists():
        return []
    return [f"{database}: {_worded(finding)}" for finding in verify(database, None).findings]


def verify_client(data_dir: Path) -> list[str]:
    """Look through the stores of a client's accounts; give what is wrong."""
    return [
        f"{store}: {_worded(finding)}"
        for store in sorted(data_dir.glob("accounts/*/*/store.db"))
        for finding in verify_account(store.parent).findings
        if finding.is_fault
    ]


def _worded(finding: msgspec.Struct) -> str:
    shown = {name: value for name, value in msgspec.structs.asdict(finding).items() if value}
    return ", ".join(f"{name} {value}" for name, value in shown.items())
