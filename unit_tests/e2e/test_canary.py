"""What people write is nowhere at the server: real processes, and a search that finds what is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from jim.server.identity import load_tls
from jim.server.settings import Settings
from reliability.hostile import canary
from reliability.hostile.traitor import Traitor
from unit_tests.support.processes import ROOT, World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(120), pytest.mark.e2e]


class Watched:
    """Everything that can be known of a server: a wire tap, what was inside TLS, files, memory."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.port = 0
        self.tap: canary.Tap
        self.traitor: Traitor
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        tls = load_tls(Settings(data_dir=str(self.here.directory / "server" / "data")))
        async with (
            Traitor(self.here.port, tls) as self.traitor,
            canary.Tap(self.traitor.port) as self.tap,
        ):
            self.port = self.tap.port
            self._ready.set()
            await self._stop.wait()

    def jim(self, owner: str, *arguments: str) -> list[str]:
        """Run a command of a client through all of this; give its output."""
        program = self.here.jim(owner, *arguments, JIM_SERVER=f"127.0.0.1:{self.port}")
        assert program.wait() == 0, program.errors
        return program.lines

    def inside(self, *texts: str) -> list[str]:
        """What was in the traffic once TLS was taken off."""
        return canary.find(b"\n".join([*self.traitor.heard, *self.traitor.said]), texts)

    def files(self, *texts: str) -> list[str]:
        return canary.find_in_files(self.here.directory / "server", texts)

    def memory(self, *texts: str) -> list[str]:
        assert self.here.server is not None
        return canary.find_in_memory(self.here.server.process.pid, texts)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with world(tmp_path) as here, Watched(here) as watched:
        yield watched


def can_read_memory() -> bool:
    """Whether this system lets us look into a process of ours."""
    with contextlib.suppress(OSError), Path("/proc/self/mem").open("rb"):
        return True
    return False


def test_a_text_is_in_no_file_no_log_no_memory_and_no_traffic(watched: Watched) -> None:
    # Names are what a server does know: they show that the search finds what is there.
    alice, bob = canary.latin(), canary.latin()
    texts = [canary.latin(), canary.cyrillic(), canary.latin(), canary.cyrillic()]
    watched.jim(bob, "listen", "--timeout", "1")
    for text in texts[:2]:
        watched.jim(alice, "send", bob, f"{text} and {text} " * 20)
    places = [watched.files, watched.inside]
    if can_read_memory():
        places.append(watched.memory)
    for place in places:  # both wait at the server now
        assert place(*texts) == []
        assert {each.split()[-3] for each in place(bob)} >= {bob}
    heard = "\n".join(watched.jim(bob, "listen", "--count", "2", "--timeout", "60"))
    for text in texts[2:]:
        watched.jim(bob, "send", alice, text)
    heard += "\n".join(watched.jim(alice, "listen", "--count", "2", "--timeout", "60"))
    assert all(text in heard for text in texts), "they were never sent"
    for place in places:
        assert place(*texts) == []
    assert canary.find(watched.tap.taken, [*texts, alice, bob]) == []
    assert len(watched.tap.taken) > 10_000
    assert watched.here.server is not None
    assert watched.here.server.stop() == 0
    assert watched.files(*texts) == []
    assert canary.find_in_files(ROOT / "log", texts) == []
    assert canary.find_in_files(watched.here.directory, texts, "*.log*") == []
    assert watched.files(alice) != []


def test_a_planted_text_is_found_in_every_form(watched: Watched) -> None:
    text = canary.cyrillic()
    planted = watched.here.directory / "server" / "data" / "planted"
    for name, form in canary.forms(text).items():
        planted.write_bytes(b"before " + form + b" after")
        assert f"planted: {text} as {name}" in watched.files(text), name
    planted.unlink()
    watched.traitor.heard.append(text.encode())
    assert watched.inside(text) == [f"{text} as UTF-8"]
    watched.traitor.heard.pop()
    assert watched.inside(text) == []


@pytest.mark.skipif(not can_read_memory(), reason="the memory of processes cannot be read here")
def test_a_text_in_a_memory_is_found(watched: Watched) -> None:
    text = canary.latin()
    assert watched.memory(text) == []
    client = watched.here.client("carol")
    client.say(f"hello {text}")
    client.expect("carol")
    assert canary.find_in_memory(client.process.pid, [text]) != []
