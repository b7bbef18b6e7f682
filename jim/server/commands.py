"""Every message that a client may send, and who handles it: one row each.

The states in which a message is possible are in `jim.protocol.session`. A handler takes the stage
of the session and the message, and gives the reply, None for no reply, or a coroutine of either; it
raises `WireError` for a refusal. `cost` is what a message counts against the rate limit:
confirmations and answers to our own probes are free (the bytes limit holds for them too).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jim.protocol import messages as m
from jim.protocol.session import TRANSITIONS, State
from jim.server.handlers import (
    chain,
    greeting,
    keys,
    linking,
    login,
    mailbox,
    messages,
    presence,
    recovery,
    registration,
)
from jim.server.handlers import session as ends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msgspec import Struct


class Command(NamedTuple):
    """How one message is handled."""

    handler: Callable[[Any, Any], Any]
    cost: int = 1


COMMANDS: Final[Mapping[type[Struct], Command]] = MappingProxyType(
    {
        m.Hello: Command(greeting.hello),
        m.Auth: Command(login.auth),
        m.Register: Command(registration.register),
        m.Recover: Command(recovery.recover),
        m.Enroll: Command(recovery.enroll),
        m.LinkRequest: Command(linking.offer),
        m.Proof: Command(linking.proof),
        m.Msg: Command(messages.submit),
        m.Ack: Command(mailbox.acknowledge, cost=0),
        m.Sync: Command(mailbox.sync),
        m.Receipts: Command(mailbox.receipts),
        m.Presence: Command(presence.contacts),
        m.ChainRequest: Command(chain.links),
        m.Extend: Command(chain.extend),
        m.Keys: Command(keys.keep),
        m.Claim: Command(keys.claim),
        m.Offers: Command(linking.offers),
        m.Draft: Command(linking.draft),
        m.Probe: Command(ends.probe),
        m.Pong: Command(ends.pong, cost=0),
        m.Quit: Command(ends.quit_session),
    }
)

ACTIVE: Final[Mapping[type, Command]] = {
    message: command
    for message, command in COMMANDS.items()
    if message in TRANSITIONS[State.ACTIVE]
}
"""The rows for logged-in sessions: a plain dict, looked at once per message."""
