"""What `jim doctor` checks at the other end: port, TLS, identity, round trip, clock, policy."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from jim.client import link as links
from jim.client.cli.check import FAIL, OK, WARN, Check
from jim.client.console.explain import explain
from jim.client.console.text import safe_line
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import default_data_dir
from jim.client.login import greet
from jim.client.policy import modes_to_try
from jim.crypto.keys import fingerprint
from jim.errors import JimError, KeyFileError, TlsError
from jim.i18n import _
from jim.protocol import messages as m

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.address import Address
    from jim.client.known_servers import KnownServer
    from jim.client.login import Greeting

ANSWER_S: Final = 10.0
"""For the greeting after TLS: the figure that the client allows for the connection."""

SLOW_S: Final = 1.0
"""A round trip that people notice in a conversation."""

CLOCK_S: Final = 120
"""Certificates and times of messages start to look wrong."""


async def server_checks(
    address: Address, data_dir: Path | None, ca_file: Path | None
) -> list[Check]:
    """Connect and let the server prove who it is; nobody logs in."""
    try:
        known = KnownServers(data_dir or default_data_dir()).find(address)
    except KeyFileError:
        known = None  # reported by the checks of this machine
    try:
        link = await _connect(address, known, ca_file)
    except JimError as error:
        text = _("Server {address}: not reached").format(address=address)
        return [Check("server", FAIL, text, explain(error))]
    try:
        return [_reached(address), *await _greeted(link, known)]
    finally:
        await link.aclose(politely=True)


async def _connect(address: Address, known: KnownServer | None, ca_file: Path | None) -> links.Link:
    modes = modes_to_try(address, known, ca_file)
    for mode in modes[:-1]:
        try:
            return await links.connect(address, mode, ca_file)
        except TlsError:
            continue  # a first contact: the identity key decides then
    return await links.connect(address, modes[-1], ca_file)


def _reached(address: Address) -> Check:
    return Check(
        "server", OK, _("Server {address}: reached, encrypted (TLS 1.3)").format(address=address)
    )


async def _greeted(link: links.Link, known: KnownServer | None) -> list[Check]:
    recorder = _Recorder(link)
    try:
        async with asyncio.timeout(ANSWER_S):
            greeting = await greet(recorder, known.server_id if known else None)
    except TimeoutError:
        text = _("Server: connected, but no answer in {seconds} s").format(seconds=int(ANSWER_S))
        return [Check("identity", FAIL, text, _("Is this a JIM server? Check address and port."))]
    except JimError as error:
        return [Check("identity", FAIL, _("Identity of the server"), explain(error))]
    return [
        _identity(greeting, known),
        _round_trip(recorder.took_s),
        _clock(recorder.server_ms),
        _policy(greeting.terms),
    ]


class _Recorder:
    """A connection being greeted: notes when the server answered and what time it had."""

    def __init__(self, link: links.Link) -> None:
        self._link = link
        self.took_s = 0.0
        self.server_ms = 0

    def peer_spki(self) -> bytes:
        return self._link.peer_spki()

    async def ask(self, message: m.ClientMessage) -> m.ServerMessage:
        began = time.monotonic()
        reply = await self._link.ask(message)
        self.took_s = time.monotonic() - began
        self.server_ms = reply.time if isinstance(reply, m.Challenge) else 0
        return reply


def _identity(greeting: Greeting, known: KnownServer | None) -> Check:
    shown = fingerprint(greeting.server_id)
    if known is None:
        text = _("Fingerprint: {fingerprint} (never met before)").format(fingerprint=shown)
        return Check("identity", WARN, text, _("Compare it with the one that its owner sees."))
    text = _("Fingerprint: {fingerprint}, as before").format(fingerprint=shown)
    return Check("identity", OK, text)


def _round_trip(took_s: float) -> Check:
    text = _("Round trip: {milliseconds} ms").format(milliseconds=round(took_s * 1000))
    slow = took_s > SLOW_S
    return Check(
        "round_trip", WARN if slow else OK, text, _("The network is slow.") if slow else ""
    )


def _clock(server_ms: int) -> Check:
    ahead_s = round(time.time() - server_ms / 1000)
    text = _("Clock: {seconds} s off the server's").format(seconds=f"{ahead_s:+d}")
    if abs(ahead_s) <= CLOCK_S:
        return Check("clock", OK, text)
    return Check("clock", WARN, text, _("Set one of the two: sudo timedatectl set-ntp true"))


def _policy(terms: m.Terms) -> Check:
    kinds = {
        "open": _("whoever comes first owns a name"),
        "invite": _("only with an invite"),
        "closed": _("none"),
    }
    kind = kinds.get(terms.policy.registration, safe_line(terms.policy.registration))
    text = _("New names: {policy}; a text may have {kilobytes} KiB").format(
        policy=kind, kilobytes=terms.limits.text_bytes // 1024
    )
    return Check("policy", OK, text)
