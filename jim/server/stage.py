"""What a connection knows of its session: the interface of the stages, and their end."""

from __future__ import annotations

import enum
from typing import Final, Protocol

from jim.protocol.codec import Invalid
from jim.protocol.messages import ClientMessage

Item = ClientMessage | Invalid


class Hold(enum.IntFlag):
    """Why a connection is not read from at the moment."""

    PACE = 1
    LOGIN = 2
    TASKS = 4
    DRAIN = 8


class Stage(Protocol):
    """What a session does with what arrives: `Login` first, `Active` after it."""

    def receive(self, items: list[Item], size_bytes: int, now_s: float) -> None:
        """Take the messages of one read, in order."""

    def paused(self) -> None:
        """Stop pushing: the client reads too slowly."""

    def resumed(self) -> None:
        """Go on: what was written has left."""

    def catch_up(self) -> None:
        """Read the mailbox from the store."""

    def end(self) -> None:
        """Let go of everything; called once, when the session is over."""

    def label(self) -> str:
        """Say who this is, for the log."""


class Over:
    """What is left of a session: the last stage and the last transport of every connection.

    Putting it in their places parts the connection from what points back at it. Otherwise each one
    that has ended would keep its TLS buffers until the garbage collector comes by.
    """

    def receive(self, items: list[Item], size_bytes: int, now_s: float) -> None:
        """Ignore what comes too late."""

    def _nothing(self) -> None:
        """Do nothing."""

    paused = resumed = catch_up = end = close = abort = pause_reading = resume_reading = _nothing

    def label(self) -> str:
        """Say that there is nobody."""
        return "over"

    def write(self, data: bytes) -> None:
        """Drop what nobody will read."""


OVER: Final = Over()
