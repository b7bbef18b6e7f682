"""Show server and clients in tiled panes of tmux: our own session, or a window of the user's.

tmux owns the panes: they go on when the user detaches or closes the terminal, which is what people
use tmux for. Each session of ours has a tmux server of its own (`-L NAME`) that reads no
configuration, so that nothing of the user's can break it or be broken. When we are gone, the keeper
of the server's pane (`jim.launch.keeper`) ends the server with its pane and the clients with the
server. A pane whose program failed stays open with its error. Needs tmux 3.0 (pane options).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jim.i18n import _
from jim.launch.keeper import STATUS_OPTION
from jim.launch.plan import LaunchError
from jim.launch.processes import wait_for_port
from jim.launch.screen import say
from jim.launch.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.launch.plan import Command, Plan

SERVER: Final = "server"
"""What stands over the server's pane, and its name among the panes."""

PRINT_ID: Final = ("-P", "-F", "#{pane_id}")


@dataclass(frozen=True)
class Step:
    """One call of tmux. `@name` in `argv` stands for a pane; `makes` is the pane it prints."""

    argv: tuple[str, ...]
    makes: str = ""

    def with_panes(self, panes: dict[str, str]) -> tuple[str, ...]:
        """Return the arguments with the ids of the panes."""
        return tuple(
            panes.get(word[1:], word) if word.startswith("@") else word for word in self.argv
        )

    def shell(self, variables: dict[str, str]) -> str:
        """Return the step as a line of shell, panes being variables."""
        words = [
            f'"${variables[word[1:]]}"'
            if word[:1] == "@" and word[1:] in variables
            else shlex.quote(word)
            for word in self.argv
        ]
        line = " ".join(words)
        return f"{variables[self.makes]}=$({line})" if self.makes else line


class Layout:
    """The tmux calls that show a plan; pure."""

    def __init__(self, plan: Plan, session: str | None) -> None:
        """Show `plan` in a new session of that name, or in the session that we are in."""
        self._plan = plan
        self._session = session
        self.tmux = ("tmux",) if session is None else ("tmux", "-L", session)
        self.server_name = "" if plan.server is None else SERVER

    def server_steps(self) -> Iterator[Step]:
        """Yield what opens the window with the server's pane."""
        if self._plan.server is not None:
            command = self._plan.keeper("server", self._plan.server)
            yield from self._first_pane(self.server_name, command)

    def client_steps(self) -> Iterator[Step]:
        """Yield what adds a pane for each client and shows the window."""
        last = self.server_name
        for name, bare in self._plan.clients.items():
            command = self._plan.keeper("client", bare)
            if last:
                split = ("split-window", "-d", "-t", f"@{last}", *PRINT_ID, *command.packed())
                yield self._step(*split, makes=name)
                yield self._step("set-option", "-p", "-t", f"@{name}", "@jim", name)
                yield self._step("select-layout", "-t", f"@{last}", "tiled")
            else:
                yield from self._first_pane(name, command)
            last = name
        chosen = next(iter(self._plan.clients))
        yield self._step("select-pane", "-t", f"@{chosen}")
        yield self._step("select-window", "-t", f"@{chosen}")

    def attach(self) -> tuple[str, ...]:
        """Return the command that shows the session."""
        return (*self.tmux, "attach-session", "-t", f"={self._session}")

    def stop(self, pane: str) -> tuple[str, ...]:
        """Return the command that ends everything; `pane` is any pane of ours."""
        if self._session is None:
            return (*self.tmux, "kill-window", "-t", pane)
        return (*self.tmux, "kill-session", "-t", f"={self._session}")

    def _first_pane(self, name: str, command: Command) -> Iterator[Step]:
        new: tuple[str, ...]
        if self._session is None:
            new = ("new-window", "-d", "-n", "jim")
        else:
            size = ("-x", "160", "-y", "48")  # until somebody attaches
            new = ("-f", os.devnull, "new-session", "-d", "-s", self._session, "-n", "jim", *size)
        yield self._step(*new, *PRINT_ID, *command.packed(), makes=name)
        yield self._step("set-option", "-p", "-t", f"@{name}", "@jim", name)
        yield self._step("set-option", "-w", "-t", f"@{name}", "pane-border-status", "top")
        yield self._step("set-option", "-w", "-t", f"@{name}", "pane-border-format", " #{@jim} ")
        if self._session is not None:
            yield self._step("set-option", "-g", "mouse", "on")
            hint = " " + _("Ctrl+b d: leave it running · Ctrl+b arrow: next pane") + " "
            yield self._step("set-option", "-g", "status-right-length", "80")
            yield self._step("set-option", "-g", "status-right", hint)

    def _step(self, *words: str, makes: str = "") -> Step:
        return Step((*self.tmux, *words), makes)


