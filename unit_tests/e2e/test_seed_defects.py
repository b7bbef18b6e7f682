"""The twelve defects of the course project that JIM grew from: each is impossible here.

They were found by running that project: a server and clients on real sockets. So are these.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.launch import plan
from jim.launch.ports import free_port
from jim.protocol import messages as m
from jim.protocol.codec import encode
from unit_tests.support.processes import ROOT, World, environment, world
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120), pytest.mark.e2e]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


class Door:
    """Connections to the server under test; all are closed at the end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wires: list[Wire] = []

    async def open(self) -> Wire:
        wire = await Wire.connect(self._port)
        self._wires.append(wire)
        return wire

    async def enter(self, name: str) -> Wire:
        wire = await self.open()
        await wire.register(Person(name))
        return wire

    async def close(self) -> None:
        for wire in self._wires:
            wire.writer.transport.abort()
            with contextlib.suppress(OSError):
                await wire.writer.wait_closed()


@pytest.fixture
async def door(here: World) -> AsyncIterator[Door]:
    opened = Door(here.port)
    yield opened
    await opened.close()


def msg(n: int, to: str, text: str) -> bytes:
    return encode(m.Msg(id=n, n=n, to=to, message=text))


async def test_1_two_objects_in_one_segment_both_arrive(door: Door) -> None:
    alice, bob = await door.enter("alice"), await door.enter("bob")
    await bob.sync()
    alice.send_raw(msg(1, "bob", "one") + msg(2, "bob", "two"))
    assert [(await alice.expect(m.Stored)).n for _ in range(2)] == [1, 2]
    assert [(await bob.expect(m.Delivery)).message for _ in range(2)] == ["one", "two"]
    assert (await alice.say(3, "bob", "and the sender is not deaf")).seq == 3


async def test_2_an_object_of_many_segments_arrives_whole(door: Door) -> None:
    alice, bob = await door.enter("alice"), await door.enter("bob")
    await bob.sync()
    text = "длинно " * 1200
    frame = msg(1, "bob", text)
    assert len(frame) > 10 * 1024
    for start in range(0, len(frame), 700):
        alice.send_raw(frame[start : start + 700])
        await alice.writer.drain()
        await asyncio.sleep(0)
    await alice.expect(m.Stored)
    assert (await bob.expect(m.Delivery)).message == text


async def test_3_a_burst_arrives_whole_and_in_order(door: Door) -> None:
    alice, bob = await door.enter("alice"), await door.enter("bob")
    await bob.sync()
    for n in range(1, 21):
        alice.post(n, "bob", f"quick {n}")
    got = [(await bob.expect(m.Delivery)).message for _ in range(20)]
    assert got == [f"quick {n}" for n in range(1, 21)]


async def test_4_nobody_can_write_under_another_name(door: Door) -> None:
    alice, bob = await door.enter("alice"), await door.enter("bob")
    await bob.sync()
    forged = {"action": "msg", "id": 1, "n": 1, "to": "bob", "message": "send money"}
    forged |= {"from": "carol", "sender": "carol", "device": "c" * 16, "time": 1}
    alice.send_raw(str(forged).replace("'", '"').encode() + b"\n")
    delivery = await bob.expect(m.Delivery)
    assert delivery.sender == "alice"
    assert delivery.device != "c" * 16


async def test_5_an_unknown_addressee_is_reported(door: Door) -> None:
    alice = await door.enter("alice")
    alice.post(1, "nobody", "hello?")
    error = await alice.error()
    assert (error.response, error.code, error.n) == (404, "recipient_unknown", 1)


async def test_6_a_message_waits_for_an_addressee_who_is_away(door: Door) -> None:
    bob_at_home = Person("bob")
    bob = await door.open()
    await bob.register(bob_at_home)
    bob.close()
    alice = await door.enter("alice")
    await alice.say(1, "bob", "when you are back")
    back = await door.open()
    await back.login(bob_at_home)
    await back.sync()
    assert (await back.expect(m.Delivery)).message == "when you are back"


async def test_7_after_quit_the_name_is_free_for_its_owner_at_once(door: Door) -> None:
    person = Person("alice")
    first = await door.open()
    await first.register(person)
    first.send(m.Quit(id="bye"))
    assert (await first.expect(m.Goodbye)).id == "bye"
    assert await first.ended() == []
    again = await door.open()
    assert (await again.login(person)).name == "alice"


def test_8_a_second_client_under_a_taken_name_ends_and_logs_little(here: World) -> None:
    owner = here.client("alice")
    owner.expect("Connection to the server established")
    second = here.jim("somebody", "--name", "alice")
    assert second.wait() == 4
    logs = [path for path in here.home("somebody").rglob("*.log*") if path.is_file()]
    assert sum(path.stat().st_size for path in logs) < 20_000
    assert owner.finish("1", "alice", "still me", "3") == 0


def test_9_a_failed_connection_is_on_the_screen(tmp_path: Path) -> None:
    client = World(tmp_path)
    client.port = free_port()
    try:
        lonely = client.client("alice", "--timeout", "1")
        assert lonely.finish("3") == 3
        assert any("No connection to the server" in line for line in lonely.errors)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("system", "programs", "mode"),
    [
        ("linux", {"tmux"}, plan.Mode.TMUX),
        ("linux", set(), plan.Mode.MUX),
        ("darwin", set(), plan.Mode.WINDOWS),
        ("win32", set(), plan.Mode.WINDOWS),
    ],
)
def test_10_the_launcher_knows_what_to_do_on_every_system(
    system: str, programs: set[str], mode: plan.Mode
) -> None:
    around = plan.Surroundings(system, True, {"TERM": "xterm"}, frozenset(programs))
    assert plan.choose_mode("auto", around) is mode


def test_10_the_launcher_starts_everything_here(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "launcher.py")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=environment(tmp_path / "home"),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "carol" in result.stdout


def test_11_every_test_module_can_be_imported(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
        env=environment(tmp_path / "home"),
    )
    assert result.returncode == 0, result.stdout[-2000:]
    modules = list((ROOT / "unit_tests").rglob("test_*.py"))
    silent = [path.name for path in modules if path.name not in result.stdout]
    assert not silent


async def test_12_one_who_does_not_read_blocks_nobody(tmp_path: Path) -> None:
    count = 640
    lifted = [
        word
        for limit in ("messages_per_s=0", "bytes_per_s=0", "outgoing_bytes=131072")
        for word in ("--limit", limit)
    ]
    with world(tmp_path, *lifted) as here:
        door = Door(here.port)
        alice, bob, frozen = [await door.enter(name) for name in ("alice", "bob", "frozen")]
        await frozen.sync()
        frozen.fall_asleep()
        await bob.sync()
        # 10 MB: more than the buffers of two kernels' ends and the server's bound together.
        for first in range(1, count + 1, 64):
            for n in range(first, first + 64):
                alice.post(n, "frozen", f"{n} ".ljust(16_000, "x"))
            for _ in range(64):
                await alice.expect(m.Stored)
        await alice.say(count + 1, "bob", "you do get this")
        assert (await bob.expect(m.Delivery)).message == "you do get this"
        frozen.send(m.Quit(id=1))
        frozen.wake_up()
        seen = [item for item in await frozen.ended() if isinstance(item, m.Delivery)]
        got = [int(str(item.message).split()[0]) for item in seen]
        assert got == list(range(1, len(got) + 1)), "whole and in order"
        assert 0 < len(got) < count, "it was stuck: the rest is in the store"
        await door.close()
