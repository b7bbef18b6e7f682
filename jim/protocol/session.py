"""The states of a session as one table, for both sides; the diagram in the docs is made from it.

A transition is written once, whoever sends the message: the server advances with what it receives
and with what it answers, a client the other way round.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jim.errors import Unauthorised, Unexpected
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct


class State(enum.Enum):
    """Where a session stands; the value is the word used in the documentation."""

    OPENED = "opened"
    GREETED = "greeted"
    CHALLENGED = "challenged"
    VERIFYING = "verifying"
    RECOVERING = "recovering"
    LINKING = "linking"
    ACTIVE = "active"
    CLOSED = "closed"


_STAY_ACTIVE: tuple[type[Struct], ...] = (
    m.Msg,
    m.Stored,
    m.Delivery,
    m.Notice,
    m.Ack,
    m.Sync,
    m.Ok,
    m.Receipts,
    m.ReceiptsReply,
    m.Delivered,
    m.Presence,
    m.Contacts,
    m.PresenceChange,
    m.ChainRequest,
    m.Chain,
    m.Extend,
    m.Extended,
    m.Offers,
    m.OffersReply,
    m.Draft,
    m.ProofReply,
    m.Keys,
    m.KeysReply,
    m.Claim,
    m.Claimed,
    m.DevicesChange,
    m.KeysLeft,
    m.Probe,
    m.Pong,
    m.ErrorReply,
)

_END: dict[type[Struct], State] = {m.Quit: State.CLOSED, m.Goodbye: State.CLOSED}

TRANSITIONS: Final[Mapping[State, Mapping[type[Struct], State]]] = MappingProxyType(
    {
        State.OPENED: {m.Hello: State.GREETED, m.ErrorReply: State.OPENED, **_END},
        State.GREETED: {m.Challenge: State.CHALLENGED, m.ErrorReply: State.OPENED, **_END},
        State.CHALLENGED: {
            m.Auth: State.VERIFYING,
            m.Register: State.VERIFYING,
            m.Recover: State.VERIFYING,
            m.LinkRequest: State.VERIFYING,
            m.ErrorReply: State.OPENED,
            **_END,
        },
        State.VERIFYING: {
            m.Welcome: State.ACTIVE,
            m.Chain: State.RECOVERING,
            m.Linking: State.LINKING,
            m.Linked: State.OPENED,
            m.ErrorReply: State.OPENED,
            **_END,
        },
        State.RECOVERING: {m.Enroll: State.VERIFYING, m.ErrorReply: State.OPENED, **_END},
        State.LINKING: {
            m.DraftPush: State.LINKING,
            m.Proof: State.LINKING,
            m.Probe: State.LINKING,
            m.Pong: State.LINKING,
            m.Linked: State.OPENED,
            m.ErrorReply: State.CLOSED,
            **_END,
        },
        State.ACTIVE: {**dict.fromkeys(_STAY_ACTIVE, State.ACTIVE), **_END},
        State.CLOSED: {},
    }
)
"""State to the messages possible in it to the state that follows. A challenge serves one attempt:
every failed login leads back to `opened`, where only a new `hello` helps, and so does a device that
has been linked: it logs in like any other. An error while it waits ends the session."""


def advance(state: State, message: type[Struct]) -> State:
    """Give the state after `message`.

    Raises:
        Unauthorised: the message is for logged-in sessions and this one is not yet.
        Unexpected: the message has no place in this state.
    """
    following = TRANSITIONS[state].get(message)
    if following is None:
        if state not in (State.ACTIVE, State.CLOSED) and message in TRANSITIONS[State.ACTIVE]:
            raise Unauthorised
        raise Unexpected(f"not possible in state {state.value}")
    return following


def diagram() -> str:
    """Draw the table as a Mermaid state diagram; transitions between the same states are joined."""
    lines = ["stateDiagram-v2", "    [*] --> opened"]
    for state, row in TRANSITIONS.items():
        joined: dict[State, list[str]] = {}
        for message, following in row.items():
            joined.setdefault(following, []).append(_label(message))
        for following, labels in joined.items():
            lines.append(f"    {state.value} --> {following.value}: {', '.join(labels)}")
    lines.append("    closed --> [*]")
    return "\n".join(lines)


def _label(message: type[Struct]) -> str:
    tag = str(message.__struct_config__.tag)
    return _LABELS.get(message, tag)


_LABELS: Final[Mapping[type[Struct], str]] = MappingProxyType(
    {
        m.Delivery: "msg (pushed)",
        m.ReceiptsReply: "receipts (reply)",
        m.ChainRequest: "chain (request)",
        m.KeysReply: "keys (reply)",
        m.DraftPush: "draft (pushed)",
        m.OffersReply: "offers (reply)",
        m.ProofReply: "proof (reply)",
    }
)
"""Where both sides have a message of the same name."""
