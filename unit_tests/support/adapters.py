"""The stores that the contract is tested on, and what their mailboxes hold."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.protocol.codec import FROM_SERVER, Decoder
from jim.protocol.messages import Delivery, Notice
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import Identity, Segment
    from jim.core.ports import Store

WIDE = 1 << 30


class Adapter:
    """Opens, closes and opens again the store under test."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._path = directory / "server.db"
        self._store: Store | None = None

    async def open(self, limits: Limits | None = None) -> Store:
        limits = limits or Limits()
        if self.name == "memory":
            self._store = self._store or MemoryStore(limits)
        else:
            await self.aclose()
            self._store = await open_store(self._path, limits)
        return self._store

    async def aclose(self) -> None:
        if self._store is not None:
            await self._store.aclose()


def frames_of(segments: list[Segment]) -> list[Delivery | Notice]:
    decoder = Decoder(FROM_SERVER, WIDE)
    found: list[Delivery | Notice] = []
    for segment in segments:
        items = decoder.feed(segment.frames)
        assert len(items) == segment.last - segment.first + 1
        for position, item in enumerate(items, segment.first):
            assert isinstance(item, Delivery | Notice)
            assert item.position == position
            found.append(item)
    assert all(one.last + 1 == two.first for one, two in pairwise(segments))
    return found


async def waiting(store: Store, device: Identity, after: int = 0) -> list[Delivery | Notice]:
    return frames_of(await store.load_after(device.device_id, after, WIDE))


async def deliveries(store: Store, device: Identity) -> list[Delivery]:
    return [each for each in await waiting(store, device) if isinstance(each, Delivery)]


async def texts(store: Store, device: Identity, after: int = 0) -> list[str]:
    return [
        str(frame.message) if isinstance(frame, Delivery) else frame.code
        for frame in await waiting(store, device, after)
    ]
