"""The caller never waits: records are copied into a bounded queue, a thread writes them."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from jim.log_config.queueing import DroppingQueueHandler, WriterThread


class Collector(logging.Handler):
    """A target that can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.gate.wait(20)
        self.texts.append(record.getMessage())
        self.threads.add(threading.current_thread().name)


def send(handler: logging.Handler, text: str, *args: object) -> None:
    handler.handle(logging.LogRecord("jim.x", logging.INFO, "x.py", 1, text, args, None))


def test_another_thread_writes_in_order() -> None:
    handler, target = DroppingQueueHandler(), Collector()
    writer = WriterThread(handler, target)
    writer.start()
    for number in range(100):
        send(handler, "%d", number)
    writer.stop()
    assert target.texts == [str(number) for number in range(100)]
    assert threading.current_thread().name not in target.threads


@pytest.mark.usefixtures("no_blocking_calls")
async def test_a_full_queue_drops_without_waiting_counts_and_says_so() -> None:
    handler, target = DroppingQueueHandler(capacity=3), Collector()
    target.gate.clear()
    writer = WriterThread(handler, target)
    writer.start()
    send(handler, "first")
    assert target.entered.wait(20)
    for number in range(10):
        send(handler, "%d", number)
    assert target.texts == [], "nobody has waited until there was room"
    assert handler.dropped == 7
    target.gate.set()
    await asyncio.to_thread(writer.stop)
    assert target.texts == [
        "first",
        "7 log records dropped: the queue was full",
        "0",
        "1",
        "2",
    ]


def test_records_dropped_at_the_very_end_are_reported_too() -> None:
    handler, target = DroppingQueueHandler(capacity=0), Collector()
    writer = WriterThread(handler, target)
    writer.start()
    send(handler, "lost")
    writer.stop()
    assert target.texts == ["1 log records dropped: the queue was full"]


def test_arguments_are_formatted_before_they_can_change() -> None:
    handler = DroppingQueueHandler()
    names = ["alice"]
    send(handler, "%s", names)
    names.append("mallory")
    record = handler.records.get_nowait()
    assert record is not None
    assert record.getMessage() == "['alice']"
    assert record.args is None


def test_the_original_record_is_left_alone() -> None:
    handler = DroppingQueueHandler()
    record = logging.LogRecord("jim.x", logging.INFO, "x.py", 1, "%s", ("a",), None)
    handler.handle(record)
    assert record.args == ("a",)
