"""A shell with one job: runs it in the foreground, and goes on with it when it was stopped.

`python -m unit_tests.support.shell PROGRAM…` says "stopped" and waits for Enter then. Without
something like it the kernel stops no program: its process group would be an orphaned one.
"""

from __future__ import annotations

import os
import signal
import sys


def main(program: list[str]) -> int:
    """Run the program to its end; gives its exit status."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # the shell may give the terminal away
    job = os.fork()
    if not job:
        _come_forward()
        os.execv(program[0], program)
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.tcsetpgrp(0, os.getpgrp())
        input("stopped")
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)


def _come_forward() -> None:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
