"""Decide who may connect, log in and register: counts, random early refusal, penalties by source.

Pure: the clock and the randomness are handed in. What is kept per source is a handful of numbers,
and a source that neither has a connection nor a count worth keeping is forgotten, so memory stays
bounded whoever knocks. Nothing here ever locks an account: only addresses wait.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from jim.errors import Penalised, TooManyConnections, TooManyRegistrations

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.limits import Limits

MAX_SOURCES: Final = 65_536
"""Sources remembered at most, about 300 bytes each: 20 MB in the worst flood from everywhere.
Beyond it the longest unseen ones without a connection are forgotten."""

EVICTION_TRIES: Final = 64
"""Connected sources stepped over (and counted as seen) to find one to forget: bounds an accept's
cost in a flood; each try makes the next ones shorter."""

SITE_BITS: Final = 64
"""A customer of an IPv6 provider has at least a /64 (RFC 6177), so that is one source."""

_MS: Final = 1000


def source_of(address: str) -> str:
    """Give the source that limits count by: an IPv4 address, or the /64 of an IPv6 one.

    IPv4-mapped addresses count as IPv4. Text that is no address (a socket of another family) is its
    own source.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, SITE_BITS), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


class Ticket:
    """The place that one connection takes; `Admission.leave` gives it back, once."""

    __slots__ = ("authenticated", "exempt", "left", "source")

    def __init__(self, source: str, *, exempt: bool) -> None:
        self.source = source
        self.exempt = exempt
        """No limits per address apply."""
        self.authenticated = False
        self.left = False


class _Window:
    """Counts within a stretch of time that begins with the first event after the last stretch."""

    __slots__ = ("count", "ends_s")

    def __init__(self) -> None:
        self.count = 0
        self.ends_s = float("-inf")

    def taken(self, now_s: float) -> int:
        """Give the count of the stretch that `now_s` lies in."""
        return self.count if now_s < self.ends_s else 0

    def add(self, now_s: float, length_s: float) -> None:
        if now_s >= self.ends_s:
            self.count, self.ends_s = 0, now_s + length_s
        self.count += 1


