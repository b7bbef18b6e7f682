"""Open the listening sockets and accept in bulk; everything after that is the door's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from jim.decorators import log_calls
from jim.errors import ListenFailed
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
"""Connections that the kernel keeps ready for us: a reconnect storm of a second. Linux caps it at
net.core.somaxconn (4096)."""

ACCEPT_AT_ONCE: Final = 128
"""Accepted in one turn of the loop, so that a storm does not starve those who are in."""

UNSENT_BYTES: Final = 256 * 1024
"""What the kernel takes from us for one connection beyond what is under way: a page of a mailbox.
Left alone it takes up to net.ipv4.tcp_wmem (4 MiB) for somebody who reads nothing, unseen by the
limit `outgoing_bytes`. The bytes under way are not limited, so a long line is filled as before."""

EXHAUSTED_S: Final = 1.0
"""Pause when there are no descriptors or no memory left; the kernel queues meanwhile."""

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_SKIPPED: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""An address family that this machine does not have, or an address that it lost."""

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - the seed's default: all addresses
PORT_TRIES: Final = 16
"""For a port of the system's choice that is free in both families."""


@log_calls
def open_sockets(address: str, port: int) -> list[socket.socket]:
    """Bind, without listening yet.

    An empty address means all, over IPv4 and over IPv6 where the machine has it. Port 0 gives all
    sockets the same port.

    Raises:
        ListenFailed: with `reason` in_use, permission, name or address; the detail says what to do.
    """
    for _try in range(PORT_TRIES):
        try:
            return _bind_all(_targets(address, port), port)
        except OSError as error:
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            raise _explained(error, address, port) from error
    raise ListenFailed(_("no port is free in both address families"), reason="in_use")


def shown(sock: socket.socket) -> str:
    """Write a socket's own address as people type it: 127.0.0.1:7777, [::]:7777."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Listener:
    """Accepts on several sockets and hands each connection to `accept(sock, address)`."""

    def __init__(
        self, sockets: Sequence[socket.socket], accept: Callable[[socket.socket, str], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._accept = accept
        self._exhausted = False
        self._closed = False
        for sock in sockets:
            sock.listen(BACKLOG)
            self._watch(sock)

    def close(self) -> None:
        """Stop accepting; who waits in the kernel's queue is reset."""
        self._closed = True
        for sock in self._sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                sock.close()

    def _watch(self, sock: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(sock.fileno(), self._accept_some, sock)

    def _accept_some(self, sock: socket.socket) -> None:
        for _turn in range(ACCEPT_AT_ONCE):
            try:
                accepted, address = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._back_off(sock, error)
                    return
                continue  # this one is gone already (ECONNABORTED), the next may be there
            self._exhausted = False
            self._take(accepted, str(address[0]))

    def _take(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        with contextlib.suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        try:
            self._accept(accepted, address)
        except Exception:
            accepted.close()
            log.exception("a connection from %s could not be taken", address)

    def _back_off(self, sock: socket.socket, error: OSError) -> None:
        """Accept nothing for a moment; watching on would call us again without end."""
        if not self._exhausted:
            self._exhausted = True
            log.error("cannot accept: %s; trying again every %g s", error.strerror, EXHAUSTED_S)
        self._loop.remove_reader(sock.fileno())
        self._loop.call_later(EXHAUSTED_S, self._watch, sock)


_Target = tuple[socket.AddressFamily, str]


def _targets(address: str, port: int) -> list[_Target]:
    if not address:
        return [(socket.AF_INET, EVERYWHERE[0]), (socket.AF_INET6, EVERYWHERE[1])]
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        text = _("cannot listen on {address}: {reason}; choose another address with -a")
        raise ListenFailed(text.format(address=address, reason=reason), reason="name") from error
    return list(dict.fromkeys((entry[0], str(entry[4][0])) for entry in found))


def _bind_all(targets: Sequence[_Target], port: int) -> list[socket.socket]:
    """Bind each target to one port, leaving out families that the machine does not have."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, host in targets:
            try:
                sockets.append(_bind(family, host, port))
            except OSError as error:
                if error.errno not in _SKIPPED:
                    raise
                missing = error
                continue
            port = sockets[-1].getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _explained(error: OSError, address: str, port: int) -> ListenFailed:
    where = _("{address}, port {port}").format(address=address or _("all addresses"), port=port)
    if error.errno == errno.EADDRINUSE:
        text = _("{where}: another program listens there; stop it, or choose another port with -p")
        return ListenFailed(text.format(where=where), reason="in_use")
    if error.errno in {errno.EACCES, errno.EPERM}:
        text = _("{where}: not allowed; ports below 1024 belong to root, choose another with -p")
        return ListenFailed(text.format(where=where), reason="permission")
    text = _("{where}: {reason}; choose another address with -a")
    reason = os.strerror(error.errno or 0)
    return ListenFailed(text.format(where=where, reason=reason), reason="address")
