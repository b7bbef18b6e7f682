"""One run: builds a world, lets a scenario happen in it, heals it, waits, and has it checked."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import msgspec
from msgspec import UNSET, Struct

import jim.client.background
from jim.client.encryption.content import TEXT, read_content
from jim.client.encryption.vault import Vault
from jim.protocol.codec import FROM_SERVER
from jim.protocol.messages import Msg, Stored
from reliability.checker import check
from reliability.history import Event, Healed, Settled
from reliability.promise import Counts, Demands, Violation
from reliability.virtual.actions import carry_out
from reliability.virtual.disk import ClientDisk
from reliability.virtual.edges import ShownTls
from reliability.virtual.loop import VirtualLoop, WallClock
from reliability.virtual.network import Network
from reliability.virtual.people import Person
from reliability.virtual.scheduler import Scheduler, Stuck
from reliability.virtual.serving import Server
from reliability.virtual.store import Pace
from reliability.virtual.trace import Trace

if TYPE_CHECKING:
    from jim.core.model import Batch, Committed, Enrolment, Registration
    from reliability.virtual.cast import Cast
    from reliability.virtual.scenario import Scenario

HEALED_WITHIN_S: Final = 240.0
"""From healing until everything has arrived. A half-open connection is found after 40 s
(jim.client.policy), connecting may be tried again after 30 s more, and a client that the server
has to slow down sends 5 messages a second (jim.core.limits)."""

LOOK_S: Final = 0.5
"""How often the world is looked at while it settles."""

_seal = Vault.seal

MAX_STEPS: Final = 2_000_000
"""Turns and events of one run, a hundred times the usual: more of them are a loop without end."""


class _Frame(Struct):
    """What a frame of a mailbox says of itself."""

    position: int
    message: str = ""
    ciphertext: str = ""


class Result(Struct, kw_only=True):
    """What came of a run."""

    seed: int
    digest: int
    notes: int
    virtual_s: float
    settled_s: float
    counts: Counts
    violations: list[Violation]
    tail: list[str]


class World:
    """Everything of one run."""

    def __init__(self, scenario: Scenario, cast: Cast, tail_lines: int = 0) -> None:
        """Build it; nothing runs yet."""
        self.scenario = scenario
        self.conditions = scenario.conditions
        self.cast = cast
        self.trace = Trace(tail_lines)
        self.scheduler = Scheduler(random.Random(f"world {scenario.seed}"), self.trace)
        facts: dict[str, object] = {
            "peername": ("127.0.0.1", 1),
            "ssl_object": ShownTls(cast.identity.certificate),
            "sslcontext": True,
        }
        self.network = Network(self.scheduler, self.conditions.weather, facts)
        self.pace = Pace(self.conditions.commit_s)
        self.history: list[Event] = []
        self.skipped: dict[str, int] = {}
        self.is_healed = False
        self.arrivals: list[Registration | Enrolment] = []
        self._uids = 0
        self._faults: list[Violation] = []
        self._walls: dict[str, WallClock] = {}
        self._processes: list[VirtualLoop] = []
        self._positions: dict[tuple[int, str], int] = {}
        self._sealed: dict[str, str] = {}
        """Ciphertext to the message that is in it."""
        self._device_ids: dict[str, int] = {}
        self._disks: dict[str, ClientDisk] = {}
        self._locks: dict[str, VirtualLoop] = {}
        self.server = Server(self)
        self.people: dict[str, Person] = {}
        self._is_over = False

    # --- for those who live here ------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The time."""
        return self.scheduler.now_s

    def record(self, event: Event) -> None:
        """Add to the history."""
        self.history.append(event)
        self.trace.note_event(self.now_s, event)

    def report(self, detail: str) -> None:
        """Note something that must never happen, whatever is broken."""
        self._faults.append(Violation("unhandled", f"{self.now_s:.3f} s: {detail}"))

    def new_uid(self) -> str:
        """Give a name for a message."""
        self._uids += 1
        return f"m{self._uids}"

    def wall(self, name: str) -> WallClock:
        """Give the wall clock of a machine."""
        return self._walls.setdefault(name, WallClock())

    def make_loop(self, name: str) -> VirtualLoop:
        """Begin a process on a machine."""
        number = len(self._processes) + 1
        loop = VirtualLoop(self.scheduler, self.network, name, number, self.wall(name))
        loop.disks, loop.locks = self._disks, self._locks
        if name != "server":
            loop.disk_s = self.conditions.client_disk_s
        loop.on_error = functools.partial(self._error, name)
        self._processes.append(loop)
        return loop

    def start_server(self) -> None:
        """Start the server, unless it runs."""
        self.server.begin_life()

    def add_person(self, device: str, *, new: bool = False) -> Person:
        """Let somebody come in, with the disk that the cast has for them, or with a new one."""
        data_dir = self.cast.data_dir(device)
        disk = ClientDisk(None if new else self.cast.images[device])
        person = self.people[device] = Person(self, device, data_dir, disk)
        self._disks[device] = disk
        return person

    def _error(self, name: str, context: dict[str, Any]) -> None:
        self.report(f"{name}: {context.get('message')}: {context.get('exception')!r}")

    # --- the store, seen from outside -------------------------------------------------------------

    def stored(self, batch: Batch, committed: Committed) -> None:
        """Note which devices a message is not for, and at which position of a mailbox it is."""
        for run, answers in zip(batch.runs, committed.answers, strict=True):
            replies = FROM_SERVER.json.decode_lines(answers.frames)
            for message, reply in zip(run.messages, replies, strict=True):
                if isinstance(reply, Stored):
                    self.skipped[self._uid_of(message)] = reply.skipped or 0
        for segment in committed.segments:
            for line in segment.frames.splitlines():
                frame = _FRAMES.decode(line)
                uid = self._sealed.get(frame.ciphertext) or frame.message.partition(" ")[0]
                self._positions[segment.device_id, uid] = frame.position

    def _uid_of(self, message: Msg) -> str:
        """Give which message was sealed: the server cannot know, but whoever looks on does."""
        if message.message is not UNSET:
            return message.message.partition(" ")[0]
        ciphertexts = () if message.ciphertexts is UNSET else message.ciphertexts.values()
        return next((self._sealed[each] for each in ciphertexts if each in self._sealed), "")

    def _seal(self, vault: Vault, name: str, device: str, plaintext: bytes) -> str:
        """Seal as the client does, and note what it was."""
        ciphertext = _seal(vault, name, device, plaintext)
        content = read_content(plaintext)
        if content.kind == TEXT:
            self._sealed[ciphertext] = content.body.partition(" ")[0]
        return ciphertext

    def registered(self, registration: Registration) -> None:
        """Note an account."""
        self.arrivals.append(registration)

    def enrolled(self, enrolment: Enrolment) -> None:
        """Note a device."""
        self.arrivals.append(enrolment)

    def position_of(self, device: str, uid: str) -> int:
        """Give the position of a message in a device's mailbox, 0 if it is not known."""
        device_id = self._device_ids.get(device)
        if device_id is None:
            name, _, index = device.partition("/")
            device_id = self._device_ids[device] = self.server.disk.device_id(name, int(index) - 1)
        return self._positions.get((device_id, uid), 0)

    # --- the run ----------------------------------------------------------------------------------

    def run(self) -> Result:
        """Let everything happen."""
        try:
            with (
                mock.patch.object(jim.client.background, "TICK_S", self.conditions.tick_s),
                # A bound method would not get the vault.
                mock.patch.object(Vault, "seal", lambda *given: self._seal(*given)),  # noqa: PLW0108
            ):
                self._play()
        except Stuck as error:
            self.report(f"stuck: {error}")
        return self._finish()

    def _play(self) -> None:
        self.start_server()
        for person in self.people.values():
            person.begin_life()
        last_s = 0.0
        for action in self.scenario.actions:
            self.scheduler.at(action.at_s, carry_out, self, action)
            last_s = action.at_s
        self.scheduler.at(last_s + 0.001, self._heal)
        self.scheduler.run_until(lambda: self._is_over, 10 * HEALED_WITHIN_S, MAX_STEPS)

    def _heal(self) -> None:
        """Repair everything, and begin to wait."""
        self.is_healed = True
        self.pace.commit_s, self.pace.fails_next = self.conditions.commit_s, False
        for line in self.network.lines.values():
            line.is_down = line.is_silent = False
        for loop in self._processes:
            loop.fuse = loop.thread_fuse = 0
            loop.thaw()
        self.start_server()
        for person in self.people.values():
            person.begin_life()
        self.record(Healed(self.now_s))
        self._healed_s = self.now_s
        self.scheduler.after(LOOK_S, self._look)

    def _look(self) -> None:
        if self._is_settled():
            self.record(Settled(self.now_s))
            self._is_over = True
        elif self.now_s - self._healed_s > HEALED_WITHIN_S:
            self._is_over = True
        else:
            self.scheduler.after(LOOK_S, self._look)

    def _is_settled(self) -> bool:
        if self.server.service is None:
            return False
        return all(map(self._is_complete, self.people.values()))

    def _is_complete(self, person: Person) -> bool:
        if not person.is_quiet:
            return False
        index = int(person.device.partition("/")[2]) - 1
        backlog = self.server.disk.backlog(person.name, index)
        return backlog is not None and backlog == (person.cursor(), person.cursor())

    def _finish(self) -> Result:
        for person in self.people.values():
            if self._is_over and person.disk.is_made:
                person.note_cursor()
        verdict = check(self.history, self._demands())
        settled_s = self.now_s - getattr(self, "_healed_s", self.now_s)
        return Result(
            seed=self.scenario.seed,
            digest=self.trace.digest,
            notes=self.trace.notes,
            virtual_s=self.now_s,
            settled_s=settled_s,
            counts=verdict.counts,
            violations=verdict.violations + self._faults,
            tail=self.trace.tail(),
        )

    def _demands(self) -> Demands:
        devices: dict[str, list[str]] = {}
        for device, person in self.people.items():
            devices.setdefault(person.name, []).append(device)
        # A tombstone takes a position, and so does what goes between devices; neither is shown as a
        # message. That cursors are never ahead is judged by the schedules of the pure core.
        return Demands(
            devices=devices,
            acks=0,
            positions=False,
            healed_within_s=HEALED_WITHIN_S,
        )

    def destroy(self) -> None:
        """Take everything apart."""
        for loop in self._processes:
            if not loop.dead:
                loop.die()
        for loop in self._processes:
            loop.dispose()
        for disk in self._disks.values():
            disk.destroy()
        self.server.disk.destroy()


_FRAMES: Final = msgspec.json.Decoder(_Frame)