class _Source:
    """What is kept about one source."""

    __slots__ = (
        "connections",
        "newcomers",
        "penalty_ends_s",
        "penalty_s",
        "registrations",
        "unauthenticated",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.unauthenticated = 0
        self.newcomers = _Window()
        self.registrations = _Window()
        self.penalty_s = 0.0
        self.penalty_ends_s = float("-inf")

    def is_idle(self, now_s: float) -> bool:
        """Tell whether forgetting the source changes nothing any more."""
        memory_ends_s = self.penalty_ends_s + self.penalty_s
        ends_s = max(self.newcomers.ends_s, self.registrations.ends_s, memory_ends_s)
        return not self.connections and now_s >= ends_s


class Admission:
    """The door-keeper of one server; all methods are called from one thread and return at once."""

    def __init__(self, limits: Limits, chance: Callable[[], float]) -> None:
        """Take the limits, and a source of uniform random numbers in [0, 1)."""
        self._chance = chance
        self._sources: dict[str, _Source] = {}
        self._unauthenticated = 0
        self.apply(limits)

    def apply(self, limits: Limits) -> None:
        """Use other limits from now on; counts and penalties stay."""
        self._limits = limits
        self._exempt = [ipaddress.ip_network(text, strict=False) for text in limits.exempt_networks]

    @property
    def unauthenticated(self) -> int:
        """How many connections have not logged in yet."""
        return self._unauthenticated

    @property
    def sources(self) -> int:
        """How many sources are remembered."""
        return len(self._sources)

    def admit(self, address: str, now_s: float) -> Ticket:
        """Let a new connection in.

        Raises:
            Penalised: with `retry_after_ms`, after failed logins from the source.
            TooManyConnections: of the source, or of everybody together; with `limit` where it is a
                fixed one.
        """
        name = source_of(address)
        ticket = Ticket(name, exempt=self._is_exempt(address))
        source = self._sources.get(name) or _Source()
        if not ticket.exempt:
            self._check_source(source, now_s)
        self._check_everybody()
        self._remember(name, source, now_s)
        source.newcomers.add(now_s, self._limits.new_connections_window_s)
        source.connections += 1
        source.unauthenticated += 1
        self._unauthenticated += 1
        return ticket

    def authenticated(self, ticket: Ticket) -> None:
        """Note that the connection has logged in."""
        if ticket.authenticated or ticket.left:
            return
        ticket.authenticated = True
        self._sources[ticket.source].unauthenticated -= 1
        self._unauthenticated -= 1

    def leave(self, ticket: Ticket) -> None:
        """Give the place of a connection back; a second call changes nothing."""
        if ticket.left:
            return
        if not ticket.authenticated:
            self.authenticated(ticket)
        ticket.left = True
        self._sources[ticket.source].connections -= 1

    def penalise(self, ticket: Ticket, now_s: float) -> float:
        """Shut the source out after a connection with failed logins; give for how many seconds.

        The time doubles with each such connection and is forgotten when the source has kept quiet
        for as long again after its end.
        """
        if ticket.exempt:
            return 0.0
        source = self._sources[ticket.source]
        lapsed = now_s >= source.penalty_ends_s + source.penalty_s
        start_s, most_s = self._limits.penalty_start_s, self._limits.penalty_max_s
        source.penalty_s = start_s if lapsed else min(max(source.penalty_s * 2, start_s), most_s)
        source.penalty_ends_s = now_s + source.penalty_s
        return source.penalty_s

    def check_registration(self, ticket: Ticket, now_s: float) -> None:
        """Refuse a registration beyond the limit of its source.

        Raises:
            TooManyRegistrations: with `limit` and `retry_after_ms`.
        """
        window = self._sources[ticket.source].registrations
        limit = self._limits.registrations_per_address
        if not ticket.exempt and window.taken(now_s) >= limit:
            wait_ms = _wait_ms(window.ends_s, now_s)
            raise TooManyRegistrations(limit=limit, retry_after_ms=wait_ms)

    def registered(self, ticket: Ticket, now_s: float) -> None:
        """Count a registration that succeeded."""
        window = self._sources[ticket.source].registrations
        window.add(now_s, self._limits.registrations_window_s)

    def sweep(self, now_s: float) -> None:
        """Forget idle sources; called now and then."""
        idle = [name for name, source in self._sources.items() if source.is_idle(now_s)]
        for name in idle:
            del self._sources[name]

    def _is_exempt(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        plain = parsed if mapped is None else mapped
        return any(plain in network for network in self._exempt)

    def _check_source(self, source: _Source, now_s: float) -> None:
        limits = self._limits
        if now_s < source.penalty_ends_s:
            raise Penalised(retry_after_ms=_wait_ms(source.penalty_ends_s, now_s))
        for count, limit in (
            (source.connections, limits.connections_per_address),
            (source.unauthenticated, limits.unauthenticated_per_address),
        ):
            if count >= limit:
                raise TooManyConnections(limit=limit)
        limit = limits.new_connections_per_address
        if source.newcomers.taken(now_s) >= limit:
            wait_ms = _wait_ms(source.newcomers.ends_s, now_s)
            raise TooManyConnections(limit=limit, retry_after_ms=wait_ms)

    def _check_everybody(self) -> None:
        """Refuse at random once many have not logged in, and everybody when too many have not.

        As sshd's MaxStartups: the chance grows evenly from the rate at `start` to certainty at
        `full`. A flood then meets refusals early, and somebody honest still gets in at the next try
        or two.
        """
        limits, count = self._limits, self._unauthenticated
        if count >= limits.unauthenticated_full:
            raise TooManyConnections(limit=limits.unauthenticated_full)
        if count < limits.unauthenticated_start:
            return
        rate = limits.unauthenticated_rate_percent / 100
        span = limits.unauthenticated_full - limits.unauthenticated_start
        share = (count - limits.unauthenticated_start) / span
        if self._chance() < rate + (1 - rate) * share:
            raise TooManyConnections

    def _remember(self, name: str, source: _Source, now_s: float) -> None:
        """Move the source to the end, as the one seen last, and make room for it if need be."""
        self._sources.pop(name, None)
        if len(self._sources) >= MAX_SOURCES:
            self._forget_one()
        self._sources[name] = source

    def _forget_one(self) -> None:
        """Forget the source unseen for longest among the first few that have no connection."""
        for _ in range(EVICTION_TRIES):
            name = next(iter(self._sources))
            source = self._sources.pop(name)
            if not source.connections:
                return
            self._sources[name] = source


def _wait_ms(ends_s: float, now_s: float) -> int:
    return max(1, round((ends_s - now_s) * _MS))
