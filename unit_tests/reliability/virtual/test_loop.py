"""The virtual loop keeps asyncio's promises, and time passes only when there is nothing to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from reliability.virtual.scheduler import Stuck
from unit_tests.reliability.virtual.world import Small

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def small() -> Iterator[Small]:
    world = Small()
    yield world
    world.close()


def test_timers_fire_in_the_order_of_their_times_and_at_them(small: Small) -> None:
    fired: list[tuple[str, float]] = []

    def note(name: str) -> None:
        fired.append((name, small.scheduler.now_s))

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        for name, delay_s in (("c", 300.0), ("a", 0.5), ("b", 0.5)):
            loop.call_later(delay_s, note, name)
        await asyncio.sleep(301)

    small.run(wait())
    assert fired == [("a", 0.5), ("b", 0.5), ("c", 300.0)]


def test_a_cancelled_timer_does_not_fire(small: Small) -> None:
    fired: list[int] = []
    small.client.call_later(1.0, fired.append, 1).cancel()
    small.client.call_later(2.0, fired.append, 2)
    small.pass_s(3.0)
    assert fired == [2]


def test_callbacks_keep_their_order_and_what_they_add_waits_for_the_next_turn(small: Small) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        small.client.call_soon(ran.append, "added")

    small.client.call_soon(first)
    small.client.call_soon(ran.append, "second")
    assert small.client.turn()
    assert ran == ["first", "second"]
    assert not small.client.turn()
    assert ran == ["first", "second", "added"]


def test_wait_for_cancels_what_takes_too_long(small: Small) -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("cancelled")

    async def wait() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 7)
        return asyncio.get_running_loop().time()

    assert small.run(wait()) == 7.0
    assert ended == ["cancelled"]


def test_threads_take_time_and_their_results_may_overtake_each_other(small: Small) -> None:
    async def work() -> list[int]:
        done: list[int] = []

        async def one(number: int) -> None:
            done.append(await asyncio.to_thread(lambda: number))

        await asyncio.gather(*(one(number) for number in range(20)))
        return done

    done = small.run(work())
    assert sorted(done) == list(range(20)) != done
    assert 0 < small.scheduler.now_s < 0.1


def test_what_a_thread_raises_is_raised_where_it_is_awaited(small: Small) -> None:
    def fail() -> None:
        raise OSError("disk")

    async def work() -> None:
        await asyncio.to_thread(fail)

    with pytest.raises(OSError, match="disk"):
        small.run(work())


def test_calls_from_threads_come_in_their_order(small: Small) -> None:
    came: list[int] = []
    for number in range(50):
        small.client.call_soon_threadsafe(came.append, number)
    small.pass_s(1.0)
    assert came == list(range(50))


def test_a_frozen_process_does_nothing_until_it_is_let_go(small: Small) -> None:
    ran: list[float] = []
    small.client.call_later(1.0, lambda: ran.append(small.scheduler.now_s))
    small.client.freeze(5.0)
    small.pass_s(4.0)
    assert ran == []
    small.pass_s(2.0)
    assert ran == [5.0]


def test_of_a_dead_process_nothing_runs_any_more_not_even_in_the_same_turn(small: Small) -> None:
    ran: list[str] = []
    small.client.fuse, small.client.on_fuse = 2, small.client.die
    for name in ("one", "two", "three"):
        small.client.call_soon(ran.append, name)
    small.client.call_later(1.0, ran.append, "timer")
    small.pass_s(2.0)
    assert ran == ["one", "two"]


def test_a_dead_process_can_be_taken_apart_in_the_middle_of_everything(small: Small) -> None:
    closed: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            closed.append("never")

    small.client.create_task(stubborn())
    small.pass_s(0.1)
    small.client.die()
    small.client.dispose()
    assert closed == []
    assert small.client.tasks == {}


def test_turns_of_ready_processes_come_in_an_order_that_the_seed_draws() -> None:
    orders = set()
    for seed in range(20):
        world = Small(seed)
        order: list[str] = []
        for loop in world.loops:
            loop.call_soon(order.append, loop.name)
        world.pass_s(0.1)
        world.close()
        orders.add(tuple(order))
    assert orders == {("client", "server"), ("server", "client")}


def test_a_world_in_which_nothing_will_happen_says_so(small: Small) -> None:
    with pytest.raises(Stuck):
        small.run(asyncio.Event().wait())


def test_a_loop_without_end_is_found(small: Small) -> None:
    def again() -> Any:
        return small.client.call_soon(again)

    again()
    with pytest.raises(Stuck, match="1000 steps"):
        small.scheduler.run_until(lambda: False, 10.0, 1000)


def test_a_process_may_end_itself_in_the_middle_of_a_turn(small: Small) -> None:
    ran: list[str] = []
    small.client.call_soon(small.client.die)
    small.client.call_soon(ran.append, "after the end")
    small.pass_s(1.0)
    assert ran == []
