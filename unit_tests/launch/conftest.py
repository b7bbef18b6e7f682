"""What the launcher's tests share: programs that stand in for ours, and waiting for effects."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jim.launch.plan import Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
FAKES = Path(__file__).parent / "fakes"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    return Programs(
        server=(sys.executable, str(FAKES / "fake_server.py")),
        client=(sys.executable, str(FAKES / "fake_client.py")),
        launcher=(sys.executable, "-m", "jim.launch"),
    )


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until


def wait_until(condition: Callable[[], object], what: str = "", limit_s: float = 30.0) -> None:
    """Wait for an effect in another process, looking often; fail when it does not come."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {limit_s} s: {what}")
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process still does anything; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def launcher_driver(programs: Programs, *arguments: str) -> list[str]:
    """Return the command of a launcher process that starts the stand-ins."""
    code = (
        "import sys; from jim.launch.cli import main; from jim.launch.plan import Programs; "
        f"sys.exit(main({list(arguments)!r}, {programs!r}))"
    )
    return [sys.executable, "-c", code]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, **extra}


@contextlib.contextmanager
def running_server(programs: Programs, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a stand-in server that the launcher has not started."""
    server = subprocess.Popen([*programs.server, "-p", str(port)], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield server
    finally:
        server.kill()
        server.communicate()
