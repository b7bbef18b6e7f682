"""Everything together: a server, accounts with their devices, driven by one schedule."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from jim.client import errands, rotation
from jim.client.encryption import contacts, vault
from jim.client.mailbox import REPAIR_MS
from jim.crypto import chain, links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey
from jim.crypto.transcript import link_hash
from reliability.sealed.book import CANARY, Book
from reliability.sealed.disk import Died, Moment
from reliability.sealed.liar import Liar
from reliability.sealed.machine import Machine
from reliability.sealed.schedule import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from jim.crypto.chain import ChainState
    from jim.protocol.messages import Link
    from reliability.sealed.client import Client
    from reliability.sealed.schedule import Schedule

NAMES: Final = ("ann", "bob", "cat")
"""Three, so that there is somebody whom a message does not concern."""

OLD: Final = "dan"
"""An account whose device cannot encrypt: what is written to it must fail, not go out plain."""

MOST_DEVICES: Final = 6
"""Of all accounts together, for each of them costs time; three of one account at most."""
MOST_OF_ONE: Final = 3

ONE_TIME_KEYS: Final = 4
"""Instead of a hundred: they run out within a short schedule, and fallback keys are used."""

MOST_MOVES: Final = 6
"""In one step, as in `reliability.simulate`."""

SOON: Final = 4
"""A death or a loss comes with one of so many next commits or questions."""

STEP_MS: Final = 20_000
"""Between two steps at most."""

JUMPS_MS: Final = (600_000, 2 * REPAIR_MS, 8 * 86_400_000)
"""A pause; long enough to mend a session again; a fallback key's life, once in a run at most: a key
that waits for longer than two of them opens nothing any more."""

MOST_ROUNDS: Final = 60
"""To come to rest: several times what the longest schedule takes."""

CRASH: Final = "crash"
LOSS: Final = "lost exchange"
CUT: Final = "cut"
JOINED: Final = "device joined"
REVOKED: Final = "device revoked"
RESET: Final = "account reset"
RESTORED: Final = "store restored"
REPLACED: Final = "device replaced"
FULL: Final = "full mailbox"
CLONED: Final = "store restored unnoticed"
FAULTS: Final = (CRASH, LOSS, CUT, JOINED, REVOKED, RESET, RESTORED, REPLACED, CLONED, FULL)
"""Every kind, counted where it took effect; lies are counted by their kind."""


@lru_cache(maxsize=4096)
def _remembered(links_: tuple[Link, ...], name: str) -> ChainState:
    return verify_chain(links_, name)


def _verified(links_: Sequence[Link], name: str) -> ChainState:
    """Verify a chain once: every new process does, and it takes half of a run."""
    return _remembered(tuple(links_), name)


async def _at_once(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do what a thread would do: there is no loop here that it could hold up."""
    return work(*arguments, **options)


@asynccontextmanager
async def _whenever(_: float) -> AsyncIterator[None]:
    """Bound no wait: there is no loop here, and no time passes by itself."""
    yield


_hashed = lru_cache(maxsize=4096)(link_hash)


