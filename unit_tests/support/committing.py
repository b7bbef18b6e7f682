"""A process that stores messages for ever and says after each commit what is stored: to be killed.

    python -m unit_tests.support.committing DATABASE

Every line is a JSON list of [sender, n, to, seq, time_ms, text] of one commit that has returned.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.storage.sqlite import open_store
from unit_tests.support.accounts import NOW_MS, identity, registration
from unit_tests.support.outcomes import Append, Outcome, batch_of, outcomes, stored

if TYPE_CHECKING:
    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

NAMES = ("alice", "bob", "carol")


async def join(store: SqliteStore) -> list[Identity]:
    """Register everybody, or find them as a process before this one has left them."""
    return [identity(await store.register(registration(name), NOW_MS)) for name in NAMES]


async def main(path: Path) -> None:
    """Commit random batches, several in flight, until the end of the process."""
    rng = random.Random()
    store = await open_store(path, Limits(waiting_messages=1_000_000))
    people = await join(store)
    next_n = {each: (await store.standing(each.device_id)).last_n + 1 for each in people}

    async def commit(now_ms: int) -> None:
        appends = []
        for _ in range(rng.randrange(1, 20)):
            sender = rng.choice(people)
            n = next_n[sender]
            next_n[sender] += 1
            text = f"{sender.name} says {n}"
            appends.append(Append(sender, n, rng.choice(NAMES), text, mark=str(n)))
        told = outcomes(await store.commit(batch_of(appends, {}), now_ms))
        report(appends, told)

    def report(appends: list[Append], told: list[Outcome]) -> None:
        lines = []
        for append, outcome in zip(appends, told, strict=True):
            answer = stored(outcome)
            line = [append.sender.name, answer.n, append.to, answer.seq, answer.time_ms]
            lines.append([*line, append.text])
        sys.stdout.write(json.dumps(lines) + "\n")
        sys.stdout.flush()

    for round_number in range(1_000_000):
        await asyncio.gather(*(commit(NOW_MS + 3 * round_number + k) for k in range(3)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
