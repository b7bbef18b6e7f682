"""Show without a terminal that the main job works: the demo that checks itself.

A server and its clients, real processes with data in a temporary directory, never the user's;
unless told otherwise alice, bob and carol, on a free port of this machine. The first two write to
each other in English and Russian; the others must see nothing. What each saw is printed and
compared; the status is 0 only if all of it is right.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from jim.client.console import view
from jim.client.console.lines import as_text
from jim.client.console.text import safe_line
from jim.i18n import _, ngettext_
from jim.launch.plan import Command, LaunchError, make_plan
from jim.launch.ports import free_port
from jim.launch.processes import end, exit_status, port_answers, spawn, wait_for_port
from jim.launch.screen import say
from jim.launch.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jim.launch.plan import Plan, Programs

CLIENTS: Final = 3
"""Unless told otherwise: two who talk, and one who must see nothing of it."""

LEAST_CLIENTS: Final = 2
"""Two who talk."""

START_S: Final = 60.0
"""For server and clients to start, which takes about 2 s; a loaded machine with sixteen clients
needs twenty times that."""

TALK_S: Final = 30.0
"""For the messages to arrive, which takes less than a second."""

END_S: Final = 30.0
"""For all to end by themselves, which takes less than a second each, all at once."""

POLL_S: Final = 0.02
"""Between two looks at the files into which the children write."""

THERE: Final = "Hello! Can you read this?", "Привет! А так — читается? 👍"
BACK: Final = "Loud and clear.", "Да, каждая буква: съешь ещё этих мягких французских булок."
"""What the two write to each other: both directions at once, both languages."""

KEPT_SETTINGS: Final = frozenset({"JIM_LANG"})
"""Settings of the user's that the children see; others could change what they do."""


class Cast(NamedTuple):
    """Who plays, two at least, and where: the address that the server listens on, and its port."""

    names: Sequence[str]
    address: str
    port: int | None
    """None: one that is free."""

    def talk(self) -> list[tuple[str, str, str]]:
        """Give what is said: who writes what to whom."""
        one, other = self.names[:2]
        turns = zip(THERE, BACK, strict=True)
        return [turn for a, b in turns for turn in ((one, other, a), (other, one, b))]


@dataclass
class Actor:
    """A child whose output goes into files, so that it can never block on us."""

    name: str
    directory: Path
    child: subprocess.Popen[bytes]
    sent: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the complete lines of its standard output so far."""
        return _read(self.directory / f"{self.name}.out").split("\n")[:-1]

    def saw(self, cast: Cast) -> list[str]:
        """Return those of its lines that show a message, and those that show a stranger's text."""
        heads = tuple(_head(name) for name in cast.names)
        strange = [text for *people, text in cast.talk() if self.name not in people]
        return [
            line
            for line in self.lines()
            if line.startswith(heads) or any(text in line for text in strange)
        ]

    def complaints(self) -> str:
        """Return its standard error so far."""
        return _read(self.directory / f"{self.name}.err")

    def type(self, *lines: str) -> None:
        """Write lines to its standard input."""
        assert self.child.stdin is not None  # noqa: S101  (spawned with a pipe)
        try:
            self.child.stdin.write("".join(line + "\n" for line in lines).encode())
            self.child.stdin.flush()
        except OSError:  # it has ended; what it did not do is found out later
            return


