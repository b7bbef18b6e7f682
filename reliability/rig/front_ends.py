"""Somebody who only uses the programs: what people and scripts really see, life after life.

A `Person` lives at the client library. Here one device of an account is used through `jim listen`,
in pipe mode, in plain and in line mode, in turns, and writes by `jim send` or at the prompt.
Whatever is printed is read from outside.

What is noted as shown is noted after it was printed. So a front end that was killed may leave
behind what the next one shows again: its last message, or in line mode, which prints what comes
within a moment in one go, the last few; in the same order, before anything else. Anything beyond
that is a second showing, and anything that no life shows is lost.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Final, Literal

from msgspec import structs

from reliability.history import Displayed, digest
from reliability.rig import lines
from reliability.rig.own_messages import OwnMessages
from reliability.rig.programs import PLAIN, ROOT, Ended, Launch, Program
from reliability.rig.terminals import TerminalProgram, plain

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.ledger import Ledger

Front = Literal["json", "count", "listen", "pipe", "plain", "line"]

FRONTS: Final[tuple[Front, ...]] = ("json", "count", "listen", "pipe", "plain", "line")
"""`jim listen` in three ways, and the three modes of the client."""

TYPED: Final = frozenset({"pipe", "plain", "line"})
"""Those that take what is typed."""

COUNT: Final = 7
"""Messages after which `count` ends by itself."""

PIPE_BYTES: Final = 4096
"""Of the pipe that programs write into: the least that Linux gives (man 2 fcntl), so that a reader
who stands still is soon noticed."""

AT_TERMINALS: Final = {"plain": "dumb", "line": "xterm-256color"}
"""What TERM is; the others are no terminals. A dumb one gets plain mode."""

_IN_WHOLE: Final = frozenset({"json", "count", "listen", "pipe"})
"""Front ends that print a text as it is, in one line."""

AGAIN_S: Final = 5.0
"""After which somebody presses Ctrl+C again at a program that had only begun to start: in its first
20 ms or so, before any code of ours, the interpreter may take no notice of a signal."""

_PROMPT: Final = "Enter a command or its number:"
_PASTE: Final = ("\x1b[200~", "\x1b[201~")
"""Around what is pasted (xterm, "Bracketed Paste Mode"): 2,000 single letters take 0.4 s."""

_SHOWN: Final = re.compile(r"Message from (\S+?)(?: \([^)]*\))?: (.*)")
_MISSING: Final = "Messages are missing here"

_KILLED: Final = -9
_INTERRUPTED: Final = 130
"""`jim.client.console.explain.Exit.INTERRUPTED`, as docs/client.md promises it to scripts."""


class FrontEnd:
    """One device, at which one program after the other is used."""

    def __init__(
        self,
        name: str,
        directory: Path,
        ledger: Ledger,
        server: tuple[str, int],
        launch: Launch = PLAIN,
    ) -> None:
        """Choose whose device this is; nothing runs yet.

        Args:
            name: of the account, which exists.
            directory: home of the user.
            ledger: where everything is kept.
            server: host and port.
            launch: how every program is started.
        """
        self.name = name
        self.directory = directory
        self.data_dir = directory / "data"
        self.device = ""
        self.shown = 0
        """Messages that the running program has shown, or the last one if none runs."""
        self.repeats = 0
        """Messages shown again because a program was killed before it could note them."""
        self._ledger = ledger
        self._server = f"{server[0]}:{server[1]}"
        self._launch = launch
        self.typed = 0
        """Messages typed at programs that have ended."""
        self.queued = 0
        """How many of them the program put into the outbox before its end."""
        self._front: Front = "json"
        self._program: Program | None = None
        self._life: list[str] = []
        """What the running program has shown."""
        self._again: list[str] = []
        """What may be shown again now, in this order."""
        self._has_begun = False
        self._noted = 0
        """Of `_life`, so many are certainly noted as shown, in line mode."""
        self._is_stalled = False
        self._sending: tuple[str, Program] | None = None
        self._typed: list[str] = []
        """Handed over to the running program."""
        self._own = OwnMessages(name, self.data_dir, ledger)

    # --- programs ---------------------------------------------------------------------------------

    def _words(self, *words: str) -> list[str]:
        return [
            sys.executable,
            str(ROOT / "my_client.py"),
            *words,
            "--data-dir",
            str(self.data_dir),
        ]

    def _run(self, *words: str) -> Program:
        return Program(self._words(*words), self.directory, self._launch)

    def join(self, recovery_words: str) -> None:
        """Become a device of the account.

        Raises:
            Ended: the words are not taken.
        """
        joining = self._run("recover", self.name, self._server)
        joining.say(recovery_words)
        if joining.wait():
            raise Ended(f"{self.name} cannot join: {joining.last_words()}")
        asking = self._run("whoami", "--json", "-n", self.name)
        if asking.wait():
            raise Ended(f"{self.name} does not know its device: {asking.last_words()}")
        self.device = json.loads(asking.lines[0])["device"]
        self._own.device = self.device
        self._ledger.add_device(self.name, self.device)

    @property
    def is_up(self) -> bool:
        """Whether a program runs."""
        return self._program is not None and self._program.status is None

    @property
    def standing(self) -> str:
        """What runs, in a few words."""
        return f"{self.name} at {self._front} {'up' if self.is_up else 'down'}"

    def start(self, front: Front) -> None:
        """Start a front end; returns at once."""
        assert not self.is_up, "another front end runs"
        with self._ledger.news:
            self._front, self._life, self._noted, self.shown = front, [], 0, 0
            self._has_begun = False
        host, _, port = self._server.rpartition(":")
        if front in TYPED:
            words = self._words(host, port, "-n", self.name)
        else:
            options = {"json": ["--json"], "count": ["--json", "--count", str(COUNT)]}
            place = ("-n", self.name, "--server", self._server)
            words = self._words("listen", *options.get(front, []), *place)
        if front in AT_TERMINALS:
            env = {**self._launch.env, "TERM": AT_TERMINALS[front]}
            launch = structs.replace(self._launch, env=env)
            self._program = TerminalProgram(words, self.directory, launch, self._take_line)
        else:
            self._program = Program(words, self.directory, self._launch, self._take_line)
            self._program.narrow(PIPE_BYTES)

    def stall(self) -> None:
        """Let nobody read what the program prints, until it has ended."""
        assert self._program is not None
        self._program.stall()
        self._is_stalled = True

    def kill(self) -> int:
        """End the program with kill -9; give how it ended."""
        assert self._program is not None
        status = self._program.kill()
        if status == _KILLED:
            self._may_repeat()
        elif (self._front, status) != ("count", 0):
            self._ledger.odd(f"{self._front} ended by itself: {self._program.last_words()}")
        self._end()
        return status

    def quit(self, number: signal.Signals | None = None) -> int:
        """End the program as its user does, or with a signal; give how it ended.

        Raises:
            Ended: it does not end.
        """
        program = self._program
        assert program is not None
        if self._front in AT_TERMINALS:
            program.read_on()  # nobody types at a terminal that is stopped
        typed, expected = self._typed, [0]
        if number is None and self._front in TYPED:
            status = program.finish()
        else:
            number = number or signal.SIGTERM
            program.signal(number)
            if not self._life and not program.ends_within(AGAIN_S):
                program.signal(number)
            status, expected = program.wait(), [_INTERRUPTED]
            if not self._life:
                expected.append(-number)  # it was still starting, and took no notice of signals
        if self._is_stalled:
            self._may_repeat()
        self._end()  # what it did not come to show again, it has left for the next one
        if status not in expected and (self._front, status) != ("count", 0):
            self._ledger.odd(f"{self._front} ended: {program.last_words()}")
        if status == 0:
            self._check_typed(typed)
        return status

    def _may_repeat(self) -> None:
        """Let the next program show what this one has printed and perhaps not noted."""
        with self._ledger.news:
            # Line mode prints what comes within a moment in one go, and then notes all of it.
            unnoted = self._life[self._noted :] if self._front == "line" else self._life[-1:]
            self._again = unnoted + self._again

    def _check_typed(self, typed: list[str]) -> None:
        """See that a program that has ended well has queued what was typed, pipe mode sent it."""
        for uid in typed:
            if not self._own.is_queued(uid):
                self._ledger.odd(f"{self._front} ended well, and {uid} was not queued")
            elif self._front == "pipe" and uid in self._own.open:
                self._ledger.odd(f"pipe mode ended with 0, and {uid} is not stored")

    def _end(self) -> None:
        """Look at what the program has left behind."""
        assert self._program is not None
        for line in self._program.errors:
            self._take_complaint(line)
        self._is_stalled = False
        self._own.look_at_all()
        self.typed += len(self._typed)
        self.queued += sum(self._own.is_queued(uid) for uid in self._typed)
        self._typed = []

    def close(self) -> None:
        """Leave nothing running."""
        for program in (self._program, self._sending[1] if self._sending else None):
            if program is not None:
                program.kill()

    # --- what is shown ----------------------------------------------------------------------------

    def _take_line(self, line: str) -> None:
        if self._front in ("json", "count"):
            try:
                record = json.loads(line)
                self._take_shown(record["from"], record["text"], record["seq"])
            except (ValueError, KeyError, TypeError) as error:
                self._ledger.odd(f"{self._front} printed {line[:80]!r}: {error}")
            return
        line = plain(line)
        self._take_complaint(line)
        if self._front == "line" and _PROMPT in line:
            self._noted = len(self._life)
        if (found := _SHOWN.search(line)) is not None:
            self._take_shown(found[1], found[2])

    def _take_complaint(self, line: str) -> None:
        if _MISSING in line:
            self._ledger.odd(f"{self.device} was told: {line}")
        elif "Traceback" in line:
            self._ledger.odd(f"{self._front} of {self.device} ended in a traceback")

    def _take_shown(self, sender: str, text: str, seq: int = 0) -> None:
        uid = lines.uid_of(text)
        with self._ledger.news:
            self._life.append(uid)
            self.shown += 1
            if self._is_repeat(uid):
                self.repeats += 1
            else:
                told = digest(text) if self._front in _IN_WHOLE else ""
                now_s = self._ledger.now_s()
                self._ledger.displayed(
                    Displayed(now_s, self.name, self.device, uid, sender, seq, digest=told)
                )
            self._ledger.news.notify_all()

    def _is_repeat(self, uid: str) -> bool:
        """Tell whether this is what a killed program before may have left behind."""
        if not self._has_begun:
            self._has_begun = True
            if uid in self._again:
                del self._again[: self._again.index(uid)]
        if self._again[:1] == [uid]:
            del self._again[0]
            return True
        self._again = []  # a later one was shown: those before it are noted
        return False

    def wait_shown(self, count: int, timeout_s: float) -> bool:
        """Wait until the running program has shown so many messages; tell whether it has."""
        return self._ledger.wait(lambda: self.shown >= count or not self.is_up, timeout_s)

    # --- what it writes ---------------------------------------------------------------------------

    def say(self, to: str, size_bytes: int) -> None:
        """Type a message at the running program."""
        assert self._front in TYPED, f"{self._front} takes no input"
        assert self._program is not None
        uid, text = self._own.write(to, size_bytes)
        self._typed.append(uid)
        line = f"@{to} {text}"
        self._program.say(line.join(_PASTE) if self._front == "line" else line)

    def send(self, to: str, size_bytes: int, killed_after_s: float = 0.0) -> None:
        """Send a message by `jim send`; killed, it is repeated under the same key as by a script.

        Raises:
            Ended: it did not send.
        """
        self.send_rest()  # what is older goes first
        uid, _ = self._own.write(to, size_bytes)
        if killed_after_s:
            sending = self._begin_send(uid)
            self._ledger.wait(lambda: sending.status is not None, killed_after_s)
            sending.kill()
        self._send(uid)

    def begin_send(self, to: str, size_bytes: int) -> None:
        """Begin to send a message by `jim send`; `end_send` has to follow."""
        uid, _ = self._own.write(to, size_bytes)
        self._sending = uid, self._begin_send(uid)

    def end_send(self) -> None:
        """Wait for the end of what was begun.

        Raises:
            Ended: it did not send.
        """
        assert self._sending is not None
        (uid, sending), self._sending = self._sending, None
        self._check_sent(uid, sending)

    def send_rest(self) -> None:
        """Send what was typed and was not queued when the program was killed.

        Raises:
            Ended: `jim send` did not send.
        """
        self.look()
        for uid in [uid for uid in self._own.open if not self._own.is_queued(uid)]:
            self._send(uid)

    def _send(self, uid: str) -> None:
        self._check_sent(uid, self._begin_send(uid))

    def _check_sent(self, uid: str, sending: Program) -> None:
        if sending.wait():
            raise Ended(f"jim send: {sending.last_words()}")
        self.look()
        if uid in self._own.open:
            self._ledger.odd(f"jim send ended with 0, and {uid} is not stored")

    def _begin_send(self, uid: str) -> Program:
        to, text = self._own.open[uid]
        return self._run("send", to, text, "--id", uid, "-n", self.name, "--server", self._server)

    def look(self) -> None:
        """Read in the store what has become of what it has sent."""
        self._own.look()
