"""The window is closed, or ssh is cut: the program ends by itself, and says how."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from ptyprocess import PtyProcess

from unit_tests.support.processes import ROOT
from unit_tests.support.terminal import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"
"""The question for the cursor's position, and an answer (ECMA-48, 8.3.14 and 8.3.35)."""


def start(mode: str, **settings: str) -> PtyProcess:
    """Start it with an output buffer, as users do; who runs tests may have turned it off."""
    # What the fake client says of its own end is nothing that the real one would say.
    program = f'exec "{sys.executable}" -m unit_tests.support.fake_client {mode} alice 2>/dev/null'
    env = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    fake = {"PYTHONPATH": str(ROOT), "JIM_TEST_FAKE": json.dumps({"language": "en"})}
    return PtyProcess.spawn(["sh", "-c", program], env={**env, "TERM": "xterm", **fake, **settings})


def hang_up_at(process: PtyProcess, text: bytes) -> int | None:
    """Take the terminal away when something is shown on it; gives the exit status."""
    written = b""
    while text not in written:
        came = os.read(process.fd, 65_536)
        written += came
        if WHERE in came:
            os.write(process.fd, HERE)
    process.fileobj.close()
    give_up_s = time.monotonic() + DEADLINE_S
    while process.isalive():
        assert time.monotonic() < give_up_s, "it goes on without a terminal"
        time.sleep(0.05)
    status: int | None = process.exitstatus
    return status


@pytest.mark.parametrize("mode", ["line", "plain"])
def test_a_terminal_that_is_gone_ends_the_program_with_130(mode: str) -> None:
    assert hang_up_at(start(mode), b"3. exit") == 130


@pytest.mark.parametrize("mode", ["line", "plain"])
def test_it_does_so_too_while_messages_arrive(mode: str, tmp_path: Path) -> None:
    control = tmp_path / "control"
    os.mkfifo(control)
    process = start(mode, JIM_TEST_CONTROL=str(control))

    def arrive() -> None:
        with (
            contextlib.suppress(OSError),
            control.open("w", encoding="utf-8", buffering=1) as steps,
        ):
            for number in itertools.count():
                steps.write(json.dumps({"do": "receive", "text": f"number {number}"}) + "\n")
                time.sleep(0.001)

    threading.Thread(target=arrive, daemon=True).start()
    assert hang_up_at(process, b"number 30") == 130
