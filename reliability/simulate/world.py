"""Everything together: a server, its devices and their disks, driven by one schedule."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from jim.core.limits import Limits
from reliability.checker import check
from reliability.history import Acked, Fault, Lineage, Lives, Vanished
from reliability.promise import Demands, Violation
from reliability.simulate.client import WINDOW, Client
from reliability.simulate.disks import ClientDisk, ServerDisk
from reliability.simulate.server import Node
from reliability.simulate.wire import Overrun, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.history import Event
    from reliability.promise import Verdict
    from reliability.simulate.schedule import Climate, Schedule

NAMES: Final = ("ann", "bob", "cat")
"""Three, so that there is somebody whom a message does not concern."""

STRANGER: Final = "dan"
"""Nobody has this name."""

TEXT_BYTES: Final = 24
"""Every honest text is shorter."""

PAGE_BYTES: Final = 400
"""Two or three frames: catching up takes several pages."""

MOST_MOVES: Final = 8
"""In one step of a schedule: a message needs about twelve to be shown, so most are under way when
something breaks."""

MOST_ROUNDS: Final = 2_000
"""To come to rest after healing: fifty times what the longest schedule takes."""

CUT: Final = "cut"
HALF_DEAD: Final = "half-dead connection"
LATE_WORD: Final = "word from a lost connection"
CLIENT_CRASH: Final = "crash of a client"
SERVER_CRASH: Final = "crash of the server"
SLOW_READER: Final = "slow reader"
LOST_EVENT: Final = "event lost by the bus"
CLIENT_RESTORED: Final = "client restored"
SERVER_RESTORED: Final = "server restored"

FAULTS: Final = (
    *(CUT, HALF_DEAD, LATE_WORD, CLIENT_CRASH, SERVER_CRASH, SLOW_READER, LOST_EVENT),
    *(CLIENT_RESTORED, SERVER_RESTORED),
)
"""Every kind; in the history they stand where they took effect, not where they were tried."""


class Device:
    """A device: its disk outlives its processes."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.backup: ClientDisk | None = None


