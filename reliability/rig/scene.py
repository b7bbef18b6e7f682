"""A scene: a server, people who write to each other at random, and what has to hold at the end."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from reliability.checker import check
from reliability.history import save
from reliability.promise import Demands, Violation
from reliability.rig import stores
from reliability.rig.ledger import Ledger
from reliability.rig.people import Person
from reliability.rig.programs import DEADLINE_S, PLAIN, Ended, Launch
from reliability.rig.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reliability.rig.front_ends import FrontEnd
    from reliability.rig.inside import Room

CAST: Final = ("anna", "boris", "boris", "clara")
"""Who takes part: three people, one of them with two devices."""

SIZES_BYTES: Final = (40, 40, 40, 200, 2000, 15_000)
"""Of messages: mostly a line, now and then as long as one may be (16 KiB)."""

WAITING: Final = 24
"""Messages of one device without a decision, beyond which it writes no more for now: below the
window, so that a stopped server does not pile up what takes long afterwards."""

POKE_S: Final = 0.1
"""How often those who are not connected try again while everything is whole; people who see the
server come back do not wait for the back-off either."""


class Outcome(Struct):
    """What a scene was found to be at its end."""

    violations: list[Violation]
    acks: int
    written: int
    faults: dict[str, int]
    directory: str = ""
    """Where history and logs are kept; set if there were violations."""


class Scene:
    """Use as a context: at the end nothing runs any more."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        server: Server | None = None,
        cast: Sequence[str] = CAST,
        connect_to: tuple[str, int] | None = None,
        launch: Launch = PLAIN,
        room: Room | None = None,
    ) -> None:
        """Choose who takes part; nothing runs yet.

        Args:
            directory: for everything; made if it is not there.
            seed: of everything that is left to chance here.
            server: with whatever is special about it.
            cast: names of accounts, one for each device; the second of a name joins the account.
            connect_to: where people connect to, if not straight to the server.
            launch: how people are started.
            room: where they live inside this process; without one each is a process.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.seed = seed
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.server = server or Server(directory / "server")
        address = connect_to or self.server.address
        self.people = [
            Person(
                name, directory / f"{name}-{number}", self.ledger, address, launch=launch, room=room
            )
            for number, name in enumerate(cast, 1)
        ]
        self.front_ends: list[FrontEnd] = []
        """Devices at which programs are used, beside the people; whoever adds one starts it."""
        self._numbers: dict[str, int] = {}
        self._traffic: threading.Thread | None = None
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave nothing running."""
        self.stop_traffic()
        for one in self._all:
            one.close()
        self.server.close()

    @property
    def _all(self) -> list[Person | FrontEnd]:
        return [*self.people, *self.front_ends]

    # --- beginning --------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the server and everybody, and wait until all are connected.

        Raises:
            Ended: somebody does not get that far.
        """
        if not self.server.is_up:
            self.server.start()
        self.enter_people()

    def enter_people(self) -> None:
        """Start everybody who does not run, first devices first; wait until all are connected."""
        first = {person.name: person for person in reversed(self.people)}
        for person in first.values():
            if not person.is_up:
                person.start()
        self.wait_online(list(first.values()))
        for person in self.people:
            if person.is_up:
                continue
            if not person.device:
                self._get_words(person, first[person.name])
            person.start()
        self.wait_online()

    def _get_words(self, person: Person, first: Person) -> None:
        """Let the first device of the account tell the recovery words to another one."""
        if not self.ledger.wait(lambda: bool(first.words), DEADLINE_S):
            raise Ended(f"{person.name} never told the recovery words")
        person.words = first.words

    def wait_online(
        self, people: Sequence[Person] | None = None, timeout_s: float = DEADLINE_S
    ) -> None:
        """Wait until people are connected; those who wait to try again are told to do so now.

        Raises:
            Ended: somebody does not get connected.
        """
        chosen = self.people if people is None else people
        give_up_s = self.ledger.now_s() + timeout_s
        while not self.ledger.wait(lambda: all(p.is_online for p in chosen), POKE_S):
            for person in chosen:
                if person.fatal or not person.is_up:
                    raise Ended(
                        f"{person.name} ended: {person.fatal} {person.program.last_words()}"
                    )
            if not self.server.is_up:
                raise Ended(f"the server has ended: {self.server.program.last_words()}")
            self.poke()
            if self.ledger.now_s() > give_up_s:
                raise Ended(f"not everybody is connected: {self._standing()}")

    def poke(self) -> None:
        """Have everybody try to connect who waits for it; see what front ends have sent."""
        for person in self.people:
            if person.is_ready and person.state == "waiting":
                person.retry()
        for front_end in self.front_ends:
            front_end.look()

    def _missing(self) -> str:
        unshown = self.ledger.unshown
        if not unshown:
            return ""
        uid, devices = next(iter(unshown.items()))
        return f"; acknowledged, not shown: {len(unshown)}, first {uid} on {', '.join(devices)}"

    def _standing(self) -> str:
        told = [f"{p.name} {p.state or 'down'} {p.error or p.fatal}".strip() for p in self.people]
        told += [front_end.standing for front_end in self.front_ends]
        return "; ".join([*told, f"server {'up' if self.server.is_up else 'down'}"])

    # --- traffic ----------------------------------------------------------------------------------

    def say(self, person: Person, to: str, size_bytes: int = 40) -> str:
        """Have somebody write a message; give its name."""
        number = self._numbers.get(person.device, 0) + 1
        self._numbers[person.device] = number
        uid = f"{person.name}-{person.device[:4]}-{number}"
        person.write(uid, to, size_bytes)
        return uid

    def write_some(self, count: int) -> list[str]:
        """Have people who are known write messages at random; give their names."""
        return [self._write_one() for _ in range(count)]

    def _write_one(self) -> str:
        names = sorted({person.name for person in self.people})
        person = self.chance.choice([person for person in self.people if person.device])
        to = self.chance.choice([name for name in names if name != person.name])
        return self.say(person, to, self.chance.choice(SIZES_BYTES))

    def start_traffic(self, per_s: float = 200.0) -> None:
        """Have people write at random until `stop_traffic`, about so often all together."""
        assert self._traffic is None, "there is traffic already"
        self._over.clear()
        self._traffic = threading.Thread(target=self._keep_writing, args=(per_s,), daemon=True)
        self._traffic.start()

    def stop_traffic(self) -> None:
        """Have everybody stop writing; what is queued stays on its way."""
        if self._traffic is not None:
            self._over.set()
            self._traffic.join(DEADLINE_S)
            self._traffic = None

    def _keep_writing(self, per_s: float) -> None:
        """Write in bursts: what comes together shares a commit."""
        try:
            while not self._over.is_set():
                burst = self.chance.randint(1, 8)
                if len(self.ledger.undecided) < WAITING * len(self.people):
                    self.write_some(burst)
                self._over.wait(burst / per_s)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.ledger.odd(f"the traffic has ended: {type(error).__name__}: {error}")

    # --- the end ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """Note that nothing is broken any more; everybody who waits tries again.

        Called when the fault is gone: what starts again and connects takes its time from then on.
        """
        self.ledger.healed()
        self.poke()

    def settle(self, timeout_s: float = DEADLINE_S) -> bool:
        """Wait until everything is in place; tell whether it is.

        Then every message is decided about and shown everywhere, and everybody is connected.
        """
        give_up_s = self.ledger.now_s() + timeout_s
        while not self.ledger.wait(self._is_settled, POKE_S):
            self.poke()
            if self.ledger.now_s() > give_up_s:
                self.ledger.odd(
                    f"it did not settle within {timeout_s:g} s: {self._standing()}{self._missing()}"
                )
                return False
        self.ledger.settled()
        return True

    def _is_settled(self) -> bool:
        return self.ledger.owing == 0 and all(p.is_online for p in self.people if p.starts)

    def verdict(
        self,
        *,
        acks: int = 1,
        faults: dict[str, int] | None = None,
        complete: bool = True,
        healed_within_s: float = 0.0,
    ) -> Outcome:
        """End everything and check it all: the history, the stores, the logs.

        Args:
            acks: how many messages at least must have been acknowledged.
            faults: how often at least each kind must have fired.
            complete: everything had time to arrive.
            healed_within_s: from each `heal` to the end of `settle` at most; 0 does not ask.
        """
        self.stop_traffic()
        if complete:
            self._check_people()
        self._end_everything()
        self._check_stores()
        demands = Demands(
            devices=self.ledger.devices,
            acks=acks,
            faults=faults or {},
            complete=complete,
            every_message=complete,
            positions=False,
            healed_within_s=healed_within_s,
        )
        found = check(self.ledger.history, demands)
        strange = [Violation("strange", text) for text in self.ledger.strange]
        outcome = Outcome(
            [*found.violations, *strange],
            found.counts.acked,
            found.counts.written,
            dict(found.counts.faults),
        )
        if outcome.violations:
            self._keep(outcome)
        return outcome

    def _check_people(self) -> None:
        """See that what was shown is still in everybody's store."""
        for person in self.people:
            if person.is_ready and (gone := person.missing_from_store()):
                self.ledger.odd(f"{person.device} has lost {len(gone)} messages, first {gone[0]}")

    def _end_everything(self) -> None:
        for person in self.people:
            if person.is_up:
                with contextlib.suppress(Ended):
                    person.quit()
        for front_end in self.front_ends:
            if front_end.is_up:
                try:
                    front_end.quit()
                except Ended as error:
                    self.ledger.odd(f"{front_end.standing}: {error}")
        if self.server.is_up and (status := self.server.stop()):
            self.ledger.odd(f"the server ended with {status}: {self.server.complaint}")

    def _check_stores(self) -> None:
        found = stores.verify_server(self.server.database)
        for one in self._all:
            found += stores.verify_client(one.data_dir)
        for text in found:
            self.ledger.odd(text)
        for line in self.server.blunders()[:3]:
            self.ledger.odd(f"the server's log says: {line}")

    def _keep(self, outcome: Outcome) -> None:
        """Leave behind what somebody needs who looks for the reason."""
        outcome.directory = str(self.directory)
        save(self.directory / "history.jsonl", self.ledger.history)
        lines = [str(violation) for violation in outcome.violations]
        (self.directory / "violations.txt").write_text("\n".join([f"seed {self.seed}", *lines, ""]))
