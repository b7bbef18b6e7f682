"""What sealing costs a client, in time and bytes: `python -m benchmarks.sealing`, about a minute.

A message of 100 bytes goes through the client's own store (queued, sealed and kept in one
transaction; opened and kept in one) for an addressee with 1, 5, 20 and 64 devices, once on a file
system in memory and once on a disk with its flushes. Beside each message, in turn: the same as a
plain text, and what vodozemac alone takes to encrypt as much as often. So what disturbs one
disturbs all three, and the ratios hold on a busy machine. Figures are processor time of the
thread, the lowest tenth and the median, for what disturbs only adds; on the disk also the wall's.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import vodozemac
from msgspec import UNSET

from benchmarks import own
from benchmarks.devices import Talk, msg_of
from benchmarks.guard import scratch
from benchmarks.sealing_report import complaints, text_of
from benchmarks.workloads import BODY_BYTES
from jim.crypto.suite import read_ciphertext
from jim.protocol.codec import encode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.devices import Device
    from jim.client.events import Message
    from jim.protocol.messages import Delivery

DEVICES: Final = (1, 5, 20, 64)
"""Of the addressee: what the issue asks for; 64 is more than an account may have today."""

PAGE: Final = 64
"""Deliveries that come together: those of a full window (docs/protocol.md)."""

MESSAGES: Final = 10 * PAGE
"""To somebody with one device: half of them are opened one by one, half in five pages."""

LEAST_MESSAGES: Final = 2 * PAGE
"""To somebody with many: sealing one takes milliseconds, and is the more steady for it."""

FEW: Final = 5
"""Devices, up to which `MESSAGES` are sent."""

TEXT: Final = "x" * BODY_BYTES

CONTENT_BYTES: Final = 512
"""What a text of 100 bytes becomes inside, padded (`jim.client.encryption.content`)."""


class Taken(NamedTuple):
    """What one piece of work took, in µs."""

    cpu: float
    wall: float


def timed(work: Callable[[], object]) -> Taken:
    """Do a piece of work and time it."""
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    return Taken(1e6 * (time.thread_time() - cpu), 1e6 * (time.perf_counter() - wall))


def summed_up(taken: Sequence[Taken], share: int = 1) -> dict[str, float]:
    """Give the lowest tenth and the median a message, where a piece of work was so many."""
    cpu = sorted(each.cpu / share for each in taken)
    wall = statistics.median(each.wall / share for each in taken)
    return {"low": cpu[len(cpu) // 10], "median": statistics.median(cpu), "wall": wall}


def ratio(ours: Iterable[Taken], others: Iterable[Taken]) -> float:
    """Give the median of how many times as long ours took as what was done beside it."""
    pairs = zip(ours, others, strict=True)
    return statistics.median(one.cpu / max(other.cpu, 1e-3) for one, other in pairs)


class Bare:
    """As many sessions of the library alone, as far as those of a talk: both sides have written."""

    def __init__(self, devices: int) -> None:
        """Begin them."""
        self._pairs = [_session() for _ in range(devices)]
        self._content = bytes(CONTENT_BYTES)
        self._sent: list[vodozemac.AnyOlmMessage] = []

    def encrypt(self) -> None:
        """Seal a content for every device."""
        self._sent = [session.encrypt(self._content) for session, _ in self._pairs]

    def decrypt(self) -> None:
        """Open at one device what was sealed for it last."""
        self._pairs[0][1].decrypt(self._sent[0])

    def sealed_bytes(self) -> int:
        """Give the size of what was sealed last for one device."""
        return len(self._sent[0].to_parts()[1])


def _session() -> tuple[vodozemac.Session, vodozemac.Session]:
    one, other = vodozemac.Account(), vodozemac.Account()
    other.generate_one_time_keys(1)
    [key] = other.one_time_keys.values()
    sending = one.create_outbound_session(other.curve25519_key, key)
    first = sending.encrypt(b"").to_pre_key()
    assert first is not None
    receiving, _ = other.create_inbound_session(one.curve25519_key, first)
    sending.decrypt(receiving.encrypt(b""))
    return sending, receiving


# --- one addressee --------------------------------------------------------------------------------


class Sent(NamedTuple):
    """Messages of one kind: what they took, their frames, and how long the sender's was."""

    taken: list[Taken]
    frames: list[Delivery]
    wire: list[int]

    @classmethod
    def none(cls) -> Sent:
        """Give the beginning."""
        return cls([], [], [])


def send(sender: Device, to: Device, sent: Sent) -> None:
    """Send a message, and make the frame for one of the addressee's devices."""
    queued: list[Message] = []
    sent.taken.append(timed(lambda: queued.append(sender.send(to.name, TEXT))))
    [message] = queued
    payload = sender.payload(message)
    sent.frames.append(to.delivery(sender, message, payload))
    sent.wire.append(len(encode(msg_of(message, payload))))
    sender.confirm(message)


def receive(device: Device, frames: list[Delivery]) -> Taken:
    """Keep frames in one transaction."""
    return timed(lambda: device.receive(frames))


