"""The `Store` port in dictionaries: for tests and simulations, gone with the process.

No call waits for anything, so that a simulation can run it without an event loop; each is atomic.
It keeps to the rules of the durable stores, and the same suite of tests says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from jim.core.counters import (
    AccountView,
    ConversationCounters,
    DeviceCounters,
    PlannedSegment,
    delivered_up_to,
)
from jim.core.inheritance import inherit
from jim.core.model import (
    AccountRecord,
    Committed,
    Contact,
    DeliveredUpTo,
    DeviceRecord,
    MailboxState,
    Receipt,
    Standing,
)
from jim.core.numbering import plan
from jim.errors import (
    AuthFailed,
    ChainMoved,
    InviteInvalid,
    NameTaken,
    StoreError,
    TooManyDevices,
    WireError,
)
from jim.protocol.messages import ADD, RESET, REVOKE, Link
from jim.storage.memory_keys import DeviceKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.core.limits import Limits
    from jim.core.model import Batch, Enrolment, InviteRecord, Registration, Segment
    from jim.core.numbering import Plan
    from jim.protocol.messages import PublicKey

MAX_VISIBLE: Final = 1000
"""Contacts that `visible` gives: the port's bound."""


class _Account(Struct):
    """An account with everything that belongs to it."""

    account_id: int
    name: str
    skeleton: str
    heads: list[bytes] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    device_ids: list[int] = field(default_factory=list)


class _Conversation(ConversationCounters):
    """A conversation with what its members hold of it."""

    last_ms: int = 0
    delivered: dict[int, int] = field(default_factory=dict)


