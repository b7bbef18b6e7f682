from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from unit_tests.support.processes import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_whose_reader_is_gone_ends_as_by_sigpipe_without_a_traceback(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, str(ROOT / "my_server.py"), "--print-config"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
