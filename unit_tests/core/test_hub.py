# long module: one suite for the hub
"""The hub: one thing at a time with a fake outlet, then everything at random in `hub_world`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET

from jim.bus.local import LocalBus
from jim.core.hub import Hub
from jim.core.limits import Limits
from jim.errors import (
    BadRequest,
    JimError,
    Replaced,
    TextTooLong,
    WindowExceeded,
)
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Decoder
from jim.storage.memory import MemoryStore
from unit_tests.support.accounts import LATER_MS, NOW_MS, add_account
from unit_tests.support.hub_world import World, finish
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from jim.core.link import Link
    from jim.core.model import Identity, Segment

LIMITS = Limits(window=4, text_bytes=20)
WIDE = 1 << 30


class FakeOutlet:
    """Notes what a client would see."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.along: list[Any] = []
        self.closed: JimError | None = None
        self.catching_up = 0
        self.failed: list[Exception] = []
        self.began_s = 0.0
        self._decoder = Decoder(FROM_SERVER, 1 << 20)

    def send(self, data: bytes) -> None:
        self.frames += self._decoder.feed(data)

    def send_along(self, data: bytes) -> None:
        self.along += self._decoder.feed(data)

    def close(self, error: JimError) -> None:
        self.closed = error

    def catch_up(self) -> None:
        self.catching_up += 1

    def fail(self, error: Exception) -> None:
        self.failed.append(error)

    def texts(self) -> list[str]:
        return [str(frame.message) for frame in self.frames if isinstance(frame, m.Delivery)]