class World:
    """One run."""

    def __init__(self, schedule: Schedule) -> None:
        """Start server and clients; nobody is connected."""
        climate = schedule.climate
        self.schedule = schedule
        self.history: list[Event] = []
        self.people = {name: 1 + (climate.second_device and name == "bob") for name in NAMES}
        self.disk = self.make_server_disk(self._limits(climate))
        self._identities = {each.device_id: each for each in self.disk.identities()}
        self.node = self._new_node()
        self.devices = [
            Device(Client(identity, self.make_client_disk(), self.history.append))
            for identity in self._identities.values()
        ]
        self._ghosts: list[Wire] = []
        self._written = 0
        self._backup: int | None = None
        self._restored = False
        self._kept_acks: set[str] = set()
        self._audited_from = 0
        """What was acknowledged before counts as far as the server's older copy had it."""
        self._order = list(range(4 * len(self.devices) + 6))
        random.Random(schedule.shuffle).shuffle(self._order)
        self._movers = self._arranged()
        self._actions: tuple[Callable[[int], object], ...] = (
            self._move,
            self._write,
            self._write_elsewhere,
            self._cancel,
            self._connect,
            self._cut,
            self._crash_client,
            self._crash_server,
            self._pause,
            self._resume,
            self._lose_event,
            self._save,
            self._restore_client,
            self._restore_server,
        )

    def _new_node(self) -> Node:
        return Node(self.disk, self._identities, lambda: self._broken(LOST_EVENT))

    def _broken(self, kind: str, *, fired: bool = True) -> None:
        self.history.append(Fault(0, kind, fired))

    def make_server_disk(self, limits: Limits) -> ServerDisk:
        """Make the server's disk; planted bugs bring their own."""
        return ServerDisk(self.people, limits)

    def make_client_disk(self) -> ClientDisk:
        """Make a client's disk; planted bugs bring their own."""
        return ClientDisk()

    @staticmethod
    def _limits(climate: Climate) -> Limits:
        return Limits(
            window=WINDOW,
            text_bytes=TEXT_BYTES,
            page_bytes=PAGE_BYTES,
            waiting_messages=climate.waiting_messages,
        )

    def run(self) -> Verdict:
        """Follow the schedule, heal, and hold what was seen against the promise."""
        for device in self.devices:
            self._dial(device)
        for kind, number in self.schedule.steps:
            self._actions[kind](number)
            if self.node.written:
                self.node.flush()
        found = []
        try:
            self.heal()
        except Overrun as error:
            found.append(Violation("unhandled", f"it never came to rest: {error}"))
        devices: dict[str, list[str]] = {name: [] for name in NAMES}
        for device in self.devices:
            devices[device.client.identity.name].append(device.client.identity.device)
        verdict = check(self.history, Demands(devices=devices, acks=0))
        verdict.violations[:0] = found  # the reason for what is missing then
        return verdict

    # --- work -------------------------------------------------------------------------------------

    def _arranged(self) -> list[Callable[[int], bool]]:
        """List everything that can get further, in the order of this run."""
        node = self.node
        movers = [node.write, node.answer, node.go_on, node.commit, node.report, self._haunt]
        for device in self.devices:
            client = device.client
            movers += [client.work, client.hear, client.send, client.read]
        return [movers[place] for place in self._order]

    def _move(self, number: int) -> None:
        """Let a few things get further: each time the first that can, from some place on."""
        movers = self._movers
        count = len(movers)
        for _ in range(1 + number % MOST_MOVES):
            number //= 3
            for place in range(number % count, number % count + count):
                if movers[place % count](number):
                    break
            else:
                return

    def _device(self, number: int) -> Device:
        return self.devices[number % len(self.devices)]

    def _replace(self, device: Device, disk: ClientDisk) -> None:
        """Start a new process of a device."""
        device.client = Client(device.client.identity, disk, self.history.append)
        self._movers = self._arranged()

    # --- steps ------------------------------------------------------------------------------------

    def _text(self, device: Device, number: int) -> tuple[str, str]:
        """Choose an addressee and a text: mostly a good one, to somebody else."""
        kind = number % 16
        me = device.client.identity
        to = NAMES[(number >> 4) % len(NAMES)]
        if to == me.name and kind != 3:
            to = NAMES[(NAMES.index(me.name) + 1) % len(NAMES)]
        if kind == 0:
            to = STRANGER
        self._written += 1
        text = f"{me.device}-{self._written}"
        if kind == 1:
            text += "x" * TEXT_BYTES
        return to, text

    def _write(self, number: int) -> None:
        """Write a message; one that is lost before it is queued was never written."""
        device = self._device(number)
        to, text = self._text(device, number // len(self.devices))
        device.client.write(to, text)

    def _write_elsewhere(self, number: int) -> None:
        device = self._device(number)
        to, text = self._text(device, number // len(self.devices))
        device.client.queue(to, text, released=False)
        if number & 1024:
            device.client.notice()

    def _cancel(self, number: int) -> None:
        device = self._device(number)
        device.client.cancel(number // len(self.devices))

    def _connect(self, number: int) -> None:
        device = self._device(number)
        if device.client.wire is None:
            self._dial(device)

    def _cut(self, number: int) -> None:
        """Cut a connection: the server notices now, or believes in it for as long as it can."""
        client = self._device(number).client
        wire = client.wire
        if wire is not None:
            self._broken(CUT)
            client.lose()
            self._abandon(wire, notices=bool(number & 1024))

    def _abandon(self, wire: Wire, *, notices: bool) -> None:
        """Leave the server's end of a connection; what was sent may still arrive there."""
        if notices:
            self.node.gone(wire)
        elif not wire.closing:
            self._broken(HALF_DEAD)
            self._ghosts.append(wire)

    def _haunt(self, number: int) -> bool:
        """Let something arrive that was sent on a connection which its client has lost."""
        ghosts = self._ghosts
        if not ghosts:
            return False
        place = number % len(ghosts)
        wire = ghosts[place]
        if wire.closing or wire.node is not self.node:
            ghosts.pop(place)
            return False
        if wire.link is None or not wire.up:
            return False
        messages = wire.arrived_at_server(number)
        if messages:
            self._broken(LATE_WORD)
        wire.node.receive(wire, messages)
        return True

    def _crash_client(self, number: int) -> None:
        device = self._device(number)
        if device.client.wire is not None:
            self._abandon(device.client.wire, notices=bool(number & 1024))
        self._broken(CLIENT_CRASH)
        device.client.disk.crash()
        self._replace(device, device.client.disk)

    def _crash_server(self, _: int) -> None:
        """Lose the process and every connection with what was under way."""
        self._broken(SERVER_CRASH)
        for device in self.devices:
            if device.client.wire is not None:
                device.client.wire.closing = True
                device.client.lose()
        self.disk.crash()
        self._audit()
        self.node = self._new_node()
        self._movers = self._arranged()

    def _audit(self) -> None:
        """Hold what was acknowledged against what the server's disk has after a crash."""
        if acked := self._acked():
            self.history += [Vanished(0, uid) for uid in sorted(acked - self.disk.stored())]

    def _acked(self) -> set[str]:
        news = self.history[self._audited_from :]
        return self._kept_acks | {event.uid for event in news if isinstance(event, Acked)}

    def _pause(self, number: int) -> None:
        wire = self._device(number).client.wire
        if wire is not None and self.node.press(wire, paused=True):
            self._broken(SLOW_READER)

    def _resume(self, number: int) -> None:
        wire = self._device(number).client.wire
        if wire is not None:
            self.node.press(wire, paused=False)

    def _lose_event(self, number: int) -> None:
        self.node.bus.losing += 1 + number % 2

    # --- restores: one in a run, of a backup made in it -----------------------------------

    def _save(self, number: int) -> None:
        device = self._device(number)
        if self._backup is None:
            self._backup = len(self.disk.journal)
        if device.backup is None:
            device.backup = device.client.disk.copy()

    def _restore_client(self, number: int) -> None:
        """Put the backup of a client in place, if it is another one than what is there."""
        device = self._device(number)
        newer, backup = device.client.disk, device.backup
        if backup is None or self._restored or backup.is_like(newer):
            return
        self._restored = True
        if device.client.wire is not None:
            self.node.gone(device.client.wire)
        waiting = tuple(kept.text for kept in backup.queue)
        name, received = device.client.identity.device, backup.received()
        self.history.append(Lives(0, name, waiting, received, backup.cursor))
        self._replace(device, backup)
        self._broken(CLIENT_RESTORED, fired=not device.client.disk.is_like(newer))

    def _restore_server(self, _: int) -> None:
        """Put the backup in place, which takes so long that no client has anything left to do."""
        if self._backup is None or self._restored or self._backup == len(self.disk.journal):
            return
        self._restored = True
        self._crash_server(0)
        for device in self.devices:
            device.client.finish_jobs()
        newer = self.disk.stored()
        self.disk.restore(self._backup)
        kept = self.disk.stored()
        self._kept_acks = self._acked() & kept
        self._audited_from = len(self.history)
        self.history.append(Lineage(0, tuple(sorted(kept))))
        self._broken(SERVER_RESTORED, fired=kept < newer)

    # --- the end ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let everything come to rest; only devices without a connection get a new one.

        Raises:
            Overrun: it never does.
        """
        self._mend()
        number = self.schedule.shuffle
        for _ in range(MOST_ROUNDS):
            # A linear congruence (Knuth's MMIX) stands for chance: the schedule is over.
            number = (number * 6364136223846793005 + 1442695040888963407) & ((1 << 64) - 1)
            if not self._rest(number >> 34) and not self._reconnect():
                return
        raise Overrun(f"after {MOST_ROUNDS} rounds things still go on")

    def _mend(self) -> None:
        self.node.bus.losing = 0
        for ghost in self._ghosts:
            if ghost.paused:  # a dead connection that is full does not wait for ever
                self.node.gone(ghost)
        for device in self.devices:
            device.client.notice()
            if device.client.wire is not None:
                self.node.press(device.client.wire, paused=False)

    def _rest(self, number: int) -> bool:
        """Let everybody go on until they wait for others; tell whether anything moved."""
        moved = self.node.rest(number)
        for device in self.devices:
            moved |= device.client.rest(number)
            moved |= self.node.rest(number >> 6)
        while self._haunt(0):
            moved = True
        return moved

    def _reconnect(self) -> bool:
        alone = [device for device in self.devices if device.client.wire is None]
        for device in alone:
            self._dial(device)
        return bool(alone)

    def _dial(self, device: Device) -> None:
        client = device.client
        client.connect(Wire(self.node, client.identity.device_id))
