"""What was written, sealed, taken and shown, and the rules that all of it has to keep."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from jim.client.encryption import opening
from jim.client.encryption.sealing import NO_KEYS
from jim.client.events import UNKNOWN_OUTCOME, MessageState
from jim.client.notice_store import CHAIN_INVALID
from reliability.promise import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.client.events import Message, MissingNotice
    from jim.client.sync import Transmit
    from jim.protocol.messages import Link, PublicKey
    from reliability.sealed.machine import Machine

CANARY: Final = "can-ary"
"""In every text that is written: the server must never see it."""

RULES: Final = {
    "readable": "the server saw a text, or a device that nobody vouched for was sealed for",
    "doubled": "a device has a text twice",
    "lost": "a text that its author saw stored is not at a device that it was meant for",
    "undelivered": "a text was neither stored nor failed at the end",
    "forged": "a device has a text that nobody wrote, or under another name or in another talk",
    "intruder": "a device took a text from a device that it knew to be out",
    "denied": "a text was shown although its author was told that it is not stored",
    "displaced": "a text stands in another place than at its author's",
    "key_reuse": "a key became public under two numbers, or two keys under one",
    "count_reuse": "a count was used for two different ciphertexts",
    "pin": "a device believes in a chain that is not the one that it saw first",
    "false_alarm": "a user was told of something that nobody had done",
    "refused": "a text failed for a reason that nobody gave",
    "restless": "things go on for ever",
    "unhandled": "something raised what nobody handles",
    "point": "after a death at one commit the end is another one (points.py)",
}
"""Every rule, in words."""

ALARMS: Final = frozenset(
    {
        *(opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE, opening.FORGED, opening.CLONED),
        *(opening.DROPPED, opening.FORKED, opening.FORKED_OWN, CHAIN_INVALID),
    }
)
"""Codes of notices that say that something is wrong."""


class Text(Struct):
    """A text that somebody wrote.

    Attributes:
        wanted: the devices that it has to come to, empty until it is stored.
        is_stored: its author has seen that.
    """

    author: str
    device: str
    to: str
    wanted: set[str] = field(default_factory=set)
    is_stored: bool = False


class Book:
    """Sees everything, and believes nobody."""

    def __init__(self) -> None:
        self.texts: dict[str, Text] = {}
        self.violations: list[Violation] = []
        self.trace: list[str] = []
        """Everything in its order, for whoever looks at one run."""
        self.counts: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.allowed: set[str] = set()
        """Alarms that what was done in this run may raise."""
        self.reasons: set[str] = {NO_KEYS}
        """Codes with which texts may fail in this run."""
        self._ever: dict[str, set[str]] = {}
        self._present: dict[str, set[str]] = {}
        self._keys: dict[tuple[str, int], bytes] = {}
        self._numbers: dict[bytes, tuple[str, int]] = {}
        self._sealed: dict[tuple[str, str, int], str] = {}
        self._accepted: dict[tuple[str, int], set[str]] = {}
        self._replaced: set[str] = set()
        """Devices in whose place others are, which send again what they had sent."""
        self._untrusted: set[str] = set()
        """Devices whose store went back to an older copy."""

    def broken(self, rule: str, detail: str) -> None:
        """Note that a rule does not hold."""
        self.violations.append(Violation(rule, detail))
        self.trace.append(f"BROKEN {rule}: {detail}")

    # --- what the server sees ---------------------------------------------------------------------

    def seen(self, frame: bytes) -> None:
        """Look at what has reached the server."""
        if CANARY.encode() in frame:
            self.broken("readable", f"{frame[:200]!r}")

    def devices_are(self, name: str, devices: set[str]) -> None:
        """Note which devices an account has from now on."""
        self._ever.setdefault(name, set()).update(devices)
        self._present[name] = devices

    def key_published(self, device: str, key: PublicKey) -> None:
        """Note a key that a device has shown to the server."""
        where = (device, key.id)
        if device in self._untrusted:
            return
        if self._keys.setdefault(where, key.key) != key.key:
            self.broken("key_reuse", f"{device} has two keys {key.id}")
        if self._numbers.setdefault(key.key, where) != where:
            self.broken("key_reuse", f"{device} shows key {key.id} again")

    def accepted(self, device: str, n: int, wanted: set[str]) -> None:
        """Note for which devices a message had to be sealed when the server took it."""
        self._accepted[device, n] = wanted
        self.trace.append(f"server takes {n} of {device}, wanted by {sorted(wanted)}")

    # --- what clients do --------------------------------------------------------------------------

    def gone_back(self, machine: Machine) -> None:
        """Note that a device goes on from an older copy of its store: it may repeat itself."""
        self._untrusted.add(machine.device)
        self.allowed |= ALARMS
        self.reasons.add(UNKNOWN_OUTCOME)

    def replaced(self, machine: Machine) -> None:
        """Note that a machine goes on as another device: what waits there goes out from it."""
        self.trace.append(f"{machine} takes the place of {machine.former[-1]}")
        self._replaced.add(machine.former[-1])
        # What the old one had sent is on its way to people who may hear of this first.
        self.allowed.add(opening.UNKNOWN_DEVICE)
        waits = machine.disk.rows(
            "SELECT text FROM messages WHERE outgoing AND state = 'queued' AND kind = 'text'"
        )
        for (text,) in waits:
            self.texts[text].device = machine.device

    def written(self, machine: Machine, to: str, text: str) -> None:
        """Note a text that is durable at its author's."""
        self.texts[text] = Text(machine.name, machine.device, to)
        self.counts["written"] += 1
        self.trace.append(f"{machine} writes {text!r} to {to}")

    def transmitted(self, machine: Machine, message_id: int, effect: Transmit) -> None:
        """Look at what goes out: for whom it is sealed, and under which counts."""
        ciphertexts = effect.payload.ciphertexts or {}
        known = self._ever.get(effect.to, set()) | self._ever.get(machine.name, set())
        if strangers := set(ciphertexts) - known:
            self.broken("readable", f"{machine.device} seals for {sorted(strangers)}")
        statement = "SELECT device, count FROM sealed WHERE message_id = ?"
        counts = machine.disk.rows(statement, message_id)
        self.trace.append(f"{machine} sends {effect.n} to {effect.to} with counts {counts}")
        for device, count in counts:
            ciphertext = ciphertexts.get(device, "")
            before = self._sealed.setdefault((machine.device, device, count), ciphertext)
            if before != ciphertext and machine.device not in self._untrusted:
                self.broken("count_reuse", f"{machine.device} uses {count} for {device} again")

    def confirmed(self, machine: Machine, messages: Iterable[Message]) -> None:
        """Note what an author sees as stored."""
        for message in messages:
            text = self.texts.get(message.text)
            if text is not None:
                text.is_stored = True
                text.wanted = self._accepted.get((message.device, message.n), set())
                self.counts["stored"] += 1

    def shown(self, machine: Machine, message: Message) -> None:
        """Look at a text that has come to a device."""
        self.counts["shown"] += 1
        self.trace.append(f"{machine} shows {message.text!r} of {message.device}")
        contacts = machine.disk.store._contacts  # noqa: SLF001 - what it knows is not told
        contact = contacts.get(message.sender)
        devices = contact.state.devices if contact and contact.state else {}
        if not message.plain and message.device not in {*devices, *self._replaced}:
            self.broken("intruder", f"{machine.device} took {message.text} of {message.device}")

    def noticed(self, machine: Machine, notice: MissingNotice) -> None:
        """Look at what a user is told."""
        self.told[notice.code] += 1
        self.trace.append(f"{machine} tells {notice.code} of {notice.peer}")
        if notice.code in ALARMS - self.allowed:
            self.broken("false_alarm", f"{machine.device} says {notice.code} of {notice.peer}")

    # --- the end ----------------------------------------------------------------------------------

    def close(self, machines: Sequence[Machine], chains: dict[str, list[Link]]) -> None:
        """Hold all stores against what was written."""
        for machine in machines:
            if not machine.is_out:
                self._check_pins(machine, chains)
            self._check_store(machine)
        places = self._places(machines)
        for machine in machines:
            if not machine.is_out:
                self._check_arrivals(machine, places)

    def _check_pins(self, machine: Machine, chains: dict[str, list[Link]]) -> None:
        for name, true in chains.items():
            contact = machine.disk.store._contacts.get(name)  # noqa: SLF001 - nobody else tells it
            if contact is not None and contact.links != true[: len(contact.links)]:
                self.broken("pin", f"{machine.device} believes in another chain of {name}")

    def _check_store(self, machine: Machine) -> None:
        """Look at every text of a device."""
        found = machine.disk.rows(
            "SELECT text, peer, outgoing, sender, device, plain, state, error_code, seq"
            " FROM messages WHERE kind = 'text'"
        )
        for text, times in Counter(row[0] for row in found).items():
            if times > 1:
                self.broken("doubled", f"{machine.device} has {text} {times} times")
        for text, peer, outgoing, sender, device, plain, state, code, _ in found:
            self._check_author(machine, text, (peer, bool(outgoing), sender, device), bool(plain))
            if state == MessageState.QUEUED and not machine.is_out:
                self.broken("undelivered", f"{text} still waits at {machine.device}")
            if state == MessageState.FAILED:
                self.counts[f"failed: {code}"] += 1
                if code not in self.reasons:
                    self.broken("refused", f"{text} failed at {machine.device}: {code}")

    def _check_author(
        self, machine: Machine, text: str, seen: tuple[str, bool, str, str], plain: bool
    ) -> None:
        written = self.texts.get(text)
        if written is None:
            if not plain:
                self.broken("forged", f"{machine.device} has {text!r}, which nobody wrote")
            return
        outgoing = written.author == machine.name
        peer = written.to if outgoing else written.author
        wanted = (peer, outgoing, written.author, written.device)
        if seen != wanted or machine.name not in {written.author, written.to}:
            self.broken("forged", f"{machine.device} has {text} as {seen}, it is {wanted}")

    def _places(self, machines: Sequence[Machine]) -> dict[str, tuple[str, int, str]]:
        """Give state, place and error of every text at its author's."""
        return {
            text: (state, seq, code or "")
            for machine in machines
            for text, state, seq, code in machine.disk.rows(
                "SELECT text, state, seq, error_code FROM messages"
                " WHERE outgoing AND kind = 'text'"
                " AND (device = ? OR device IN (SELECT device FROM former))",
                machine.device,
            )
        }

    def _check_arrivals(self, machine: Machine, places: dict[str, tuple[str, int, str]]) -> None:
        rows = machine.disk.rows("SELECT text, seq FROM messages WHERE kind = 'text'")
        has = dict(rows)
        notices = machine.disk.rows("SELECT peer, code FROM notices")
        noticed = {peer for peer, code in notices if code in ALARMS}
        for text, written in self.texts.items():
            state, seq, code = places.get(text, ("", 0, ""))
            if text in has and written.device not in {machine.device, *machine.former}:
                if state == MessageState.FAILED and code != UNKNOWN_OUTCOME:
                    self.broken("denied", f"{machine.device} has {text}, which failed: {code}")
                if seq and has[text] != seq and written.device not in self._untrusted:
                    self.broken(
                        "displaced", f"{text} is {has[text]} at {machine.device}, not {seq}"
                    )
            devices = {machine.device, *machine.former} & written.wanted
            if text in has or not written.is_stored or not devices:
                continue
            if machine.device not in devices and written.device not in machine.asked:
                continue  # the older copy knew of no such device, so it could ask nobody
            peer = written.to if written.author == machine.name else written.author
            told = peer in noticed or machine.device not in devices  # that it was replaced
            if not self._may_lack(machine, written, told=told):
                self.broken("lost", f"{machine.device} has not got {text}")

    def _may_lack(self, machine: Machine, text: Text, *, told: bool) -> bool:
        """Tell whether a text may not be there: nobody is left to send it again, but that is told.

        A device that nobody saw go back uses counts for a second time: one of these stands in the
        place of what a server drops besides, and nobody can know.
        """
        if text.device in self._untrusted and self.counts["lies"]:
            return True
        is_gone = text.device not in self._present[text.author]
        return told and (is_gone or {text.device, machine.device} & self._untrusted != set())
