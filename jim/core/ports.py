"""What the core needs from outside: a durable store, a bus between nodes, and a way to a client.

Adapters translate their driver's errors into `jim.errors.StoreError` at their edge and hold no
policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from jim.core.model import (
    AccountRecord,
    Batch,
    Committed,
    Contact,
    DeliveredUpTo,
    Enrolment,
    InviteRecord,
    Receipt,
    Registration,
    Segment,
    Standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.errors import JimError
    from jim.protocol.messages import PublicKey


class Store(Protocol):
    """The only durable truth. Calls may overlap; each is one transaction of its own.

    What a call returned is on disk. After a failed commit the store refuses everything
    (`StoreError`): what is on disk is then unknown until it is opened again, and nobody may be told
    anything.
    """

    epoch: str
    """Random per lineage of the database; a restored copy gets a new one."""

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        """Number and store a batch (see `jim.core.numbering`), and drop what its acks confirm.

        Commits take effect in the order of the calls. Cancelling the caller does not undo it.
        """

    async def standing(self, device_id: int) -> Standing:
        """Read where a device stands, after every commit that was submitted before this call."""

    async def load_after(self, device_id: int, position: int, limit_bytes: int) -> list[Segment]:
        """Read waiting segments whose last position is greater than `position`, in order, gapless.

        Gives at least one if any is there, then as many as fit into `limit_bytes`. Reads only what
        is committed; a segment that straddles `position` is given whole.
        """

    async def find_account(self, name_key: str) -> AccountRecord | None:
        """Read the account of a normalised name with its devices and links."""

    async def register(self, registration: Registration, now_ms: int) -> AccountRecord:
        """Create an account with its first device, consuming the invite if one is given.

        The same genesis again gives the account that is there, and consumes nothing.

        Raises:
            NameTaken: the name or its skeleton belongs to another account.
            InviteInvalid: the invite is unknown, used up or expired.
        """

    async def enrol(self, enrolment: Enrolment, now_ms: int) -> AccountRecord:
        """Append an `add` or `reset` link and add its device; the same link again changes nothing.

        The new device's mailbox begins with what waits for the account's other devices
        (`jim.core.inheritance`). A reset revokes all of those, as `extend` does with one.

        Raises:
            AuthFailed: the chain has grown meanwhile, so that the link no longer fits its head.
            TooManyDevices: the account has `max_devices`.
        """

    async def extend(self, extension: Enrolment, now_ms: int) -> AccountRecord:
        """Append an `add` or `revoke` link; the same link again changes nothing.

        A revoked device gets nothing more: what waits for it and its keys are dropped, and what it
        sends is refused.

        Raises:
            ChainMoved: the link does not fit the chain's head; with `expected`, the next number.
            TooManyDevices: the account has `max_devices`.
        """

    async def add_keys(
        self, device_id: int, one_time: Sequence[PublicKey], fallback: PublicKey | None
    ) -> int:
        """Keep keys of a device with which others begin sessions; give how many one-time ones wait.

        Numbers up to the highest one that ever came from this device are passed over. No more than
        `Limits.one_time_keys` are kept: the numbers of those beyond count as taken too, so that
        they never come again. A device without encryption keys, or a revoked one, keeps none.
        """

    async def claim_keys(self, account_id: int, devices: Sequence[str]) -> dict[str, PublicKey]:
        """Take a key of each of these devices of an account: the oldest one-time key.

        That is durably gone before it is given. Where there is none it is the fallback key, which
        stays. Devices that are unknown, revoked or without keys are left out.
        """

    async def receipts(self, account_id: int, name_keys: Sequence[str]) -> dict[str, Receipt]:
        """Read, for each of the named accounts that we talk to, how far it holds the conversation.

        Keys of the answer are account names; somebody without a conversation with us is left out.
        """

    async def visible_to(self, account_id: int) -> list[Contact]:
        """Read whom the account wrote to: those may see its presence."""

    async def visible(self, account_id: int) -> list[Contact]:
        """Read who wrote to the account: those it may see. At most the 1,000 latest ones."""

    async def add_invite(self, invite: InviteRecord, now_ms: int) -> None:
        """Keep an invite; expired ones are removed on the way."""

    async def aclose(self) -> None:
        """Finish what was submitted, then close. Further calls raise `StoreError`.

        Raises:
            StoreError: it is closed and nothing is lost, but whoever runs it should know.
        """


class PresenceEvent(Struct, frozen=True):
    """An account came (its first device connected) or went (its last one left)."""

    account_id: int
    name: str
    online: bool


class ChainGrown(Struct, frozen=True):
    """The device chain of `name` ends with another link now; told to itself and its contacts."""

    name: str
    chain_seq: int
    by_device: int
    """The device that did it, and knows."""


Event = Segment | DeliveredUpTo | PresenceEvent | ChainGrown


class Bus(Protocol):
    """Carries events to the nodes where an account is connected: at most once, so only a hint.

    Events for one account from one node come in order. What was lost is found again by position.
    """

    def publish(self, account_id: int, event: Event) -> None:
        """Hand an event to every subscriber of the account; never blocks, never raises.

        What a subscriber raises is logged; it has to contain its own failures.
        """

    def subscribe(
        self, account_id: int, receive: Callable[[Event], None], lost: Callable[[], None]
    ) -> Callable[[], None]:
        """Receive the account's events from now on; give the function that ends it.

        `lost` is called when events may have been dropped: the subscriber then has to look for
        itself.
        """


class Outlet(Protocol):
    """A connected client as the hub sees it. Implemented by the server's connection.

    No call raises: what goes wrong in one of them ends this session and touches no other. Its
    client comes back and finds everything in the store.
    """

    @property
    def began_s(self) -> float:
        """When the connection began, by the loop's clock."""

    def send(self, data: bytes) -> None:
        """Queue frames for the client; sent together at the end of this turn of the loop."""

    def send_along(self, data: bytes) -> None:
        """Queue frames that may wait a moment for others to be sent with."""

    def close(self, error: JimError) -> None:
        """Say goodbye with this error and close, once what is queued has been written."""

    def catch_up(self) -> None:
        """Start reading the mailbox from the store; called when a push would leave a gap."""

    def fail(self, error: Exception) -> None:
        """End the session over an error that nobody foresaw: it may have missed something."""