def first_contact(talk: Talk) -> dict[str, Any]:
    """Begin a session with every device, seal the first message, and have one device open it."""
    keys, sent = talk.claimed(), Sent.none()
    begun = timed(lambda: talk.begin(keys))
    send(talk.sender, talk.receivers[0], sent)
    [taken], [frame], [wire] = sent.taken, sent.frames, sent.wire
    taken_up = receive(talk.receivers[0], [frame])
    sealed = {"cpu": begun.cpu + taken.cpu, "wall": begun.wall + taken.wall}
    return {
        "send": sealed,
        "receive": {"cpu": taken_up.cpu, "wall": taken_up.wall},
        "wire": wire,
        "delivered": len(encode(frame)),
    }


def opened(device: Device, frames: Sequence[Delivery]) -> tuple[list[Taken], list[Taken]]:
    """Open the first half one by one, the rest in pages; give what each transaction took."""
    half = len(frames) // 2
    alone = [receive(device, [frame]) for frame in frames[:half]]
    return alone, [receive(device, page) for page in _pages(frames[half:])]


def _pages(frames: Sequence[Delivery]) -> list[list[Delivery]]:
    """Part frames into full pages."""
    ends = range(PAGE, len(frames) + 1, PAGE)
    return [list(frames[end - PAGE : end]) for end in ends]


def turns(talk: Talk, count: int) -> dict[str, Any]:
    """Send and open in turn, both ways: every message moves the ratchet by a key agreement."""
    one, other = talk.sender, talk.receivers[0]
    sent, opening = Sent.none(), []
    for number in range(count):
        sender, receiver = (one, other) if number % 2 else (other, one)
        send(sender, receiver, sent)
        opening.append(receive(receiver, sent.frames[-1:]))
    return {"send": summed_up(sent.taken), "receive": summed_up(opening)}


def cost(folder: Path, devices: int, messages: int) -> dict[str, Any]:
    """Measure everything with an addressee of so many devices."""
    talk, bare = Talk(folder, devices), Bare(devices)
    try:
        first = first_contact(talk)
        talk.exchange(TEXT)
        return {"devices": devices, "first": first} | _running(talk, bare, messages)
    finally:
        talk.close()


def _running(talk: Talk, bare: Bare, messages: int) -> dict[str, Any]:
    """Measure a talk that is under way: the three kinds in turn, message by message."""
    sealed, plain, library = Sent.none(), Sent.none(), []
    lone = []
    for _ in range(messages):
        send(talk.sender, talk.receivers[0], sealed)
        send(talk.sender, talk.plain, plain)
        library.append(timed(bare.encrypt))
        lone.append(timed(bare.decrypt))
    alone, pages = opened(talk.receivers[0], sealed.frames)
    plain_alone, plain_pages = opened(talk.plain, plain.frames)
    found: dict[str, Any] = {
        "send": _three(sealed.taken, plain.taken, library),
        "receive": _three(alone, plain_alone, lone[: len(alone)]),
        "page": {
            "sealed": summed_up(pages, PAGE),
            "plain": summed_up(plain_pages, PAGE),
            "to_plain": ratio(pages, plain_pages),
        },
        "wire": {
            "sealed": statistics.median(sealed.wire),
            "plain": statistics.median(plain.wire),
            "delivered": _delivered(sealed.frames),
            "delivered_plain": _delivered(plain.frames),
            "ciphertext": _ciphertext_bytes(sealed.frames[-1]),
            "bare": bare.sealed_bytes(),
        },
    }
    if len(talk.receivers) == 1:
        found["turns"] = turns(talk, messages // 2)
    return found


def _three(ours: list[Taken], plain: list[Taken], bare: list[Taken]) -> dict[str, Any]:
    return {
        "sealed": summed_up(ours),
        "plain": summed_up(plain),
        "bare": summed_up(bare),
        "to_plain": ratio(ours, plain),
        "to_bare": ratio(ours, bare),
    }


def _delivered(frames: Sequence[Delivery]) -> float:
    return statistics.median(len(encode(frame)) for frame in frames)


def _ciphertext_bytes(frame: Delivery) -> int:
    assert frame.ciphertext is not UNSET
    return len(read_ciphertext(frame.ciphertext).body)


# --- everything -----------------------------------------------------------------------------------


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all addressees in memory and on the disk; give the figures."""
    figures: dict[str, Any] = {"machine": own.machine("sealing", options.scratch)}
    for place, folder in {"memory": scratch(), "disk": options.scratch}.items():
        figures[place] = []
        for devices in options.devices:
            messages = LEAST_MESSAGES if options.quick or devices > FEW else MESSAGES
            with TemporaryDirectory(dir=folder, prefix="bench-") as name:
                figures[place].append(cost(Path(name), devices, messages))
    return figures


def main() -> int:
    """Measure and print."""
    parser = own.parser("sealing", __doc__)
    default = ",".join(map(str, DEVICES))
    parser.add_argument(
        "--devices",
        type=lambda text: [int(part) for part in text.split(",")],
        help=f"of the addressees, default {default}",
    )
    options = parser.parse_args()
    options.devices = options.devices or ((1, 2) if options.quick else DEVICES)
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
