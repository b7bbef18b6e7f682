"""Take new settings and certificates while serving: on SIGHUP, and daily the certificate."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from jim.decorators import log_calls
from jim.errors import JimError
from jim.server.identity import load_tls
from jim.server.settings import changes, load, merged, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.limits import Limits
    from jim.server.arguments import Request
    from jim.server.service import Service

log = logging.getLogger(__name__)

RENEWAL_S: Final = 86_400.0
"""A certificate is looked at once a day: a self-signed one is made anew 30 days before its end, and
a given one that was replaced on disk is picked up even if nobody sends the signal."""


class Reloader:
    """Reads the settings again as the start did, from the same command line."""

    def __init__(
        self, service: Service, request: Request, apply_limits: Callable[[Limits], None]
    ) -> None:
        """`apply_limits` hands new limits to the store."""
        self._service = service
        self._request = request
        self._apply_limits = apply_limits
        self._schedule()

    @log_calls
    def reload(self) -> None:
        """Read everything again; a mistake in it changes nothing and is logged."""
        old = self._service.settings
        try:
            new = load(self._request.flags, os.environ, self._request.config).settings
            settings = merged(old, new)
            tls = load_tls(settings)
        except JimError as error:
            log.error("reload: %s; the old settings stay in force", error)  # noqa: TRY400 - a mistake of people
            return
        for name, can_change in changes(old, new):
            text = "reload: %s is now %r" if can_change else "reload: %s = %r needs a restart"
            log.warning(text, name, value_of(new, name))
        self._service.apply(settings, tls)
        self._apply_limits(settings.limits)
        logging.getLogger("jim").setLevel(settings.log_level.upper())
        log.warning("reload: done; certificate read again")

    def _renew(self) -> None:
        self._schedule()
        try:
            self._service.door.tls = load_tls(self._service.settings)
        except JimError as error:
            log.error("the certificate could not be renewed: %s; the old one stays", error)  # noqa: TRY400

    def _schedule(self) -> None:
        asyncio.get_running_loop().call_later(RENEWAL_S, self._renew)
