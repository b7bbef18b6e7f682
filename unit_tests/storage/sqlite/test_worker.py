from __future__ import annotations

import asyncio
import threading

import pytest

from jim.errors import StoreError
from jim.storage.sqlite.worker import Worker


async def test_calls_run_in_one_other_thread_in_the_order_of_the_calls() -> None:
    worker = Worker("test")
    order: list[int] = []
    threads = set()

    def step(k: int) -> int:
        order.append(k)
        threads.add(threading.current_thread().name)
        return k * k

    results = await asyncio.gather(*(worker.call(lambda k=k: step(k)) for k in range(50)))  # type: ignore[misc]
    assert order == list(range(50))
    assert results == [k * k for k in range(50)]
    assert threads == {"test"}
    await worker.aclose(lambda: None)


async def test_what_a_call_raises_is_raised_to_its_caller_alone() -> None:
    worker = Worker("test")

    def fail() -> None:
        raise KeyError("mine")

    bad, good = await asyncio.gather(
        worker.call(fail), worker.call(lambda: 7), return_exceptions=True
    )
    assert isinstance(bad, KeyError)
    assert good == 7
    await worker.aclose(lambda: None)


async def test_a_cancelled_caller_neither_skips_nor_stops_its_call() -> None:
    worker = Worker("test")
    gate = threading.Event()
    done: list[str] = []

    def wait() -> None:
        gate.wait(5)
        done.append("first")

    first = asyncio.create_task(worker.call(wait))
    second = asyncio.create_task(worker.call(lambda: done.append("second")))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    gate.set()
    await asyncio.gather(first, second, return_exceptions=True)
    assert await worker.call(lambda: list(done)) == ["first", "second"]
    await worker.aclose(lambda: None)


async def test_closing_runs_what_was_submitted_then_the_last_call_and_ends_the_thread() -> None:
    worker = Worker("a worker that ends")
    done: list[str] = []
    task = asyncio.create_task(worker.call(lambda: done.append("submitted")))
    await asyncio.sleep(0)
    await worker.aclose(lambda: done.append("last"))
    await task
    assert done == ["submitted", "last"]
    assert "a worker that ends" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(StoreError):
        await worker.call(lambda: None)
    await worker.aclose(lambda: done.append("again"))
    assert done == ["submitted", "last"]


async def test_a_failing_last_call_is_raised_and_the_thread_ends() -> None:
    worker = Worker("a worker that fails")

    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await worker.aclose(fail)
    for _ in range(100):
        if "a worker that fails" not in {thread.name for thread in threading.enumerate()}:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the thread is still there")


def test_an_answer_for_a_loop_that_is_gone_is_dropped() -> None:
    gate = threading.Event()
    done = threading.Event()

    def wait() -> None:
        gate.wait(5)
        done.set()

    async def leave() -> None:
        worker = Worker("left")
        task = asyncio.create_task(worker.call(wait))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    gate.set()
    assert done.wait(5)