class World:
    """One run."""

    def __init__(self, schedule: Schedule) -> None:
        """Make the accounts; nobody is connected."""
        self.schedule = schedule
        self.book = Book()
        self.server = Liar(self.book, schedule.shuffle)
        self._chance = random.Random(schedule.shuffle)
        self._recovery: dict[str, SigningKey] = {}
        self._written = 0
        self._jumped = False
        self.machines: list[Machine] = []
        self._actions: tuple[Callable[[int], object], ...] = (
            self._move,
            self._write,
            self._connect,
            self._cut,
            self._crash,
            self._lose,
            self._time,
            self._join,
            self._revoke,
            self._reset,
            self._save,
            self._restore,
            self._clone,
            self._lie,
            self._full,
        )

    def run(self) -> Book:
        """Follow the schedule, heal, and hold what was seen against the rules."""
        with self.limits():
            self.begin()
            for kind, number in self.schedule.steps:
                self.server.now_ms += number % STEP_MS
                self.book.trace.append(f"-- {Kind(kind).name.lower()}:{number}")
                self._actions[kind](number)
            self.heal()
            self.book.close(self.machines, self.server.chains)
        return self.book

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Let the client's code go by the clock and the limits of this world, and write no log."""
        with (
            mock.patch.object(rotation, "logger"),
            mock.patch.object(errands, "now_ms", self._now_ms),
            mock.patch.object(errands, "in_time", _whenever),
            mock.patch.object(asyncio, "to_thread", _at_once),
            mock.patch.object(vault, "ONE_TIME_KEYS", ONE_TIME_KEYS),
            mock.patch.object(chain, "verify_chain", _verified),
            mock.patch.object(contacts, "link_hash", _hashed),
        ):
            yield

    def _now_ms(self) -> int:
        return self.server.now_ms

    def begin(self) -> None:
        """Register everybody."""
        for name in NAMES:
            self.add_device(name)
        for name in NAMES[: self.schedule.shuffle % 3]:
            self.add_device(name)
        key, recovery = self._new_key(), self._new_key()
        genesis = links.make_genesis(OLD, key, recovery.public, self.server.now_ms)
        self.server.add_link(OLD, genesis)

    def _new_key(self) -> SigningKey:
        return SigningKey(self._chance.randbytes(32))

    # --- accounts ---------------------------------------------------------------------------------

    def add_device(self, name: str, *, anew: bool = False) -> Machine:
        """Register an account, add a device to it, or begin it `anew` with this device alone."""
        machine = Machine(self.server, name, self._chance)
        now_ms, keys = self.server.now_ms, machine.vault.keys
        known = self.server.chains.get(name)
        if known is None:
            recovery = self._recovery[name] = self._new_key()
            link = links.make_genesis(name, machine.key, recovery.public, now_ms, keys)
        elif anew:
            old, new = self._recovery[name], self._new_key()
            self._recovery[name] = new
            state = _verified(known, name)
            link = links.make_reset(state, machine.key, new.public, old, time=now_ms, keys=keys)
        else:
            state = _verified(known, name)
            link = links.make_add(state, machine.key, self._recovery[name], now_ms, keys)
        self.server.open_desk(name, machine.device, machine.vault.fallback)
        self.server.add_link(name, link)
        machine.joined(link)
        self.machines.append(machine)
        return machine

    def take_out(self, machine: Machine) -> None:
        """Revoke a device by the account's words."""
        state = _verified(self.server.chains[machine.name], machine.name)
        recovery = self._recovery[machine.name]
        link = links.make_revoke(state, machine.device, recovery, self.server.now_ms)
        self._out(machine)
        self.server.add_link(machine.name, link)

    def _out(self, machine: Machine, *, anew: bool = False) -> None:
        machine.is_out = anew or not machine.is_becoming
        # What it had sent is on its way to people who may hear of this first.
        self.book.allowed.add("unknown_device")

    def _here(self) -> list[Machine]:
        return [machine for machine in self.machines if not machine.is_out]

    def _chosen(self, number: int) -> Machine:
        here = self._here()
        return here[number % len(here)]

    def let(self, machine: Machine, act: Callable[[Client], object]) -> bool:
        """Let a process do something, and begin a new one if it dies of it."""
        lost, former = machine.network.lost, len(machine.former)
        try:
            moved = bool(act(machine.client))
        except Died:
            self.book.counts[CRASH] += 1
            machine.start()
            moved = True
        self.book.counts[LOSS] += machine.network.lost - lost
        self.book.counts[REPLACED] += len(machine.former) - former
        return moved

    # --- steps ------------------------------------------------------------------------------------

    def _move(self, number: int) -> None:
        for _ in range(1 + number % MOST_MOVES):
            number //= 3
            here = self._here()
            first = number % len(here)
            for machine in (*here[first:], *here[:first]):
                if not machine.is_out and self.let(machine, lambda client: client.move(number)):  # noqa: B023 - used at once
                    break

    def _write(self, number: int) -> None:
        machine = self._chosen(number)
        number //= 8
        to = OLD if number % 24 == 0 else NAMES[number % len(NAMES)]
        self.write_text(machine, to)

    def write_text(self, machine: Machine, to: str) -> None:
        """Let a device write the next text to somebody."""
        self._written += 1
        text = f"{CANARY} {self._written}"
        self.let(machine, lambda client: client.write_text(to, text))

    def _connect(self, number: int) -> None:
        machine = self._chosen(number)
        if not machine.client.is_online:
            self.let(machine, lambda client: client.connect())

    def _cut(self, number: int) -> None:
        machine = self._chosen(number)
        if machine.client.is_online:
            self.book.counts[CUT] += 1
            machine.client.cut(number // 8)

    def _crash(self, number: int) -> None:
        """Let a process die at one of its next commits; or now, between two steps."""
        machine = self._chosen(number)
        number //= 8
        moments = list(Moment)
        machine.disk.die_soon(1 + number // 3 % SOON, moments[number % len(moments)])

    def _lose(self, number: int) -> None:
        machine = self._chosen(number)
        number //= 8
        machine.network.lose_soon(1 + number // 2 % SOON, ("question", "answer")[number % 2])

    def _time(self, number: int) -> None:
        jump_ms = JUMPS_MS[number % len(JUMPS_MS)]
        if jump_ms == JUMPS_MS[-1]:
            if self._jumped:
                return
            self._jumped = True
        self.server.now_ms += jump_ms

    def _join(self, number: int) -> None:
        name = NAMES[number % len(NAMES)]
        here = self._here()
        mine = [machine for machine in here if machine.name == name]
        if len(here) < MOST_DEVICES and len(mine) < MOST_OF_ONE:
            self.book.counts[JOINED] += 1
            self.add_device(name)

    def _revoke(self, number: int) -> None:
        machine = self._chosen(number)
        if sum(each.name == machine.name for each in self._here()) > 1:
            self.book.counts[REVOKED] += 1
            self.take_out(machine)

    def _reset(self, number: int) -> None:
        name = NAMES[number % len(NAMES)]
        self.book.counts[RESET] += 1
        for machine in self._here():
            if machine.name == name:
                self._out(machine, anew=True)
        self.add_device(name, anew=True)

    def _save(self, number: int) -> None:
        machine = self._chosen(number)
        if machine.saved is None:
            machine.saved = machine.disk.copy()

    def put_back(self, machine: Machine) -> bool:
        """Put the copy of a store in place; False if there is none, or it is what is there."""
        saved, machine.saved = machine.saved, None
        if saved is None or saved == machine.disk.copy():
            return False
        self.book.gone_back(machine)
        machine.disk.restore(saved)
        machine.start()
        return True

    def _saved(self, number: int) -> Machine:
        """Choose a device, one of which there is a copy if that can be."""
        here = [machine for machine in self._here() if machine.saved] or self._here()
        return here[number % len(here)]

    def _restore(self, number: int) -> None:
        machine = self._saved(number)
        if self.put_back(machine):
            self.book.counts[RESTORED] += 1

    def _clone(self, number: int) -> None:
        machine = self._saved(number)
        if self.put_back(machine):
            self.book.counts[CLONED] += 1
            standing = machine.disk.store.standing()
            self.server.forget(machine.device, standing.confirmed_n, standing.position)

    def _lie(self, number: int) -> None:
        self.server.lie(number)

    def _full(self, _: int) -> None:
        self.server.is_full = True

    # --- the end ----------------------------------------------------------------------------------

    def heal(self, rounds: int = 2) -> None:
        """Let everything come to rest, `rounds` times with time to mend and something new."""
        self.book.trace.append("-- heal")
        self.server.honest()
        self.server.is_full = False
        for machine in self.machines:
            machine.disk.dies_at = None
            machine.network.heal()
        for _ in range(rounds):
            self._rest()
            self.server.now_ms += 2 * REPAIR_MS
            for machine in self._here():  # something new shows every gap
                for name in NAMES:
                    if name != machine.name:
                        self.write_text(machine, name)
        self._rest()

    def _rest(self) -> None:
        for _ in range(MOST_ROUNDS):
            moved = [self._move_all(machine) for machine in self._here()]
            if not any(moved):
                return
        self.book.broken("restless", f"after {MOST_ROUNDS} rounds things still go on")

    def _move_all(self, machine: Machine) -> bool:
        """Let a device do all that it can."""
        if machine.is_out:
            return True
        if not machine.client.is_online:
            self.let(machine, lambda client: client.connect())
            return True
        moved = False
        while machine in self._here() and self.let(machine, lambda client: client.move(0)):
            moved = True
        return moved
