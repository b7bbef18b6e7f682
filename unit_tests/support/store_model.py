"""Random traffic for a durable store and the one in memory, which have to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.core.model import Identity
from unit_tests.support.accounts import (
    KEYED,
    NOW_MS,
    ciphertext,
    enrolment,
    public_key,
    revocation,
)
from unit_tests.support.outcomes import Append, batch_of, introduced, outcomes

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from jim.core.model import AccountRecord, Batch, Committed, Standing
    from jim.core.ports import Store
    from jim.storage.memory import MemoryStore

NAMES = ["a", "b", "c", "d", "e"]
SEALED = 0.5
"""The share of messages that are sealed."""


def random_batch(
    rng: random.Random, devices: list[Identity], standings: Sequence[Standing]
) -> Batch:
    """Make a batch of new, repeated and gapped numbers and of confirmations.

    Texts are plain, or sealed for the devices that there are, or for some others.
    """
    live = [each for each, stands in zip(devices, standings, strict=True) if not stands.revoked]
    appends: list[Append] = []
    next_n = [standing.last_n + 1 for standing in standings]
    for _ in range(rng.randrange(6)):
        sender = rng.randrange(len(devices))
        n = max(1, next_n[sender] - rng.choice([0, 0, 0, 0, 1, 3, -1]))
        next_n[sender] = max(next_n[sender], n + 1)
        mark = rng.choice(["", f"mark {len(appends)}"])
        to = rng.choice([*NAMES, "nobody"])
        append = Append(devices[sender], n, to, "t" * n, mark)
        if rng.random() < SEALED:
            _seal(append, rng, live)
        appends.append(append)
    acks = {}
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(devices))
        last = standings[place].position
        acks[devices[place].device_id] = rng.randrange(last + 2)
    return batch_of(appends, acks)


def _seal(append: Append, rng: random.Random, live: Sequence[Identity]) -> None:
    """Seal a message for the devices that it should be for, mostly; or for one of them alone."""
    names = {append.to, append.sender.name}
    wanted = {
        each.device
        for each in live
        if each.name in names and each.device.startswith(KEYED) and each != append.sender
    }
    if rng.random() < 0.1:
        wanted ^= {rng.choice(live).device}
    if wanted and rng.random() < 0.3:
        wanted, append.only = {rng.choice(sorted(wanted))}, True
    append.sealed = {device: ciphertext(append.n, device) for device in wanted}


async def grow(
    model: MemoryStore, store: Store, rng: random.Random, devices: list[Identity]
) -> None:
    """Change somebody's devices or their keys, in both stores."""
    account = await model.find_account(rng.choice(NAMES))
    assert account is not None
    live = [each for each in account.devices if not each.revoked]
    step = rng.choice([_join, _join, _join, _leave, _bring, _bring, _claim])
    if step is _join and len(live) >= 4:
        step = _leave
    await step(model, store, rng, account, devices)


async def _join(
    model: MemoryStore,
    store: Store,
    rng: random.Random,
    account: AccountRecord,
    devices: list[Identity],
) -> None:
    """Add a device, now and then in the place of all others."""
    op = "reset" if rng.random() < 0.1 else "add"
    step = enrolment(account, keys=rng.random() < 0.7, op=op)
    if op == "reset" or rng.random() < 0.5:
        grown = await model.enrol(step, NOW_MS)
        assert await store.enrol(step, NOW_MS) == grown
    else:
        grown = await model.extend(step, NOW_MS)
        assert await store.extend(step, NOW_MS) == grown
    device = grown.devices[-1]
    devices.append(Identity(account.account_id, device.device_id, account.name, device.device))


async def _leave(
    model: MemoryStore,
    store: Store,
    rng: random.Random,
    account: AccountRecord,
    devices: list[Identity],
) -> None:
    """Revoke a device; it goes on sending, in vain."""
    live = [each for each in account.devices if not each.revoked]
    if live:
        step = revocation(account, rng.choice(live).device)
        assert await store.extend(step, NOW_MS) == await model.extend(step, NOW_MS)


async def _bring(
    model: MemoryStore,
    store: Store,
    rng: random.Random,
    account: AccountRecord,
    devices: list[Identity],
) -> None:
    """Bring keys, some of them not for the first time."""
    device = rng.choice(account.devices)
    first = rng.randrange(8)
    keys = [public_key(first + step, device.device) for step in range(rng.randrange(4))]
    fallback = public_key(first + 5, device.device) if rng.random() < 0.3 else None
    count = await model.add_keys(device.device_id, keys, fallback)
    assert await store.add_keys(device.device_id, keys, fallback) == count


async def _claim(
    model: MemoryStore,
    store: Store,
    rng: random.Random,
    account: AccountRecord,
    devices: list[Identity],
) -> None:
    """Take keys of some devices, perhaps of one that is not there."""
    names = [*(each.device for each in account.devices), "nobody's"]
    wanted = rng.sample(names, rng.randrange(len(names)))
    taken = await model.claim_keys(account.account_id, wanted)
    assert await store.claim_keys(account.account_id, wanted) == taken


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
