from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reliability.injectors import signals
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = """
import itertools, sys, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.01)
"""


@pytest.fixture
def counting() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", COUNT], stdout=subprocess.PIPE, text=True) as made:
        yield made
        made.kill()


def test_a_frozen_process_stands_still_and_goes_on(counting: subprocess.Popen[str]) -> None:
    assert counting.stdout is not None
    counting.stdout.readline()
    with signals.frozen(counting.pid):
        assert signals.states(counting.pid) == {"T"}
    assert "T" not in signals.states(counting.pid)
    assert counting.stdout.readline()


def test_it_goes_on_after_an_exception(counting: subprocess.Popen[str]) -> None:
    with pytest.raises(KeyError), signals.frozen(counting.pid):
        raise KeyError
    assert "T" not in signals.states(counting.pid)


def test_a_process_that_is_gone_cannot_be_frozen(counting: subprocess.Popen[str]) -> None:
    counting.kill()
    counting.wait()
    with pytest.raises(NotTaken, match="gone"):
        signals.freeze(counting.pid)


def test_a_process_that_was_killed_meanwhile_does_no_harm(counting: subprocess.Popen[str]) -> None:
    with signals.frozen(counting.pid):
        counting.kill()
        counting.wait()
