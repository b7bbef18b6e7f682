from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reliability import vitals
from reliability.injectors import resources
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

# Opens or maps something on each line of its input and says how that went.
GREEDY = """
import mmap, os, sys
print("ready", flush=True)
kept = []
for line in sys.stdin:
    try:
        kept.append(os.dup(0) if line.strip() == "file" else mmap.mmap(-1, 32 << 20))
        print("got", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


@pytest.fixture
def greedy() -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", GREEDY], text=True, **pipes) as made:  # type: ignore[call-overload]
        assert made.stdout.readline() == "ready\n"
        yield made
        made.stdin.close()


def ask(process: subprocess.Popen[str], what: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    print(what, file=process.stdin, flush=True)
    return process.stdout.readline().strip()


def test_few_descriptors(greedy: subprocess.Popen[str]) -> None:
    with resources.few_descriptors(greedy.pid, 2) as limit:
        assert [ask(greedy, "file") for _ in range(3)] == ["got", "got", "Too many open files"]
        assert vitals.open_descriptors(greedy.pid) == limit
    assert ask(greedy, "file") == "got"


def test_little_memory(greedy: subprocess.Popen[str]) -> None:
    with resources.little_memory(greedy.pid, 48 << 20) as limit:
        assert [ask(greedy, "map") for _ in range(2)] == ["got", "Cannot allocate memory"]
        assert vitals.address_space_bytes(greedy.pid) <= limit
    assert ask(greedy, "map") == "got"


def test_the_limits_are_given_back(greedy: subprocess.Popen[str]) -> None:
    before = resource.prlimit(greedy.pid, resource.RLIMIT_NOFILE)
    with pytest.raises(KeyError), resources.few_descriptors(greedy.pid, 1):
        raise KeyError(resource.prlimit(greedy.pid, resource.RLIMIT_NOFILE))
    assert resource.prlimit(greedy.pid, resource.RLIMIT_NOFILE) == before


def test_a_process_that_is_gone_has_nothing_to_take(greedy: subprocess.Popen[str]) -> None:
    greedy.kill()
    greedy.wait()
    with pytest.raises(NotTaken), resources.few_descriptors(greedy.pid, 1):
        pass
