"""Connections that never log in: silent ones, slow ones, half-open ones; and the honest between.

The server has its limits for unauthenticated connections as delivered, and loopback counts like any
network. The attackers come from hundreds of addresses; each honest user has one of their own and
tries again when turned away, as the real client does. Measured are the server's memory and
descriptors, and how long a login takes.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks.stocking import stocked
from jim.core.limits import Limits
from reliability.load.crew import Worker, crew
from reliability.load.desk import Desk, desk
from reliability.load.figures import Check, Report, at_least, at_most, percentile, slope
from reliability.load.strangers import KINDS, Orders, attack, be_honest

if TYPE_CHECKING:
    from benchmarks.stocking import Member
    from reliability.load.server import Gauge, LoadServer

NO_EXEMPTION = {"exempt_networks": ""}
"""By default loopback has no limits per address; here it stands for the network."""

REFUSED_TOLD = 64
"""`door.MAX_REFUSALS`: refused connections that are being told why hold a descriptor too."""
SLACK = 16
"""Descriptors beside those and the honest: sockets that are closed in this turn of the loop."""
SAMPLE_S = 0.25
PATIENCE_S = 60.0
"""Beyond the schedule: a machine that does other work opens the connections more slowly."""
CALM_S = 8.0
"""After the attack: the longest that the server keeps a connection without a login is 5 s for TLS
and 2 s for its end; 15 s for a login that began."""
MEMORY_MIB = 96
"""What the limits allow: 1024 handshakes of 40 KiB are 40 MiB, and the collector's threshold of
10,000 objects may keep as much again (`jim.server.loops.GC_THRESHOLDS`)."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How large the attack is, and what is demanded."""

    connections: int
    per_s: float
    honest: int
    login_s: float = 15.0
    """With all its retries: the limit that the server itself sets for a login."""
    slope_mib_per_min: float = 12.0
    """In the second half of the attack, when all places are taken: it must be flat by then."""


SHORT = Sizes(connections=1_500, per_s=300, honest=5, slope_mib_per_min=300.0)
"""Its second half are 2.5 s, in which the allocator still finds its level: 12 MiB there."""
FULL = Sizes(connections=12_000, per_s=300, honest=30)


def run(sizes: Sizes, form: str) -> Report:
    """Measure logins in peace, then under the attack, then look at what is left of it."""
    with desk("slowloris", form, sizes) as here, here.server(NO_EXEMPTION) as server:
        with stocked(server.database) as stock:
            members = stock.enlist(f"h{i}" for i in range(sizes.honest * 2))
        server.start()
        _run(here, server, members, sizes)
    return here.report


def judge(figures: dict[str, Any], sizes: Sizes) -> list[Check]:
    """Hold the attack against the demands, and see that it was one."""
    limits = Limits()
    most = limits.unauthenticated_full + REFUSED_TOLD + sizes.honest + SLACK
    kinds = [kind.__name__.strip("_") for kind in KINDS]
    return [
        at_least("attacking connections", figures["opened"], sizes.connections),
        *(at_least(f"of them {kind}", figures[f"opened_{kind}"], 1) for kind in kinds),
        at_least("turned away", figures["refused"], 1, "connections"),
        at_least(
            "places taken", figures["descriptors_grown"], limits.unauthenticated_start, "at once"
        ),
        at_most("descriptors at the peak, more than before", figures["descriptors_grown"], most),
        at_most("descriptors left behind", figures["descriptors_left"], 0),
        at_most("memory grown", figures["rss_grown_mib"], MEMORY_MIB, "MiB"),
        at_most(
            "memory in the second half",
            figures["rss_slope_mib_per_min"],
            sizes.slope_mib_per_min,
            "MiB/min",
        ),
        at_least("honest logins in peace", figures["peace_logins"], sizes.honest),
        at_least("honest logins under attack", figures["attack_logins"], sizes.honest),
        at_most("longest of them, with retries", figures["attack_max_s"], sizes.login_s, "s"),
    ]


def _run(here: Desk, server: LoadServer, members: list[Member], sizes: Sizes) -> None:
    figures, half = here.report.figures, len(members) // 2
    orders = Orders(
        address=server.address,
        members=members,
        connections=sizes.connections,
        per_s=sizes.per_s,
    )
    with crew((be_honest, orders), (attack, orders)) as (honest, attacker):
        here.say("honest logins in peace")
        honest.tell("login", (0, half, 0.05))
        _note_logins(here, "peace", honest.hear("logins", 120))
        time.sleep(1.0)
        before = server.gauge()
        here.say(f"{sizes.connections} connections that never log in")
        attacker.tell("attack")
        honest.tell("login", (half, 2 * half, sizes.connections / sizes.per_s / half))
        samples = _watch(here, server, attacker, sizes)
        figures |= attacker.hear("attacked", 60)
        _note_logins(here, "attack", honest.hear("logins", 120))
        here.say("looking at what is left")
        honest.tell("leave")
        honest.hear("left", 20)
        left = _calm(server, before.descriptors - half)
    figures["descriptors_before"] = before.descriptors
    figures["descriptors_grown"] = max(each.descriptors for each in samples) - before.descriptors
    figures["descriptors_left"] = left.descriptors - before.descriptors + half
    figures["rss_before_mib"] = before.rss_mib
    figures["rss_grown_mib"] = max(each.rss_mib for each in samples) - before.rss_mib
    figures["rss_left_mib"] = left.rss_mib - before.rss_mib
    later = samples[len(samples) // 2 :]
    figures["rss_slope_mib_per_min"] = 60 * slope([(x.at_s, x.rss_mib) for x in later])
    here.report.checks += judge(figures, sizes)


def _watch(here: Desk, server: LoadServer, attacker: Worker, sizes: Sizes) -> list[Gauge]:
    """Sample the server until the last attacking connection has been opened."""
    samples = [server.gauge()]
    give_up_s = time.monotonic() + sizes.connections / sizes.per_s + PATIENCE_S
    while time.monotonic() < give_up_s:
        with contextlib.suppress(TimeoutError):
            attacker.hear("opened", SAMPLE_S)
            break
        samples.append(server.gauge())
        here.note(f"{samples[-1].descriptors} descriptors, {samples[-1].rss_mib:.0f} MiB")
    attacker.tell("stop")
    return samples


def _calm(server: LoadServer, descriptors: int) -> Gauge:
    """Wait until the server has forgotten the attack, or had the time to."""
    ends_s = time.monotonic() + Limits().login_s + CALM_S
    while time.monotonic() < ends_s:
        now = server.gauge()
        if now.descriptors <= descriptors:
            return now
        time.sleep(SAMPLE_S)
    return server.gauge()


def _note_logins(here: Desk, when: str, logins: list[tuple[float, float, int]]) -> None:
    """Note the times of logins (all in all, of the attempt that succeeded, attempts before)."""
    figures = here.report.figures
    figures[f"{when}_logins"] = len(logins)
    for name, column in (("", 0), ("attempt_", 1)):
        values = [float(login[column]) for login in logins]
        figures[f"{when}_{name}median_s"] = percentile(values, 50)
        figures[f"{when}_{name}max_s"] = max(values)
    figures[f"{when}_turned_away"] = sum(login[2] for login in logins)
