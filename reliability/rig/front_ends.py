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

import contextlib
import json
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Final, Literal

from msgspec import structs

from jim.client.accounts import STORE_FILE
from reliability.history import Displayed, digest
from reliability.rig import lines
from reliability.rig.programs import DEADLINE_S, PLAIN, ROOT, Ended, Launch, Program
from reliability.rig.terminals import TerminalProgram, plain

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.ledger import Ledger

Kind = Literal["json", "listen", "pipe", "plain", "line"]

KINDS: Final[tuple[Kind, ...]] = ("json", "listen", "pipe", "plain", "line")
TYPED: Final = frozenset({"pipe", "plain", "line"})
"""Those that take what is typed."""

_TERMINALS: Final = {"plain": "dumb", "line": "xterm-256color"}
"""What TERM is; the others are no terminals. A dumb one gets plain mode."""

_IN_WHOLE: Final = frozenset({"listen", "pipe"})
"""Front ends that print a text as it is, in one line."""

_SHOWN: Final = re.compile(r"Message from (\S+?)(?: \([^)]*\))?: (.*)")
_MISSING: Final = "Messages are missing here"

_OUTGOING: Final = """
SELECT message_id, device, text, state, seq, n, error_code FROM messages
WHERE outgoing AND message_id > ? ORDER BY message_id
"""

