"""Reads a history and says where the promise was broken; one set of rules for every layer.

The rules are those of `docs/reliability.md`. A run in which nothing was broken or acknowledged
proves nothing: that is a violation too (`vacuous`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reliability.history import (
    Acked,
    Again,
    Cursor,
    Displayed,
    Failed,
    Fault,
    Healed,
    Lineage,
    Lives,
    Settled,
    Told,
    Vanished,
    Written,
)
from reliability.promise import CANCELLED, UNEXPECTED, UNKNOWN, Counts, Demands, Verdict, Violation
from reliability.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reliability.history import Event


def check(history: Iterable[Event], demands: Demands) -> Verdict:
    """Read a whole history."""
    reader = _Reader(demands)
    for event in history:
        reader.take(event)
    return reader.finish()


class _Reader:
    """The state of one `check`."""

    def __init__(self, demands: Demands) -> None:
        self._demands = demands
        self._owners = {
            device: name for name, devices in demands.devices.items() for device in devices
        }
        self._written: dict[str, Written] = {}
        self._index: dict[str, int] = {}
        self._acked: dict[str, Acked] = {}
        self._failed: dict[str, Failed] = {}
        self._devices = {device: Standing() for device in self._owners}
        self._places: dict[tuple[str, str], dict[int, str]] = {}
        self._forgotten: set[str] = set()
        """Written by a disk that was replaced by an older one before anything was known of them."""
        self._two_lives: set[str] = set()
        """Waiting on an older disk: sent before it was put in place, or only now."""
        self._healed_s: float | None = None
        self._healings = 0
        self._violations: list[Violation] = []
        self._counts = Counts()
        self._takers: dict[type, Callable[..., None]] = {
            Written: self._take_written,
            Acked: self._take_acked,
            Failed: self._take_failed,
            Displayed: self._take_displayed,
            Cursor: self._take_cursor,
            Again: self._take_again,
            Fault: self._take_fault,
            Vanished: self._take_vanished,
            Told: self._take_told,
            Lives: self._take_lives,
            Lineage: self._take_lineage,
            Healed: self._take_healed,
            Settled: self._take_settled,
        }

    def take(self, event: Event) -> None:
        """Read one event."""
        self._takers[type(event)](event)

    def finish(self) -> Verdict:
        """Check what can be told only at the end."""
        self._counts.written = len(self._written)
        self._counts.acked = len(self._acked)
        self._counts.failed = len(self._failed)
        for uid, written in self._written.items():
            self._check_fate(uid, written)
        if self._demands.complete:
            self._check_gaps()
        self._check_time()
        self._check_substance()
        return Verdict(self._violations, self._counts)

    def _break(self, rule: str, detail: str) -> None:
        self._violations.append(Violation(rule, detail))

    # --- events -----------------------------------------------------------------------------------

    def _take_written(self, event: Written) -> None:
        self._index[event.uid] = len(self._written)
        self._written[event.uid] = event

    def _take_acked(self, event: Acked) -> None:
        before = self._acked.get(event.uid)
        seqs = {before.seq if before else 0, event.seq} - {0}
        if len(seqs) > 1:
            self._break("disagreement", f"{event.uid}: ✓ at {min(seqs)} and at {max(seqs)}")
        self._acked[event.uid] = event
        written = self._written.get(event.uid)
        if written is None:
            self._break("forged", f"✓ for {event.uid}, which nobody wrote")
        elif event.seq:
            self._place(written, event.seq, "✓")

    def _take_failed(self, event: Failed) -> None:
        self._failed[event.uid] = event
        self._counts.told[event.code] += 1

    def _take_displayed(self, event: Displayed) -> None:
        self._counts.displayed += 1
        written = self._written.get(event.uid)
        if written is None:
            self._break("forged", f"{event.device} showed {event.uid}, which nobody wrote")
            return
        if event.sender != written.sender:
            self._break("forged", f"{event.uid} of {written.sender} shown as of {event.sender}")
        if event.digest and written.digest and event.digest != written.digest:
            self._break("altered", f"{event.uid} on {event.device}")
        if event.name not in (written.to, written.sender) or event.device == written.device:
            self._break("misdelivered", f"{event.uid} for {written.to} shown to {event.name}")
            return
        self._show(event, written)

    def _show(self, event: Displayed, written: Written) -> None:
        device = self._devices.get(event.device)
        if device is None:
            self._break("misdelivered", f"{event.uid} shown by an unknown device {event.device}")
            return
        if event.uid in device.shown:
            self._break("doubled", f"{event.uid} on {event.device}")
            return
        self._follow(event.device, event.uid, event.position)
        pair, key, index = _pair(written), _way(written), self._index[event.uid]
        last = device.seqs.get(pair, 0)
        # What a device was told to miss it asks for; that comes behind later ones, into its place.
        is_late = device.told and event.seq < last
        in_two_lives = event.uid in self._two_lives
        if index < device.last.get(key, -1) and not in_two_lives and not is_late:
            self._break("sender_order", f"{event.uid} on {event.device} after a later one")
        if event.seq and event.seq <= last and not is_late:
            self._break("order", f"{event.uid} on {event.device}: {event.seq} after {last}")
        self._note(device, event.uid, event.seq)
        if event.seq:
            self._place(written, event.seq, event.device)

    def _note(self, device: Standing, uid: str, seq: int) -> None:
        """Keep what a device has shown; one with two lives says nothing of those before it."""
        written = self._written[uid]
        number = -1 if uid in self._two_lives else self._index[uid]
        device.note(uid, seq, _pair(written), _way(written), number)

    def _follow(self, name: str, uid: str, position: int) -> None:
        """Look at the mailbox position of what comes."""
        device = self._devices[name]
        if position and self._demands.positions:
            if position <= device.position:
                self._break("order", f"{uid} on {name} at position {position}")
            device.position = position

    def _take_again(self, event: Again) -> None:
        """Only a server that was replaced by an older copy may hand out again, and once."""
        device = self._devices[event.device]
        if event.uid not in device.shown:
            self._break("lost", f"{event.device} took {event.uid} for one that it has")
        elif event.uid not in device.may_come:
            self._break("doubled", f"the server gave {event.uid} to {event.device} again")
        device.may_come.discard(event.uid)
        self._follow(event.device, event.uid, event.position)

    def _place(self, written: Written, seq: int, where: str) -> None:
        """Hold the place of a message against what others say of it."""
        uid = written.uid
        known = self._places.setdefault(_pair(written), {}).setdefault(seq, uid)
        if known != uid:
            self._break("disagreement", f"{where}: place {seq} of {known} and of {uid}")

    def _take_cursor(self, event: Cursor) -> None:
        device = self._devices.get(event.device)
        if device is None:
            return
        if event.position < device.cursor:
            self._break("cursor_back", f"{event.device}: {device.cursor} to {event.position}")
        if self._demands.positions and event.position > device.position:
            detail = f"{event.device}: {event.position}, shown up to {device.position}"
            self._break("cursor_ahead", detail)
        device.cursor = event.position

    def _take_fault(self, event: Fault) -> None:
        self._counts.faults[event.kind] += event.fired

    def _take_vanished(self, event: Vanished) -> None:
        self._break("vanished", f"{event.uid} was acknowledged and is not on the server's disk")

    def _take_told(self, event: Told) -> None:
        self._counts.told[event.code] += 1
        device = self._devices[event.device]
        if event.code in UNEXPECTED and not device.may_miss:
            self._break("lost", f"{event.device} was told {event.code!r} without a reason")
        device.told = True
        device.position = max(device.position, event.position)

    def _take_lives(self, event: Lives) -> None:
        """Begin the device anew: its older disk does not know what was shown or written since."""
        self._forgotten.update(
            uid
            for uid, written in self._written.items()
            if written.device == event.device and uid not in self._acked and uid not in self._failed
        )
        self._two_lives.update(event.waiting)
        for uid in event.waiting:
            failed = self._failed.get(uid)
            if failed is not None and failed.code == CANCELLED:
                # Taken back since; its older self knows nothing of it and sends the message.
                del self._failed[uid]
        before = self._devices[event.device]
        anew = self._devices[event.device] = before.older(event.position)
        kept = frozenset(event.shown)
        for uid, seq in before.shown.items():
            if uid in kept:
                self._note(anew, uid, seq)

    def _take_lineage(self, event: Lineage) -> None:
        """Forget every place that the older copy of the server's store does not know."""
        kept = frozenset(event.kept)
        for pair, places in self._places.items():
            self._places[pair] = {seq: uid for seq, uid in places.items() if uid in kept}
        for uid, acked in self._acked.items():
            if uid not in kept:
                self._acked[uid] = msgspec.structs.replace(acked, seq=0)
        for device in self._devices.values():
            device.may_miss, device.may_come = True, set(device.shown)
            device.position = device.cursor = 0
            device.seqs.clear()
            for uid, seq in device.shown.items():
                self._note(device, uid, seq if uid in kept else 0)

    def _take_healed(self, event: Healed) -> None:
        """Begin to measure; what was whole before goes on being late."""
        if self._healed_s is None:
            self._healed_s = event.at_s
            self._healings += 1

    def _take_settled(self, event: Settled) -> None:
        if self._healed_s is None:
            return
        took_s, self._healed_s = event.at_s - self._healed_s, None
        limit_s = self._demands.healed_within_s
        if limit_s and took_s > limit_s:
            detail = f"{took_s:.1f} s after healing {self._healings}, {limit_s:g} s allowed"
            self._break("late", detail)

    # --- the end ----------------------------------------------------------------------------------

    def _check_fate(self, uid: str, written: Written) -> None:
        failed = self._failed.get(uid)
        acked = uid in self._acked
        if failed is not None and failed.code != UNKNOWN:
            self._check_denied(uid, failed, acked=acked)
            return
        targets = self._demands.devices.get(written.to, [])
        targets = [device for device in targets if device != written.device]
        missing = [device for device in targets if self._misses(device, uid)]
        if acked and missing and self._demands.complete:
            self._break("lost", f"{uid} to {written.to}, acknowledged, not on {', '.join(missing)}")
        elif not self._is_decided(uid):
            self._break("undelivered", f"{uid} to {written.to} was never decided about")

    def _is_decided(self, uid: str) -> bool:
        """Tell whether the sender knows what became of a message, where it can know."""
        if uid in self._acked or uid in self._forgotten or not self._demands.every_message:
            return True
        failed = self._failed.get(uid)
        if failed is None or failed.code != UNKNOWN:
            return failed is not None
        return self._devices[self._written[uid].device].is_older

    def _misses(self, name: str, uid: str) -> bool:
        """Tell whether a device should have a message and has not.

        A mailbox that was full took nothing: both sides were told then, the device by a tombstone.
        """
        device = self._devices[name]
        if uid in device.shown or uid in device.earlier:
            return False
        acked = self._acked.get(uid)
        return not (device.told and acked is not None and acked.skipped)

    def _check_denied(self, uid: str, failed: Failed, *, acked: bool) -> None:
        if acked:
            self._break("denied", f"{uid} acknowledged and refused ({failed.code})")
        for name, device in self._devices.items():
            if uid in device.shown:
                self._break("denied", f"{uid} was refused ({failed.code}), {name} shows it")

    def _check_gaps(self) -> None:
        """Every device has every place of its conversations up to the last that it knows."""
        placed = {uid for places in self._places.values() for uid in places.values()}
        unplaced = [self._written[uid] for uid in self._written if self._may_be_at(uid, placed)]
        for pair, places in self._places.items():
            for name in dict.fromkeys(pair):
                for device in self._demands.devices.get(name, []):
                    self._check_holes(device, pair, places, unplaced)

    def _may_be_at(self, uid: str, placed: set[str]) -> bool:
        """Tell whether a message may have a place that nobody was told."""
        failed = self._failed.get(uid)
        return uid not in placed and (failed is None or failed.code == UNKNOWN)

    def _check_holes(
        self,
        name: str,
        pair: tuple[str, str],
        places: dict[int, str],
        unplaced: Sequence[Written],
    ) -> None:
        """Look for places that a device does not know, and whose message it did not write."""
        device = self._devices[name]
        last = max(
            (seq for seq, uid in places.items() if self._written[uid].device == name), default=0
        )
        holes, silent = [], []
        for seq in range(1, max(last, device.seqs.get(pair, 0)) + 1):
            uid = places.get(seq)
            if uid is None:
                silent.append(seq)
            elif self._written[uid].device != name and self._lacks(name, uid):
                holes.append(seq)
        # A place that nobody knows is that of a message of its own, or of one that it was told of.
        own = sum(_pair(w) == pair and (w.device == name or device.told) for w in unplaced)
        if len(silent) > own:
            holes = sorted(holes + silent)
        if holes:
            self._break("gap", f"{'/'.join(pair)} on {name}: no message at {_shortened(holes)}")

    def _lacks(self, name: str, uid: str) -> bool:
        """Tell whether a device has a hole where a message is.

        How many devices took nothing is told of the addressee's only: those of the sender's own
        account that were told of a hole are believed.
        """
        is_own = self._owners[name] == self._written[uid].sender
        return self._misses(name, uid) and not (is_own and self._devices[name].told)

    def _check_time(self) -> None:
        if not (self._demands.healed_within_s and self._demands.complete):
            return
        if self._healed_s is not None:
            self._break("late", "it never settled")
        elif not self._healings:
            self._break("late", "nothing was healed")

    def _check_substance(self) -> None:
        if self._counts.acked < self._demands.acks:
            detail = f"{self._counts.acked} acknowledged, at least {self._demands.acks} wanted"
            self._break("vacuous", detail)
        for kind, least in self._demands.faults.items():
            fired = self._counts.faults[kind]
            if fired < least:
                self._break("vacuous", f"{kind} fired {fired} times, at least {least} wanted")


def _pair(written: Written) -> tuple[str, str]:
    """Give the conversation that a message belongs to."""
    one, other = written.sender, written.to
    return (one, other) if one <= other else (other, one)


def _way(written: Written) -> str:
    """Name a sending device and its addressee: what one writes to the other has an order."""
    return f"{written.device} {written.to}"


def _shortened(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:5]))
    return text if len(numbers) <= 5 else f"{text} and {len(numbers) - 5} more"
