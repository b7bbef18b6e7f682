"""A process that writes into a store for ever and says what is durable: to be killed.

`python -m unit_tests.client.store_worker PATH` prints `queued ID` and `kept POSITION` lines.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from jim.client.account_record import AccountRecord, Stage
from jim.client.account_store import AccountStore
from jim.client.encryption.vault import new_vault
from jim.client.schema import open_database
from jim.client.store import Draft
from jim.client.sync import Confirm, Refuse
from jim.client.writer import Writer
from jim.crypto.keys import SigningKey
from jim.protocol.messages import Delivery

KEY = SigningKey(b"k" * 32)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def confirm_oldest(store: AccountStore) -> int:
    row, message = store.queued_after(0)[0]
    store.confirm(Confirm(row.message_id, message.n, message.n, 1))
    return row.message_id


async def queue(writer: Writer[AccountStore]) -> None:
    """Queue messages; confirm the oldest now and then, and refuse every seventh."""
    for count in range(1_000_000):
        enqueue = partial(AccountStore.enqueue, draft=Draft("bob", "text", count), released=True)
        message, _ = await writer.write(enqueue)
        say(f"queued {message.message_id}")
        if count % 7 == 3:
            refusal = Refuse(message.message_id, "recipient_unknown")
            await writer.write(partial(AccountStore.refuse, effect=refusal))
        elif count % 3:
            say(f"confirmed {await writer.write(confirm_oldest)}")


async def receive(writer: Writer[AccountStore]) -> None:
    """Keep three messages at a time, with the cursor behind the last."""
    start = (await writer.read(AccountStore.standing)).position
    for first in range(start + 1, 1_000_000, 3):
        frames = [frame(position) for position in range(first, first + 3)]
        await writer.write(partial(AccountStore.keep, frames=frames))
        say(f"kept {frames[-1].position}")


def frame(position: int) -> Delivery:
    return Delivery(
        position=position,
        seq=position,
        sender="carol",
        device="c" * 16,
        n=position,
        to="alice",
        time=position,
        message=f"from carol {position}",
    )


async def main(path: Path) -> None:
    writer = Writer(path, lambda: open_database(path, create=True), AccountStore)
    await writer.start()
    record = AccountRecord(name="alice", device="a" * 16, stage=Stage.REGISTERED)
    vault = new_vault(KEY, record.device)
    await writer.write(lambda store: store.begin(record, vault, 1))
    await asyncio.gather(queue(writer), receive(writer))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
