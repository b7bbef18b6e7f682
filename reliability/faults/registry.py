"""All faults, in the order in which they are run; a module's `FAULTS` are its rows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reliability.faults.model import Fault

MODULES: Final = (
    "power_cut",
    "kills",
    "front_ends",
    "write_points",
    "disk_errors",
    "disk_limits",
    "network",
    "namespaces",
    "signals",
    "resources",
    "clock",
)
"""Below `reliability.faults`, each with its faults as a tuple `FAULTS`."""


def load() -> dict[str, Fault]:
    """Import every module and give its faults by name.

    Raises:
        ImportError: a module is missing; its faults would be missing in every run.
    """
    found: dict[str, Fault] = {}
    for module in MODULES:
        for fault in importlib.import_module(f"{__package__}.{module}").FAULTS:
            found[fault.name] = fault
    return found
