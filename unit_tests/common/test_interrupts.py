"""Ctrl+C: at once while a program loads, an orderly end once its loop runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from jim.common.interrupts import ending_at_once, run_loop

SWALLOWED = """
import gc, os, signal
from jim.common.interrupts import ending_at_once

class Callback:
    # As the importer's, which reports an exception as ignored and goes on.
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        [None for _ in range(1000)]

with ending_at_once():
    callback = Callback()
    del callback
    os._exit(7)
"""


def test_while_it_loads_nothing_can_swallow_it() -> None:
    done = subprocess.run([sys.executable, "-c", SWALLOWED], timeout=60, check=False)
    assert done.returncode == 130


def test_a_running_loop_is_cancelled_and_the_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    ended: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            ended.append("in order")

    with ending_at_once():
        assert signal.getsignal(signal.SIGINT) is not before
        with pytest.raises(KeyboardInterrupt):
            run_loop(work())
    assert ended == ["in order"]
    assert signal.getsignal(signal.SIGINT) is before


async def test_beside_the_main_thread_it_changes_nothing() -> None:
    def other() -> int:
        with ending_at_once():
            return run_loop(asyncio.sleep(0, 5))

    assert await asyncio.to_thread(other) == 5
