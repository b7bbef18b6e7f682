from __future__ import annotations

import random
from typing import Any

import pytest

from jim.core import admission
from jim.core.admission import Admission, Ticket, source_of
from jim.core.limits import Limits
from jim.errors import Penalised, TooManyConnections, TooManyRegistrations

HERE = "203.0.113.7"
THERE = "198.51.100.9"


def keeper(chance: float = 0.999_999, **limits: Any) -> Admission:
    return Admission(Limits(**limits), lambda: chance)


def crowd(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


# --- sources ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "not an address"),
    ],
)
def test_the_source_of_an_address(address: str, source: str) -> None:
    assert source_of(address) == source


# --- per source -------------------------------------------------------------------------------


def test_limit_unauthenticated_per_address() -> None:
    door = keeper(unauthenticated_per_address=2)
    first = door.admit(HERE, 0.0)
    door.admit(HERE, 0.0)
    with pytest.raises(TooManyConnections) as caught:
        door.admit(HERE, 0.0)
    assert caught.value.fields["limit"] == 2
    door.admit(THERE, 0.0)
    door.authenticated(first)
    door.admit(HERE, 0.0)


def test_limit_connections_per_address() -> None:
    door = keeper(connections_per_address=2)
    tickets = [door.admit(HERE, 0.0) for _ in range(2)]
    for ticket in tickets:
        door.authenticated(ticket)
    with pytest.raises(TooManyConnections):
        door.admit(HERE, 0.0)
    door.leave(tickets[0])
    door.admit(HERE, 0.0)


def test_limits_per_address_count_an_ipv6_site_as_one() -> None:
    door = keeper(connections_per_address=2)
    door.admit("2001:db8::1", 0.0)
    door.admit("2001:db8::2", 0.0)
    with pytest.raises(TooManyConnections):
        door.admit("2001:db8::3", 0.0)
    door.admit("2001:db8:0:1::1", 0.0)


def test_limit_new_connections_per_address_and_window() -> None:
    door = keeper(new_connections_per_address=3, new_connections_window_s=600.0)
    for second in range(3):
        door.leave(door.admit(HERE, float(second)))
    with pytest.raises(TooManyConnections) as caught:
        door.admit(HERE, 10.0)
    assert caught.value.fields["retry_after_ms"] == 590_000
    door.leave(door.admit(THERE, 10.0))
    door.leave(door.admit(HERE, 600.0))


def test_limit_registrations_per_address() -> None:
    door = keeper(registrations_per_address=2, registrations_window_s=600.0)
    ticket = door.admit(HERE, 0.0)
    for _ in range(2):
        door.check_registration(ticket, 1.0)
        door.registered(ticket, 1.0)
    with pytest.raises(TooManyRegistrations) as caught:
        door.check_registration(ticket, 2.0)
    assert caught.value.fields == {"limit": 2, "retry_after_ms": 599_000}
    door.check_registration(door.admit(THERE, 2.0), 2.0)
    door.check_registration(ticket, 601.0)


def test_exempt_networks_have_no_limits_per_address() -> None:
    door = keeper(
        exempt_networks=("203.0.113.0/24", "2001:db8::/32"),
        unauthenticated_per_address=1,
        connections_per_address=1,
        new_connections_per_address=1,
        registrations_per_address=1,
    )
    for _ in range(5):
        for address in (HERE, f"::ffff:{HERE}", "2001:db8::1"):
            ticket = door.admit(address, 0.0)
            door.check_registration(ticket, 0.0)
            door.registered(ticket, 0.0)
            assert door.penalise(ticket, 0.0) == 0.0
    door.admit(THERE, 0.0)
    with pytest.raises(TooManyConnections):
        door.admit(THERE, 0.0)


def test_exempt_networks_are_not_exempt_from_what_holds_for_all() -> None:
    door = keeper(exempt_networks=("0.0.0.0/0",), unauthenticated_start=1, unauthenticated_full=1)
    door.admit(HERE, 0.0)
    with pytest.raises(TooManyConnections):
        door.admit(HERE, 0.0)


# --- everybody --------------------------------------------------------------------------------


def test_limit_unauthenticated_full_refuses_everybody() -> None:
    door = keeper(unauthenticated_start=3, unauthenticated_full=4)
    tickets = [door.admit(crowd(number), 0.0) for number in range(4)]
    with pytest.raises(TooManyConnections) as caught:
        door.admit(crowd(5), 0.0)
    assert caught.value.fields["limit"] == 4
    door.authenticated(tickets[0])
    door.admit(crowd(6), 0.0)


