"""Reads a history and says where the promise was broken; one set of rules for every layer.

The rules are those of `docs/reliability.md`. A run in which nothing was broken or acknowledged
proves nothing: that is a violation too (`vacuous`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.history import (
    Acked,
    Cursor,
    Displayed,
    Failed,
    Fault,
    Healed,
    Held,
    Lineage,
    Lives,
    Settled,
    Told,
    Vanished,
    Written,
)
from reliability.promise import CANCELLED, UNEXPECTED, UNKNOWN, Counts, Demands, Verdict, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reliability.history import Event


def check(history: Iterable[Event], demands: Demands) -> Verdict:
    """Read a whole history."""
    reader = _Reader(demands)
    for event in history:
        reader.take(event)
    return reader.finish()


class _Device:
    """What one device has shown so far."""

    __slots__ = ("cursor", "earlier", "last", "positions", "seqs", "shown", "told")

    def __init__(self, earlier: set[str]) -> None:
        self.shown: set[str] = set()
        self.earlier = earlier
        """What it had shown before its disk was replaced by an older one."""
        self.told = False
        self.seqs: dict[tuple[str, str], list[int]] = {}
        self.last: dict[str, int] = {}
        """Sender to the index of the last message of theirs that was shown."""
        self.positions = 0
        self.cursor = 0


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
        self._devices = {device: _Device(set()) for device in self._owners}
        self._held: set[tuple[str, str]] = set()
        self._places: dict[tuple[str, str], dict[int, str]] = {}
        self._forgotten: set[str] = set()
        """Written by a disk that was replaced by an older one before anything was known of them."""
        self._restored = False
        self._healed_s: float | None = None
        self._settled_s: float | None = None
        self._violations: list[Violation] = []
        self._counts = Counts()
        self._takers: dict[type, Callable[..., None]] = {
            Written: self._take_written,
            Acked: self._take_acked,
            Failed: self._take_failed,
            Displayed: self._take_displayed,
            Cursor: self._take_cursor,
            Held: self._take_held,
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
        if self._demands.complete and not self._restored:
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
        if len(seqs) > 1 and not self._restored:
            self._break("disagreement", f"{event.uid}: ✓ at {min(seqs)} and at {max(seqs)}")
        self._acked[event.uid] = event
        written = self._written.get(event.uid)
        if written is None:
            self._break("forged", f"✓ for {event.uid}, which nobody wrote")
        elif event.seq:
            self._place(written, event.seq, "✓")

    def _take_failed(self, event: Failed) -> None:
        self._failed[event.uid] = event

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
        device.shown.add(event.uid)
        self._follow(event, device)
        index = self._index[event.uid]
        key = f"{written.device} {written.to}"
        if index < device.last.get(key, -1) and not self._restored:
            self._break("sender_order", f"{event.uid} on {event.device} after a later one")
        device.last[key] = max(index, device.last.get(key, -1))
        if event.seq:
            seqs = device.seqs.setdefault(_pair(written), [])
            if seqs and event.seq <= seqs[-1] and not self._restored:
                self._break("order", f"{event.uid} on {event.device}: {event.seq} after {seqs[-1]}")
            seqs.append(event.seq)
            self._place(written, event.seq, event.device)

    def _follow(self, event: Displayed, device: _Device) -> None:
        """Look at the mailbox position of what is shown."""
        if event.position and self._demands.positions:
            if event.position <= device.positions and not self._restored:
                self._break("order", f"{event.uid} on {event.device} at position {event.position}")
            device.positions = event.position

    def _place(self, written: Written, seq: int, where: str) -> None:
        """Hold the place of a message against what others say of it."""
        if self._restored:
            return
        uid = written.uid
        known = self._places.setdefault(_pair(written), {}).setdefault(seq, uid)
        if known != uid:
            self._break("disagreement", f"{where}: place {seq} of {known} and of {uid}")

    def _take_cursor(self, event: Cursor) -> None:
        device = self._devices.get(event.device)
        if device is None or self._restored:
            return
        if event.position < device.cursor:
            self._break("cursor_back", f"{event.device}: {device.cursor} to {event.position}")
        if self._demands.positions and event.position > device.positions:
            detail = f"{event.device}: {event.position}, shown up to {device.positions}"
            self._break("cursor_ahead", detail)
        device.cursor = event.position

    def _take_held(self, event: Held) -> None:
        self._held.add((event.device, event.uid))
        written = self._written.get(event.uid)
        owner = self._owners.get(event.device)
        if written is None:
            self._break("forged", f"the server holds {event.uid}, which nobody wrote")
        elif owner not in (written.to, written.sender):
            self._break("misdelivered", f"{event.uid} for {written.to} waits for {owner}")

    def _take_fault(self, event: Fault) -> None:
        self._counts.faults[event.kind] += event.fired

    def _take_vanished(self, event: Vanished) -> None:
        self._break("vanished", f"{event.uid} was acknowledged and is not on the server's disk")

    def _take_told(self, event: Told) -> None:
        device = self._devices[event.device]
        if event.code in UNEXPECTED and not self._restored:
            self._break("lost", f"{event.device} was told {event.code!r} without a reason")
        device.told = True
        device.positions = max(device.positions, event.position)

    def _take_lives(self, event: Lives) -> None:
        """Begin the device anew: its older disk does not know what was shown or written since."""
        self._forgotten.update(
            uid
            for uid, written in self._written.items()
            if written.device == event.device and uid not in self._acked and uid not in self._failed
        )
        for uid in event.waiting:
            failed = self._failed.get(uid)
            if failed is not None and failed.code == CANCELLED:
                # Taken back since; its older self knows nothing of it and sends the message.
                del self._failed[uid]
        before = self._devices[event.device]
        self._devices[event.device] = _Device(before.earlier | before.shown)
        self._restored = True

    def _take_lineage(self, _: Lineage) -> None:
        self._restored = True
        self._places.clear()

    def _take_healed(self, event: Healed) -> None:
        self._healed_s = event.at_s

    def _take_settled(self, event: Settled) -> None:
        self._settled_s = event.at_s

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
        return failed is not None and (failed.code != UNKNOWN or self._restored)

    def _misses(self, name: str, uid: str) -> bool:
        """Tell whether a device should have a message and has not.

        A mailbox that was full took nothing: both sides were told then, the device by a tombstone.
        """
        device = self._devices[name]
        if uid in device.shown or uid in device.earlier or (name, uid) in self._held:
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
        """Every place of a conversation up to the last is known, and every device has it."""
        for pair, places in self._places.items():
            holes = [seq for seq in range(1, max(places) + 1) if seq not in places]
            silent = sum(
                1
                for uid, acked in self._acked.items()
                if not acked.seq and _pair(self._written[uid]) == pair
            )
            if len(holes) > silent:
                self._break("gap", f"{'/'.join(pair)}: no message at {_shortened(holes)}")

    def _check_time(self) -> None:
        limit_s = self._demands.healed_within_s
        if not limit_s:
            return
        if self._healed_s is None or self._settled_s is None:
            self._break("late", "it never settled")
        elif self._settled_s - self._healed_s > limit_s:
            took_s = self._settled_s - self._healed_s
            self._break("late", f"{took_s:.1f} s after healing, {limit_s:g} s allowed")

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


def _shortened(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:5]))
    return text if len(numbers) <= 5 else f"{text} and {len(numbers) - 5} more"
