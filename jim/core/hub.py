# long module: the one place in which all sessions of a node meet
"""The hub: from messages of all sessions to batches for the store, from commits to deliveries.

Store durably first, then acknowledge, then push. A push is only a hint: the truth is the mailbox
position, and a session that is not exactly where a push continues catches up from the store. The
hub is sans-I/O. The edge asks it for the next batch whenever no commit is in flight and hands back
the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from jim.core import sealing
from jim.core.link import Link
from jim.core.model import (
    Batch,
    Committed,
    DeliveredUpTo,
    Identity,
    Run,
    Segment,
    Standing,
)
from jim.core.ports import Bus, ChainGrown, Event, Outlet, PresenceEvent
from jim.errors import (
    BadRequest,
    JimError,
    Replaced,
    Revoked,
    WindowExceeded,
    WireError,
)
from jim.protocol import messages as m
from jim.protocol.codec import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jim.core.limits import Limits

_CHARACTER_BYTES = 4
"""Of UTF-8 at most (RFC 3629): a text of fewer characters need not be measured."""


class _Presence:
    """An account that is connected to this node."""

    __slots__ = ("audience", "links", "name", "unsubscribe")

    def __init__(self, name: str, audience: set[int], unsubscribe: Callable[[], None]) -> None:
        self.name = name
        self.audience = audience
        self.unsubscribe = unsubscribe
        self.links: dict[int, Link] = {}


class Hub:
    """Routes for one node; every method is called from one thread and returns at once."""

    def __init__(self, bus: Bus, limits: Limits, now_ms: Callable[[], int]) -> None:
        """Take the bus, the limits and the wall clock (used for time stamps only)."""
        self._bus = bus
        self._now_ms = now_ms
        self._accounts: dict[int, _Presence] = {}
        self._waiting: dict[Link, list[m.Msg]] = {}
        """What has gathered. The messages of a session are together, however they came: what is
        done once for all of them is most of the cost. Among messages of different sessions nobody
        has seen an order yet."""
        self._committing: dict[Link, list[m.Msg]] = {}
        self._acks: dict[int, int] = {}
        self.apply(limits)

    def apply(self, limits: Limits) -> None:
        """Use other limits from now on."""
        self._limits = limits
        self._sure_characters = limits.text_bytes // _CHARACTER_BYTES

    # --- sessions -------------------------------------------------------------------------------

    def attach(
        self, outlet: Outlet, identity: Identity, standing: Standing, audience: Iterable[int]
    ) -> Link:
        """Connect a session that has logged in; an older one of the same device is ended.

        `audience` are the accounts that may see this one's presence. `standing` must have been read
        after `evict` of the same device, so that nothing of an older session can still be stored.
        """
        # First of all: the account leaves with its last session, and has to arrive again then.
        self.evict(identity.account_id, identity.device_id)
        account = self._accounts.get(identity.account_id)
        if account is None:
            account = self._arrive(identity, set(audience))
        link = Link(outlet, identity, standing)
        account.links[identity.device_id] = link
        return link

    def outlet(self, account_id: int, device_id: int) -> Outlet | None:
        """Give the outlet of the session that the device has, None without one."""
        account = self._accounts.get(account_id)
        link = account.links.get(device_id) if account else None
        return link.outlet if link is not None else None

    def evict(self, account_id: int, device_id: int, reason: JimError | None = None) -> None:
        """End the session that the device has, if any, and forget what it has not yet committed.

        It is told the reason; without one, that another session takes its place.

        That goes for its confirmations too: one committed behind the reading of `standing` would
        take messages away that the next session still asks for. Its `sync` confirms again.
        """
        self._acks.pop(device_id, None)
        account = self._accounts.get(account_id)
        link = account.links.get(device_id) if account else None
        if link is not None:
            self.detach(link)
            link.outlet.close(reason or Replaced())

    def detach(self, link: Link) -> None:
        """Forget a session and its messages that are not yet being committed, unacknowledged."""
        account = self._accounts.get(link.identity.account_id)
        if account is None or account.links.get(link.identity.device_id) is not link:
            return
        self._waiting.pop(link, None)
        del account.links[link.identity.device_id]
        link.live = link.attached = False
        if not account.links:
            self._leave(link.identity.account_id, account)

    def _arrive(self, identity: Identity, audience: set[int]) -> _Presence:
        account_id = identity.account_id
        unsubscribe = self._bus.subscribe(
            account_id,
            lambda event: self._receive(account_id, event),
            lambda: self._resync(account_id),
        )
        account = _Presence(identity.name, audience, unsubscribe)
        self._accounts[account_id] = account
        self._announce(account_id, account, online=True)
        return account

    def _leave(self, account_id: int, account: _Presence) -> None:
        account.unsubscribe()
        del self._accounts[account_id]
        self._announce(account_id, account, online=False)

    def _announce(self, account_id: int, account: _Presence, *, online: bool) -> None:
        event = PresenceEvent(account_id, account.name, online)
        for watcher in account.audience:
            self._bus.publish(watcher, event)

    def is_online(self, account_id: int) -> bool:
        """Tell whether a device of the account is connected."""
        return account_id in self._accounts

    # --- what clients ask -----------------------------------------------------------------------

    def submit(self, link: Link, messages: list[m.Msg]) -> list[tuple[m.Msg, WireError]]:
        """Take messages for the next batch; give those that cannot be stored as they are, and why.

        The numbers of the latter stay unused.

        Raises:
            Replaced: the session is over; its numbers are those of the next one now.
        """
        if not link.attached:
            raise Replaced
        refused: list[tuple[m.Msg, WireError]] = []
        taken: list[m.Msg] = []
        room = self._limits.window - link.outstanding
        for message in messages:
            try:
                if len(taken) >= room:
                    raise WindowExceeded(n=message.n, limit=self._limits.window)
                text = message.message
                if (
                    text is UNSET
                    or message.ciphertexts is not UNSET
                    or message.only
                    or len(text) > self._sure_characters
                ):
                    self._check(message)
            except WireError as error:
                refused.append((message, error))
            else:
                taken.append(message)
        if taken:
            self._gather(link, taken)
        return refused

    def _gather(self, link: Link, messages: list[m.Msg]) -> None:
        gathered = self._waiting.get(link)
        if gathered is None:
            self._waiting[link] = messages
        else:
            gathered += messages
        link.outstanding += len(messages)

    def _check(self, message: m.Msg) -> None:
        """Check what is no short text; a sealed one of usual length quickly.

        Raises:
            WireError: as `sealing.check`.
        """
        ciphertexts, text_bytes = message.ciphertexts, self._limits.text_bytes
        if ciphertexts is not UNSET and message.message is UNSET and not message.only:
            for ciphertext in ciphertexts.values():
                if len(ciphertext) > text_bytes:  # it may still be right: it is longer than a text
                    break
            else:
                return
        sealing.check(message, text_bytes)

    def acknowledge(self, link: Link, position: int) -> None:
        """Take a confirmation of everything up to `position` for the next batch.

        Raises:
            BadRequest: the position was never sent on this session.
        """
        if position > link.sent:
            raise BadRequest("acknowledged a position that was not sent", expected=link.sent)
        if position > link.acked:
            link.acked = position
            self._acks[link.identity.device_id] = position

    def sync(self, link: Link, after: int) -> int:
        """Restart delivery after a position, confirming it by that; give the last one there is.

        What the device confirmed earlier is gone from the mailbox: delivery never restarts before.

        Raises:
            BadRequest: the position is ahead of the mailbox.
        """
        if after > link.target:
            raise BadRequest("the position is ahead of the mailbox", expected=link.target)
        after = max(after, link.acked)
        link.asked = True
        link.sent = after
        link.live = False
        self.acknowledge(link, after)
        # Also when nothing seems to wait: what was stored between the reading of `standing` and
        # `attach` was pushed to nobody.
        link.outlet.catch_up()
        return link.target

    def loaded(self, link: Link, segments: list[Segment]) -> bool:
        """Send what was read from the store for a session that catches up; tell whether to go on.

        It must have been read behind `link.sent` as that is now. An empty list means that the
        mailbox has nothing more, so `link.target` must not have changed since its reading began.
        When the client reads too slowly, the rest of the page is left out and read again.

        Only an empty one ends the catching up: where pushes were lost, `target` is behind the
        store.
        """
        for segment in segments:
            if link.paused:
                break
            self._send_rest(link, segment)
        link.live = not segments and not link.unsure
        link.unsure = link.unsure and bool(segments)
        return not link.live

    # --- devices and their keys -----------------------------------------------------------------

    def chain_grown(self, account_id: int, news: ChainGrown, contacts: Iterable[int]) -> None:
        """Tell the account's other devices, and its contacts, that it has other devices now."""
        for told in {account_id, *contacts}:
            self._bus.publish(told, news)

    def keys_left(self, account_id: int, device_id: int, one_time_keys: int) -> None:
        """Ask a device that is connected here for more keys if few of them are left."""
        outlet = self.outlet(account_id, device_id)
        if outlet is not None and one_time_keys <= self._limits.few_one_time_keys:
            frame = encode(m.KeysLeft(one_time_keys=one_time_keys, time=self._now_ms()))
            outlet.send_along(frame)

    # --- commits --------------------------------------------------------------------------------

    @property
    def has_messages(self) -> bool:
        """Whether messages have gathered, not only confirmations."""
        return bool(self._waiting)

    def take(self) -> Batch | None:
        """Give everything that has gathered as the next batch, None if there is nothing.

        Must not be called again before `committed` has been called for it.
        """
        if not self._waiting and not self._acks:
            return None
        self._committing, self._waiting = self._waiting, {}
        acks, self._acks = self._acks, {}
        runs = [Run(link.identity, messages) for link, messages in self._committing.items()]
        return Batch(runs, acks)

    def committed(self, result: Committed) -> None:
        """Acknowledge and deliver what is now durable."""
        committing, self._committing = self._committing, {}
        for (link, messages), answers in zip(committing.items(), result.answers, strict=True):
            link.outstanding -= len(messages)
            try:
                for account_id in answers.introduced:
                    self._introduce(link.identity.account_id, account_id)
                link.outlet.send(answers.frames)
                if answers.revoked:
                    link.outlet.close(Revoked())
            except Exception as error:  # noqa: BLE001 - one answer's fault must not stop the others
                link.outlet.fail(error)
        for segment in result.segments:
            self._bus.publish(segment.account_id, segment)
        for news in result.delivered:
            self._bus.publish(news.account_id, news)

    def _introduce(self, sender: int, addressee: int) -> None:
        """Let somebody who was written to for the first time see the sender's presence."""
        account = self._accounts.get(sender)
        if account is not None:
            account.audience.add(addressee)
            self._bus.publish(addressee, PresenceEvent(sender, account.name, online=True))

    # --- deliveries -----------------------------------------------------------------------------

    def _receive(self, account_id: int, event: Event) -> None:
        account = self._accounts.get(account_id)
        if account is None:
            return
        try:
            self._hand_on(account, event)
        except Exception as error:  # noqa: BLE001 - of memory, in all likelihood
            # A session that has missed something must not go on as if it had not.
            only = event.device_id if isinstance(event, Segment) else None
            for device_id, link in tuple(account.links.items()):
                if only in {None, device_id}:
                    link.outlet.fail(error)

    def _hand_on(self, account: _Presence, event: Event) -> None:
        if isinstance(event, Segment):
            link = account.links.get(event.device_id)
            if link is not None:
                self._push(link, event)
        elif isinstance(event, PresenceEvent):
            change = m.PresenceChange(name=event.name, online=event.online, time=self._now_ms())
            frame = encode(change)
            for link in tuple(account.links.values()):
                if link.watching:
                    link.outlet.send(frame)
        else:
            self._tell(account, event)

    def _tell(self, account: _Presence, event: DeliveredUpTo | ChainGrown) -> None:
        """Tell every session of an account, but the one that did it itself."""
        news: m.Delivered | m.DevicesChange
        if isinstance(event, DeliveredUpTo):
            news, by = m.Delivered(name=event.by_name, seq=event.seq, time=self._now_ms()), None
        else:
            seq, by = event.chain_seq, event.by_device
            news = m.DevicesChange(name=event.name, chain_seq=seq, time=self._now_ms())
        frame = encode(news)
        for link in tuple(account.links.values()):  # sending may end a session
            if link.identity.device_id != by:
                link.outlet.send_along(frame)

    def _push(self, link: Link, segment: Segment) -> None:
        link.target = max(link.target, segment.last)
        if not link.live:
            return
        if segment.first > link.sent + 1:
            link.live = False
            link.outlet.catch_up()
        else:
            self._send_rest(link, segment)

    @staticmethod
    def _send_rest(link: Link, segment: Segment) -> None:
        """Send the frames of a segment that the session has not got yet."""
        if segment.last <= link.sent:
            return
        frames = segment.frames
        if segment.first <= link.sent:
            already = link.sent - segment.first + 1
            frames = frames.split(b"\n", already)[already]
        link.sent = segment.last
        link.outlet.send(frames)

    def pause(self, link: Link) -> None:
        """Stop pushing to a client that reads slowly; `resume` makes it whole from the store."""
        link.live = False
        link.paused = True

    def resume(self, link: Link) -> None:
        """Go on after `pause`."""
        link.paused = False
        if not link.asked:
            return
        if link.unsure or link.sent < link.target:
            link.outlet.catch_up()
        else:
            link.live = True

    def _resync(self, account_id: int) -> None:
        """Events for this account may have been lost: look into the store instead."""
        account = self._accounts.get(account_id)
        for link in list(account.links.values()) if account else ():
            link.unsure = True
            if link.live:
                link.live = False
                link.outlet.catch_up()