class Demo:
    """One performance."""

    def __init__(self, programs: Programs, cast: Cast, stop: Stop, directory: Path) -> None:
        """Use `directory` for all data and output; `programs` are the real ones or a test's."""
        self._cast = cast
        self._stop = stop
        self._directory = directory
        self._plan = _plan(programs, cast, directory)
        self._actors: dict[str, Actor] = {}

    def perform(self) -> list[str]:
        """Play it and return what was wrong, nothing if all was right.

        Raises:
            LaunchError: a program could not be started or ended at once.
            Interrupted: a signal came.
        """
        try:
            self._raise_curtain()
            self._talk()
            problems = [*self._leave(), *self._stop_server()]
        finally:
            self._end()
        return [*problems, *self._differences()]

    def report(self) -> Iterator[str]:
        """Yield the lines that show what each client saw."""
        for name in self._cast.names:
            lines = self._actors[name].saw(self._cast) if name in self._actors else []
            if lines:
                yield _("{name} saw:").format(name=name)
                yield from ("    " + safe_line(line) for line in lines)
            else:
                yield _("{name} saw nothing.").format(name=name)

    def _raise_curtain(self) -> None:
        assert self._plan.server is not None  # noqa: S101  (planned without join)
        host, port = self._plan.host, self._plan.port
        server = self._enter("server", self._plan.server)
        up = wait_for_port(host, port, self._stop, lambda: server.child.poll() is None, START_S)
        if not up:
            raise LaunchError(
                _("the server ended at once:\n{text}").format(text=server.complaints())
            )
        say(_("The server listens on {host}:{port}.").format(host=host, port=port))
        for name, command in self._plan.clients.items():
            self._enter(name, command)
        for name in self._cast.names:
            if not self._connects(self._actors[name]):
                raise LaunchError(
                    _("{name} could not connect:\n{text}").format(
                        name=name, text=self._actors[name].complaints()
                    )
                )

    def _connects(self, actor: Actor) -> bool:
        self._wait(lambda: is_connected(actor) or actor.child.poll() is not None, START_S)
        return is_connected(actor)

    def _talk(self) -> None:
        for writer, reader, text in self._cast.talk():
            say(f"{writer} → {reader}: {text}")
            self._actors[writer].type("1", reader, text)
        self._wait(self._complete, TALK_S)

    def _leave(self) -> Iterator[str]:
        """Let the clients leave; all that was on its way to one has arrived when it is gone."""
        clients = [self._actors[name] for name in self._cast.names]
        for actor in clients:
            actor.type("3")
        self._wait(lambda: all(actor.child.poll() is not None for actor in clients), END_S)
        for actor in clients:
            yield from _bad_end(actor)

    def _stop_server(self) -> Iterator[str]:
        server = self._actors["server"]
        server.child.send_signal(signal.SIGTERM)
        self._wait(lambda: server.child.poll() is not None, END_S, server_may_end=True)
        if os.name == "posix":  # elsewhere a program is stopped without being asked
            yield from _bad_end(server)

    def _differences(self) -> Iterator[str]:
        """Say what each saw too little, too much, twice or out of order."""
        for name in self._cast.names:
            lines = self._actors[name].saw(self._cast)
            meant = [(writer, text) for writer, to, text in self._cast.talk() if to == name]
            for writer, text in meant:
                if not _shown(lines, writer, text):
                    yield _("{reader} did not get this from {writer}: {text}").format(
                        reader=name, writer=writer, text=text
                    )
            for line in lines:
                if not any(_shown([line], *message) for message in meant):
                    yield _("{name} saw what was not meant for them: {line}").format(
                        name=name, line=safe_line(line)
                    )
            seen = [text for line in lines for _writer, text in meant if text in line]
            if len(seen) > 1 and seen != [text for _writer, text in meant]:
                yield _("{name} saw messages twice or out of order").format(name=name)

    def _complete(self) -> bool:
        return all(
            _shown(self._actors[reader].saw(self._cast), writer, text)
            for writer, reader, text in self._cast.talk()
        )

    def _enter(self, name: str, command: Command) -> Actor:
        out, err = self._directory / f"{name}.out", self._directory / f"{name}.err"
        stdin = subprocess.DEVNULL if name == "server" else subprocess.PIPE
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = spawn(
                command, stdin=stdin, stdout=stdout, stderr=stderr, environment=self._environment()
            )
        self._actors[name] = Actor(name, self._directory, child)
        return self._actors[name]

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("JIM_") or name in KEPT_SETTINGS
        }
        names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "JIM_LOG_DIR")
        places = {name: str(self._directory / "other") for name in names}
        return {**kept, **places, "PYTHONIOENCODING": "utf-8"}

    def _wait(
        self, done: Callable[[], bool], limit_s: float, *, server_may_end: bool = False
    ) -> bool:
        """Wait until it is done, the server has ended or the time is over."""
        server, deadline = self._actors["server"].child, time.monotonic() + limit_s
        while not done():
            late = time.monotonic() >= deadline
            if late or (server.poll() is not None and not server_may_end):
                return done()
            self._stop.pause(POLL_S)
        return True

    def _end(self) -> None:
        end(actor.child for name, actor in self._actors.items() if name != "server")
        end(actor.child for actor in self._actors.values())
        for actor in self._actors.values():
            _close(actor.child.stdin)


def is_connected(actor: Actor) -> bool:
    """Tell whether a client says that it is logged in."""
    said = as_text(view.connected()[0])
    return said in actor.complaints() or any(said in line for line in actor.lines())


def _head(name: str) -> str:
    """Return what stands before a message of that person on a client's screen."""
    return _("Message from {name}: ").format(name=name)


def _shown(lines: list[str], writer: str, text: str) -> bool:
    return any(line.startswith(_head(writer)) and text in line for line in lines)


def run(programs: Programs, cast: Cast) -> int:
    """Perform the demo, print what happened and return the exit status.

    Raises:
        LaunchError: the port is in use, or a program could not be started or ended at once.
    """
    started = time.monotonic()
    with Stop() as stop, tempfile.TemporaryDirectory(prefix="jim-demo-") as directory:
        demo = Demo(programs, cast, stop, Path(directory))
        text = ngettext_(
            "Demo: a server and {count} client as real processes, with data of their own.",
            "Demo: a server and {count} clients as real processes, with data of their own.",
            len(cast.names),
        )
        say(text.format(count=len(cast.names)))
        problems = demo.perform()
        for line in demo.report():
            say(line)
    for problem in problems:
        say(_("WRONG: {problem}").format(problem=problem))
    if not problems:
        say(
            _("All of it arrived, and only where it should ({seconds:.1f} s).").format(
                seconds=time.monotonic() - started
            )
        )
    return 1 if problems else 0


def dry_run(programs: Programs, cast: Cast) -> Iterator[str]:
    """Yield the commands that `run` starts; port 0 and DIRECTORY are not chosen before it does."""
    plan = make_plan(
        programs,
        cast.names,
        address=cast.address,
        port=cast.port or 0,
        data_dir=Path("DIRECTORY"),
    )
    if plan.server is not None:
        yield plan.server.shell()
    for command in plan.clients.values():
        yield command.shell()


def _plan(programs: Programs, cast: Cast, directory: Path) -> Plan:
    plan = make_plan(
        programs, cast.names, address=cast.address, port=cast.port or 0, data_dir=directory
    )
    if cast.port is None:
        return _plan(programs, cast._replace(port=free_port(plan.host)), directory)
    if port_answers(plan.host, plan.port):
        raise LaunchError(
            _("another program uses port {port}: choose another one with -p").format(port=plan.port)
        )
    return plan


def _bad_end(actor: Actor) -> Iterator[str]:
    if actor.child.poll() is None:
        yield _("{name} did not end").format(name=actor.name)
    elif actor.child.returncode != 0:
        yield _("{name} ended with status {status}: {text}").format(
            name=actor.name, status=exit_status(actor.child), text=_last_line(actor.complaints())
        )


def _last_line(text: str) -> str:
    return safe_line(text.strip().rpartition("\n")[2])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return
