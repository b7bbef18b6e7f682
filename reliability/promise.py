"""What the promise is made of: the rules, what a run has to show, and what the checker says."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct, field

RULES: Final = {
    "lost": "a message whose sender saw ✓ is not shown by a device of its addressee",
    "vanished": "after a crash the server's disk lacks what it acknowledged",
    "undelivered": "a message was neither acknowledged, nor refused, nor shown",
    "doubled": "a device showed a message twice",
    "misdelivered": "somebody saw a message that was not for them",
    "forged": "a device showed what nobody wrote, or named another author",
    "altered": "the text shown is not the text written",
    "denied": "a message was shown although its sender was told that it is not stored",
    "order": "a device showed a conversation in another order than its own",
    "gap": "a device's conversation has a hole",
    "disagreement": "two devices give the same place to different messages",
    "sender_order": "a sender's messages are not in the order in which they were written",
    "cursor_ahead": "a device's cursor is ahead of what it has shown",
    "cursor_back": "a device's cursor went back",
    "late": "not everything was delivered in time after healing",
    "vacuous": "the run proves nothing: a fault did not fire, or too little was acknowledged",
    "unhandled": "server or client raised what nobody handles, stopped for good, or never rested",
    "strange": "stores, logs or processes were not as they must be at the end",
}
"""Every rule, in words. The last two are not read out of a history: the layers report them."""

UNEXPECTED: Final = ("behind", "restored")
"""What a client tells when its disk was replaced by an older one, and never otherwise."""

UNKNOWN: Final = "unknown_outcome"
"""The failure that promises nothing: the message may be stored (docs/adr/0006)."""

CANCELLED: Final = "cancelled"
"""The failure that the user chose: the only one that an older disk can make undone."""


class Violation(Struct, frozen=True):
    """One rule broken."""

    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


class Demands(Struct, frozen=True, kw_only=True):
    """What a run has to show.

    Attributes:
        devices: every account's devices that are up at the end, by name.
        acks: how many messages at least must have been acknowledged.
        faults: how often at least each kind of fault must have fired.
        complete: everything had time to arrive: what is missing is lost, not on its way.
        every_message: also each message without a ✓ must be decided about at the end.
        positions: the devices report mailbox positions, so that cursors can be checked.
        healed_within_s: from each `Healed` to its `Settled` at most; 0 does not ask. If everything
            is `complete` too, there must have been one, and the last must have settled.
    """

    devices: dict[str, list[str]]
    acks: int = 1
    faults: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    every_message: bool = True
    positions: bool = True
    healed_within_s: float = 0.0


class Counts(Struct):
    """What a history consists of.

    Attributes:
        told: what users were told of messages that failed or are missing, by its code.
    """

    written: int = 0
    acked: int = 0
    failed: int = 0
    displayed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)


class Verdict(Struct):
    """What the checker found."""

    violations: list[Violation]
    counts: Counts

    @property
    def good(self) -> bool:
        """Whether no rule was broken."""
        return not self.violations
