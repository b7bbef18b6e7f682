"""Two networks of our own with a cable between them: lose packets, pull the cable.

Server and clients live in a network namespace each, so nothing of the machine's own network is
touched. Packets are dropped where they arrive, as on a real line: the sender learns nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from reliability.injectors.system import command
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

Side = Literal["server", "clients"]

SERVER: Final[Side] = "server"
CLIENTS: Final[Side] = "clients"

NEEDS: Final = ("root", "ip", "nft")
"""Of the machine, to lay a cable."""

ADDRESSES: Final[dict[Side, str]] = {SERVER: "198.51.100.1", CLIENTS: "198.51.100.2"}
"""TEST-NET-2, for examples and never routed (RFC 5737)."""

NETWORK: Final = "198.51.100.0/24"
"""All clients share one address: the server has to be told that this is no attack."""

_LINK: Final = "cable"
_NAME: Final = re.compile(r"jimfault-(\d+)-\d+-(?:server|clients)")
_SETTLED_WITHIN_S: Final = 5.0
"""The kernel passes changes of a link on once a second (net/core/link_watch.c)."""

_LOOK_S: Final = 0.02
_numbers = itertools.count(1)

_RULES: Final = """
table inet fault {{
  counter lost {{ }}
  chain arriving {{
    type filter hook input priority 0; policy accept;
    iifname "{link}" numgen random mod 100 < {percent} counter name lost drop
  }}
}}
"""


class Cable:
    """Two namespaces and the cable between them; `lay` it, and always `remove` it."""

    def __init__(self) -> None:
        """Choose names that no other run has."""
        stem = f"jimfault-{os.getpid()}-{next(_numbers)}"
        self._names: dict[Side, str] = {side: f"{stem}-{side}" for side in ADDRESSES}

    def lay(self) -> None:
        """Make everything, after removing what killed runs have left.

        Raises:
            NotTaken: the machine does not let us.
        """
        _sweep()
        try:
            for name in self._names.values():
                command("ip", "netns", "add", name)
                command("ip", "-n", name, "link", "set", "lo", "up")
            self._connect()
            for side, name in self._names.items():
                command("ip", "-n", name, "addr", "add", f"{ADDRESSES[side]}/24", "dev", _LINK)
                command("ip", "-n", name, "link", "set", _LINK, "up")
        except NotTaken:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove both namespaces; the cable goes with them."""
        for name in self._names.values():
            if Path("/run/netns", name).exists():
                command("ip", "netns", "del", name)

    def _connect(self) -> None:
        here, there = self._names[SERVER], self._names[CLIENTS]
        near = ("ip", "link", "add", _LINK, "netns", here, "type", "veth")
        command(*near, "peer", "name", _LINK, "netns", there)

    def inside(self, side: Side) -> list[str]:
        """Give the words to put before a command so that it runs at this end."""
        return ["ip", "netns", "exec", self._names[side]]

    @contextlib.contextmanager
    def losing(self, percent: int) -> Iterator[None]:
        """Drop so many of a hundred packets at random, both ways."""
        rules = _RULES.format(link=_LINK, percent=percent)
        for side in ADDRESSES:
            self._run(side, "nft", "-f", "-", stdin=rules)
        try:
            yield
        finally:
            for side in ADDRESSES:
                self._run(side, "nft", "delete", "table", "inet", "fault")

    def lost_packets(self) -> dict[Side, int]:
        """Count what has been dropped where it arrived; only while `losing`."""
        return {side: self._counted(side) for side in ADDRESSES}

    @contextlib.contextmanager
    def pulled(self, side: Side) -> Iterator[None]:
        """Have the cable out at one end; the other end sees that nobody is there.

        Raises:
            NotTaken: packets still arrive.
        """
        self._set_link(side, "down")
        before = self._received(side)
        try:
            yield
            if (more := self._received(side) - before) > 0:
                raise NotTaken(f"{more} packets came through a cable that is pulled out")
        finally:
            self._set_link(side, "up")

    def _set_link(self, side: Side, state: Literal["up", "down"]) -> None:
        """Set one end, and wait until the kernel has told both: it does so once a second."""
        command("ip", "-n", self._names[side], "link", "set", _LINK, state)
        give_up_s = time.monotonic() + _SETTLED_WITHIN_S
        while any(self.is_up(end) is not (state == "up") for end in ADDRESSES):
            if time.monotonic() > give_up_s:
                raise NotTaken(f"the link of the {side} is not {state}")
            time.sleep(_LOOK_S)

    def is_up(self, side: Side) -> bool:
        """Tell whether this end is up and feels the other one."""
        return str(self._link(side)["operstate"]) == "UP"

    def _link(self, side: Side) -> dict[str, object]:
        shown = command("ip", "-n", self._names[side], "-s", "-j", "link", "show", _LINK)
        found: list[dict[str, object]] = json.loads(shown)
        return found[0]

    def _received(self, side: Side) -> int:
        shown = self._run(side, "cat", f"/sys/class/net/{_LINK}/statistics/rx_packets")
        return int(shown)

    def _counted(self, side: Side) -> int:
        shown = json.loads(self._run(side, "nft", "-j", "list", "counters"))
        counters = (item["counter"] for item in shown["nftables"] if "counter" in item)
        return sum(int(counter["packets"]) for counter in counters)

    def _run(self, side: Side, *words: str, stdin: str = "") -> str:
        return command(*self.inside(side), *words, stdin=stdin)


@contextlib.contextmanager
def laid() -> Iterator[Cable]:
    """Lay a cable for as long as the block takes."""
    cable = Cable()
    cable.lay()
    try:
        yield cable
    finally:
        cable.remove()


def _sweep() -> None:
    """Remove the namespaces of runs that were killed: their process is gone."""
    for name in command("ip", "netns", "list").splitlines():
        match = _NAME.match(name)
        if match is not None and not Path("/proc", match[1]).exists():
            command("ip", "netns", "del", match[0])
