"""Many devices, random crashes, a server that loses and repeats: each message once, or said."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import UNSET

from jim.client import sync
from jim.client.store import Draft
from unit_tests.client.encryption.post import Device, Post, settle

if TYPE_CHECKING:
    from pathlib import Path

    from jim.protocol.messages import Delivery

NAMES = ("alice", "bob", "carol")


class World:
    """Random steps of random devices; what was written, and for whom."""

    def __init__(self, folder: Path, seed: int, *, hostile: bool) -> None:
        self.chance = random.Random(seed)
        self.post = Post(folder)
        self.hostile = hostile
        self.devices = [self.post.join(name) for name in NAMES]
        self.written: dict[str, tuple[Device, str]] = {}
        self.spoilt = 0
        self.post.alter = self._alter

    def _alter(self, device: Device, frame: Delivery) -> Delivery | None:
        if not self.hostile or self.chance.random() > 0.1 or frame.ciphertext is UNSET:
            return frame
        self.spoilt += 1
        kind = self.chance.randrange(3)
        if kind == 0:
            return None
        if kind == 1:
            self.post.put(device, frame)
            return frame
        place = self.chance.randrange(2, len(frame.ciphertext))
        text = frame.ciphertext
        other = "A" if text[place] != "A" else "B"
        return msgspec.structs.replace(
            frame, ciphertext=f"{text[:place]}{other}{text[place + 1 :]}"
        )

    def step(self) -> None:
        device = self.chance.choice(self.devices)
        self.post.now_ms += self.chance.randrange(60_000)
        action = self.chance.choices(
            [self.write, self.send, self.receive, self.keys, self.crash, self.join],
            [6, 5, 6, 1, 1, 0.3],
        )[0]
        action(device)

    def write(self, device: Device) -> None:
        text = f"m{len(self.written)} can-ary"
        to = self.chance.choice(NAMES)
        draft = Draft(to, text, self.post.now_ms)
        crash = self.chance.random() < 0.1
        device.change(lambda store: store.enqueue(draft, released=False), crash=crash)
        if not crash:
            self.written[text] = (device, to)

    def send(self, device: Device) -> None:
        """Send what waits, dying perhaps between any two steps."""
        rows = device.store.queued_after(0)
        if not rows:
            return
        row, message = rows[0]
        payload = row.payload or device.seal(row.message_id)
        if self.dies(device) or isinstance(payload, str):
            return
        seq = self.post.submit(device, message.peer, payload, message.n)
        if seq is None:
            device.learn(message.peer)
            device.learn(device.name)
            device.seal(row.message_id, stale=True)
            return
        # The server has it: after a death its answer comes again, without being delivered again.
        if self.dies(device):
            pass
        confirm = sync.Confirm(row.message_id, message.n, seq, self.post.now_ms)
        device.change(lambda store: store.confirm(confirm))

    def receive(self, device: Device) -> None:
        device.receive(crash=self.chance.random() < 0.1)

    def keys(self, device: Device) -> None:
        device.offer_keys(crash=self.chance.random() < 0.3)

    def crash(self, device: Device) -> None:
        device.reopen()

    def dies(self, device: Device) -> bool:
        if self.chance.random() < 0.1:
            device.reopen()
            return True
        return False

    def join(self, device: Device) -> None:
        if len(self.devices) < 7:
            self.devices.append(self.post.join(device.name, device))

    def end(self) -> None:
        """Let the server be honest and everybody hear all of it."""
        self.hostile = False
        for device in self.devices:
            device.learn(device.name)
        for _ in range(3):
            self.post.now_ms += 4_000_000
            settle(self.devices, 4)
            for device in self.devices:  # something new shows every gap
                for name in NAMES:
                    text = f"end{len(self.written)} can-ary"
                    self.written[text] = (device, name)
                    device.write(name, text)
        settle(self.devices, 12)


def check(world: World) -> None:
    for device in world.devices:
        texts = device.texts()
        assert len(texts) == len(set(texts)), "doubled"
        assert not device.store.queued_after(0)
    for text, (author, to) in world.written.items():
        assert text in author.texts()
        holders = [device for device in world.devices if device.name == to]
        got = [device for device in holders if text in device.texts()]
        assert got, f"{text} was lost"
        # A device that joined later has nothing of before; all others have everything.
        for device in holders:
            assert text in device.texts() or device not in world.devices[:3]
    everything = "".join(world.post.seen)
    assert "can-ary" not in everything


@pytest.mark.parametrize("hostile", [False, True], ids=["honest", "hostile"])
@pytest.mark.parametrize("seed", range(6))
def test_each_message_arrives_once(tmp_path: Path, seed: int, *, hostile: bool) -> None:
    world = World(tmp_path, seed, hostile=hostile)
    for _ in range(120):
        world.step()
    world.end()
    check(world)
    if not hostile:
        for device in world.devices:
            assert set(device.codes()) <= {"device_added"}, "nobody meets what cannot be opened"