class Node:
    """A hub with a memory store behind it."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.hub = Hub(self.bus, LIMITS, lambda: LATER_MS)
        self.store = MemoryStore(LIMITS)

    def add(self, name: str, devices: int = 1) -> list[Identity]:
        return finish(add_account(self.store, name, devices))

    def attach(self, who: Identity) -> tuple[FakeOutlet, Link]:
        outlet = FakeOutlet()
        self.hub.evict(who.account_id, who.device_id)
        audience = [each.account_id for each in finish(self.store.visible_to(who.account_id))]
        standing = finish(self.store.standing(who.device_id))
        return outlet, self.hub.attach(outlet, who, standing, audience)

    def join(self, who: Identity, after: int = 0) -> tuple[FakeOutlet, Link]:
        """Attach, sync and catch up."""
        outlet, link = self.attach(who)
        self.hub.sync(link, after)
        self.catch_up(link)
        outlet.catching_up = 0
        return outlet, link

    def load(self, link: Link, limit_bytes: int = WIDE) -> list[Segment]:
        return finish(self.store.load_after(link.identity.device_id, link.sent, limit_bytes))

    def catch_up(self, link: Link) -> None:
        while self.hub.loaded(link, self.load(link)):
            pass

    def send(self, link: Link, n: int, to: str, text: str = "") -> None:
        message = m.Msg(id=f"r{n}", n=n, to=to, message=text or f"text {n}")
        for _, error in self.hub.submit(link, [message]):
            raise error

    def commit(self) -> None:
        batch = self.hub.take()
        if batch is not None:
            self.hub.committed(finish(self.store.commit(batch, NOW_MS)))


@pytest.fixture
def node() -> Node:
    return Node()


# --- sending --------------------------------------------------------------------------------------


def test_a_message_is_answered_and_delivered_only_after_the_commit(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    (hers, link), (his, _) = node.join(alice), node.join(bob)
    node.send(link, 1, "Bob", "hello")
    batch = node.hub.take()
    assert batch is not None
    assert hers.frames == his.frames == []
    node.hub.committed(finish(node.store.commit(batch, NOW_MS)))
    assert hers.frames == [m.Stored(id="r1", response=202, time=NOW_MS, n=1, seq=1)]
    [frame] = his.frames
    assert (frame.position, frame.sender, frame.n, frame.message) == (1, "alice", 1, "hello")


def test_the_mark_goes_to_the_store_and_is_empty_without_one(node: Node) -> None:
    [alice] = node.add("alice")
    _, link = node.join(alice)
    node.hub.submit(link, [m.Msg(id=1, n=1, to="alice", message="x", mark="0a1b")])
    node.send(link, 2, "alice")
    batch = node.hub.take()
    assert batch is not None
    assert [msg.mark for run in batch.runs for msg in run.messages] == ["0a1b", UNSET]


def test_a_batch_is_what_has_gathered_while_the_last_one_was_written(node: Node) -> None:
    [alice] = node.add("alice")
    outlet, link = node.join(alice)
    assert node.hub.take() is None
    node.send(link, 1, "alice")
    first = node.hub.take()
    assert first is not None
    node.send(link, 2, "alice")
    node.send(link, 3, "alice")
    node.hub.committed(finish(node.store.commit(first, NOW_MS)))
    assert [frame.n for frame in outlet.frames] == [1]
    node.commit()
    assert [frame.n for frame in outlet.frames] == [1, 2, 3]
    assert node.hub.take() is None


def test_the_window_counts_until_the_commit(node: Node) -> None:
    [alice] = node.add("alice")
    _, link = node.join(alice)
    for n in range(1, 5):
        node.send(link, n, "alice")
    with pytest.raises(WindowExceeded) as caught:
        node.send(link, 5, "alice")
    assert caught.value.fields == {"n": 5, "limit": 4}
    node.commit()
    node.send(link, 5, "alice")


def test_a_text_is_measured_in_bytes(node: Node) -> None:
    [alice] = node.add("alice")
    _, link = node.join(alice)
    node.send(link, 1, "alice", "я" * 10)
    with pytest.raises(TextTooLong) as caught:
        node.send(link, 2, "alice", "я" * 10 + "!")
    assert caught.value.fields == {"n": 2, "size_bytes": 21, "limit_bytes": 20}


def test_what_cannot_be_a_name_is_nobodys(node: Node) -> None:
    [alice] = node.add("alice")
    outlet, link = node.join(alice)
    node.send(link, 1, "no such name!")
    node.commit()
    [frame] = outlet.frames
    assert (frame.code, frame.n) == ("recipient_unknown", 1)


def test_a_refusal_names_the_number_and_the_request(node: Node) -> None:
    [alice] = node.add("alice")
    outlet, link = node.join(alice)
    node.send(link, 1, "stranger")
    node.send(link, 2, "alice")
    node.commit()
    assert [(f.id, f.code, f.n) for f in outlet.frames] == [
        ("r1", "recipient_unknown", 1),
        ("r2", "number_gap", 2),
    ]
    assert outlet.frames[1].expected == 1


def test_a_confirmation_of_an_ended_session_takes_nothing_from_the_next_one(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    _, old = node.join(bob)
    node.send(link, 1, "bob", "hello")
    node.commit()
    node.hub.acknowledge(old, 1)
    node.hub.detach(old)
    # Bob's store comes from a copy that is older than the message.
    his, new = node.attach(bob)
    node.commit()
    node.hub.sync(new, 0)
    node.catch_up(new)
    assert his.texts() == ["hello"]


def test_an_answer_that_cannot_be_made_ends_that_session_and_stops_no_delivery(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    hers, link = node.join(alice)
    his, _ = node.join(bob)
    node.send(link, 1, "bob", "hello")
    monkeypatch.setattr(hers, "send", _no_memory)
    node.commit()
    assert [type(error) for error in hers.failed] == [MemoryError]
    assert his.texts() == ["hello"]
    assert his.failed == []


def test_news_that_cannot_be_told_ends_the_sessions_that_miss_them(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    hers, link = node.join(alice)
    his, bobs = node.join(bob)
    node.send(link, 1, "bob", "hello")
    node.commit()
    node.hub.acknowledge(bobs, 1)
    monkeypatch.setattr("jim.core.hub.encode", _no_memory)
    node.commit()
    assert [type(error) for error in hers.failed] == [MemoryError]
    assert his.failed == []


def test_a_delivery_that_fails_half_way_does_not_count_as_sent(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, _ = node.join(bob)
    monkeypatch.setattr(his, "send", _no_memory)
    node.send(link, 1, "bob", "hello")
    node.commit()
    assert [type(error) for error in his.failed] == [MemoryError]


def test_a_failed_delivery_ends_no_other_device_of_the_account(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alice] = node.add("alice")
    first, second = node.add("bob", devices=2)
    _, link = node.join(alice)
    (one, _), (other, _) = node.join(first), node.join(second)
    monkeypatch.setattr(one, "send", _no_memory)
    node.send(link, 1, "bob", "hello")
    node.commit()
    assert [type(error) for error in one.failed] == [MemoryError]
    assert other.failed == []
    assert other.texts() == ["hello"]


class NoMemory(dict[object, object]):
    """What is waiting, at a moment when there is no memory to change it."""

    def pop(self, *_: object) -> object:
        raise MemoryError


def test_an_end_that_has_failed_can_be_repeated(node: Node) -> None:
    [alice] = node.add("alice")
    _, link = node.join(alice)
    waiting: Any = node.hub._waiting
    node.hub._waiting = NoMemory()  # type: ignore[assignment]
    with pytest.raises(MemoryError):
        node.hub.detach(link)
    node.hub._waiting = waiting
    node.hub.detach(link)
    assert not node.hub.is_online(alice.account_id)


def _no_memory(*_: object) -> bytes:
    raise MemoryError


def test_what_comes_from_a_session_bit_by_bit_is_numbered_as_one_run(node: Node) -> None:
    [alice], [bob], [carol] = node.add("alice"), node.add("bob"), node.add("carol")
    _, hers = node.join(alice)
    _, others = node.join(carol)
    his, _ = node.join(bob)
    node.send(hers, 1, "bob")
    node.send(others, 1, "bob")
    node.send(hers, 2, "bob")
    node.send(hers, 3, "bob")
    batch = node.hub.take()
    assert batch is not None
    assert [(run.sender.name, [each.n for each in run.messages]) for run in batch.runs] == [
        ("alice", [1, 2, 3]),
        ("carol", [1]),
    ]
    assert (hers.outstanding, others.outstanding) == (3, 1)
    # What comes meanwhile is for the next batch, and does not get into this one.
    node.send(hers, 4, "bob")
    assert [len(run.messages) for run in batch.runs] == [3, 1]
    node.hub.committed(finish(node.store.commit(batch, NOW_MS)))
    assert (hers.outstanding, others.outstanding) == (1, 0)
    assert his.texts() == ["text 1", "text 2", "text 3", "text 1"]


# --- sessions -------------------------------------------------------------------------------------


def test_a_second_session_of_a_device_ends_the_first(node: Node) -> None:
    [alice] = node.add("alice")
    [bob] = node.add("bob")
    (old, first), (new, second) = node.join(alice), node.join(alice)
    assert isinstance(old.closed, Replaced)
    assert new.closed is None
    _, link = node.join(bob)
    node.send(link, 1, "alice")
    node.commit()
    assert (old.texts(), new.texts()) == ([], ["text 1"])
    node.hub.detach(first)
    assert node.hub.is_online(alice.account_id)
    node.hub.detach(second)
    assert not node.hub.is_online(alice.account_id)


def test_attaching_over_the_only_session_keeps_the_account_reachable(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    standing = finish(node.store.standing(alice.device_id))
    old, new = FakeOutlet(), FakeOutlet()
    node.hub.attach(old, alice, standing, [])
    link = node.hub.attach(new, alice, standing, [])
    assert isinstance(old.closed, Replaced)
    assert node.hub.is_online(alice.account_id)
    node.hub.sync(link, 0)
    node.catch_up(link)
    _, his = node.join(bob)
    node.send(his, 1, "alice")
    node.commit()
    assert new.texts() == ["text 1"]
    node.hub.detach(link)
    assert not node.hub.is_online(alice.account_id)


def test_a_session_that_is_over_sends_nothing_more(node: Node) -> None:
    # Its numbers belong to the next session: `welcome` has told that one where they go on.
    [alice] = node.add("alice")
    _, link = node.join(alice)
    node.send(link, 1, "alice")
    node.hub.detach(link)
    assert node.hub.take() is None
    with pytest.raises(Replaced):
        node.send(link, 1, "alice")


def test_what_is_being_committed_counts_although_its_session_is_over(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, _ = node.join(bob)
    node.send(link, 1, "bob")
    batch = node.hub.take()
    node.send(link, 2, "bob")
    node.hub.detach(link)
    assert batch is not None
    node.hub.committed(finish(node.store.commit(batch, NOW_MS)))
    assert his.texts() == ["text 1"]
    assert node.hub.take() is None
    assert finish(node.store.standing(alice.device_id)).last_n == 1


# --- delivery -------------------------------------------------------------------------------------


def test_before_a_sync_nothing_of_the_mailbox_is_sent(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.attach(bob)
    node.send(link, 1, "bob")
    node.commit()
    node.hub.pause(theirs)
    node.hub.resume(theirs)
    assert his.frames == []
    assert node.hub.sync(theirs, 0) == 1
    node.catch_up(theirs)
    assert his.texts() == ["text 1"]


def test_what_was_stored_between_standing_and_attach_comes_without_another_push(
    node: Node,
) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    standing = finish(node.store.standing(bob.device_id))
    node.send(link, 1, "bob")
    node.commit()
    outlet = FakeOutlet()
    late = node.hub.attach(outlet, bob, standing, [])
    node.hub.sync(late, 0)
    assert outlet.catching_up == 1
    node.catch_up(late)
    assert outlet.texts() == ["text 1"]


def test_pages_are_sent_until_an_empty_one(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    for n in (1, 2, 3):
        node.send(link, n, "bob")
        node.commit()
    his, theirs = node.attach(bob)
    node.hub.sync(theirs, 1)
    assert node.hub.loaded(theirs, node.load(theirs, 1))
    assert not theirs.live
    assert node.hub.loaded(theirs, node.load(theirs, 1))
    assert not node.hub.loaded(theirs, node.load(theirs, 1))
    assert his.texts() == ["text 2", "text 3"]
    node.send(link, 4, "bob")
    node.commit()
    assert his.texts() == ["text 2", "text 3", "text 4"]


def test_the_rest_of_a_segment_is_sent_from_where_the_client_stands(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    for n in (1, 2, 3):
        node.send(link, n, "bob")
    node.commit()
    his, _ = node.join(bob, after=2)
    assert [frame.position for frame in his.frames] == [3]


def test_a_push_that_leaves_a_gap_is_read_from_the_store(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.join(bob)
    node.send(link, 1, "bob")
    batch = node.hub.take()
    assert batch is not None
    finish(node.store.commit(batch, NOW_MS))  # its push is lost
    node.hub._committing = {}
    link.outstanding = 0
    node.send(link, 2, "bob")
    node.commit()
    assert his.frames == []
    assert his.catching_up == 1
    node.catch_up(theirs)
    assert his.texts() == ["text 1", "text 2"]


def test_a_paused_session_gets_what_it_missed(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.join(bob)
    node.hub.pause(theirs)
    node.send(link, 1, "bob")
    node.commit()
    assert his.frames == []
    node.hub.resume(theirs)
    assert his.catching_up == 1
    node.catch_up(theirs)
    assert his.texts() == ["text 1"]
    node.hub.pause(theirs)
    node.hub.resume(theirs)
    assert his.catching_up == 1
    assert theirs.live


def test_acks_are_for_what_was_sent_and_only_the_last_one_counts(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    hers, link = node.join(alice)
    _, theirs = node.join(bob)
    for n in (1, 2):
        node.send(link, n, "bob")
        node.commit()
    with pytest.raises(BadRequest):
        node.hub.acknowledge(theirs, 3)
    node.hub.acknowledge(theirs, 1)
    node.hub.acknowledge(theirs, 2)
    node.hub.acknowledge(theirs, 1)
    batch = node.hub.take()
    assert batch is not None
    assert batch.acks == {bob.device_id: 2}
    node.hub.committed(finish(node.store.commit(batch, NOW_MS)))
    assert hers.along == [m.Delivered(name="bob", seq=2, time=LATER_MS)]
    assert not any(isinstance(frame, m.Delivered) for frame in hers.frames), "it can wait"


def test_a_sync_never_goes_back_behind_what_was_confirmed(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    for n in (1, 2, 3):
        node.send(link, n, "bob")
    node.commit()  # one segment, which stays until all of it is confirmed
    his, theirs = node.join(bob, after=2)
    his.frames.clear()
    node.commit()
    node.hub.sync(theirs, 0)
    node.catch_up(theirs)
    assert [frame.position for frame in his.frames] == [3]
    with pytest.raises(BadRequest):
        node.hub.sync(theirs, 4)


def test_lost_events_are_found_in_the_store(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.join(bob)
    node.hub._resync(bob.account_id)
    node.hub._resync(99)
    assert his.catching_up == 1
    node.send(link, 1, "bob")
    node.commit()
    assert his.frames == []
    node.catch_up(theirs)
    assert his.texts() == ["text 1"]


def test_events_lost_while_a_page_is_read_make_it_be_read_again(node: Node) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.attach(bob)
    node.hub.sync(theirs, 0)
    page = node.load(theirs)
    node.send(link, 1, "bob")
    batch = node.hub.take()
    assert batch is not None
    finish(node.store.commit(batch, NOW_MS))  # its push is lost
    node.hub._resync(bob.account_id)
    assert node.hub.loaded(theirs, page)
    node.catch_up(theirs)
    assert his.texts() == ["text 1"]
    # The same for a session that cannot be read for at that moment.
    node.hub.pause(theirs)
    node.hub._resync(bob.account_id)
    his.catching_up = 0
    node.hub.resume(theirs)
    assert his.catching_up == 1


def test_a_push_of_what_was_read_already_is_not_sent_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    [alice], [bob] = node.add("alice"), node.add("bob")
    _, link = node.join(alice)
    his, theirs = node.attach(bob)
    segments = []
    for n in (1, 2):
        result = finish(node.store.commit(batch_of([Append(alice, n, "bob", "x")], {}), NOW_MS))
        segments += result.segments
    node.hub.sync(theirs, 0)
    node.catch_up(theirs)
    for segment in segments:
        node.bus.publish(bob.account_id, segment)
    assert [frame.position for frame in his.frames] == [1, 2]
    node.send(link, 3, "bob")
    node.commit()
    assert [frame.position for frame in his.frames] == [1, 2, 3]
    assert his.catching_up == 1
    assert caplog.records == []  # where the bus would tell of an exception


# --- presence -------------------------------------------------------------------------------------


def presence(outlet: FakeOutlet) -> list[tuple[str, bool]]:
    return [(f.name, f.online) for f in outlet.frames if isinstance(f, m.PresenceChange)]


def test_whom_somebody_wrote_to_sees_them_come_and_go(node: Node) -> None:
    [alice], [bob], [carol] = node.add("alice"), node.add("bob"), node.add("carol")
    _, link = node.join(alice)
    (his, watching), (hers, other) = node.join(bob), node.join(carol)
    watching.watching = other.watching = True
    node.send(link, 1, "bob")
    node.commit()
    assert presence(his) == [("alice", True)]
    node.hub.detach(link)
    assert presence(his) == [("alice", True), ("alice", False)]
    node.join(alice)
    assert presence(his)[-1] == ("alice", True)
    watching.watching = False
    _, link = node.join(alice)
    node.hub.detach(link)
    assert presence(his)[2:] == [("alice", True)]
    assert presence(hers) == []


def test_a_second_device_is_no_second_arrival(node: Node) -> None:
    desk, phone = node.add("alice", 2)
    [bob] = node.add("bob")
    _, first = node.join(desk)
    his, watching = node.join(bob)
    watching.watching = True
    node.send(first, 1, "bob")
    node.commit()
    _, second = node.join(phone)
    node.hub.detach(first)
    assert presence(his) == [("alice", True)]
    node.hub.detach(second)
    assert presence(his) == [("alice", True), ("alice", False)]


# --- everything at random -------------------------------------------------------------------------

PEOPLE = {"alice": 2, "bob": 1, "carol": 3}
ROOMY = Limits(window=5, page_bytes=300)
TIGHT = Limits(window=5, page_bytes=300, waiting_messages=6)


def live(seed: int, limits: Limits, *, loss: float = 0.1, turns: int = 500) -> World:
    world = World(seed, limits, loss=loss, devices=PEOPLE)
    world.live(turns)
    world.heal()
    return world


def check(world: World, *, complete: bool) -> None:
    for device in world.devices:
        assert device.outbox == []
        assert len(device.stored) + len(device.failed) == device.written
        frames = Decoder(FROM_SERVER, WIDE).feed(
            b"".join(line + b"\n" for line in world.mailboxes[device.identity.device_id])
        )
        assert device.cursor == len(frames)
        assert device.shown == [frame for frame in frames if isinstance(frame, m.Delivery)]
        assert device.notices == sum(isinstance(frame, m.Notice) for frame in frames)
        check_order(device.shown)
    for sender in world.devices:
        check_sent(world, sender, complete=complete)


def check_order(shown: list[m.Delivery]) -> None:
    last_seq: dict[frozenset[str], int] = {}
    last_n: dict[str, int] = {}
    for frame in shown:
        pair = frozenset({frame.sender, frame.to})
        assert frame.seq > last_seq.get(pair, 0)
        assert frame.n > last_n.get(frame.device, 0)
        last_seq[pair], last_n[frame.device] = frame.seq, frame.n


def check_sent(world: World, sender: Any, *, complete: bool) -> None:
    me = sender.identity
    copies = Counter(
        (frame.message, device.identity.device_id)
        for device in world.devices
        for frame in device.shown
        if frame.device == me.device
    )
    assert set(copies.values()) <= {1}
    assert not {text for text, _ in copies} & sender.failed
    by_text = {f.message: f for d in world.devices for f in d.shown if f.device == me.device}
    for text, seq in sender.stored.items():
        frame = by_text.get(text)
        if frame is None:
            assert not complete or len(world.devices) == 1 or me.name == "bob"
            continue
        assert seq in {0, frame.seq}  # 0: learnt from `welcome`, the reply was lost
        wanted = {
            d.identity.device_id
            for d in world.devices
            if d.identity.name in {frame.to, me.name} and d.identity != me
        }
        got = {device_id for copy, device_id in copies if copy == text}
        assert got == wanted if complete else got <= wanted


@pytest.mark.parametrize("block", range(10))
def test_nothing_is_lost_doubled_or_reordered_whatever_happens(block: int) -> None:
    faults: Counter[str] = Counter()
    stored = shown = 0
    for seed in range(block * 20, block * 20 + 20):
        world = live(seed, ROOMY)
        check(world, complete=True)
        faults.update(world.faults)
        stored += sum(len(device.stored) for device in world.devices)
        shown += sum(len(device.shown) for device in world.devices)
    # A run in which nothing happened would prove nothing.
    assert min(faults[kind] for kind in ("cut", "reconnect", "pause", "resume", "server")) > 0
    assert stored > 200
    assert shown > 400


@pytest.mark.parametrize("block", range(4))
def test_full_mailboxes_are_marked_and_nothing_else_is_missing(block: int) -> None:
    notices = 0
    for seed in range(block * 20, block * 20 + 20):
        world = live(seed, TIGHT)
        check(world, complete=False)
        notices += sum(device.notices for device in world.devices)
    assert notices > 0


def test_a_quiet_world_delivers_everything_at_once() -> None:
    world = World(1, ROOMY, loss=0, devices=PEOPLE)
    for device in world.devices:
        world.connect(device)
    for _ in range(5):
        for device in world.devices:
            world.write(device)
    world.heal()
    check(world, complete=True)
    assert sum(len(device.stored) for device in world.devices) > 15