def dry_run(plan: Plan, session: str | None) -> Iterator[str]:
    """Yield the lines of shell that would do what `run` does."""
    layout = Layout(plan, session)
    names = [*filter(None, [layout.server_name]), *plan.clients]
    variables = {name: f"pane{index}" for index, name in enumerate(names)}
    for step in layout.server_steps():
        yield step.shell(variables)
    if plan.server is not None:
        yield "# " + _("wait until port {port} answers").format(port=plan.port)
    for step in layout.client_steps():
        yield step.shell(variables)
    if session is not None:
        yield shlex.join(layout.attach())


def run(plan: Plan, session: str | None, *, attach: bool) -> int:
    """Open the panes and return when the user leaves them, or at once when not attaching.

    Args:
        plan: what to start.
        session: the name of a new session, or None for a window in the session that we are in.
        attach: whether to show the new session in this terminal.

    Raises:
        LaunchError: tmux fails, or the server ended at once.
        Interrupted: a signal came before everything stood.
    """
    layout = Layout(plan, session)
    panes: dict[str, str] = {}
    with Stop() as stop:
        try:
            _open(layout, plan, panes, stop)
        except BaseException:
            if panes:
                _call(layout.stop(next(iter(panes.values()))))
            raise
    _explain(layout, panes, session)
    return _show(layout, panes) if attach and session is not None else 0


def _open(layout: Layout, plan: Plan, panes: dict[str, str], stop: Stop) -> None:
    for step in layout.server_steps():
        _do(step, panes)
    if plan.server is not None:
        wait_for_port(plan.host, plan.port, stop, lambda: _server_runs(layout, panes))
        _check_server(layout, panes)
    for step in layout.client_steps():
        stop.check()
        _do(step, panes)
    if plan.server is not None:  # its end in the meantime has not closed the panes made since
        _check_server(layout, panes)


def refuse_second(plan: Plan, session: str) -> None:
    """Raise `LaunchError`, with what to do, if the session exists already."""
    layout = Layout(plan, session)
    found = _call((*layout.tmux, "list-panes", "-s", "-t", f"={session}", "-F", "#{@jim}"))
    if found.returncode == 0:
        raise LaunchError(
            _(
                "the session {session} is running already: {names}. Show it: {attach}. "
                "Stop it: {stop}. Start another beside it: --session NAME and another --port"
            ).format(
                session=session,
                names=", ".join(found.stdout.split()),
                attach=shlex.join(layout.attach()),
                stop=shlex.join(layout.stop("")),
            )
        )


def _explain(layout: Layout, panes: dict[str, str], session: str | None) -> None:
    if session is not None:
        say(_("Show it: {command}").format(command=shlex.join(layout.attach())))
    stop = shlex.join(layout.stop(next(iter(panes.values()))))
    say(_("Stop everything: {command}").format(command=stop))


def _show(layout: Layout, panes: dict[str, str]) -> int:
    status = subprocess.call(layout.attach())  # noqa: S603
    pane = next(iter(panes.values()))
    if pane not in _call((*layout.tmux, "list-panes", "-a", "-F", "#{pane_id}")).stdout.split():
        return 0
    if status != 0:  # tmux has said why; nobody sees the session, so it must not stay
        _call(layout.stop(pane))
        return 1
    say(_("Server and clients are still running."))
    return 0


def _do(step: Step, panes: dict[str, str]) -> None:
    done = _call(step.with_panes(panes))
    if done.returncode != 0:
        raise LaunchError(_("tmux: {reason}").format(reason=done.stderr.strip()))
    if step.makes:
        panes[step.makes] = done.stdout.strip()


def _server_runs(layout: Layout, panes: dict[str, str]) -> bool:
    """Tell whether the server's keeper is there and has noted no end of the server."""
    shape = f"#{{pane_id}} #{{{STATUS_OPTION}}}"
    listed = _call((*layout.tmux, "list-panes", "-a", "-F", shape)).stdout
    return f"{panes[SERVER]} " in listed.split("\n")


def _check_server(layout: Layout, panes: dict[str, str]) -> None:
    if _server_runs(layout, panes):
        return
    shown = _call((*layout.tmux, "capture-pane", "-p", "-S", "-", "-t", panes[SERVER])).stdout
    lines = [line for line in shown.split("\n") if line.strip()]
    raise LaunchError(_("the server ended at once:\n{text}").format(text="\n".join(lines[-12:])))


def _call(argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        argv, check=False, capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
