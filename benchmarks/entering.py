"""What a client with encryption takes to come in: `python -m benchmarks.entering`, half a minute.

One person after the other registers and comes back with the real client, store and keys on a
disk; beside each, in turn, somebody does only what the protocol asks for (TLS, challenge, proof,
welcome). A client makes the vault's keys and recovery words before it registers, and gives the
server a hundred one-time keys behind it; a login asks for the own device chain. Times are the
wall's, from the first step to the welcome, and until the keys are at the server; processor time is
that of the client's process with its store's thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks import own, targets
from benchmarks.peer import Account, Peer, connect
from benchmarks.report import table
from jim.client.address import Address
from jim.client.client import Client
from jim.client.events import LinkChanged, LinkState

if TYPE_CHECKING:
    import argparse

    from benchmarks import peer

PEOPLE: Final = 40
"""Of each kind: a few seconds, and a steady median."""

QUICK_PEOPLE: Final = 2

ENTER_S: Final = 60.0
"""The longest that anybody waits: far more than the slowest machine takes."""

POLL_S: Final = 0.002
"""Between two looks whether the keys have arrived: a tenth of what giving them takes."""

STEPS: Final = {
    "raw_register": "the protocol alone, registering",
    "raw_login": "the protocol alone, logging in",
    "register": "a client, registering: until the welcome",
    "keys": "until its keys are at the server, too",
    "login": "a client, logging in: until the welcome",
}


class Took(NamedTuple):
    """What a step took, in ms."""

    wall: float
    cpu: float


class Watch:
    """Times steps from the same beginning."""

    def __init__(self) -> None:
        """Begin."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def took(self) -> Took:
        """Give how long it is since the beginning."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Took(1000 * wall, 1000 * cpu)


async def raw(address: peer.Address, account: Account) -> Took:
    """Log in, registering if that is the first time, and hang up."""
    watch = Watch()
    connected = await connect(Peer, address)
    await connected.login(account)
    took = watch.took()
    connected.transport.abort()
    await connected.gone.wait()
    return took


async def client(address: peer.Address, name: str, data: Path) -> tuple[Took, Took]:
    """Start a client and close it; give what it took until the welcome, and until its keys are out.

    Raises:
        TimeoutError: it did not come in.
    """
    watch = Watch()
    started = Client(Address(*address), name, data_dir=data)
    events = started.events()
    async with asyncio.timeout(ENTER_S):
        await started.start()
        async for event in events:
            if isinstance(event, LinkChanged) and event.state is LinkState.ONLINE:
                break
        welcome = watch.took()
        while not keys_are_out(data):  # noqa: ASYNC110 - the client tells nobody of its keys
            await asyncio.sleep(POLL_S)
        keys = watch.took()
    await started.aclose()
    return welcome, keys


def keys_are_out(data: Path) -> bool:
    """Tell whether the client in the directory has made one-time keys, and the server has them."""
    [store] = data.glob("accounts/*/*/store.db")
    with sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT next_key, offered FROM vault").fetchone()
    connection.close()
    # The first number is the fallback key's, made with the vault.
    return found is not None and found[0] > 2 and found[1] is None


async def entered(address: peer.Address, people: int, data: Path) -> dict[str, list[Took]]:
    """Have so many of each kind come in for the first time and come back."""
    found: dict[str, list[Took]] = {step: [] for step in STEPS}
    for index in range(people):
        account = Account(f"raw{index}")
        found["raw_register"].append(await raw(address, account))
        folder = data / str(index)
        welcome, keys = await client(address, f"anna{index}", folder)
        found["register"].append(welcome)
        found["keys"].append(keys)
        found["raw_login"].append(await raw(address, account))
        found["login"].append((await client(address, f"anna{index}", folder))[0])
    return found


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure at a fresh server; give the figures."""
    people = QUICK_PEOPLE if options.quick else PEOPLE
    with (
        targets.our_server(options.scratch) as (address, _),
        TemporaryDirectory(dir=options.scratch, prefix="bench-") as data,
    ):
        targets.pin(targets.LOAD_CORE)
        found = asyncio.run(entered(address, people, Path(data)))
    return {
        "machine": own.machine("entering", options.scratch),
        "people": people,
        "steps": {step: _figures(taken) for step, taken in found.items()},
    }


def _figures(taken: list[Took]) -> dict[str, float]:
    walls, cpus = sorted(each.wall for each in taken), [each.cpu for each in taken]
    return {
        "low": walls[len(walls) // 10],
        "median": statistics.median(walls),
        "cpu": statistics.median(cpus),
    }


def text_of(figures: dict[str, Any]) -> str:
    """Give everything for people."""
    rows = [
        [title, *(f"{figures['steps'][step][key]:,.1f}" for key in ("low", "median", "cpu"))]
        for step, title in STEPS.items()
    ]
    head = ["ms", "lowest tenth", "median", "client's processor"]
    return "\n\n".join([table(head, rows), *complaints(figures)])


def complaints(figures: dict[str, Any]) -> list[str]:
    """Say when a login takes as long as a registration: then it makes keys that it has."""
    steps = figures["steps"]
    if steps["login"]["cpu"] < steps["keys"]["cpu"]:
        return []
    return ["a login costs a client as much as a registration"]


def main() -> int:
    """Measure and print."""
    options = own.parser("entering", __doc__).parse_args()
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
