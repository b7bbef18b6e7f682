"""A person of the scene: the harness's handle of an actor, which turns its lines into history.

A message is written when the harness hands it over. Until the actor has told that it is durably
queued, nobody promised anything: after a kill it is handed over again under the same name and the
same key, before anything newer. What a device shows is shown once however often its store is read:
the same message under the same local number is the same showing; under another one, a second.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Final

from reliability.history import Cursor, Displayed, Told, digest
from reliability.rig import lines
from reliability.rig.inside import Inside, Room
from reliability.rig.programs import DEADLINE_S, PLAIN, Ended, Launch, Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reliability.rig.ledger import Ledger

_ACKED: Final = ("stored", "delivered")
_tokens = itertools.count(1)


class Person:
    """One device of one account, in front of a client that lives, dies and lives again."""

    def __init__(
        self,
        name: str,
        directory: Path,
        ledger: Ledger,
        address: tuple[str, int],
        *,
        data_dir: Path | None = None,
        launch: Launch = PLAIN,
        words: str = "",
        room: Room | None = None,
    ) -> None:
        """Choose who this is; nothing runs yet.

        Args:
            name: of the account.
            directory: home of the user.
            ledger: where everything is kept.
            address: where the client connects to; may be changed before a start.
            data_dir: of the client; `data` below the home unless something is to happen to it.
            launch: how the following starts are made; may be changed between them.
            words: recovery words of the account, if this is not its first device.
            room: where it lives inside this process; without one it is a process of its own.
        """
        self.name = name
        self.directory = directory
        self.data_dir = data_dir or directory / "data"
        self.address = address
        self.launch = launch
        self.device = ""
        """Known from the first start on."""
        self.words = words
        self.state = ""
        """Of the link, as the client tells it; empty before that and after the end."""
        self.error = ""
        """Why there is no link, as the client tells it."""
        self.fatal = ""
        """Why the client has stopped for good."""
        self.starts = 0
        self.shown: dict[int, str] = {}
        """What the device has shown, by local number."""
        self._ledger = ledger
        self.room = room
        self._program: Program | Inside | None = None
        self._ready = False
        self._mine: dict[str, int] = {}
        """Local numbers of messages that the actor has told to be queued."""
        self._floors: dict[str, int] = {}
        """Undecided messages: their own local number is at least this."""
        self._unqueued: dict[str, tuple[str, int]] = {}
        """Handed over, and not told to be queued yet: addressee and size."""
        self._looked: lines.Store | None = None
        self._answers: dict[int, lines.Synced] = {}

    # --- life -------------------------------------------------------------------------------------

    @property
    def program(self) -> Program | Inside:
        """The process that was started last."""
        assert self._program is not None, f"{self.name} has not been started"
        return self._program

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self.program.pid

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._program is not None and self._program.status is None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has told what its store holds."""
        return self._ready and self.is_up

    @property
    def is_online(self) -> bool:
        """Whether it is connected and logged in, as far as it knows."""
        return self.is_ready and self.state == "online"

    def start(self) -> None:
        """Start it, or start it again; returns at once."""
        host, port = self.address
        with self._ledger.news:
            self.starts += 1
            self._forget_life()
            seen = self.highest_id
            own = min(self._floors.values(), default=seen + 1)
        if self.room is not None:
            whole = (host, port, self.name, self.data_dir)
            self._program = Inside(self.room, whole, (seen, own), self._take_line)
            return
        words = ["--words", self.words] if self.words and not self.device else []
        arguments = [sys.executable, "-m", "reliability.rig.actor", f"{host}:{port}", self.name]
        arguments += [str(self.data_dir), "--seen", str(seen), "--own", str(own), *words]
        self._program = Program(arguments, self.directory, self.launch, self._take_line)

    def _forget_life(self) -> None:
        self._ready, self.state, self.error, self.fatal = False, "", "", ""

    def kill(self) -> int:
        """End it with kill -9; give how it ended."""
        status = self.program.kill()
        with self._ledger.news:
            self._forget_life()
        return status

    def quit(self) -> int:
        """Let it end as somebody does who closes the window; give how it ended.

        Raises:
            Ended: it does not end.
        """
        try:
            return self.program.finish()
        finally:
            with self._ledger.news:
                self._forget_life()

    def close(self) -> None:
        """Leave nothing running."""
        if self._program is not None:
            self.kill()

    def _await(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        # Looked at now and then too: the end of a process notifies nobody.
        give_up_s = self._ledger.now_s() + timeout_s
        while not self._ledger.wait(reached, 0.2):
            if self._ledger.now_s() > give_up_s:
                raise Ended(f"{self.name} is not {what}: {self.program.last_words()}")

    # --- what it is told --------------------------------------------------------------------------

    def write(self, uid: str, to: str, size_bytes: int) -> None:
        """Hand over a message; one that is not running gets it when it is."""
        with self._ledger.news:
            text = lines.text_of(uid, size_bytes)
            self._ledger.written(uid, self.name, self.device, to, digest(text))
            self._floors[uid] = self.highest_id + 1
            self._unqueued[uid] = (to, size_bytes)
            if self._ready:
                self._tell(lines.Send(uid, to, size_bytes))

    def retry(self) -> None:
        """Have it try to connect now."""
        self._tell(lines.Retry())

    def sync(self, timeout_s: float = DEADLINE_S) -> None:
        """Wait until it has told everything that has reached its process.

        Raises:
            Ended: it does not answer.
        """
        token = next(_tokens)
        self._answer(lines.Sync(token), token, timeout_s)

    def ask(self, timeout_s: float = DEADLINE_S) -> lines.Synced:
        """Have it ask the server who is online; gives how long that took, or the error.

        Raises:
            Ended: it does not answer.
        """
        token = next(_tokens)
        return self._answer(lines.Ask(token), token, timeout_s)

    def look(self, after: int = 0, timeout_s: float = DEADLINE_S) -> lines.Store:
        """Have everything told that its store holds behind a local number.

        Raises:
            Ended: it does not answer.
        """
        token = next(_tokens)
        self._tell(lines.Look(token, after))

        def answered() -> bool:
            return self._looked is not None and self._looked.token == token

        self._await(answered, timeout_s, "answering")
        assert self._looked is not None
        return self._looked

    def _answer(self, command: lines.Command, token: int, timeout_s: float) -> lines.Synced:
        self._tell(command)
        self._await(lambda: token in self._answers, timeout_s, "answering")
        return self._answers.pop(token)

    def _tell(self, command: lines.Command) -> None:
        self.program.say(lines.encoded(command))

    # --- what it tells ----------------------------------------------------------------------------

    def _take_line(self, line: str) -> None:
        with self._ledger.news:
            self.take(lines.reports.decode(line))
            self._ledger.news.notify_all()

    def take(self, report: lines.Report) -> None:
        """Turn a report into history; the caller holds the ledger."""
        if isinstance(report, lines.Change):
            self._take_row(report.row)
        elif isinstance(report, lines.Store):
            self._take_store(report)
        elif isinstance(report, lines.Link):
            self.state, self.error = report.state, report.error
        elif isinstance(report, lines.Synced):
            self._answers[report.token] = report
        elif isinstance(report, lines.Words):
            self.words = report.words
        elif isinstance(report, lines.Fatal):
            self.fatal = report.error
        elif isinstance(report, lines.Notice):
            self._ledger.note(Told(self._ledger.now_s(), self.device, report.code))

    def _take_store(self, report: lines.Store) -> None:
        if not self.device:
            self.device = report.device
            self._ledger.add_device(self.name, report.device)
        elif self.device != report.device:
            self._ledger.odd(f"{self.name} was {self.device} and is {report.device} now")
        for row in report.rows:
            self._take_row(row)
        self._ledger.note(Cursor(self._ledger.now_s(), self.device, report.position))
        if report.token:
            self._looked = report
            return
        self._ready = True
        for uid, (to, size_bytes) in self._unqueued.items():
            self._tell(lines.Send(uid, to, size_bytes))

    def _take_row(self, row: lines.Row) -> None:
        if row.mine:
            self._take_own(row)
        elif self.shown.get(row.message_id) != row.uid:
            self.shown[row.message_id] = row.uid
            shown = Displayed(
                self._ledger.now_s(), self.name, self.device, row.uid, row.sender, row.seq,
                digest=row.digest,
            )  # fmt: skip
            self._ledger.displayed(shown)

    def _take_own(self, row: lines.Row) -> None:
        known = self._mine.setdefault(row.uid, row.message_id)
        if known != row.message_id:
            self._ledger.odd(f"{self.device} has {row.uid} as number {known} and {row.message_id}")
        self._unqueued.pop(row.uid, None)
        if row.state in _ACKED:
            self._floors.pop(row.uid, None)
            self._ledger.acked(row.uid, row.seq, row.n)
        elif row.state == "failed":
            self._floors.pop(row.uid, None)
            self._ledger.failed(row.uid, row.code)
        elif self._ledger.is_acked(row.uid):
            self._ledger.odd(f"✓ of {row.uid} was taken back: {self.device} sends it again")

    # --- the end ----------------------------------------------------------------------------------

    @property
    def highest_id(self) -> int:
        """The highest local number that its store has given out, as far as it was told."""
        with self._ledger.news:
            return max((*self.shown, *self._mine.values()), default=0)

    def known_ids(self, after: int = 0) -> dict[int, str]:
        """Give what it has told to be in its store, behind a local number."""
        with self._ledger.news:
            known = {**self.shown, **{number: uid for uid, number in self._mine.items()}}
        return {number: uid for number, uid in known.items() if number > after}

    def missing_from_store(self, known: dict[int, str] | None = None, after: int = 0) -> list[str]:
        """Compare what it has told to be in its store with what is there; name what is gone."""
        there = {row.message_id: row.uid for row in self.look(after).rows}
        expected = self.known_ids(after) if known is None else known
        return [uid for number, uid in expected.items() if there.get(number) != uid]
