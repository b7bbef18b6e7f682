"""The counters that every store keeps, and what a commit adds to a mailbox: terms of numbering."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from msgspec import Struct, field

from jim.core.model import DeliveredUpTo, MailboxState, Segment, Stored


class DeviceCounters(Struct):
    """What a store keeps per device; `plan` changes it in place."""

    device_id: int
    account_id: int
    device: str
    last_n: int = 0
    last_mark: str = ""
    """The mark of the message with the number `last_n`; empty if it had none."""
    answers: deque[Stored] = field(default_factory=deque)
    """The answers of the last window at least, oldest first, the last one up to `last_n`."""
    last_position: int = 0
    acked: int = 0
    state: MailboxState = MailboxState.LIVE
    waiting_since_ms: int = 0
    """When the mailbox last went from empty to waiting, or was last collected from; 0 if empty."""
    alone: int = 0
    """How many of its messages had no place in a conversation."""
    has_keys: bool = False
    """Texts can be sealed for it. Never changes: the keys are in the link that added it."""


class ConversationCounters(Struct):
    """What a store keeps per conversation of two (or of one with themself); changed in place."""

    conversation_id: int
    low: int
    high: int
    last_seq: int = 0
    low_wrote: bool = False
    high_wrote: bool = False

    def mark_wrote(self, account_id: int) -> bool:
        """Note that the account wrote here; give whether it was the first time."""
        if account_id == self.low and not self.low_wrote:
            self.low_wrote = True
            return True
        if account_id == self.high and not self.high_wrote:
            self.high_wrote = True
            return True
        return False


class AccountView(Struct):
    """An account with its devices that are not revoked."""

    account_id: int
    name: str
    devices: list[DeviceCounters]


class Counters(Protocol):
    """A store's view of its counters inside the running transaction."""

    def device(self, device_id: int) -> DeviceCounters:
        """Give the counters of a device that exists."""

    def account(self, account_id: int) -> AccountView:
        """Give an account that exists."""

    def find(self, name_key: str) -> AccountView | None:
        """Give the account of that normalised name, None if there is none."""

    def conversation(self, low: int, high: int) -> ConversationCounters:
        """Give the conversation of two accounts (low ≤ high), creating it where it is missing."""


class PlannedSegment(Struct):
    """A segment with the marks that tell, once it is collected, what was delivered."""

    segment: Segment
    marks: dict[int, int]
    """conversation_id to the highest sequence that somebody else wrote."""


def delivered_up_to(conversation: ConversationCounters, by: AccountView, seq: int) -> DeliveredUpTo:
    """Word the news for the other side that `by` holds the conversation up to `seq`."""
    other = conversation.high if by.account_id == conversation.low else conversation.low
    return DeliveredUpTo(account_id=other, by_name=by.name, seq=seq)
