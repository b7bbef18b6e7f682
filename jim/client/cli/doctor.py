"""`jim doctor`: check what a connection needs, one line each, and say how to mend what is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from jim.client.cli.accounts import account_or_new
from jim.client.cli.check import FAIL, Check, here
from jim.client.cli.check_server import server_checks
from jim.client.cli.output import json_line, put
from jim.client.console.explain import Exit
from jim.common.interrupts import run_loop
from jim.errors import JimError

if TYPE_CHECKING:
    import argparse

    from jim.client.address import Address

INDENT: Final = " " * 6


def run(options: argparse.Namespace) -> int:
    """Print every check; 1 if one of them failed.

    Raises:
        SettingsError: the command line names no server.
    """
    address, name = _meant(options)
    failed = False
    for check in [
        *here(address, name, options.data_dir),
        *run_loop(server_checks(address, options.data_dir, options.ca_file)),
    ]:
        failed = failed or check.status == FAIL
        _print(check, as_json=options.json)
    return Exit.FAILURE if failed else Exit.OK


def _meant(options: argparse.Namespace) -> tuple[Address, str]:
    """Choose the account if that is clear; a machine without one can be checked too."""
    from jim.client.cli.accounts import parse_target

    try:
        return account_or_new(options)
    except JimError:
        server = options.server or os.environ.get("JIM_SERVER")
        return parse_target(server).address, ""


def _print(check: Check, *, as_json: bool) -> None:
    if as_json:
        record = {"type": "check", "name": check.name, "status": check.status, "text": check.text}
        put(json_line({**record, "fix": check.fix} if check.fix else record))
        return
    put(f"{check.status:<5} {check.text}")
    if check.fix:
        put(f"{INDENT}{check.fix}")
