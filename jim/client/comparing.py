"""Compare emoji with somebody: the steps of `jim.crypto.sas` between two clients, as events.

Whoever asks begins a comparison with each device of the other side; the one on which the user
agrees goes on, and the others are told that it is over. Both may ask at the same time. Everything
is in memory: what a crash, a lost message or ten minutes have ended begins anew, and a step that
belongs to nothing here is answered by giving up, so that the other side does not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from jim.client.encryption.content import UNREADABLE
from jim.client.errands import now_ms
from jim.client.events import ComparisonChanged, ComparisonStage
from jim.client.trust_store import Parties
from jim.crypto import sas
from jim.crypto.sas import Comparison, State
from jim.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.client.mailbox import FromDevice
    from jim.client.trust_store import TrustStore

    Write = Callable[[Callable[[TrustStore], object], Callable[[object], None]], object]
    """Changes the store in order, and calls the second with what the first gave, once durable."""

COMPARE_S: Final = 600.0
"""For the whole of it, two people on the phone included: ten minutes as in Matrix."""

MAX_ASKED: Final = 5
"""Times that somebody may ask within `COMPARE_S`; each is told to the user, more are not."""

MAX_TALKS: Final = 64
"""People who ask or have asked lately: a user compares with one at a time."""

_OPEN: Final = frozenset(
    {
        ComparisonStage.ASKED,
        ComparisonStage.WAITING,
        ComparisonStage.SHOWN,
        ComparisonStage.CONFIRMED,
    }
)

_decode = msgspec.json.Decoder(sas.Step).decode


class _Talk(Struct):
    """A comparison with one person."""

    event: ComparisonChanged
    asked: tuple[str, sas.Start] | None = None
    """The device that asks, and what it sent, until the user agrees."""
    began: dict[str, tuple[Comparison, sas.Start]] = field(default_factory=dict)
    """What we began, by device, until one of them agrees."""
    parties: Parties | None = None
    device: str = ""
    comparison: Comparison | None = None
    """The one that goes on, with this device."""
    timer: asyncio.TimerHandle | None = None

    def find(self, device: str, transaction: bytes) -> Comparison | None:
        """Give the comparison that a step of a device belongs to."""
        found = self.comparison if device == self.device else None
        if found is None and device in self.began:
            found = self.began[device][0]
        return found if found is not None and found.transaction == transaction else None


class Comparing:
    """The comparisons of one account; made and used on one event loop."""

    def __init__(
        self, own_name: str, publish: Callable[[ComparisonChanged], None], write: Write
    ) -> None:
        """Take whose account it is, whom to tell, and how the store is changed."""
        self._own_name, self._publish, self._write = own_name, publish, write
        self._talks: dict[str, _Talk] = {}
        self._asks: dict[str, deque[float]] = {}
        """When somebody asked, the latest times."""

    def stage(self, name: str) -> ComparisonChanged | None:
        """Give how far it has come with somebody, None if nothing is going on."""
        talk = self._talks.get(name)
        return None if talk is None else talk.event

    # --- the user ---------------------------------------------------------------------------------

    def start(self, name: str, parties: Parties) -> None:
        """Agree to what somebody asks, or ask them; what is going on is told again.

        Raises:
            VerificationFailed: with `reason` no_keys: none of their devices can.
        """
        talk = self._talks.get(name)
        if talk is not None and talk.asked is not None:
            device, start = talk.asked
            if device in parties.theirs:
                talk.asked, talk.parties = None, parties
                self._answer(talk, device, start)
                return
        if talk is not None and talk.asked is None:
            self._publish(talk.event)
            return
        if not parties.theirs:
            raise VerificationFailed("they have no keys", reason="no_keys")
        talk = self._begin(name, ComparisonStage.WAITING)
        talk.parties = parties
        for device, party in parties.theirs.items():
            comparison, start = Comparison.begin(parties.me, party)
            talk.began[device] = comparison, start
            self._send(name, device, start)
        self._publish(talk.event)

    def answer(self, name: str, *, same: bool) -> bool:
        """Say whether the emoji are the same, or decline; False if nobody has asked for it."""
        talk = self._talks.get(name)
        if talk is None:
            return False
        if not same:
            shown = talk.event.stage in {ComparisonStage.SHOWN, ComparisonStage.CONFIRMED}
            self._fail(talk, "differ" if shown else "declined")
            return True
        if talk.event.stage is not ComparisonStage.SHOWN or talk.comparison is None:
            return False
        self._send(name, talk.device, talk.comparison.confirm())
        if talk.comparison.verified:
            self._prove(talk)
        else:
            self._become(talk, ComparisonStage.CONFIRMED, talk.event.emoji)
        return True

    def close(self) -> None:
        """Forget everything."""
        for talk in self._talks.values():
            if talk.timer is not None:
                talk.timer.cancel()
        self._talks.clear()

    # --- the other side ---------------------------------------------------------------------------

    def take(self, news: FromDevice) -> None:
        """Take a step from a device; what is none is passed over."""
        try:
            step = _decode(news.body)
        except UNREADABLE:
            return
        name, device = news.name, news.device
        if name == self._own_name:
            return  # the chain says which devices are ours: there is nothing to compare
        talk = self._talks.get(name)
        if isinstance(step, sas.Start):
            self._asked(name, device, step)
            return
        if talk is not None and talk.asked is not None and isinstance(step, sas.Cancel):
            if talk.asked[1].transaction == step.transaction:
                self._end(talk, "withdrawn")
            return
        comparison = None if talk is None else talk.find(device, step.transaction)
        if talk is None or comparison is None:
            if not isinstance(step, sas.Cancel):
                self._send(name, device, sas.Cancel(step.transaction))
            return
        self._go_on(talk, device, comparison, step)

    def _asked(self, name: str, device: str, start: sas.Start) -> None:
        talk = self._talks.get(name)
        if talk is None or not talk.began:
            if not self._may_ask(name):
                return
            if talk is not None and talk.comparison is not None:  # they have begun anew
                self._send(name, talk.device, talk.comparison.cancel())
            talk = self._begin(name, ComparisonStage.ASKED)
            talk.asked = device, start
            self._publish(talk.event)
        elif device not in talk.began:
            self._send(name, device, sas.Cancel(start.transaction))
        elif not sas.goes_on(talk.began[device][1], start):
            del talk.began[device]  # they pass it over as well
            self._answer(talk, device, start)

    def _may_ask(self, name: str) -> bool:
        """Tell whether the user is to be told that somebody asks, and count it."""
        now_s = asyncio.get_running_loop().time()
        if name not in self._asks:
            self._asks = {
                each: times for each, times in self._asks.items() if times[-1] > now_s - COMPARE_S
            }
            if len(self._asks) >= MAX_TALKS:
                return False
            self._asks[name] = deque(maxlen=MAX_ASKED)
        times = self._asks[name]
        if len(times) == MAX_ASKED and times[0] > now_s - COMPARE_S:
            return False
        times.append(now_s)
        return True

    def _answer(self, talk: _Talk, device: str, start: sas.Start) -> None:
        """Take part in what a device has begun; both users have asked for it."""
        assert talk.parties is not None  # noqa: S101 - whoever calls has put them there
        me, peer = talk.parties.me, talk.parties.theirs[device]
        talk.comparison, commit = Comparison.answer(me, peer, start)
        talk.device = device
        self._send(talk.event.name, device, commit)
        self._drop_others(talk)
        self._become(talk, ComparisonStage.WAITING)

    def _go_on(self, talk: _Talk, device: str, comparison: Comparison, step: sas.Step) -> None:
        name = talk.event.name
        try:
            reply = comparison.receive(step)
        except VerificationFailed as error:
            self._broken(talk, device, step, str(error.fields.get("reason")))
            return
        if device in talk.began:
            talk.device, talk.comparison = device, talk.began.pop(device)[0]
            self._drop_others(talk)
        if reply is not None:
            self._send(name, device, reply)
        if comparison.verified:
            self._prove(talk)
        elif comparison.state is State.COMPARE and not talk.event.emoji:
            emoji = tuple((each.sign, each.name) for each in comparison.emoji)
            self._become(talk, ComparisonStage.SHOWN, emoji)

    def _broken(self, talk: _Talk, device: str, step: sas.Step, reason: str) -> None:
        if reason == "other":
            return  # it is over, and being kept
        if not isinstance(step, sas.Cancel):
            self._send(talk.event.name, device, sas.Cancel(step.transaction))
        talk.began.pop(device, None)
        self._fail(talk, reason)

    # --- stages -----------------------------------------------------------------------------------

    def _begin(self, name: str, stage: ComparisonStage) -> _Talk:
        before = self._talks.pop(name, None)
        if before is not None and before.timer is not None:
            before.timer.cancel()
        talk = self._talks[name] = _Talk(ComparisonChanged(name, stage))
        loop = asyncio.get_running_loop()
        talk.timer = loop.call_later(COMPARE_S, self._fail, talk, "timeout")
        return talk

    def _become(
        self,
        talk: _Talk,
        stage: ComparisonStage,
        emoji: tuple[tuple[str, str], ...] = (),
        reason: str = "",
    ) -> None:
        talk.event = ComparisonChanged(talk.event.name, stage, emoji, reason)
        if stage not in _OPEN:
            self._talks.pop(talk.event.name, None)
            if talk.timer is not None:
                talk.timer.cancel()
        self._publish(talk.event)

    def _prove(self, talk: _Talk) -> None:
        """Keep that both sides saw the same, unless the keys are others by now."""
        assert talk.parties is not None  # noqa: S101 - there is a comparison
        name, root = talk.event.name, talk.parties.root
        if talk.timer is not None:
            talk.timer.cancel()

        def done(is_same: object) -> None:
            if self._talks.get(name) is talk:
                if is_same:
                    self._become(talk, ComparisonStage.VERIFIED)
                else:
                    self._end(talk, "changed")

        self._write(lambda store: store.mark_root(name, root), done)

    def _fail(self, talk: _Talk, reason: str) -> None:
        """Give up, and tell every device that may still wait."""
        name = talk.event.name
        self._drop_others(talk)
        if talk.comparison is not None and talk.comparison.state is not State.OVER:
            self._send(name, talk.device, talk.comparison.cancel())
        if talk.asked is not None:
            self._send(name, talk.asked[0], sas.Cancel(talk.asked[1].transaction))
        self._end(talk, reason)

    def _end(self, talk: _Talk, reason: str) -> None:
        self._become(talk, ComparisonStage.FAILED, (), reason)

    def _drop_others(self, talk: _Talk) -> None:
        for device, (comparison, _start) in talk.began.items():
            self._send(talk.event.name, device, comparison.cancel())
        talk.began.clear()

    def _send(self, name: str, device: str, step: sas.Step) -> None:
        body, now = msgspec.json.encode(step).decode(), now_ms()
        self._write(lambda store: store.queue_step(name, device, body, now), lambda _: None)
