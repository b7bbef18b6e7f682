"""What it takes to hand a history over to a new device: `python -m benchmarks.linking`.

A server of ours without flood limits, an old device whose store was filled with messages that
somebody else has written, and a new one that is linked to it. Time counts from the moment in which
the new device is in the account until everything is on its disk; the bytes are those of the frames
that the old one sends. At the usual limits the bytes make the time: `Limits.bytes_per_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from benchmarks import own
from jim.client import Address, Client
from jim.client.events import HistoryMoved, LinkChanged
from jim.client.joining import Wish, join
from jim.client.link import Link
from jim.core.limits import Limits
from jim.protocol.messages import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jim.client.account_store import AccountStore
    from jim.client.events import Event, FirstContact
    from jim.client.feed import Subscription
    from jim.crypto.link_code import LinkCode
    from jim.errors import JimError

MESSAGES: Final = 10_000
TEXT_BYTES: Final = 100
"""The figures of the issue that asked for linking."""

PEERS: Final = 20
"""Conversations that the messages are spread over."""

BATCH: Final = 1_000


class Handed(Struct, frozen=True):
    """What handing over took."""

    messages: int
    seconds: float
    sent_bytes: int

    @property
    def text(self) -> str:
        """Word it, also for a server with the usual limits."""
        limits = Limits()
        paced_s = max(0.0, (self.sent_bytes - limits.byte_burst / 2) / limits.bytes_per_s)
        return (
            f"{self.messages:,} messages of {TEXT_BYTES} B: {self.seconds:.1f} s, "
            f"{self.sent_bytes / 1e6:.2f} MB sent ({self.sent_bytes / self.messages:.0f} B each); "
            f"at the usual limits {paced_s:.0f} s"
        )


class _Quiet:
    """A new device's screen; a `Waiting`."""

    def __init__(self) -> None:
        self.code: asyncio.Future[LinkCode] = asyncio.get_running_loop().create_future()

    def met(self, contact: FirstContact) -> None:
        """Show nothing."""

    def show(self, code: LinkCode, expires_s: int) -> None:
        """Hand the code on."""
        if expires_s and not self.code.done():
            self.code.set_result(code)

    def expired(self) -> None:
        """Show nothing."""

    def refused(self) -> None:
        """Show nothing."""

    def lost(self, error: JimError, retry_in_s: float) -> None:
        """Show nothing."""


def deliveries(count: int) -> Iterator[Delivery]:
    """Make what others have written, as it stands in a mailbox; texts of `TEXT_BYTES`."""
    for position in range(1, count + 1):
        number, peer = divmod(position - 1, PEERS)
        yield Delivery(
            position=position,
            seq=number + 1,
            sender=f"peer-{peer}",
            device="d" * 16,
            n=position,
            to="alice",
            time=1_700_000_000_000 + position,
            message=f"{position} ".ljust(TEXT_BYTES, "x"),
        )


async def handed_over(address: Address, folder: Path, messages: int) -> Handed:
    """Fill a store, link a new device to it, and wait until everything is there."""
    sent = _Counted()
    old = Client(address, "alice", data_dir=folder / "old")
    events = old.events()
    await old.start()
    await _until(events, _is_online)
    account = await old._background.account()  # noqa: SLF001 - no front end fills a store
    waiting = list(deliveries(messages))
    for start in range(0, messages, BATCH):
        await account.writer.write(_keeping(waiting[start : start + BATCH]))
    screen = _Quiet()
    wish = Wish(address=address, name="alice", data_dir=folder / "new")
    joining = asyncio.create_task(join(wish, screen))
    code = await screen.code
    offer = await old.find_device(code)
    if offer is None:
        raise SystemExit("the server does not pass the offer on")
    await old.take_in(offer, code, await old.highest_id())
    began_s = time.monotonic()
    await joining
    new = Client(address, "alice", data_dir=folder / "new")
    arrived = new.events()
    await new.start()
    await _until(arrived, lambda event: isinstance(event, HistoryMoved) and event.ended)
    seconds = time.monotonic() - began_s
    found = sum([len(await new.history(f"peer-{n}", limit=messages)) for n in range(PEERS)])
    await new.aclose()
    await old.aclose()
    sent.end()
    if found != messages:
        raise SystemExit(f"{found} of {messages} messages have come")
    return Handed(messages, seconds, sent.size_bytes)


class _Counted:
    """Counts the bytes of the frames that are sent at their pace: messages, nothing else.

    To be made before the connection, which is told by what it sends.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._before = before = Link.send_paced

        def counted(link: Link, frames: bytes) -> None:
            self.size_bytes += len(frames)
            before(link, frames)

        Link.send_paced = counted  # type: ignore[method-assign,assignment]

    def end(self) -> None:
        """Count no longer."""
        Link.send_paced = self._before  # type: ignore[method-assign]


def _keeping(part: list[Delivery]) -> Callable[[AccountStore], object]:
    return lambda store: store.keep(part)


def _is_online(event: Event) -> bool:
    return isinstance(event, LinkChanged) and event.state == "online"


async def _until(events: Subscription, fits: Callable[[Event], bool]) -> None:
    async for event in events:
        if fits(event):
            return
    raise SystemExit("the client has ended")


def measured(scratch: Path, messages: int) -> Handed:
    """Serve, link and measure."""
    with own.directory(scratch) as place:
        own.enlist(place, [])
        with own.serving(place):
            address = Address("127.0.0.1", place.tls_port)
            return asyncio.run(handed_over(address, place.directory, messages))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linking", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--scratch", type=Path, default=Path(os.environ.get("TMPDIR", "/var/tmp")))
    options = parser.parse_args()
    print(measured(options.scratch, options.messages).text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
