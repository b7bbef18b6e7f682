"""What is replaced while virtual worlds run: clocks, chance, threads, locks, TLS. Nothing else.

Everything here stands between `jim` and the machine. Each replacement finds the process that asks
by the loop that is running, so the same patches serve any number of worlds, one after the other.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import jim.client.accounts
import jim.client.background
import jim.client.client
import jim.client.keeper
import jim.client.login
import jim.client.policy
import jim.core.names
import jim.crypto.keys
import jim.crypto.tls
import jim.server.node
import jim.server.service
import jim.storage.sqlite.schema
import jim.storage.sqlite.store
from jim.common.files import FILE_MODE
from jim.crypto.certificate import spki_sha256
from reliability.virtual.disk import VirtualLock
from reliability.virtual.loop import VirtualLoop
from reliability.virtual.threads import VirtualWorker, VirtualWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

EPOCH_S: Final = 1_700_000_000.0
"""What wall clocks show at the virtual time zero: some day in 2023, so that stamps look usual."""


def _here() -> VirtualLoop:
    loop = VirtualLoop.current
    if loop is None:
        raise RuntimeError("no virtual process is running")
    return loop


class _Time:
    """The module `time` as a virtual process sees it."""

    @staticmethod
    def time() -> float:
        """Give the wall clock, which somebody may have set."""
        loop = _here()
        return EPOCH_S + loop.scheduler.now_s + loop.wall.offset_s

    @classmethod
    def time_ns(cls) -> int:
        """Give the wall clock in nanoseconds."""
        return int(cls.time() * 1_000_000_000)

    @staticmethod
    def monotonic() -> float:
        """Give the clock that nobody sets."""
        return _here().scheduler.now_s


class _Chance:
    """The module `random` with the chance of the world."""

    @staticmethod
    def random() -> float:
        """Give a number from 0 to 1."""
        return _here().scheduler.chance.random()

    @staticmethod
    def randint(low: int, high: int) -> int:
        """Give a whole number."""
        return _here().scheduler.chance.randint(low, high)

    @staticmethod
    def SystemRandom() -> Random:  # noqa: N802 - the name of the class that it stands for
        """Give the world's chance in place of the system's."""
        return _here().scheduler.chance


class ShownTls(ssl.SSLObject):
    """What is left of TLS: the certificate that the server shows."""

    def __init__(self, certificate: bytes) -> None:
        self._certificate = certificate

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Give the certificate."""
        return self._certificate


def _open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the device's disk, which outlives its processes."""
    if create:
        path.touch(mode=FILE_MODE)
    loop = _here()
    return loop.disks[loop.name].open(path)


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Replace the machine for a block."""
    clock = _Time()
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as stack:

        def put(module: object, name: str, value: object) -> None:
            stack.enter_context(mock.patch.object(module, name, value))

        for module in (
            jim.client.accounts,
            jim.client.client,
            jim.client.keeper,
            jim.client.login,
            jim.server.node,
            jim.storage.sqlite.schema,
        ):
            put(module, "time", clock)
        put(jim.client.policy, "random", _Chance)
        put(jim.server.service, "random", _Chance)
        put(jim.client.accounts, "Writer", VirtualWriter)
        put(jim.client.accounts, "FileLock", VirtualLock)
        put(jim.client.accounts, "open_database", _open_database)
        put(jim.storage.sqlite.store, "Worker", VirtualWorker)
        # Pure functions of what is always the same here: a quarter of a run went into them.
        put(jim.core.names, "normalise", functools.lru_cache(jim.core.names.normalise))
        put(jim.client.client, "normalise", jim.core.names.normalise)
        put(jim.client.background, "normalise", jim.core.names.normalise)
        keys = jim.crypto.keys
        put(keys, "is_public_key", functools.lru_cache(keys.is_public_key))
        tls = jim.crypto.tls
        put(tls, "spki_sha256", functools.cache(spki_sha256))
        put(tls, "pinning_context", functools.cache(tls.pinning_context))
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
