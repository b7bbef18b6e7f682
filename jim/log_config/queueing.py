"""Carry records from any thread to the one that writes; never block and never touch the disk."""

from __future__ import annotations

import copy
import logging
import logging.handlers
import queue
from typing import TypeAlias

QUEUE_CAPACITY = 10_000
"""Records that may wait: about 5 MB, and half a second of writing at 20,000 lines a second."""

_Records: TypeAlias = "queue.SimpleQueue[logging.LogRecord | None]"

_FORMATTER = logging.Formatter()


class DroppingQueueHandler(logging.handlers.QueueHandler):
    """Queue records without ever waiting; what does not fit is counted and dropped.

    A SimpleQueue has no lock in Python that an event loop could wait on. Its bound is checked
    before the put, so that several threads at once may exceed it by their number.
    """

    def __init__(self, capacity: int = QUEUE_CAPACITY):
        self.records: _Records = queue.SimpleQueue()
        super().__init__(self.records)
        self._capacity = capacity
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a prepared record, or count it as dropped."""
        if self.records.qsize() < self._capacity:
            self.records.put(record)
        else:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy that holds text only: arguments may change before the record is written."""
        record = copy.copy(record)
        record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
            record.exc_info = None
        return record


class WriterThread(logging.handlers.QueueListener):
    """The thread that hands queued records to the handler that writes them."""

    def __init__(self, source: DroppingQueueHandler, target: logging.Handler):
        super().__init__(source.records, target, respect_handler_level=True)
        self._source = source
        self._target = target
        self._reported = 0

    def handle(self, record: logging.LogRecord) -> None:
        """Write one record; say first how many were lost before it."""
        self._report_dropped()
        super().handle(record)

    def stop(self) -> None:
        """Write all that is queued, then end the thread and close the target."""
        super().stop()
        self._report_dropped()
        self._target.close()

    def _report_dropped(self) -> None:
        lost = self._source.dropped - self._reported
        if lost:
            self._reported += lost
            text = f"{lost} log records dropped: the queue was full"
            super().handle(
                logging.LogRecord(
                    __name__, logging.WARNING, __file__, 0, text, None, None, "_report_dropped"
                )
            )
