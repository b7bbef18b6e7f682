from __future__ import annotations

import random
from pathlib import Path

import pytest

from jim.client.address import Address
from jim.client.known_servers import KnownServer, Mode
from jim.client.policy import (
    CROWD_DELAY_S,
    FIRST_DELAY_S,
    MAX_ASKED_S,
    MAX_DELAY_S,
    Backoff,
    modes_to_try,
)
from jim.errors import (
    WIRE_ERRORS,
    AuthFailed,
    ConnectFailed,
    Penalised,
    ServerIdentityChanged,
    Shutdown,
    StoreFull,
    TlsError,
)


def longest(failures: int) -> float:
    waits = []
    for seed in range(300):
        backoff = Backoff(random.Random(seed))
        for _ in range(failures):
            backoff.next_s(None)
        waits.append(backoff.next_s(None))
    assert min(waits) < 0.1 * max(waits), "full jitter reaches down to nothing"
    return max(waits)


def test_waits_grow_to_a_bound_with_full_jitter() -> None:
    bounds = [longest(failures) for failures in (0, 1, 2, 20, 500)]
    expected = [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S, MAX_DELAY_S, MAX_DELAY_S]
    assert bounds == pytest.approx(expected, rel=0.03)


def test_after_a_good_session_waits_begin_anew() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(9):
        backoff.next_s(None)
    backoff.succeeded()
    assert backoff.next_s(None) <= FIRST_DELAY_S


def test_after_a_short_session_waits_are_bounded_more_closely_and_grow_again() -> None:
    waits: list[list[float]] = [[], []]
    for seed in range(300):
        backoff = Backoff(random.Random(seed))
        for _ in range(9):
            backoff.next_s(None)
        backoff.met_server()
        for each in waits:
            each.append(backoff.next_s(None))
    assert [max(each) for each in waits] == pytest.approx([CROWD_DELAY_S, 16], rel=0.03)


def test_a_short_session_makes_no_wait_longer() -> None:
    backoff = Backoff(random.Random(1))
    backoff.met_server()
    assert backoff.next_s(None) <= FIRST_DELAY_S


@pytest.mark.parametrize("reason", ["turned_away", "closed"])
def test_a_crowd_at_the_door_makes_no_wait_as_long_as_a_server_that_is_gone(reason: str) -> None:
    crowded, gone = ConnectFailed("x", reason=reason), ConnectFailed("x", reason="refused")
    longest = {}
    for error in (crowded, gone):
        backoffs = [Backoff(random.Random(seed)) for seed in range(50)]
        longest[error] = max(backoff.next_s(error) for backoff in backoffs for _ in range(20))
    assert longest[crowded] <= CROWD_DELAY_S
    assert longest[gone] > CROWD_DELAY_S


def test_what_the_server_asks_for_is_waited_at_least() -> None:
    backoff = Backoff(random.Random(1))
    assert backoff.next_s(Penalised(retry_after_ms=90_000)) >= 90
    assert backoff.next_s(Penalised(retry_after_ms=2**53 - 1)) <= MAX_ASKED_S + MAX_DELAY_S
    assert backoff.next_s(Penalised(retry_after_ms=-(2**53))) >= 0
    backoff.succeeded()
    assert backoff.next_s(ConnectFailed("x", retry_after_ms="soon")) <= 2 * FIRST_DELAY_S


PIN = KnownServer("x:1", "pin", bytes(32))
CA = KnownServer("x:1", "ca", bytes(32))
FILE = Path("ca.pem")


@pytest.mark.parametrize(
    ("host", "known", "ca_file", "modes"),
    [
        ("127.0.0.1", None, None, ("pin",)),
        ("::1", None, None, ("pin",)),
        ("localhost", None, None, ("pin",)),
        ("jim.example", None, None, ("ca", "pin")),
        ("jim.example", PIN, None, ("pin",)),
        ("jim.example", CA, None, ("ca",)),
        ("localhost", CA, None, ("ca",)),
        ("jim.example", None, FILE, ("ca",)),
        ("jim.example", PIN, FILE, ("ca",)),
        ("127.0.0.1", None, FILE, ("ca",)),
    ],
)
def test_how_the_certificate_is_judged(
    host: str, known: KnownServer | None, ca_file: Path | None, modes: tuple[Mode, ...]
) -> None:
    assert modes_to_try(Address(host), known, ca_file) == modes


def test_what_stops_the_client() -> None:
    stopping = {code for code, cls in WIRE_ERRORS.items() if cls.final}
    assert stopping == {
        *("auth_failed", "name_taken", "name_invalid", "registration_closed", "invite_required"),
        *("invite_invalid", "too_many_devices", "unsupported_version", "replaced"),
        "revoked",
    }
    assert ServerIdentityChanged.final
    assert StoreFull.final
    assert AuthFailed.final
    assert not any(cls.final for cls in (Shutdown, ConnectFailed, TlsError))
