"""The composition root of the server: read top to bottom, it is what `jim-server` does.

The one module that names the adapters of store and bus.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from jim.bus.local import LocalBus
from jim.common.exits import INTERRUPTED_STATUS, PIPE_STATUS, forget_stdout
from jim.crypto.keys import fingerprint
from jim.decorators import log_calls
from jim.errors import JimError, SettingsError, StoreError
from jim.i18n import _
from jim.log_config import configure
from jim.server import admin, arguments, signals, verify
from jim.server.identity import load_identity, load_tls
from jim.server.listener import open_sockets
from jim.server.loops import loop_factory, tune_gc, tune_malloc
from jim.server.reload import Reloader
from jim.server.service import Service
from jim.server.settings import Loaded, load
from jim.storage.sqlite import add_invite_offline, open_store, reissue_epoch, walk

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from jim.core.ports import Store
    from jim.crypto.keys import SigningKey

log = logging.getLogger(__name__)

FAILURE: Final = 1
USAGE: Final = 2
CLOSED_BY: Final = 0.9
"""The part of `drain_s` by which the store is closed: the rest is for ending threads and process
(an idle server takes 0.04 s for everything)."""

PRIVATE_UMASK: Final = 0o077
"""Whatever we make belongs to us alone."""


@log_calls
def main(argv: Sequence[str] | None = None) -> int:
    """Run `jim-server`; gives the exit status: 0, 1 for a failure, 2 for wrong usage."""
    os.umask(PRIVATE_UMASK)
    try:
        request = arguments.parse(sys.argv[1:] if argv is None else argv)
        loaded = load(request.flags, os.environ, request.config)
        status = _carry_out(request, loaded)
        sys.stdout.flush()
    except BrokenPipeError:  # of a command that prints: `jim-server verify | head -1`
        forget_stdout()
        return PIPE_STATUS
    except SettingsError as error:
        return _complain(error, USAGE)
    except JimError as error:
        return _complain(error, FAILURE)
    except KeyboardInterrupt:  # before the server listens to signals itself
        return INTERRUPTED_STATUS
    return status


def _carry_out(request: arguments.Request, loaded: Loaded) -> int:
    if request.task == "serve":
        return serve(request, loaded)
    if request.task == "check":
        admin.check_config(loaded)
    elif request.task == "print":
        admin.print_config(loaded)
    elif request.task == "invite":
        admin.print_invite(request, loaded, add_invite_offline)
    elif request.task == "resync":
        admin.resync(loaded, reissue_epoch)
    elif request.task == "verify":
        return 0 if verify.verify(loaded, walk, as_json=request.as_json) else FAILURE
    else:
        admin.print_fingerprint(loaded)
    return 0


def serve(request: arguments.Request, loaded: Loaded) -> int:
    """Serve until a signal comes or the store fails; gives the exit status."""
    settings = loaded.settings
    tune_malloc()
    sockets = open_sockets(settings.address, settings.port)
    try:
        identity = load_identity(settings.directory, admin.DATABASE)
        logs = configure(
            "server",
            json=settings.log_json,
            level=settings.log_level,
            directory=admin.log_directory(settings),
        )
        with logs, asyncio.Runner(loop_factory=loop_factory(settings.loop)) as runner:
            return runner.run(_run(request, loaded, identity, sockets, logs.path))
    finally:
        for sock in sockets:
            sock.close()


async def _run(
    request: arguments.Request,
    loaded: Loaded,
    identity: SigningKey,
    sockets: list[socket.socket],
    log_path: Path | None,
) -> int:
    settings = loaded.settings
    tls = load_tls(settings)
    store = await open_store(settings.directory / admin.DATABASE, settings.limits)
    loop, drain_s = asyncio.get_running_loop(), settings.limits.drain_s
    closed_by_s: float | None = None
    try:
        service = Service(settings, identity, tls, store, LocalBus())
        reloader = Reloader(service, request, lambda limits: setattr(store, "limits", limits))
        service.open(sockets)
        signals.listen(service.ended.set, reloader.reload)
        admin.announce(service.addresses, fingerprint(identity.public), settings, log_path)
        tune_gc()
        await service.ended.wait()
        closed_by_s = loop.time() + service.settings.limits.drain_s * CLOSED_BY
        await service.drain()
    finally:
        await close_store(store, closed_by_s or loop.time() + drain_s * CLOSED_BY)
    if service.failure is not None:
        return _complain(service.failure, FAILURE)
    log.info("the server has stopped")
    return 0


async def close_store(store: Store, by_s: float) -> None:
    """Close the store, or leave it when its disk hangs: what was acknowledged is on it.

    So a store that does not close well is reported, to whoever reads the log or the terminal, but
    is no failure: the status stays that of an end that was asked for.
    """
    try:
        async with asyncio.timeout_at(by_s):
            await store.aclose()
    except TimeoutError:
        log.error("the store did not close in time")  # noqa: TRY400 - no traceback says more
    except StoreError as error:
        log.warning("the store did not close well: %s", error)
        sys.stderr.write(_("jim-server: warning: {error}").format(error=error) + "\n")


def _complain(error: JimError, status: int) -> int:
    sys.stderr.write(f"jim-server: {error}\n")
    if status == USAGE:
        sys.stderr.write(_("See jim-server --help.") + "\n")
    return status
