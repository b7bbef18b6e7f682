"""`jim whoami`: which accounts this machine has, without asking any server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.cli.accounts import account
from jim.client.cli.output import json_line, put
from jim.client.cli.places import account_place
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.errors import LinkUnfinished
from jim.i18n import _

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Show name, server, the server's fingerprint and this device.

    Raises:
        JimError: no such account, its key cannot be read, or no device has taken it in yet.
    """
    from jim.client.local_accounts import STORE_FILE, stage_of
    from jim.crypto.key_files import public_key
    from jim.crypto.keys import device_id

    chosen = account(options)
    place = account_place(chosen.address, chosen.name, options.data_dir)
    if place is not None and stage_of(place / STORE_FILE) == "linking":
        raise LinkUnfinished  # nobody yet
    device = "" if place is None else device_id(public_key(place / "device.key")[0])
    record = {
        "type": "account",
        "name": chosen.name,
        "server": str(chosen.address),
        "fingerprint": chosen.fingerprint,
        "device": device,
    }
    if options.json:
        put(json_line(record))
        return Exit.OK
    labels = (
        (_("name"), chosen.name),
        (_("server"), str(chosen.address)),
        (_("fingerprint of the server"), chosen.fingerprint),
        (_("this device"), device),
    )
    for label, value in labels:
        put(f"{label}: {safe_line(value)}")
    return Exit.OK
