"""The harness's own book: the history as it comes in, and what is still owed to whom.

People report from threads of their own; everything here may be called from any of them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from reliability.history import Acked, Displayed, Event, Failed, Fault, Healed, Settled, Written
from reliability.promise import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

EventT = TypeVar("EventT", bound=Event)


class Ledger:
    """A history that grows, with the sums that a running harness needs."""

    def __init__(self) -> None:
        self.news = threading.Condition(threading.RLock())
        """Notified at whatever changes here or at a person."""
        self.history: list[Event] = []
        self.strange: list[str] = []
        """What no rule of the checker covers, in words: each is a violation."""
        self.acks = 0
        self.undecided: dict[str, Written] = {}
        """Written, and neither acknowledged nor refused."""
        self.senders: dict[str, str] = {}
        """Message to the device that it was written on."""
        self._owed: dict[str, set[str]] = {}
        """Message to the devices of both accounts that have not got it, but that which wrote it."""
        self._devices: dict[str, list[str]] = {}
        self._acked: dict[str, int] = {}

    @staticmethod
    def now_s() -> float:
        """Read the clock of the history."""
        return time.monotonic()

    def add_device(self, name: str, device: str) -> None:
        """Let a device be one that has to show what is written to `name` from now on."""
        with self.news:
            devices = self._devices.setdefault(name, [])
            if device not in devices:
                devices.append(device)

    @property
    def devices(self) -> dict[str, list[str]]:
        """Every account's devices."""
        with self.news:
            return {name: list(devices) for name, devices in self._devices.items()}

    # --- what happens -----------------------------------------------------------------------------

    def written(self, uid: str, sender: str, device: str, to: str, digest: str) -> None:
        """Somebody is about to write a message."""
        with self.news:
            event = Written(self.now_s(), uid, sender, device, to, digest)
            self.history.append(event)
            self.undecided[uid] = event
            self.senders[uid] = device
            takers = {*self._devices[to], *self._devices.get(sender, ())}
            self._owed[uid] = takers - {device}

    def acked(self, uid: str, seq: int, n: int) -> None:
        """The sender has seen ✓; told again only if the place is another one."""
        with self.news:
            if self._acked.get(uid) == seq:
                return
            self.acks += uid not in self._acked
            self._acked[uid] = seq
            self.history.append(Acked(self.now_s(), uid, seq, n))
            self.undecided.pop(uid, None)
            self.news.notify_all()

    def failed(self, uid: str, code: str) -> None:
        """The sender was told that it is not stored."""
        with self.news:
            self.history.append(Failed(self.now_s(), uid, code))
            self.undecided.pop(uid, None)
            if code != UNKNOWN:
                self._owed.pop(uid, None)
            self.news.notify_all()

    def displayed(self, event: Displayed) -> None:
        """A device has shown something."""
        with self.news:
            self.history.append(event)
            waiting = self._owed.get(event.uid)
            if waiting is not None:
                waiting.discard(event.device)
                if not waiting:
                    del self._owed[event.uid]
            self.news.notify_all()

    def fault(self, kind: str, detail: str = "", *, fired: bool = True) -> None:
        """Something was broken."""
        with self.news:
            self.history.append(Fault(self.now_s(), kind, fired, detail))

    def note(self, event: Event) -> None:
        """Put any other event into the history."""
        with self.news:
            self.history.append(event)

    def odd(self, text: str) -> None:
        """Keep something that must not be and that the checker cannot see."""
        with self.news:
            self.strange.append(text)
            self.news.notify_all()

    def healed(self) -> None:
        """Nothing is broken any more."""
        self.note(Healed(self.now_s()))

    def settled(self) -> None:
        """Everything has arrived."""
        self.note(Settled(self.now_s()))

    # --- sums -------------------------------------------------------------------------------------

    def is_acked(self, uid: str) -> bool:
        """Tell whether the sender has seen ✓."""
        with self.news:
            return uid in self._acked

    @property
    def unshown(self) -> dict[str, set[str]]:
        """What is acknowledged, and the devices that have yet to show it."""
        with self.news:
            return {uid: set(devices) for uid, devices in self._owed.items() if uid in self._acked}

    @property
    def owing(self) -> int:
        """How many messages are undecided or not shown everywhere."""
        with self.news:
            return len(self.undecided.keys() | self._owed.keys())

    def wait(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is so; tell whether it is."""
        with self.news:
            return self.news.wait_for(reached, timeout_s)

    def events(self, kinds: type[EventT]) -> list[EventT]:
        """Give the events of one kind so far."""
        with self.news:
            return [event for event in self.history if isinstance(event, kinds)]
