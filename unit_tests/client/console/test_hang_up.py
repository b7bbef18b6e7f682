"""The window is closed, or ssh is cut: the program ends by itself, and says how."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
from ptyprocess import PtyProcess

from unit_tests.support.processes import ROOT
from unit_tests.support.terminal import DEADLINE_S

pytestmark = pytest.mark.e2e

WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"
"""The question for the cursor's position, and an answer (ECMA-48, 8.3.14 and 8.3.35)."""


@pytest.mark.parametrize("mode", ["line", "plain"])
def test_a_terminal_that_is_gone_ends_the_program_with_130(mode: str) -> None:
    program = [sys.executable, "-m", "unit_tests.support.fake_client", mode, "alice"]
    settings = {"PYTHONPATH": str(ROOT), "JIM_TEST_FAKE": json.dumps({"language": "en"})}
    process = PtyProcess.spawn(program, env={**os.environ, "TERM": "xterm", **settings})
    written = b""
    while b"3. exit" not in written:
        came = os.read(process.fd, 65_536)
        written += came
        if WHERE in came:
            os.write(process.fd, HERE)
    process.fileobj.close()
    give_up_s = time.monotonic() + DEADLINE_S
    while process.isalive():
        assert time.monotonic() < give_up_s, "it goes on without a terminal"
        time.sleep(0.05)
    assert process.exitstatus == 130
