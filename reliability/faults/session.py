"""A session of 200 messages from the very first start, in which somebody may be killed.

Whoever is killed starts again, the session goes on to its end, and everything has to be there.
"""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from jim.client.local_accounts import STORE_FILE, account_directory
from jim.crypto.key_files import read_key
from reliability.faults.cycles import HEALED_S
from reliability.rig import shelf
from reliability.rig.programs import DEADLINE_S, Ended, Launch
from reliability.rig.scene import Scene
from reliability.rig.server import Server
from reliability.rig.tracing import Trace

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from reliability.rig.inside import Room
    from reliability.rig.people import Person

KIND: Final = "write_point"

MESSAGES: Final = 200
BURST: Final = (1, 32)
"""Messages at once: they share a commit, as far as they come while another one is under way."""

SEED: Final = 1
"""Of every session: the one that is counted and those that are killed are the same."""

SIZES_BYTES: Final = (40, 40, 40, 400, 6000)
"""Of messages: within a page of the database, and beyond."""

PAIR: Final = ("anna", "boris")

DATABASE_CALLS: Final = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")
"""With which SQLite changes files on Linux (its os_unix.c)."""

START_CALLS: Final = ("write", "fsync", "fchmod", "chmod", "mkdir", "link", "rename", "unlink")
"""With which a program makes directories and keys; its database has a scope of its own."""

COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
"""What SQLite adds to the name of a database for its other files (sqlite.org/tempfiles.html)."""

Scope = Literal["start", "store"]
Target = Literal["server", "client"]


class Point(Struct, frozen=True):
    """A place to kill at: the K-th call of a kind in the scope."""

    scope: Scope
    call: str
    k: int

    def __str__(self) -> str:
        return f"{self.scope}-{self.call}-{self.k}"


class Done(Struct):
    """What came of a point.

    Attributes:
        point: which.
        killed: whether it was met; a session may have fewer calls than the one that was counted.
        acks: acknowledged in the session.
        violations: what was found.
    """

    point: Point
    killed: bool
    acks: int
    violations: list[str]


class Session:
    """One run of the session, with or without a kill."""

    def __init__(
        self, target: Target, directory: Path, room: Room, messages: int = MESSAGES
    ) -> None:
        """Take what is killed, and where; other people live in the room."""
        self._messages = messages
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self._target = target
        self._chance = random.Random(SEED)
        self._server = Server(directory / "server")
        self.scene = Scene(directory, 0, server=self._server, cast=PAIR, room=room)
        if target == "client":
            boris = self.scene.people[1]
            boris.room = None
        self._trace_file = directory / "trace"

    # --- the one that is killed -------------------------------------------------------------------

    @property
    def _victim(self) -> Server | Person:
        return self._server if self._target == "server" else self.scene.people[1]

    def _trace(self, scope: Scope, point: Point | None) -> Trace:
        return Trace(
            file=self._trace_file,
            calls=DATABASE_CALLS if scope == "store" else START_CALLS,
            inject=f"{point.call}:signal=KILL:when={point.k}" if point is not None else "",
            paths=self._files() if scope == "store" else (),
        )

    def _files(self) -> tuple[Path, ...]:
        """Give the files of the victim's store, which may not be there yet."""
        store = self._server.database
        if self._target == "client":
            # The server has started before the client: its identity names the client's directory.
            server_id = read_key(self._server.data_dir / "identity.key").public
            boris = self.scene.people[1]
            store = account_directory(boris.data_dir, server_id, boris.name) / STORE_FILE
        return tuple(store.with_name(store.name + end) for end in COMPANIONS)

    def _is_killed(self) -> bool:
        """Tell whether the victim has been killed; what else ends it is a mistake of its own."""
        victim = self._victim
        if victim.starts == 0 or victim.is_up:
            return False
        status = victim.program.wait()
        if status != -9:
            raise Ended(f"it ended with {status}: {victim.program.last_words()}")
        return True

    # --- the session ------------------------------------------------------------------------------

    def count(self, scope: Scope) -> Counter[str]:
        """Go through the session without a kill, and count the calls."""
        self._play_traced(scope, None)
        return self._trace(scope, None).most()

    def play(self, point: Point) -> Done:
        """Go through the session and check everything."""
        killed = self._play_traced(point.scope, point)
        if killed:
            self.scene.ledger.fault(KIND, str(point))
            self._victim.launch = Launch()
            self.scene.heal()
            self._start_victim()
            self._open_all()
            self.scene.settle()
            self._write_rest(lambda: False)
        self.scene.settle()
        self._check_shelf()
        outcome = self.scene.verdict(
            acks=self._messages,
            faults={KIND: 1} if killed else {},
            healed_within_s=HEALED_S if killed else 0,
        )
        found = [str(violation) for violation in outcome.violations]
        return Done(point, killed, outcome.acks, found)

    def _play_traced(self, scope: Scope, point: Point | None) -> bool:
        """Play until the victim is killed, or to the end; tell which."""
        if self._target == "client":
            self._server.start()
        self._victim.launch = Launch(prefix=self._trace(scope, point).prefix)
        try:
            self._start_victim()
            self._open_all()
            self._write_rest(self._is_killed)
            self._wait(lambda: self.scene.ledger.owing == 0, self._is_killed)
            if not self._is_killed():
                self._close_victim()  # the last writes are those of a store that is closed
        except Ended:
            self._victim.program.wait()  # whoever was just killed takes a moment to be gone
            if not self._is_killed():
                raise
        return self._is_killed_for_good()

    def _close_victim(self) -> None:
        if self._target == "server":
            self._server.stop()
        else:
            self.scene.people[1].quit()

    def _is_killed_for_good(self) -> bool:
        victim = self._victim
        if victim.program.status == -9:
            return self._is_killed()
        # It has ended in peace: start it again for the check.
        victim.launch = Launch()
        self._start_victim()
        self._open_all()
        return False

    def _start_victim(self) -> None:
        if self._target == "server":
            self._server.start()
        else:
            self.scene.people[1].start()

    def _open_all(self) -> None:
        self.scene.open()

    def _write_rest(self, is_over: Callable[[], bool]) -> None:
        """Write what is left of the session in bursts, each after the one before is decided."""
        scene, ledger = self.scene, self.scene.ledger
        while (left := self._messages - len(ledger.senders)) > 0 and not is_over():
            for _ in range(min(left, self._chance.randint(*BURST))):
                one, other = self._chance.sample(scene.people, 2)
                scene.say(one, other.name, self._chance.choice(SIZES_BYTES))
            self._wait(lambda: not ledger.undecided, is_over)

    def _wait(self, reached: Callable[[], bool], is_over: Callable[[], bool]) -> None:
        ledger = self.scene.ledger
        give_up_s = ledger.now_s() + DEADLINE_S
        while not ledger.wait(reached, 0.05) and not is_over():
            self.scene.poke()
            if ledger.now_s() > give_up_s:
                raise Ended("the server does not answer")

    def _check_shelf(self) -> None:
        """Hold the server's store against what was acknowledged, while it runs."""
        found = shelf.read(self._server.database, self.scene.directory / "copy")
        for text in shelf.broken_promises(self.scene.ledger, found):
            self.scene.ledger.odd(text)
