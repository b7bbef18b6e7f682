"""Random traffic for a durable store and the one in memory, which have to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unit_tests.support.accounts import NOW_MS, enrolment
from unit_tests.support.outcomes import Append, batch_of, introduced, outcomes

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from jim.core.model import Batch, Committed, Identity, Standing
    from jim.core.ports import Store
    from jim.storage.memory import MemoryStore

NAMES = ["a", "b", "c", "d", "e"]


def random_batch(
    rng: random.Random, devices: list[Identity], standings: Sequence[Standing]
) -> Batch:
    """Make a batch of new, repeated and gapped numbers and of confirmations."""
    appends: list[Append] = []
    next_n = [standing.last_n + 1 for standing in standings]
    for _ in range(rng.randrange(6)):
        sender = rng.randrange(len(devices))
        n = max(1, next_n[sender] - rng.choice([0, 0, 0, 0, 1, 3, -1]))
        next_n[sender] = max(next_n[sender], n + 1)
        mark = rng.choice(["", f"mark {len(appends)}"])
        appends.append(Append(devices[sender], n, rng.choice([*NAMES, "nobody"]), "t" * n, mark))
    acks = {}
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(devices))
        last = standings[place].position
        acks[devices[place].device_id] = rng.randrange(last + 2)
    return batch_of(appends, acks)


async def grow(
    model: MemoryStore, store: Store, rng: random.Random, devices: list[Identity]
) -> None:
    """Give somebody one more device, in both stores."""
    account = await model.find_account(rng.choice(NAMES))
    assert account is not None
    if len(account.devices) < 4:
        step = enrolment(account)
        grown = await model.enrol(step, NOW_MS)
        assert await store.enrol(step, NOW_MS) == grown
        device = grown.devices[-1]
        owner = next(each for each in devices if each.name == account.name)
        devices.append(
            msgspec.structs.replace(owner, device_id=device.device_id, device=device.device)
        )


def plain(committed: Committed) -> object:
    """Make a result comparable: errors by class and fields."""
    told = [
        (type(each.error), each.error.fields) if hasattr(each, "error") else each
        for each in outcomes(committed)
    ]
    return told, introduced(committed), committed.segments, committed.delivered


async def compare(model: Store, store: Store, devices: list[Identity]) -> None:
    """Assert that everything that can be asked is answered alike."""
    for device in devices:
        assert await store.standing(device.device_id) == await model.standing(device.device_id)
        for position in range(0, 40, 3):
            wanted = await model.load_after(device.device_id, position, 300)
            assert await store.load_after(device.device_id, position, 300) == wanted
    for account_id in {device.account_id for device in devices}:
        wanted_receipts = await model.receipts(account_id, NAMES)
        assert await store.receipts(account_id, NAMES) == wanted_receipts
        for name in ("visible", "visible_to"):
            wanted_contacts = await getattr(model, name)(account_id)
            assert await getattr(store, name)(account_id) == wanted_contacts