_REFUSED: Final = "failed"
_ACKED: Final = ("stored", "delivered")


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
        self._kind: Kind = "json"
        self._program: Program | None = None
        self._life: list[str] = []
        """What the running program has shown."""
        self._again: list[str] = []
        """What may be shown again now, in this order."""
        self._begun_again = False
        self._typed: list[str] = []
        """Handed over to the running program."""
        self._written = 0
        self._open: dict[str, tuple[str, str]] = {}
        """Own messages without a decision, in their order: addressee and text."""
        self._numbers: dict[str, int] = {}
        """Outgoing messages that are in the store, with their numbers there."""
        self._decided_id = 0
        """Up to this number everything of its own is decided."""

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
        self._ledger.add_device(self.name, self.device)

    @property
    def is_up(self) -> bool:
        """Whether a program runs."""
        return self._program is not None and self._program.status is None

    def start(self, kind: Kind) -> None:
        """Start a front end; returns at once."""
        assert not self.is_up, "another front end runs"
        with self._ledger.news:
            self._kind, self._life, self._begun_again, self.shown = kind, [], False, 0
        host, _, port = self._server.rpartition(":")
        if kind in ("json", "listen"):
            options = ["--json"] if kind == "json" else []
            words = self._words("listen", *options, "-n", self.name, "--server", self._server)
        else:
            words = self._words(host, port, "-n", self.name)
        if kind in _TERMINALS:
            env = {**self._launch.env, "TERM": _TERMINALS[kind]}
            launch = structs.replace(self._launch, env=env)
            self._program = TerminalProgram(words, self.directory, launch, self._take_line)
        else:
            self._program = Program(words, self.directory, self._launch, self._take_line)

    def kill(self) -> int:
        """End the program with kill -9; give how it ended."""
        assert self._program is not None
        status = self._program.kill()
        with self._ledger.news:
            last = self._life if self._kind == "line" else self._life[-1:]
            self._again = last + self._again
        self._end()
        return status

    def quit(self) -> int:
        """End the program as its user does; give how it ended.

        Raises:
            Ended: it does not end.
        """
        program = self._program
        assert program is not None
        typed, stored = self._typed, self._kind == "pipe"
        status = program.finish() if self._kind in TYPED else program.stop()
        self._end()  # what it did not come to show again, it has left for the next one
        if stored and status == 0 and (open_ := [uid for uid in typed if uid in self._open]):
            self._ledger.odd(f"pipe mode ended with 0, and {open_[0]} is not stored")
        return status

    def _end(self) -> None:
        """Look at what the program has left behind."""
        assert self._program is not None
        for line in self._program.errors:
            self._take_complaint(line)
        self._typed = []
        self.look()

    def close(self) -> None:
        """Leave nothing running."""
        if self._program is not None:
            self._program.kill()

    # --- what is shown ----------------------------------------------------------------------------

    def _take_line(self, line: str) -> None:
        if self._kind == "json":
            record = json.loads(line)
            self._take_shown(record["from"], record["text"], seq=record["seq"])
            return
        line = plain(line)
        self._take_complaint(line)
        if (found := _SHOWN.search(line)) is not None:
            self._take_shown(found[1], found[2])

    def _take_complaint(self, line: str) -> None:
        if _MISSING in line:
            self._ledger.odd(f"{self.device} was told: {line}")
        elif "Traceback" in line:
            self._ledger.odd(f"{self._kind} of {self.device} ended in a traceback")

    def _take_shown(self, sender: str, text: str, seq: int = 0) -> None:
        whole = self._kind == "json" or self._kind in _IN_WHOLE
        uid = lines.uid_of(text)
        with self._ledger.news:
            self._life.append(uid)
            self.shown += 1
            if self._is_repeat(uid):
                self.repeats += 1
                return
            shown = Displayed(
                self._ledger.now_s(), self.name, self.device, uid, sender, seq,
                digest=digest(text) if whole else "",
            )  # fmt: skip
            self._ledger.displayed(shown)
            self._ledger.news.notify_all()

    def _is_repeat(self, uid: str) -> bool:
        """Tell whether this is what the killed program before may have left behind."""
        if not self._begun_again:
            self._begun_again = True
            if uid in self._again:
                del self._again[: self._again.index(uid)]
            else:
                self._again = []
        if self._again[:1] != [uid]:
            return False
        del self._again[0]
        return True

    def wait_shown(self, count: int, timeout_s: float) -> bool:
        """Wait until the running program has shown so many messages; tell whether it has."""
        return self._ledger.wait(lambda: self.shown >= count or not self.is_up, timeout_s)

    # --- what it writes ---------------------------------------------------------------------------

    def say(self, to: str, size_bytes: int) -> None:
        """Type a message at the running program."""
        assert self._kind in TYPED, f"{self._kind} takes no input"
        assert self._program is not None
        uid, text = self._write(to, size_bytes)
        self._typed.append(uid)
        self._program.say(f"@{to} {text}")

    def send(self, to: str, size_bytes: int, killed_after_s: float = 0.0) -> None:
        """Send a message by `jim send`; killed, it is repeated under the same key as by a script.

        Raises:
            Ended: it did not send.
        """
        self.send_rest()  # what is older goes first
        uid, _ = self._write(to, size_bytes)
        if killed_after_s:
            sending = self._begin_send(uid)
            self._ledger.wait(lambda: sending.status is not None, killed_after_s)
            sending.kill()
        self._send(uid)

    def send_rest(self) -> None:
        """Send what was typed and was not queued when the program was killed.

        Raises:
            Ended: `jim send` did not send.
        """
        self.look()
        for uid in [uid for uid in self._open if uid not in self._numbers]:
            self._send(uid)

    def _send(self, uid: str) -> None:
        sending = self._begin_send(uid)
        if sending.wait():
            raise Ended(f"jim send: {sending.last_words()}")
        self.look()
        if uid in self._open:
            self._ledger.odd(f"jim send ended with 0, and {uid} is not stored")

    def _begin_send(self, uid: str) -> Program:
        to, text = self._open[uid]
        return self._run("send", to, text, "--id", uid, "-n", self.name, "--server", self._server)

    def _write(self, to: str, size_bytes: int) -> tuple[str, str]:
        self._written += 1
        uid = f"{self.name}-{self.device[:4]}-{self._written}"
        text = lines.text_of(uid, size_bytes).rstrip()
        self._ledger.written(uid, self.name, self.device, to, digest(text))
        self._open[uid] = (to, text)
        return uid, text

    def look(self) -> None:
        """Read in the store what has become of own messages, and which copies have come.

        What other devices of the account have sent is kept, for `jim history`, and not printed.
        """
        path = next(self.data_dir.glob(f"accounts/*/{self.name}/{STORE_FILE}"))
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=DEADLINE_S)) as store:
            rows = store.execute(_OUTGOING, (self._decided_id,)).fetchall()
        everything_decided = True
        for message_id, device, text, state, seq, n, code in rows:
            uid = lines.uid_of(text)
            known = self._numbers.get(uid)
            self._numbers[uid] = message_id
            if known not in (None, message_id):
                self._ledger.odd(f"{self.device} has {uid} as number {known} and {message_id}")
            if device == self.device:
                everything_decided &= self._take_own(uid, state, seq, n, code)
            elif known is None:
                self._take_copy(uid, digest(text))
            if everything_decided:
                self._decided_id = message_id

    def _take_own(self, uid: str, state: str, seq: int, n: int, code: str | None) -> bool:
        """Take the state of an own message; tell whether it is decided."""
        is_decided = state in _ACKED or state == _REFUSED
        if uid not in self._open:
            if not is_decided:
                self._ledger.odd(f"✓ of {uid} was taken back: {self.device} sends it again")
        elif is_decided:
            del self._open[uid]
            if state in _ACKED:
                self._ledger.acked(uid, seq, n)
            else:
                self._ledger.failed(uid, code or "")
        return is_decided

    def _take_copy(self, uid: str, text_digest: str) -> None:
        now_s = self._ledger.now_s()
        # Without its place: when it is looked at has nothing to do with when it came.
        self._ledger.displayed(
            Displayed(now_s, self.name, self.device, uid, self.name, 0, digest=text_digest)
        )
