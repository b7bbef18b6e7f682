"""Decide what to start and how it is shown; pure, so that every case can be tested anywhere.

Nothing here starts a process, opens a file or looks at the environment: `Surroundings` is handed
in.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim import i18n
from jim.core.names import normalise
from jim.errors import LocalError, NameInvalid
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIRST_NAMES: Final = ("alice", "bob", "carol", "dave")
MAX_CLIENTS: Final = 16
"""The server's limit of connections from one address (security.md, "Limits")."""

EVERYWHERE: Final = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104  (compared, not bound)
"""Addresses to listen on that are none to connect to."""


class LaunchError(LocalError):
    """Nothing could be started, or not everything; the text is for the user, translated."""

    text = "the launcher could not start everything"


class UsageError(LaunchError):
    """The command line asks for what cannot be, whatever the machine; the exit status is 2."""

    text = "the launcher was called wrongly"


class Mode(StrEnum):
    """Where server and clients are shown."""

    TMUX = "tmux"
    WINDOWS = "windows"
    MUX = "mux"
    HEADLESS = "headless"


@dataclass(frozen=True)
class Surroundings:
    """What decides the mode: a snapshot of the machine, the terminal and the environment."""

    platform: str
    terminal: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()

    @property
    def in_tmux(self) -> bool:
        """Whether we run inside a pane of tmux."""
        return bool(self.environment.get("TMUX")) and "tmux" in self.programs

    @property
    def screen_is_dumb(self) -> bool:
        """Whether the terminal cannot move its cursor, as tmux needs."""
        return self.environment.get("TERM", "") in {"", "dumb"}


@dataclass(frozen=True)
class Command:
    """A program to start: its arguments and what its environment has besides ours."""

    argv: tuple[str, ...]
    extra: tuple[tuple[str, str], ...] = ()

    def packed(self) -> tuple[str, ...]:
        """Return one argument list that sets the extra environment too, by `env`."""
        if not self.extra:
            return self.argv
        return ("env", *(f"{name}={value}" for name, value in self.extra), *self.argv)

    def shell(self) -> str:
        """Return the command as one would type it."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.extra]
        return " ".join([*settings, shlex.join(self.argv)])


PLACES: Final = ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""Variables that say where our programs keep things (platformdirs), besides those of our own."""

SPEECH: Final = (*i18n.ENVIRONMENT, "LC_CTYPE")
"""Variables that say how they speak, and in which encoding."""

OWN: Final = "JIM_"
"""How variables of our own begin."""


@dataclass(frozen=True)
class Programs:
    """How server, client and launcher are called; tests put programs of their own here."""

    server: tuple[str, ...]
    client: tuple[str, ...]
    launcher: tuple[str, ...]

    @classmethod
    def of(cls, python: str, checkout: Path | None) -> Programs:
        """Return the scripts of a checkout, or the modules of an installed package."""
        if checkout is None:
            modules = ("jim.server", "jim.client", "jim.launch")
            return cls(*((python, "-m", module) for module in modules))
        scripts = ("my_server.py", "my_client.py", "launcher.py")
        return cls(*((python, str(checkout / script)) for script in scripts))


@dataclass(frozen=True)
class Plan:
    """Everything that is to be started. `server` is None where one is running already."""

    host: str
    port: int
    server: Command | None
    clients: Mapping[str, Command]
    launcher: tuple[str, ...]

    def carrying(self, environment: Mapping[str, str]) -> Plan:
        """Give the plan for programs that somebody else starts, who has an environment of theirs.

        A tmux that runs already gives its panes the one of its own start, and somebody may have
        chosen another language or other directories since.
        """
        wanted = {*PLACES, *SPEECH, *(name for name in environment if name.startswith(OWN))}
        here = {name: value for name, value in environment.items() if name in wanted}
        carried = tuple(sorted({**dict.fromkeys(SPEECH, ""), **here}.items()))

        def carry(command: Command) -> Command:
            return Command(command.argv, (*carried, *command.extra))

        clients = {name: carry(command) for name, command in self.clients.items()}
        server = None if self.server is None else carry(self.server)
        return replace(self, server=server, clients=clients)

    def keeper(self, role: str, command: Command, *options: str) -> Command:
        """Wrap a command into a keeper (`jim.launch.keeper`) for its pane or window."""
        argv = (*self.launcher, "--keep", role, *options, "--", *command.argv)
        return Command(argv, command.extra)