def test_below_unauthenticated_start_nobody_is_refused() -> None:
    door = keeper(chance=0.0, unauthenticated_start=64)
    for number in range(64):
        door.admit(crowd(number), 0.0)
    with pytest.raises(TooManyConnections):
        door.admit(crowd(64), 0.0)


def test_limit_unauthenticated_rate_is_the_chance_at_the_start() -> None:
    for chance, refused in ((0.299, True), (0.301, False)):
        door = keeper(chance=chance, unauthenticated_start=64)
        for number in range(64):
            door.admit(crowd(number), 0.0)
        if refused:
            with pytest.raises(TooManyConnections):
                door.admit(crowd(64), 0.0)
        else:
            door.admit(crowd(64), 0.0)


def test_the_chance_grows_to_certainty() -> None:
    chance = random.Random(20260101)
    door = Admission(Limits(), chance.random)
    admitted = 0
    for number in range(5_000):
        try:
            door.admit(crowd(number), 0.0)
        except TooManyConnections:
            continue
        admitted += 1
    assert 800 < admitted <= 1024
    assert door.unauthenticated == admitted


# --- penalties --------------------------------------------------------------------------------


def fail(door: Admission, now_s: float) -> float:
    ticket = door.admit(HERE, now_s)
    seconds = door.penalise(ticket, now_s)
    door.leave(ticket)
    return seconds


def test_limit_penalties_double_up_to_the_most() -> None:
    door, now_s, given = keeper(penalty_start_s=5.0, penalty_max_s=60.0), 0.0, []
    for _ in range(6):
        seconds = fail(door, now_s)
        given.append(seconds)
        with pytest.raises(Penalised) as caught:
            door.admit(HERE, now_s + seconds - 0.5)
        assert caught.value.fields["retry_after_ms"] == 500
        now_s += seconds
    assert given == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_penalty_is_forgotten_after_as_long_a_quiet() -> None:
    door = keeper(penalty_start_s=5.0)
    assert fail(door, 0.0) == 5.0
    assert fail(door, 5.0) == 10.0
    assert fail(door, 35.0) == 5.0


def test_a_penalty_holds_for_its_source_alone() -> None:
    door = keeper()
    fail(door, 0.0)
    door.admit(THERE, 1.0)


def test_connections_from_before_a_penalty_can_end_in_order() -> None:
    door = keeper()
    early = door.admit(HERE, 0.0)
    fail(door, 1.0)
    door.authenticated(early)
    door.leave(early)
    assert door.unauthenticated == 0


def test_no_penalty_when_it_is_set_to_nothing() -> None:
    door = keeper(penalty_start_s=0.0, penalty_max_s=0.0)
    assert fail(door, 0.0) == 0.0
    door.admit(HERE, 0.0)


# --- tickets and memory -----------------------------------------------------------------------


def test_a_ticket_is_given_back_once() -> None:
    door = keeper(connections_per_address=1)
    ticket = door.admit(HERE, 0.0)
    for _ in range(3):
        door.leave(ticket)
        door.authenticated(ticket)
    assert door.unauthenticated == 0
    door.admit(HERE, 0.0)
    with pytest.raises(TooManyConnections):
        door.admit(HERE, 0.0)


def test_idle_sources_are_forgotten_others_not() -> None:
    door = keeper(new_connections_window_s=10.0)
    door.leave(door.admit(HERE, 0.0))
    kept = door.admit(THERE, 0.0)
    door.sweep(9.0)
    assert door.sources == 2
    door.sweep(10.0)
    assert door.sources == 1
    door.leave(kept)
    door.sweep(10.0)
    assert door.sources == 0


def test_a_penalty_outlives_the_sweep() -> None:
    door = keeper(new_connections_window_s=0.1)
    fail(door, 0.0)
    door.sweep(4.0)
    with pytest.raises(Penalised):
        door.admit(HERE, 4.0)
    door.sweep(11.0)
    assert door.sources == 0


def test_memory_stays_bounded_and_connected_sources_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_SOURCES", 100)
    door = keeper(unauthenticated_start=10**6, unauthenticated_full=10**6)
    tickets: list[Ticket] = [door.admit(f"192.0.2.{number}", 0.0) for number in range(10)]
    for number in range(1_000):
        door.leave(door.admit(crowd(number), 0.0))
    assert door.sources <= 100
    for ticket in tickets:
        door.leave(ticket)
    assert door.unauthenticated == 0


def test_other_limits_hold_from_then_on() -> None:
    door = keeper(connections_per_address=1)
    door.admit(HERE, 0.0)
    door.apply(Limits(connections_per_address=2))
    door.admit(HERE, 0.0)
    with pytest.raises(TooManyConnections):
        door.admit(HERE, 0.0)
