"""What every bus promises; each adapter runs through all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.bus.local import LocalBus
from jim.core.model import DeliveredUpTo, Segment
from jim.core.ports import PresenceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.ports import Bus, Event

ADAPTERS: dict[str, Callable[[], Bus]] = {"local": LocalBus}


@pytest.fixture(params=ADAPTERS)
def bus(request: pytest.FixtureRequest) -> Bus:
    return ADAPTERS[request.param]()


def never() -> None:
    pytest.fail("nothing was lost")


def news(seq: int) -> DeliveredUpTo:
    return DeliveredUpTo(account_id=1, by_name="bob", seq=seq)


def test_events_reach_every_subscriber_of_the_account_in_order(bus: Bus) -> None:
    first: list[Event] = []
    second: list[Event] = []
    bus.subscribe(1, first.append, never)
    bus.subscribe(1, second.append, never)
    events: list[Event] = [news(1), PresenceEvent(2, "bob", online=True), Segment(1, 9, 1, 1, b"")]
    for event in events:
        bus.publish(1, event)
    assert first == events
    assert second == events


def test_events_of_other_accounts_stay_away(bus: Bus) -> None:
    seen: list[Event] = []
    bus.subscribe(1, seen.append, never)
    bus.publish(2, news(1))
    assert seen == []


def test_nothing_from_before_the_subscription_comes(bus: Bus) -> None:
    seen: list[Event] = []
    bus.publish(1, news(1))
    bus.subscribe(1, seen.append, never)
    bus.publish(1, news(2))
    assert seen == [news(2)]


def test_publishing_to_nobody_does_no_harm(bus: Bus) -> None:
    bus.publish(1, news(1))


def test_after_unsubscribing_nothing_comes_and_a_second_time_does_no_harm(bus: Bus) -> None:
    seen: list[Event] = []
    unsubscribe = bus.subscribe(1, seen.append, never)
    unsubscribe()
    unsubscribe()
    bus.publish(1, news(1))
    assert seen == []


def test_the_same_function_may_subscribe_twice_and_end_one_of_them(bus: Bus) -> None:
    seen: list[Event] = []
    unsubscribe = bus.subscribe(1, seen.append, never)
    bus.subscribe(1, seen.append, never)
    unsubscribe()
    unsubscribe()
    bus.publish(1, news(1))
    assert seen == [news(1)]


def test_who_unsubscribes_another_during_a_publish_spares_it_this_event(bus: Bus) -> None:
    seen: list[str] = []
    ends: list[Callable[[], None]] = []

    def first(_: Event) -> None:
        seen.append("first")
        for end in ends:
            end()

    ends.append(bus.subscribe(1, first, never))
    ends.append(bus.subscribe(1, lambda _: seen.append("second"), never))
    bus.subscribe(1, lambda _: seen.append("third"), never)
    bus.publish(1, news(1))
    assert seen == ["first", "third"]


def test_who_subscribes_during_a_publish_gets_the_next_event(bus: Bus) -> None:
    late: list[Event] = []
    bus.subscribe(1, lambda _: None if late else _subscribe(bus, late), never)
    bus.publish(1, news(1))
    assert late == []
    bus.publish(1, news(2))
    assert late == [news(2)]


def _subscribe(bus: Bus, late: list[Event]) -> None:
    bus.subscribe(1, late.append, never)


def test_a_subscriber_that_raises_is_logged_without_the_event_and_stops_nobody(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Event] = []

    def failing(_: Event) -> None:
        raise RuntimeError("boom")

    bus.subscribe(1, failing, never)
    bus.subscribe(1, seen.append, never)
    segment = Segment(1, 9, 1, 1, b"a secret")
    bus.publish(1, segment)
    assert seen == [segment]
    assert "boom" in caplog.text
    assert "secret" not in caplog.text


def test_a_publish_within_a_publish_is_delivered(bus: Bus) -> None:
    seen: list[Event] = []
    bus.subscribe(1, lambda event: bus.publish(2, event), never)
    bus.subscribe(2, seen.append, never)
    bus.publish(1, news(1))
    assert seen == [news(1)]
