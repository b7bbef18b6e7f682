"""What a server sends without end has a bound in the client: memory, events, the log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import link as links
from jim.client import presence
from jim.client.events import DevicesChanged, PresenceChanged
from jim.client.feed import MAX_PASSING, Feed
from jim.client.presence import MAX_PEOPLE, MAX_TOLD, Presence
from jim.client.receipts import MAX_HEARD, NAMES, Receipts
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Decoder, Invalid, encode
from unit_tests.client.fake_server import silence
from unit_tests.client.test_link import opened, until_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jim.client.feed import Subscription
    from unit_tests.client.fake_server import Stream
    from unit_tests.client.test_link import Open

__all__ = ["opened"]


def change(name: str, *, online: bool = True) -> m.PresenceChange:
    return m.PresenceChange(name=name, online=online, time=1)


async def heard(subscription: Subscription) -> list[Any]:
    return [event async for event in subscription]


# --- events ---------------------------------------------------------------------------------------


async def test_a_listener_that_reads_nothing_keeps_one_word_about_each_person() -> None:
    feed = Feed()
    slow = feed.subscribe()
    feed.publish(DevicesChanged(1))
    for number in range(3 * MAX_PASSING):
        feed.publish(PresenceChanged(f"p{number}", online=True))
        feed.publish(PresenceChanged(f"p{number}", online=False))
    feed.publish(DevicesChanged(2))
    feed.publish(PresenceChanged(f"p{3 * MAX_PASSING - 1}", online=True))
    feed.close()
    first, *people, last = await heard(slow)
    assert (first, last) == (DevicesChanged(1), DevicesChanged(2)), "nothing else is dropped"
    assert len(people) == MAX_PASSING
    assert people[0] == PresenceChanged(f"p{2 * MAX_PASSING}", online=False)
    assert people[-1] == PresenceChanged(f"p{3 * MAX_PASSING - 1}", online=True)


async def test_who_has_been_heard_of_is_told_again() -> None:
    feed = Feed()
    listener = feed.subscribe()
    for online in (True, False, True):
        feed.publish(PresenceChanged("bob", online=online))
        assert await anext(listener) == PresenceChanged("bob", online=online)


# --- presence -------------------------------------------------------------------------------------


async def test_people_who_come_and_go_are_told_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PAUSE_S", 3_600.0)
    feed = Feed()
    listener = feed.subscribe()
    told = Presence(feed)
    told.changed(change("alice"))
    for turn in range(5_001):
        told.changed(change("bob", online=turn % 2 == 0))
        told.changed(change(f"p{turn}"))
    assert told._timer is not None
    told._go_on()
    told.close()
    feed.close()
    alice, bob, *others = await heard(listener)
    assert alice == PresenceChanged("alice", online=True), "the first is told at once"
    assert bob == PresenceChanged("bob", online=True), "of the rest the last word"
    assert others == [PresenceChanged(f"p{n}", online=True) for n in range(MAX_TOLD - 1)]


async def test_what_is_taken_back_in_between_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PAUSE_S", 3_600.0)
    feed = Feed()
    listener = feed.subscribe()
    told = Presence(feed)
    told.changed(change("bob"))
    told.changed(change("bob", online=False))
    told.changed(change("bob"))
    told._go_on()
    told.close()
    feed.close()
    assert await heard(listener) == [PresenceChanged("bob", online=True)]


async def test_people_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PAUSE_S", 3_600.0)
    monkeypatch.setattr(presence, "MAX_TOLD", 2 * MAX_PEOPLE)
    told = Presence(Feed())
    for turn in range(3):
        for number in range(MAX_PEOPLE):
            told.changed(change(f"{turn} {number}"))
        assert len(told._news) <= MAX_PEOPLE
        told._go_on()
    told.close()
    assert len(told._online) == MAX_PEOPLE


# --- receipts -------------------------------------------------------------------------------------


class Store:
    """Takes one change at a time, when the test lets it."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[Any], Any], Callable[[Any], None]]] = []
        self.taken: list[tuple[str, int]] = []

    def write(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((work, done))

    def delivered(self, name: str, seq: int) -> list[str]:
        self.taken.append((name, seq))
        return [name]

    def commit(self) -> None:
        work, done = self.jobs.pop(0)
        done(work(self))


def test_receipts_wait_for_the_store_the_last_of_each_person() -> None:
    store = Store()
    told: list[Any] = []
    receipts = Receipts(store.write, told.extend)
    receipts.hear("bob", 1)
    for seq in range(2, 10_000):
        receipts.hear("bob", seq)
    receipts.hear("bob", 5)
    assert len(store.jobs) == 1
    store.commit()
    store.commit()
    assert store.jobs == []
    assert store.taken == [("bob", 1), ("bob", 9_999)]
    assert told == ["bob", "bob"]


def test_receipts_of_people_without_end_are_not_kept() -> None:
    store = Store()
    receipts = Receipts(store.write, lambda _: None)
    for number in range(10 * MAX_HEARD):
        receipts.hear(f"p{number}", 1)
    assert len(receipts._heard) == MAX_HEARD
    store.commit()
    store.commit()
    assert len(store.taken) == 1 + MAX_HEARD
    assert store.taken[-1] == (f"p{10 * MAX_HEARD - 1}", 1)


async def test_an_answer_about_people_that_were_not_asked_for_is_passed_over() -> None:
    store = Store()
    looked: list[Any] = []
    receipts = Receipts(store.write, lambda _: None)
    asked: list[asyncio.Future[Any]] = []

    class Asking:
        def request(self, message: m.Receipts) -> asyncio.Future[Any]:
            assert len(message.names) <= NAMES
            asked.append(asyncio.get_running_loop().create_future())
            return asked[-1]

    asking: Any = Asking()
    names = [f"p{number}" for number in range(NAMES + 1)]
    receipts.ask(asking, names, lambda chains: looked.extend(chains.items()))
    many = {f"q{number}": number for number in range(5_000)}
    for future in asked:
        reply = m.ReceiptsReply(
            id=1, response=200, time=1, delivered={**many, "p3": 7}, chains={**many, "p4": 8}
        )
        future.set_result(reply)
    await asyncio.sleep(0)
    store.commit()
    assert (store.taken, store.jobs, looked) == ([("p3", 7)], [], [("p4", 8)])


# --- the connection -------------------------------------------------------------------------------

DELIVERY = m.Delivery(position=1, seq=1, sender="b", device="d", n=1, to="a", time=1, message="hi")


@pytest.mark.parametrize(
    "message",
    [
        msgspec.structs.replace(DELIVERY, sender="b" * 129),
        msgspec.structs.replace(DELIVERY, to="a" * 129),
        msgspec.structs.replace(DELIVERY, device="d" * 17),
        m.Delivered(name="b" * 129, seq=1, time=1),
        m.DevicesChange(name="b" * 129, chain_seq=1, time=1),
        m.PresenceChange(name="b" * 129, online=True, time=1),
        m.Contacts(id=1, response=200, time=1, online=["b" * 129], offline=[]),
        m.ReceiptsReply(id=1, response=200, time=1, delivered={"b" * 129: 1}),
    ],
)
def test_a_name_of_a_megabyte_is_no_message(message: msgspec.Struct) -> None:
    [found] = Decoder(FROM_SERVER, 1 << 20).feed(encode(message))
    assert isinstance(found, Invalid)
    assert found.error.code == "bad_request"


def saying_without_reading(frames: Iterable[bytes]) -> Callable[[Stream], Any]:
    async def script(stream: Stream) -> None:
        for frame in frames:
            stream.send_frames(frame)
            await stream.drain()

    return script


async def test_probes_are_not_answered_while_the_server_reads_nothing(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await opened(silence)
    unsent = 0
    sent: list[Any] = []
    monkeypatch.setattr(type(link._stream), "unsent_bytes", property(lambda _: unsent))
    monkeypatch.setattr(link, "send", sent.append)
    link._is_handled(m.Probe(id="one"))
    unsent = links.PONG_BYTES + 1
    link._is_handled(m.Probe(id="two"))
    unsent = 0
    link._is_handled(m.Probe(id="three"))
    assert sent == [m.Pong(id="one"), m.Pong(id="three")]


async def test_the_log_does_not_fill_with_what_a_server_says(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = b'{"action": "later"}\n' * 1_000
    refusal = encode(m.ErrorReply(response=400, code="x", error="x", time=1)) * 1_000
    with caplog.at_level(logging.WARNING, logger=links.__name__):
        await until_the_end(await opened(saying_without_reading([unknown, refusal])))
    assert len(caplog.records) == links.MAX_COMPLAINTS
