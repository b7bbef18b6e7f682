"""What handing a history over to a new device takes: `python -m benchmarks.handing`, half a minute.

Two devices of an account with real stores on a disk; the old one has 10,000 messages of 100 bytes
in ten conversations. Every part is queued, sealed, opened and kept as in two clients, one after the
other, with nothing between them. What a real server adds is its rate limit: from the bytes follows
how long the whole takes at the usual one.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from benchmarks import own
from benchmarks.devices import SENDER, TIME_MS, Device, chain_of, msg_of
from benchmarks.report import table
from benchmarks.sealing import Taken, timed
from benchmarks.workloads import BODY_BYTES
from jim.core.limits import Limits
from jim.protocol.codec import encode
from jim.protocol.messages import Delivery

if TYPE_CHECKING:
    import argparse

    from jim.client.events import HistoryMoved, Message

MESSAGES: Final = 10_000
"""The issue's number."""

QUICK_MESSAGES: Final = 500

PEERS: Final = 10
"""Conversations that they are spread over."""

PAGE: Final = 64
"""Messages of a transaction while the history is made."""


def remember(device: Device, messages: int) -> None:
    """Give a device so many messages, every other one its own account's from a former device."""
    for index in range(PEERS):
        device.allow_plain(f"peer{index}")  # where it is not, texts are withheld
    frames = [_of_before(device, number) for number in range(1, messages + 1)]
    for first in range(0, messages, PAGE):
        device.receive(frames[first : first + PAGE])


def _of_before(device: Device, number: int) -> Delivery:
    turn, peer = divmod(number, PEERS)
    ends = (device.name, f"peer{peer}")
    sender, to = ends if turn % 2 else ends[::-1]
    device.position += 1
    return Delivery(
        position=device.position,
        seq=turn + 1,
        sender=sender,
        device="A" * 16,
        n=number,
        to=to,
        time=TIME_MS,
        message=f"{number} ".ljust(BODY_BYTES, "x"),
        ciphertext=UNSET,
    )


class Link:
    """An old device and a new one of its account, with a session between them."""

    def __init__(self, folder: Path, messages: int) -> None:
        """Make both, and the history of the old one; all of it has been read."""
        self.old, self.new = Device(folder, SENDER), Device(folder, SENDER)
        chain = chain_of([self.old, self.new])
        for device in (self.old, self.new):
            device.learn(SENDER, chain)
        remember(self.old, messages)
        keys = {self.new.device: self.new.one_time.popleft()}
        self.old.change(lambda store: store.use_keys(SENDER, [self.new.device], keys))
        shown_id = self.old.store.standing().highest_id
        self.old.change(lambda store: store.begin_handing(self.new.device, shown_id))
        self.giving: list[Taken] = []
        self.taking: list[Taken] = []
        self.wire_bytes = 0
        self.done = 0

    def hand_over(self) -> None:
        """Carry everything over, and time both sides."""
        while self._hand_on():
            pass

    def _hand_on(self) -> bool:
        moved: list[HistoryMoved | None] = []
        self.giving.append(timed(lambda: moved.append(self._next_part())))
        if moved[0] is None:
            return False
        self.done = moved[0].done
        for row, message in self.old.store.queued_after(0):
            self._carry(row.message_id, message)
        return True

    def _next_part(self) -> HistoryMoved | None:
        text_bytes = Limits().text_bytes
        return self.old.change(  # type: ignore[no-any-return]
            lambda store: store.hand_on(text_bytes, TIME_MS)
        )

    def _carry(self, message_id: int, message: Message) -> None:
        self.giving.append(timed(lambda: self.old.payload(message)))
        payload = self.old.payload(message)
        self.wire_bytes += len(encode(msg_of(message, payload)))
        frame = self.new.delivery(self.old, message, payload)
        self.taking.append(timed(lambda: self.new.receive([frame])))
        self.giving.append(timed(lambda: self.old.confirm(message)))

    def close(self) -> None:
        """Close both stores."""
        self.old.close()
        self.new.close()


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Hand a history over; give the figures."""
    messages = QUICK_MESSAGES if options.quick else MESSAGES
    with TemporaryDirectory(dir=options.scratch, prefix="bench-") as folder:
        link = Link(Path(folder), messages)
        link.hand_over()
        arrived = sum(
            len(link.new.store.history(each.peer, None, messages))
            for each in link.new.store.conversations()
        )
        link.close()
    return {
        "machine": own.machine("linking", options.scratch),
        "messages": messages,
        "arrived": arrived,
        "parts": len(link.taking),
        "wire_bytes": link.wire_bytes,
        "paced_s": link.wire_bytes / Limits().bytes_per_s,
        "old": _seconds(link.giving),
        "new": _seconds(link.taking),
    }


def _seconds(taken: list[Taken]) -> dict[str, float]:
    cpu, wall = (sum(column) / 1e6 for column in zip(*taken, strict=True))
    return {"cpu_s": cpu, "wall_s": wall}


def text_of(figures: dict[str, Any]) -> str:
    """Give everything for people."""
    old, new = figures["old"], figures["new"]
    rows = [
        ["parts", f"{figures['parts']:,}"],
        ["bytes on the wire", f"{figures['wire_bytes']:,}"],
        ["bytes a message", f"{figures['wire_bytes'] / figures['messages']:,.0f}"],
        ["old device, s of processor (wall)", f"{old['cpu_s']:.2f} ({old['wall_s']:.2f})"],
        ["new device, s of processor (wall)", f"{new['cpu_s']:.2f} ({new['wall_s']:.2f})"],
        ["at the usual rate limit, s", f"{figures['paced_s']:.0f}"],
    ]
    head = ["messages handed over", f"{figures['messages']:,}"]
    return "\n\n".join([table(head, rows), *complaints(figures)])


def complaints(figures: dict[str, Any]) -> list[str]:
    """Say when not everything has arrived."""
    if figures["arrived"] == figures["messages"]:
        return []
    return [f"{figures['arrived']:,} of {figures['messages']:,} messages have arrived"]


def main() -> int:
    """Measure and print; fail when something is missing."""
    options = own.parser("linking", __doc__).parse_args()
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
