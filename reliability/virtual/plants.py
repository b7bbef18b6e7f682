# ruff: noqa: SLF001 - a bug is put where nobody is meant to reach
"""Bugs put in on purpose, to see that the checker catches them. Nothing here is ever on otherwise.

Each is what somebody could really have written; the docstring of its function is its description.
"""

from __future__ import annotations

import contextlib
import copy
import time
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from msgspec import Struct

from jim.client import sync
from jim.core.hub import Hub
from jim.core.model import Stored
from jim.core.numbering import _Planner
from jim.errors import WireError
from jim.server.catch_up import CatchUp
from reliability import planner_bugs
from reliability.plants import CAUGHT_WITHIN_S
from reliability.virtual import plants_client
from reliability.virtual.edges import replaced
from reliability.virtual.play import play_seed, the_cast
from reliability.virtual.serving import MemoryDisk
from reliability.virtual.store import SlowStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.counters import DeviceCounters
    from jim.core.model import Identity, Segment
    from jim.core.ports import Store
    from reliability.virtual.loop import VirtualLoop

Plant = contextlib.AbstractContextManager[Any]


class Caught(Struct, frozen=True):
    """How a bug was found; `rule` is None if it was not."""

    rule: str | None
    seed: int
    runs: int
    took_s: float


def catch(name: str, first_seed: int = 1, limit_s: float = CAUGHT_WITHIN_S) -> Caught:
    """Put a bug in and run seeds until a rule is broken; `limit_s` is of processor time."""
    began_s = time.process_time()
    seed = first_seed
    with replaced():
        the_cast()
        with PLANTS[name]():
            while time.process_time() - began_s < limit_s:
                violations = play_seed(seed).violations
                took_s = time.process_time() - began_s
                if violations:
                    return Caught(violations[0].rule, seed, seed - first_seed + 1, took_s)
                seed += 1
    return Caught(None, seed, seed - first_seed, time.process_time() - began_s)


def _patch(owner: object, name: str, value: object) -> Plant:
    return mock.patch.object(owner, name, value)


# --- the server's store ---------------------------------------------------------------------------


def lying_disk() -> Plant:
    """A failed fsync is taken for a good one: what it should have written is not there."""

    def maybe_fail(self: SlowStore, call: Any) -> None:
        if call.changes and self._pace.fails_next:
            self._pace.fails_next = False
            call.work = _work_in_vain(self._memory, call.work)

    return _patch(SlowStore, "_maybe_fail", maybe_fail)


def _work_in_vain(memory: Any, work: Callable[[], Any]) -> Callable[[], Any]:
    def in_vain() -> Any:
        before = copy.deepcopy(memory.__dict__)
        try:
            return work()
        finally:
            memory.__dict__.update(before)

    return in_vain


def dedupe_forgotten() -> Plant:
    """After a restart the server has forgotten the last number of each device."""

    def forget(device: DeviceCounters) -> None:
        device.last_n = max(0, device.last_n - 1)
        device.answers.clear()

    return _at_restart(forget)


def positions_again() -> Plant:
    """After a restart an empty mailbox begins to count its positions anew."""

    def trim(device: DeviceCounters) -> None:
        if device.acked == device.last_position:
            device.acked = device.last_position = 0

    return _at_restart(trim)


def _at_restart(change: Callable[[DeviceCounters], None]) -> Plant:
    usual = MemoryDisk.open

    async def opened(self: MemoryDisk, loop: VirtualLoop) -> Store:
        for device in self._memory._devices.values():
            change(device)
        return await usual(self, loop)

    return _patch(MemoryDisk, "open", opened)


# --- numbering ------------------------------------------------------------------------------------


def no_dedupe() -> Plant:
    """A number that was stored before is stored again."""
    return _patch(_Planner, "_take", planner_bugs.take_again)


def wrong_answer() -> Plant:
    """A repetition gets the latest answer instead of its own."""
    return _patch(_Planner, "_answer_again", planner_bugs.answer_with_latest)


def refusal_takes_number() -> Plant:
    """A refused message uses its number up."""
    usual = _Planner._begin

    def begin(self: _Planner, me: Identity, sender: DeviceCounters, *rest: Any) -> Any:
        try:
            return usual(self, me, sender, *rest)
        except WireError:
            sender.last_n += 1
            sender.answers.append(Stored(sender.last_n, 0, 0))
            self._devices[sender.device_id] = sender
            raise

    return _patch(_Planner, "_begin", begin)


def leak() -> Plant:
    """Now and then a third person gets a copy."""
    usual = _Planner._begin

    def begin(self: _Planner, me: Identity, sender: DeviceCounters, *rest: Any) -> Any:
        stretch = usual(self, me, sender, *rest)
        stranger = self._counters.account(1 + sender.last_n % 3).devices
        stretch.boxes += [self._opened(device) for device in stranger[:1]]
        return stretch

    return _patch(_Planner, "_begin", begin)


# --- delivery -------------------------------------------------------------------------------------


def wrong_device() -> Plant:
    """A push goes to whichever device of the account has come first."""

    def receive(self: Hub, account_id: int, event: Any) -> None:
        account = self._accounts.get(account_id)
        if account is not None and hasattr(event, "device_id"):
            event.device_id = next(iter(account.links))
        usual(self, account_id, event)

    usual = Hub._receive
    return _patch(Hub, "_receive", receive)


def lost_wakeup() -> Plant:
    """When a slow reader reads again, nobody goes on where the pushes have stopped."""

    def resume(self: Hub, link: Any) -> None:
        del self
        link.paused = False

    return _patch(Hub, "resume", resume)


def catch_up_once() -> Plant:
    """A session catches up one page, and takes that for everything."""
    usual = CatchUp._page

    async def page(self: CatchUp) -> bool:
        await usual(self)
        self._link.live = True
        return False

    return _patch(CatchUp, "_page", page)


def dropped_on_slow_reader() -> Plant:
    """What is pushed to somebody who reads slowly is thrown away, and counted as sent."""
    usual = Hub._push

    def push(self: Hub, link: Any, segment: Segment) -> None:
        usual(self, link, segment)
        if link.paused:
            link.sent = max(link.sent, segment.last)

    return _patch(Hub, "_push", push)


def gap_not_seen() -> Plant:
    """The client takes a frame that lies behind a gap, and moves its cursor there."""

    def keep(self: sync.Inbox, position: int) -> Any:
        if position <= self.received:
            return sync.Decision.DROP, []
        self.received = position
        return sync.Decision.KEEP, []

    stack = contextlib.ExitStack()
    stack.enter_context(_patch(sync.Inbox, "frame", keep))
    stack.enter_context(dropped_on_slow_reader())
    return stack


PLANTS: Final[dict[str, Callable[[], Plant]]] = {
    plant.__name__: plant
    for plant in (
        lying_disk,
        dedupe_forgotten,
        positions_again,
        no_dedupe,
        wrong_answer,
        refusal_takes_number,
        leak,
        wrong_device,
        lost_wakeup,
        catch_up_once,
        dropped_on_slow_reader,
        plants_client.cursor_first,
        plants_client.client_acks_first,
        plants_client.shown_before_commit,
        plants_client.cursor_ignored,
        gap_not_seen,
        plants_client.reversed_read,
        plants_client.retry_renumbered,
    )
}
"""Every bug by its name."""
