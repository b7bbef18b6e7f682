"""The session table: what is possible when, and the picture drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.errors import Unauthorised, Unexpected
from jim.protocol import messages as m
from jim.protocol.session import TRANSITIONS, State, advance, diagram

if TYPE_CHECKING:
    from msgspec import Struct

LOGIN: list[type[Struct]] = [m.Hello, m.Challenge, m.Auth, m.Welcome]


def walk(*steps: type[Struct]) -> State:
    state = State.OPENED
    for step in steps:
        state = advance(state, step)
    return state


def test_a_login_ends_active() -> None:
    assert walk(*LOGIN) is State.ACTIVE
    assert walk(m.Hello, m.Challenge, m.Register, m.Welcome) is State.ACTIVE
    assert walk(m.Hello, m.Challenge, m.Recover, m.Chain, m.Enroll, m.Welcome) is State.ACTIVE


def test_a_challenge_serves_one_attempt() -> None:
    failed = walk(m.Hello, m.Challenge, m.Auth, m.ErrorReply)
    assert failed is State.OPENED
    with pytest.raises(Unexpected):
        advance(failed, m.Auth)


@pytest.mark.parametrize("action", [m.Msg, m.Ack, m.Sync, m.Receipts, m.Presence, m.Probe])
def test_nothing_but_a_login_before_the_login(action: type[Struct]) -> None:
    for state in (State.OPENED, State.CHALLENGED, State.VERIFYING, State.RECOVERING):
        with pytest.raises(Unauthorised):
            advance(state, action)


@pytest.mark.parametrize(
    "action", [m.Hello, m.Auth, m.Register, m.Recover, m.Enroll, m.LinkRequest]
)
def test_no_second_login_on_a_session(action: type[Struct]) -> None:
    with pytest.raises(Unexpected):
        advance(State.ACTIVE, action)


def test_enroll_only_after_recover() -> None:
    with pytest.raises(Unexpected):
        advance(State.CHALLENGED, m.Enroll)


WAITING: list[type[Struct]] = [m.Hello, m.Challenge, m.LinkRequest, m.Linking]


def test_a_new_device_waits_and_then_logs_in_like_any_other() -> None:
    assert walk(*WAITING, m.DraftPush, m.Proof, m.Probe, m.Pong) is State.LINKING
    assert walk(*WAITING, m.Linked, *LOGIN) is State.ACTIVE
    assert walk(m.Hello, m.Challenge, m.LinkRequest, m.Linked, *LOGIN) is State.ACTIVE
    assert walk(*WAITING, m.ErrorReply) is State.CLOSED


def test_only_a_device_that_waits_proves_anything() -> None:
    for state in State:
        if state is not State.LINKING:
            with pytest.raises(Unexpected):
                advance(state, m.Proof)


def test_one_may_always_leave_and_nothing_follows() -> None:
    for state in State:
        if state is not State.CLOSED:
            assert advance(state, m.Quit) is State.CLOSED
    later: list[type[Struct]] = [*LOGIN, m.Quit, m.Msg]
    for message in later:
        with pytest.raises(Unexpected):
            advance(State.CLOSED, message)


def test_every_message_has_a_place() -> None:
    placed = {message for row in TRANSITIONS.values() for message in row}
    unions = (*m.ClientMessage.__args__, *m.ServerMessage.__args__)
    assert set(unions) == placed


def test_the_diagram_shows_every_transition() -> None:
    drawn = diagram()
    for state, row in TRANSITIONS.items():
        for message, following in row.items():
            line = next(
                text
                for text in drawn.splitlines()
                if text.strip().startswith(f"{state.value} --> {following.value}:")
            )
            assert str(message.__struct_config__.tag) in line
