"""The client library: everything a front end needs, and nothing that shows or asks.

Names are imported on first use: TLS, keys and SQLite take 150 ms, longer than somebody should wait
for the first prompt, which the front ends show meanwhile.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jim.client.address import Address
    from jim.client.client import Client
    from jim.client.events import (
        BEHIND,
        CANCELLED,
        RESTORED,
        ROTATED,
        UNKNOWN_OUTCOME,
        ComparisonChanged,
        ComparisonStage,
        ContactInfo,
        Contacts,
        Conversation,
        DevicesChanged,
        Event,
        Fatal,
        FirstContact,
        HistoryMoved,
        LinkChanged,
        LinkState,
        Message,
        MessageState,
        MissingNotice,
        OwnChanged,
        OwnMessage,
        PresenceChanged,
        Received,
        Registered,
    )
    from jim.client.feed import Subscription
    from jim.client.local_accounts import (
        KnownAccount,
        choose_account,
        default_data_dir,
        known_accounts,
    )

_HOMES = {
    "address": ("Address",),
    "client": ("Client",),
    "feed": ("Subscription",),
    "local_accounts": ("KnownAccount", "choose_account", "default_data_dir", "known_accounts"),
}
"""Module to the names that come from it; all others come from `events`."""

__all__ = [
    "BEHIND",
    "CANCELLED",
    "RESTORED",
    "ROTATED",
    "UNKNOWN_OUTCOME",
    "Address",
    "Client",
    "ComparisonChanged",
    "ComparisonStage",
    "ContactInfo",
    "Contacts",
    "Conversation",
    "DevicesChanged",
    "Event",
    "Fatal",
    "FirstContact",
    "HistoryMoved",
    "KnownAccount",
    "LinkChanged",
    "LinkState",
    "Message",
    "MessageState",
    "MissingNotice",
    "OwnChanged",
    "OwnMessage",
    "PresenceChanged",
    "Received",
    "Registered",
    "Subscription",
    "choose_account",
    "default_data_dir",
    "known_accounts",
]


def __getattr__(name: str) -> object:
    """Import the name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "events")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