class MemoryStore:
    """Keeps everything in this process; also the view of the counters that `plan` gets."""

    def __init__(self, limits: Limits, epoch: str = "0" * 16) -> None:
        """Start empty. `limits` may be replaced later."""
        self.limits = limits
        self.epoch = epoch
        self._closed = False
        self._accounts: dict[int, _Account] = {}
        self._names: dict[str, _Account] = {}
        self._devices: dict[int, DeviceCounters] = {}
        self._login_keys: dict[int, bytes] = {}
        self._keys: dict[int, DeviceKeys] = {}
        self._mailboxes: dict[int, list[PlannedSegment]] = {}
        self._conversations: dict[int, _Conversation] = {}
        self._pairs: dict[tuple[int, int], _Conversation] = {}
        self._invites: dict[bytes, tuple[int, int]] = {}

    # --- Counters ---------------------------------------------------------------------------------

    def device(self, device_id: int) -> DeviceCounters:
        """Give the counters of a device that exists."""
        return self._devices[device_id]

    def account(self, account_id: int) -> AccountView:
        """Give an account that exists."""
        account = self._accounts[account_id]
        devices = [self._devices[device_id] for device_id in account.device_ids]
        live = [device for device in devices if device.state is not MailboxState.REVOKED]
        return AccountView(account_id, account.name, live)

    def find(self, name_key: str) -> AccountView | None:
        """Give the account of that normalised name, None if there is none."""
        account = self._named(name_key)
        return self.account(account.account_id) if account is not None else None

    def conversation(self, low: int, high: int) -> ConversationCounters:
        """Give the conversation of two accounts (low ≤ high), creating it where it is missing."""
        conversation = self._pairs.get((low, high))
        if conversation is None:
            conversation_id = len(self._conversations) + 1
            conversation = _Conversation(conversation_id, low, high, delivered={low: 0, high: 0})
            self._pairs[low, high] = self._conversations[conversation_id] = conversation
        return conversation

    # --- Store ------------------------------------------------------------------------------------

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        """Number and keep a batch."""
        self._check_open()
        planned = plan(batch, self, self.limits, now_ms)
        delivered = self._collect(planned)
        for each in planned.segments:
            self._mailboxes[each.segment.device_id].append(each)
        for conversation_id in planned.conversations:
            self._conversations[conversation_id].last_ms = now_ms
        return Committed(planned.answers, [each.segment for each in planned.segments], delivered)

    async def standing(self, device_id: int) -> Standing:
        """Read where a device stands."""
        self._check_open()
        device = self._devices[device_id]
        keys = self._keys.get(device_id)
        return Standing(
            device.last_n,
            device.last_position,
            device.acked,
            device.last_mark,
            device.state is MailboxState.REVOKED,
            len(keys.one_time) if keys is not None else 0,
        )

    async def load_after(self, device_id: int, position: int, limit_bytes: int) -> list[Segment]:
        """Read waiting segments behind `position`, in order, gapless."""
        self._check_open()
        segments: list[Segment] = []
        size_bytes = 0
        for each in self._mailboxes[device_id]:
            if each.segment.last > position:
                size_bytes += len(each.segment.frames)
                if segments and size_bytes > limit_bytes:
                    break
                segments.append(each.segment)
        return segments

    async def find_account(self, name_key: str) -> AccountRecord | None:
        """Read the account of a normalised name."""
        self._check_open()
        account = self._named(name_key)
        return self._record(account) if account is not None else None

    async def register(self, registration: Registration, now_ms: int) -> AccountRecord:
        """Create an account with its first device; the same genesis again changes nothing."""
        self._check_open()
        existing = self._named(registration.name)
        if existing is not None and existing.heads[0] == registration.head:
            return self._record(existing)
        token = registration.invite_hash
        uses, expires_ms = self._invites.get(token or b"", (0, 0))
        if token is not None and (uses <= 0 or expires_ms <= now_ms):
            raise InviteInvalid
        looks = (account.skeleton for account in self._accounts.values())
        if existing is not None or registration.skeleton in looks:
            raise NameTaken
        if token is not None:
            self._invites[token] = (uses - 1, expires_ms)
        account_id = len(self._accounts) + 1
        account = _Account(account_id, registration.name, registration.skeleton)
        self._accounts[account_id] = self._names[account.name] = account
        self._add_link(account, registration.genesis, registration.head)
        self._add_device(account, registration.genesis, registration.fallback)
        return self._record(account)

    async def enrol(self, enrolment: Enrolment, now_ms: int) -> AccountRecord:
        """Append a link to a chain and add its device; the same link again changes nothing."""
        return self._grow(enrolment, now_ms, lambda _: AuthFailed())

    async def extend(self, extension: Enrolment, now_ms: int) -> AccountRecord:
        """Append a link that adds or revokes a device; the same link again changes nothing."""
        return self._grow(extension, now_ms, lambda seq: ChainMoved(expected=seq))

    async def add_keys(
        self, device_id: int, one_time: Sequence[PublicKey], fallback: PublicKey | None
    ) -> int:
        """Keep keys of a device whose numbers are new; give how many one-time keys wait."""
        self._check_open()
        keys = self._keys.get(device_id)
        return keys.add(one_time, fallback, self.limits.one_time_keys) if keys is not None else 0

    async def claim_keys(self, account_id: int, devices: Sequence[str]) -> dict[str, PublicKey]:
        """Take a key of each of these devices."""
        self._check_open()
        account = self._accounts.get(account_id)
        claimed = {}
        for device_id in account.device_ids if account is not None else ():
            device = self._devices[device_id].device
            if device in devices and device_id in self._keys:
                claimed[device] = self._keys[device_id].claim()
        return claimed

    async def receipts(self, account_id: int, name_keys: Sequence[str]) -> dict[str, Receipt]:
        """Read how far each of the named accounts holds its conversation with this one."""
        self._check_open()
        found = {}
        for name in name_keys:
            other = self._named(name)
            if other is not None:
                pair = (min(other.account_id, account_id), max(other.account_id, account_id))
                if pair in self._pairs:
                    seq = self._pairs[pair].delivered[other.account_id]
                    found[name] = Receipt(seq, other.links[-1].seq)
        return found

    async def visible_to(self, account_id: int) -> list[Contact]:
        """Read whom the account wrote to."""
        self._check_open()
        return [
            self._contact(_other(conversation, account_id))
            for conversation in self._conversations.values()
            if _wrote(conversation, account_id) and conversation.low != conversation.high
        ]

    async def visible(self, account_id: int) -> list[Contact]:
        """Read who wrote to the account, at most 1,000, the latest conversation first."""
        self._check_open()
        found = [
            conversation
            for conversation in self._conversations.values()
            if account_id in conversation.delivered
            and conversation.low != conversation.high
            and _wrote(conversation, _other(conversation, account_id))
        ]
        found.sort(key=lambda each: (each.last_ms, each.conversation_id), reverse=True)
        return [self._contact(_other(each, account_id)) for each in found[:MAX_VISIBLE]]

    async def add_invite(self, invite: InviteRecord, now_ms: int) -> None:
        """Keep an invite; those that nobody can use any more are removed on the way."""
        self._check_open()
        self._invites = {
            token: (uses, expires_ms)
            for token, (uses, expires_ms) in self._invites.items()
            if uses and expires_ms > now_ms
        }
        self._invites[invite.token_hash] = (invite.uses, invite.expires_ms)

    async def aclose(self) -> None:
        """Refuse every further call."""
        self._closed = True

    # --- parts ------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    def _named(self, name_key: str) -> _Account | None:
        return self._names.get(name_key)

    def _contact(self, account_id: int) -> Contact:
        return Contact(account_id, self._accounts[account_id].name)

    def _record(self, account: _Account) -> AccountRecord:
        devices = [
            DeviceRecord(
                device_id,
                self._devices[device_id].device,
                self._login_keys[device_id],
                self._devices[device_id].state is MailboxState.REVOKED,
            )
            for device_id in account.device_ids
        ]
        return AccountRecord(account.account_id, account.name, account.links.copy(), devices)

    def _grow(
        self, extension: Enrolment, now_ms: int, unfit: Callable[[int], WireError]
    ) -> AccountRecord:
        """Append a link and do what it says."""
        self._check_open()
        account, link = self._accounts.get(extension.account_id), extension.link
        if account is None:
            raise unfit(0)
        record = self._record(account)
        if extension.head in account.heads:
            return record
        known = {each.device: each.revoked for each in record.devices}
        fits = known.get(link.device) is False if link.op == REVOKE else link.device not in known
        if account.heads[-1] != link.prev or not fits:
            raise unfit(record.links[-1].seq + 1)
        live = [each for each in record.devices if not each.revoked]
        if link.op == ADD and len(live) >= extension.max_devices:
            raise TooManyDevices(limit=extension.max_devices)
        self._add_link(account, link, extension.head)
        if link.op != REVOKE:
            self._add_device(account, link, extension.fallback)
            self._hand_over(account, now_ms)
        for each in live:
            if link.op == RESET or each.device == link.device:
                self._revoke(each.device_id)
        return self._record(account)

    @staticmethod
    def _add_link(account: _Account, link: Link, head: bytes) -> None:
        account.heads.append(head)
        account.links.append(link)

    def _add_device(self, account: _Account, link: Link, fallback: PublicKey | None) -> None:
        device_id = len(self._devices) + 1
        account.device_ids.append(device_id)
        self._devices[device_id] = DeviceCounters(
            device_id, account.account_id, link.device, has_keys=fallback is not None
        )
        self._login_keys[device_id] = link.login_key
        if fallback is not None:
            self._keys[device_id] = DeviceKeys(fallback, fallback.id)
        self._mailboxes[device_id] = []

    def _revoke(self, device_id: int) -> None:
        device = self._devices[device_id]
        device.state, device.acked = MailboxState.REVOKED, device.last_position
        device.waiting_since_ms = 0
        self._mailboxes[device_id] = []
        self._keys.pop(device_id, None)

    def _hand_over(self, account: _Account, now_ms: int) -> None:
        """Put what waits for the account into the mailbox of its newest device."""
        view = self.account(account.account_id)
        waiting = [
            (device.acked, each.segment.frames)
            for device in view.devices
            for each in self._mailboxes[device.device_id]
        ]
        heir = self._devices[account.device_ids[-1]]
        segments = inherit(heir, view, waiting, self, self.limits, now_ms)
        self._mailboxes[heir.device_id] += segments

    def _collect(self, planned: Plan) -> list[DeliveredUpTo]:
        """Drop the segments that are wholly confirmed; give what the other sides should hear."""
        seen: dict[tuple[int, int], int] = {}
        for device_id, position in planned.collected.items():
            account_id = self._devices[device_id].account_id
            kept = []
            for each in self._mailboxes[device_id]:
                if each.segment.last > position:
                    kept.append(each)
                    continue
                for conversation_id, seq in each.marks.items():
                    key = (account_id, conversation_id)
                    seen[key] = max(seq, seen.get(key, 0))
            self._mailboxes[device_id] = kept
        return self._deliver(seen)

    def _deliver(self, seen: dict[tuple[int, int], int]) -> list[DeliveredUpTo]:
        news = []
        for (account_id, conversation_id), seq in seen.items():
            conversation = self._conversations[conversation_id]
            if seq > conversation.delivered[account_id]:
                conversation.delivered[account_id] = seq
                news.append(delivered_up_to(conversation, self.account(account_id), seq))
        return news


def _other(conversation: _Conversation, account_id: int) -> int:
    return conversation.high if account_id == conversation.low else conversation.low


def _wrote(conversation: _Conversation, account_id: int) -> bool:
    return (account_id == conversation.low and conversation.low_wrote) or (
        account_id == conversation.high and conversation.high_wrote
    )
