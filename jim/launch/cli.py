"""The command line of the launcher: read the options, look around, start what the plan says."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jim import __version__
from jim.common.arguments import directory
from jim.common.constants import DEFAULT_PORT
from jim.decorators import log_calls
from jim.i18n import _, install_argparse
from jim.launch import headless, keeper, mux, tmux, windows
from jim.launch.plan import (
    LaunchError,
    Mode,
    Plan,
    Programs,
    Surroundings,
    UsageError,
    choose_mode,
    client_names,
    make_plan,
)
from jim.launch.processes import port_answers, speaks_jim
from jim.launch.screen import complain, say
from jim.launch.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USUAL_CLIENTS = 2
"""Two people who talk, side by side on a screen."""

PROGRAMS_LOOKED_FOR = ("tmux", "xdg-terminal-exec", "x-terminal-emulator")
DEFAULT_ADDRESS = "127.0.0.1"
"""A server started for trying it out listens on this machine only; `-a ""` means everywhere."""

DEFAULT_SESSION = "jim"

MAX_PORT = 65535
"""A port is 16 bits of the TCP header (RFC 9293, 3.1)."""

FAILURE, USAGE = 1, 2
"""The exit statuses of server and client for the same."""


@log_calls
def main(argv: Sequence[str] | None = None, programs: Programs | None = None) -> int:
    """Run the launcher and return its exit status.

    Args:
        argv: the arguments without the program's name; None means those of the process.
        programs: how server, client and launcher are called, for tests; None finds ours.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["--keep"]:
            return keeper.main(words[1:])
        return _launch(_parse(words), programs or find_programs(), look_around())
    except UsageError as error:
        complain(str(error))
        return USAGE
    except LaunchError as error:
        complain(str(error))
        return FAILURE
    except Interrupted as interrupted:
        return interrupted.status


def find_programs() -> Programs:
    """Return the scripts beside the package if this is a checkout, else the installed modules."""
    checkout = Path(__file__).resolve().parents[2]
    is_checkout = all((checkout / name).is_file() for name in ("pyproject.toml", "my_server.py"))
    return Programs.of(sys.executable, checkout if is_checkout else None)


def look_around() -> Surroundings:
    """Take the snapshot by which the mode is chosen."""
    return Surroundings(
        platform=sys.platform,
        terminal=sys.stdin.isatty() and sys.stdout.isatty(),
        environment=dict(os.environ),
        programs=frozenset(name for name in PROGRAMS_LOOKED_FOR if shutil.which(name)),
    )


@log_calls
def _parse(words: Sequence[str]) -> argparse.Namespace:
    install_argparse()
    parser = argparse.ArgumentParser(
        prog="jim-launch", description=_("Start a JIM server and several clients at once.")
    )
    add = parser.add_argument
    clients = _("number of clients (default: {usual}; of the demo: {demo})")
    clients = clients.format(usual=USUAL_CLIENTS, demo=headless.CLIENTS)
    add("-k", "--clients", type=int, metavar="N", help=clients)
    port = _("port (default: {port}; of the demo: a free one)").format(port=DEFAULT_PORT)
    add("-p", "--port", type=_port, metavar="PORT", help=port)
    add(
        "-a",
        "--address",
        "--ip",
        default=DEFAULT_ADDRESS,
        help=_("address to listen on; an empty one means everywhere (default: %(default)s)"),
    )
    add("--names", metavar="A,B", help=_("names of the clients (default: alice, bob, carol, ...)"))
    add(
        "--mode",
        choices=["auto", *(mode.value for mode in Mode)],
        default="auto",
        help=_(
            "tmux: panes; windows: a terminal window each; mux: all in this terminal; "
            "headless: a demo that checks itself (default: auto)"
        ),
    )
    add("--join", action="store_true", help=_("clients only, for a server that is running"))
    add(
        "--session",
        metavar="NAME",
        help=_("name of the tmux session (default: jim, or a window where tmux runs already)"),
    )
    add(
        "--data-dir",
        type=directory,
        metavar="DIR",
        help=_("keep all data here, not in the usual places"),
    )
    add("--dry-run", action="store_true", help=_("print the commands and start nothing"))
    add("--version", action="version", version=__version__, help=_("print the version and leave"))
    return parser.parse_args(words)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= MAX_PORT:
        raise argparse.ArgumentTypeError(_("from 1 to {most}").format(most=MAX_PORT))
    return port


_port.__name__ = "number"
"""What argparse calls the type in its errors."""


def _launch(options: argparse.Namespace, programs: Programs, around: Surroundings) -> int:
    mode = choose_mode(options.mode, around)
    if mode is Mode.HEADLESS:
        return _demonstrate(options, programs)
    plan = make_plan(
        programs,
        client_names(options.clients, options.names, usual=USUAL_CLIENTS),
        address=options.address,
        port=options.port or DEFAULT_PORT,
        data_dir=options.data_dir.absolute() if options.data_dir else None,
        join=options.join,
    )
    session = options.session or (None if around.in_tmux else DEFAULT_SESSION)
    if mode is Mode.TMUX and session is None:
        plan = plan.carrying(around.environment)
    if options.dry_run:
        return _print_all(_dry_run(mode, plan, around, session))
    if mode is Mode.TMUX and session is not None:
        tmux.refuse_second(plan, session)
    _check_port(plan)
    return _run(mode, plan, around, session)


def _demonstrate(options: argparse.Namespace, programs: Programs) -> int:
    for flag, given in (("--join", options.join), ("--data-dir", options.data_dir)):
        if given:
            text = _(
                "{flag} is not for the demo, which has a server and data of its own; without a "
                "terminal, choose another --mode"
            )
            raise UsageError(text.format(flag=flag))
    names = client_names(
        options.clients,
        options.names,
        usual=headless.CLIENTS,
        least=headless.LEAST_CLIENTS,
    )
    cast = headless.Cast(names, options.address, options.port)
    if options.dry_run:
        return _print_all(headless.dry_run(programs, cast))
    return headless.run(programs, cast)


def _dry_run(mode: Mode, plan: Plan, around: Surroundings, session: str | None) -> Iterable[str]:
    if mode is Mode.TMUX:
        return tmux.dry_run(plan, session)
    return windows.dry_run(plan, around) if mode is Mode.WINDOWS else mux.dry_run(plan)


def _run(mode: Mode, plan: Plan, around: Surroundings, session: str | None) -> int:
    if mode is Mode.TMUX:
        attach = around.terminal and not around.in_tmux
        return tmux.run(plan, session, attach=attach)
    return windows.run(plan, around) if mode is Mode.WINDOWS else mux.run(plan)


def _check_port(plan: Plan) -> None:
    """Refuse to start a server on a port in use, or to join where nobody listens."""
    answers = port_answers(plan.host, plan.port)
    if plan.server is None:
        if not answers:
            raise LaunchError(
                _("no server answers on {host}:{port}").format(host=plan.host, port=plan.port)
            )
    elif answers and speaks_jim(plan.host, plan.port):
        raise LaunchError(
            _(
                "a JIM server is running on port {port} already: add --join to start clients "
                "for it, or choose another port with -p"
            ).format(port=plan.port)
        )
    elif answers:
        raise LaunchError(
            _("another program uses port {port}: choose another one with -p").format(port=plan.port)
        )


def _print_all(lines: Iterable[str]) -> int:
    for line in lines:
        say(line)
    return 0
