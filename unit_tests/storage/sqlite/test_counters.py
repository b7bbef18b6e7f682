"""The counters in memory must never be told apart from those in the database."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import counters, open_store, write_back
from unit_tests.support.accounts import NOW_MS, add_account, enrolment, send
from unit_tests.support.outcomes import outcomes, stored
from unit_tests.support.store_model import NAMES, compare, grow, plain, random_batch

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.counters import AccountView
    from jim.core.model import Identity

LIMITS = Limits(window=5, waiting_messages=12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


@pytest.mark.parametrize("bound", [0, 3, 10_000])
@pytest.mark.parametrize("seed", range(5))
async def test_forgetting_and_reopening_change_no_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, bound: int, seed: int
) -> None:
    monkeypatch.setattr(counters, "MAX_DEVICES", bound)
    monkeypatch.setattr(counters, "MAX_CONVERSATIONS", bound)
    rng = random.Random(seed)
    model = MemoryStore(LIMITS)
    store = await open_store(path, LIMITS)
    devices: list[Identity] = []
    for name in NAMES:
        count = rng.randrange(1, 3)
        devices += await add_account(model, name, count, keys=name != "e")
        await add_account(store, name, count, keys=name != "e")
    for step in range(120):
        if rng.random() < 0.05:
            await store.aclose()
            store = await open_store(path, LIMITS)
        if rng.random() < 0.03:
            await grow(model, store, rng, devices)
        batch = random_batch(rng, devices, [(await model.standing(d.device_id)) for d in devices])
        now_ms = NOW_MS + step * 1_000
        assert plain(await store.commit(batch, now_ms)) == plain(await model.commit(batch, now_ms))
    await compare(model, store, devices)
    await store.aclose()


async def test_an_enrolled_device_is_seen_by_the_next_commit(path: Path) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    account = await store.find_account("bob")
    assert account is not None
    await store.enrol(enrolment(account), NOW_MS)
    assert len((await send(store, alice, "bob", 2)).segments) == 2
    await store.aclose()


async def test_a_revoked_device_receives_nothing_but_can_be_asked_for(path: Path) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    desk, phone = await add_account(store, "bob", devices=2)
    revoke = "UPDATE receiving SET state = 2 WHERE device_id = ?"
    await store._writing.call(lambda: store._connection.execute(revoke, (phone.device_id,)))
    result = await send(store, alice, "bob", 1)
    assert [segment.device_id for segment in result.segments] == [desk.device_id]
    assert stored(outcomes(result)[0]).skipped == 0
    assert (await store.standing(phone.device_id)).position == 0
    account = await store.find_account("bob")
    assert account is not None
    assert [device.revoked for device in account.devices] == [False, True]
    await store.enrol(enrolment(account, max_devices=2), NOW_MS)
    assert len((await send(store, alice, "bob", 2)).segments) == 2
    await store.aclose()


async def test_only_what_is_asked_for_is_loaded(path: Path) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await add_account(store, "carol")
    await send(store, bob, "alice", 1)
    await store.aclose()
    store = await open_store(path, LIMITS)
    await send(store, alice, "bob", 1)
    loaded = store._counters
    assert sorted(view.name for view in loaded._accounts.values()) == ["alice", "bob"]
    assert loaded._devices[alice.device_id].packed is None
    assert loaded._devices[bob.device_id].packed is not None
    with pytest.raises(LookupError):
        await store._writing.call(lambda: loaded.account(999))
    await store.aclose()


async def test_what_is_kept_in_memory_is_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "MAX_DEVICES", 4)
    monkeypatch.setattr(counters, "MAX_CONVERSATIONS", 4)
    monkeypatch.setattr(write_back, "MAX_DIRTY", 2)
    store = await open_store(path, LIMITS)
    people = [(await add_account(store, f"u{k}"))[0] for k in range(80)]
    for k, sender in enumerate(people[1:]):
        await send(store, sender, f"u{k}", 1)
        kept = store._counters
        assert (
            len(kept._devices) == sum(len(view.devices) for view in kept._accounts.values()) <= 20
        )
        assert len(kept._names) == len(kept._accounts)
        assert len(kept._pairs) == len(kept._conversations) <= 20
    await store.aclose()


async def test_an_account_view_is_one_object_with_the_devices_of_the_store(path: Path) -> None:
    # The numbering tells the sending device from the others by identity.
    store = await open_store(path, LIMITS)
    desk, _ = await add_account(store, "alice", devices=2)

    def look() -> tuple[AccountView | None, AccountView, object]:
        view = store._counters
        return view.find("alice"), view.account(desk.account_id), view.device(desk.device_id)

    found, account, device = await store._writing.call(look)
    assert found is account
    assert device is account.devices[0]
    await store.aclose()