def choose_mode(wanted: str, around: Surroundings) -> Mode:
    """Return the mode to use.

    Raises:
        LaunchError: the wanted mode is not possible here.
    """
    if wanted != "auto":
        mode = Mode(wanted)
        _check_possible(mode, around)
        return mode
    if not around.terminal:
        return Mode.HEADLESS
    if "tmux" in around.programs and (around.in_tmux or not around.screen_is_dumb):
        return Mode.TMUX
    if around.platform in {"win32", "darwin"} or terminal_program(around):
        return Mode.WINDOWS
    return Mode.MUX


def _check_possible(mode: Mode, around: Surroundings) -> None:
    if mode is Mode.TMUX and "tmux" not in around.programs:
        raise LaunchError(_("tmux is not installed; use --mode mux or --mode windows"))
    if mode is Mode.MUX and around.platform == "win32":
        raise LaunchError(_("--mode mux does not work on Windows; use --mode windows"))
    windows_possible = around.platform in {"win32", "darwin"} or terminal_program(around)
    if mode is Mode.WINDOWS and not windows_possible:
        raise LaunchError(
            _("no program to open terminal windows was found; set $TERMINAL or use --mode mux")
        )


def terminal_program(around: Surroundings) -> tuple[str, ...] | None:
    """Return the words before a command that open it in a window of a Unix desktop, or None."""
    if not (around.environment.get("DISPLAY") or around.environment.get("WAYLAND_DISPLAY")):
        return None
    if "xdg-terminal-exec" in around.programs:
        return ("xdg-terminal-exec",)
    chosen = shlex.split(around.environment.get("TERMINAL", ""))
    if chosen:
        return (*chosen, "--" if Path(chosen[0]).name == "gnome-terminal" else "-e")
    if "x-terminal-emulator" in around.programs:
        return ("x-terminal-emulator", "-e")
    return None


def client_names(number: int | None, given: str | None, *, usual: int, least: int = 1) -> list[str]:
    """Return the names of the clients: those given, then alice, bob, carol, dave, user5, ...

    Args:
        number: how many clients; None means as many as names are given, or `usual`.
        given: names separated by commas, or None.
        usual: how many clients where nobody says anything.
        least: how many there have to be.

    Raises:
        UsageError: too few or too many clients, a name twice, or something that can be no name.
    """
    names = [_checked(name.strip()) for name in given.split(",")] if given is not None else []
    if len(set(names)) != len(names):
        raise UsageError(_("--names has a name twice"))
    wanted = number if number is not None else len(names) or usual
    if not least <= wanted <= MAX_CLIENTS:
        raise UsageError(
            _("the number of clients must be between {least} and {most}").format(
                least=least, most=MAX_CLIENTS
            )
        )
    spare = (name for name in _default_names() if name not in names)
    return [*names, *(next(spare) for _index in range(wanted - len(names)))][:wanted]


def _checked(name: str) -> str:
    """Return the name as the server will have it."""
    try:
        return normalise(name)
    except NameInvalid:
        raise UsageError(_("{name!r} cannot be a user's name").format(name=name)) from None


def _default_names() -> Iterator[str]:
    yield from FIRST_NAMES
    yield from (f"user{number}" for number in count(len(FIRST_NAMES) + 1))


def make_plan(
    programs: Programs,
    names: Sequence[str],
    *,
    address: str,
    port: int,
    data_dir: Path | None = None,
    join: bool = False,
) -> Plan:
    """Build the commands.

    Args:
        programs: how our programs are called.
        names: the users, one client each.
        address: where the server listens; if that is everywhere, clients use localhost.
        port: the server's TCP port.
        data_dir: where server and clients keep their data instead of the usual places.
        join: start clients only, for a server that is running.
    """
    host = "localhost" if address in EVERYWHERE else address
    server = None if join else _server_command(programs, address, port, data_dir)
    extra = () if data_dir is None else (("JIM_DATA_DIR", str(data_dir / "clients")),)
    clients = {
        name: Command((*programs.client, host, str(port), "-n", name), extra) for name in names
    }
    return Plan(host, port, server, clients, programs.launcher)


def _server_command(programs: Programs, address: str, port: int, data_dir: Path | None) -> Command:
    argv = [*programs.server, "-p", str(port)]
    if address not in {"", "*"}:
        argv += ["-a", address]
    if data_dir is not None:
        argv += ["--data-dir", str(data_dir / "server")]
    return Command(tuple(argv))
