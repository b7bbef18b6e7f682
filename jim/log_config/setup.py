"""Put the parts together: handler, queue, thread, format; and take them apart again."""

from __future__ import annotations

import atexit
import logging
import sys
from typing import TYPE_CHECKING, Literal, Self

from jim.i18n import _
from jim.log_config.daily_file import DailyFileHandler
from jim.log_config.directory import default_directory, prepare_directory
from jim.log_config.formats import JsonFormatter, LineFormatter
from jim.log_config.queueing import DroppingQueueHandler, WriterThread

if TYPE_CHECKING:
    from pathlib import Path

Role = Literal["server", "client"]

PACKAGE = "jim"
"""The logger above all of ours; its level is the one that `configure` sets."""


class LogHandle:
    """What `configure` has set up; close it to write out the rest and undo the set-up."""

    def __init__(self, handler: DroppingQueueHandler, writer: WriterThread, path: Path | None):
        self._handler = handler
        self._writer = writer
        self._path = path
        self._closed = False

    @property
    def path(self) -> Path | None:
        """The file that is written, or None while warnings go to stderr."""
        return self._path

    @property
    def dropped(self) -> int:
        """How many records the full queue has cost since the start."""
        return self._handler.dropped

    def close(self) -> None:
        """Write out what is queued, stop the thread, close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger(PACKAGE).setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)
        self._writer.stop()
        self._handler.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def configure(
    role: Role,
    *,
    json: bool = False,
    level: int | str = logging.INFO,
    directory: Path | None = None,
) -> LogHandle:
    """Send the log of this process to `<directory>/<role>.log`.

    Args:
        role: names the file.
        json: one JSON object a line instead of text.
        level: the least severe level of JIM's own records; other packages log from WARNING up.
        directory: where the file is; None means `default_directory()`. It is made (0700) if
            missing. One that cannot be written costs one line on stderr, where warnings go then.

    Returns:
        The handle to close at the end of the program; a normal exit of the interpreter closes it.
    """
    target = _open_target(role, directory if directory is not None else default_directory())
    target.setFormatter(JsonFormatter() if json else LineFormatter())
    handler = DroppingQueueHandler()
    writer = WriterThread(handler, target)
    writer.start()
    logging.getLogger().addHandler(handler)
    logging.getLogger(PACKAGE).setLevel(level.upper() if isinstance(level, str) else level)
    logging.captureWarnings(capture=True)
    path = target.path if isinstance(target, DailyFileHandler) else None
    handle = LogHandle(handler, writer, path)
    atexit.register(handle.close)
    return handle


def _open_target(role: Role, directory: Path) -> logging.Handler:
    path = directory / f"{role}.log"
    try:
        prepare_directory(directory)
        return DailyFileHandler(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        text = _("jim: cannot write the log {path}: {reason}; warnings go to this terminal")
        sys.stderr.write(text.format(path=path, reason=reason) + "\n")
        fallback = logging.StreamHandler(sys.stderr)
        fallback.setLevel(logging.WARNING)
        return fallback
