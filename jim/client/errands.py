"""What the client asks the server so that it can seal and open: device chains, and keys."""

from __future__ import annotations

import logging
import time
from asyncio import timeout as in_time
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import UNSET

from jim.client.encryption.sealing import NO_OWN_KEYS
from jim.client.notice_store import CHAIN_INVALID
from jim.client.store import SealedRows
from jim.client.sync import Seal
from jim.errors import ConnectFailed, JimError, RecipientUnknown
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jim.client.accounts import Account
    from jim.client.encryption.sealing import Needs
    from jim.client.link import Link, Request
    from jim.client.mailbox import News

logger = logging.getLogger(__name__)

KEYS_INVALID: Final = "keys_invalid"
"""Error code of a message for a device of which the server shows no key that it has signed."""

ANSWER_S: Final = 120.0
"""To wait for an answer: what the server may have queued before it (`Limits.outgoing_bytes`, 1 MiB)
takes so long at 70 kbit/s. Without a limit a server that swallows one question stops everything
that has to be sealed or opened, and nobody hears of it."""

MAX_LACKED: Final = 3
"""So often in a row something may be lacking for the same message, although the server answers: the
chain, then the keys of both sides; more means that what it gives is of no use."""

ReplyT = TypeVar("ReplyT", m.Chain, m.Claimed, m.KeysReply)


def now_ms() -> int:
    """Give the wall clock's time, ms since the epoch."""
    return int(time.time() * 1000)


class Errands:
    """Asks on the present connection, and keeps what comes of it in the account's store."""

    def __init__(self, account: Account, tell: Callable[[Sequence[News]], object]) -> None:
        """Take an open account, and whom to tell what has changed about somebody."""
        self._account = account
        self._tell = tell
        self.link: Link | None = None

    async def seal(self, effect: Seal, addressees: Iterable[str]) -> tuple[SealedRows, bool]:
        """Seal messages, asking the server for what is lacking.

        Gives what has become durable, and whether the rest has to wait because there was no answer.
        `addressees` are those of stale messages: their devices, or ours, are others by now.
        """
        names = {self._account.name, *addressees} if effect.stale else set()
        if await self.look_at_all(sorted(names)) != names:
            return SealedRows(), True
        done, rest, lacked = SealedRows(), effect.message_ids, 0
        while rest:
            wanted = Seal(rest, [each for each in effect.stale if each in rest])
            found = await self._account.writer.write(lambda store, w=wanted: store.seal(w))  # type: ignore[misc]
            done.payloads |= found.payloads
            done.failed |= found.failed
            before = rest[0]
            rest = [i for i in rest if i not in done.payloads and i not in done.failed]
            if not rest or not found.needs:
                break
            lacked = lacked + 1 if rest[0] == before else 1
            code = await self.fetch(found.needs) if lacked <= MAX_LACKED else self._given_up(found)
            if code is None:
                return done, True
            if code:
                done.failed[rest.pop(0)] = code
        return done, False

    def _given_up(self, found: SealedRows) -> str:
        """Say why something still cannot be sealed, whatever the server answers."""
        is_own = self._account.name in found.needs.chains
        return NO_OWN_KEYS if is_own else KEYS_INVALID

    async def fetch(self, needs: Needs) -> str | None:
        """Get what is lacking to seal something.

        Gives an empty text if it is there now, None if there was no answer, or the code of why it
        can never be had.
        """
        for name in sorted(needs.chains):
            try:
                if not await self.look_at(name):
                    return None
            except RecipientUnknown as error:
                return error.code
            if await self._account.writer.read(lambda store, n=name: store.chain_seq(n)) < 0:  # type: ignore[misc]
                return CHAIN_INVALID
        for name, devices in needs.keys.items():
            claimed = await self._claim(name, devices)
            if claimed is False:  # a device may be gone, so that there is no key of it any more
                claimed = await self._has_grown(name)
            if claimed is not True:
                return None if claimed is None else KEYS_INVALID
        return ""

    async def _has_grown(self, name: str) -> bool | None:
        """Ask how a device chain goes on; tell whether it does, None if there was no answer."""
        before = await self._account.writer.read(lambda store: store.chain_seq(name))
        if not await self.look_at_all([name]):
            return None
        return await self._account.writer.read(lambda store: store.chain_seq(name)) > before

    async def look_at(self, name: str) -> bool:
        """Ask how a device chain goes on; tell whether there was an answer.

        Raises:
            RecipientUnknown: there is no such account.
        """
        known = await self._account.writer.read(lambda store: store.chain_seq(name))
        request = m.ChainRequest(id="", name=name, after=UNSET if known < 0 else known)
        chain = await self._ask(request, m.Chain)
        if chain is None:
            return False
        if chain.links or known < 0:
            news = await self._account.writer.write(
                lambda store: store.learn(name, chain.links, now_ms())
            )
            self._tell(news)
        return True

    async def look_at_all(self, names: Iterable[str]) -> frozenset[str]:
        """Ask for several chains; gives whose could be looked at, or cannot be there."""
        seen = set()
        for name in names:
            try:
                if await self.look_at(name):
                    seen.add(name)
            except RecipientUnknown:
                seen.add(name)
        return frozenset(seen)

    async def offer_keys(self, at_server: int) -> None:
        """Give the server new keys if it has few."""
        keys = await self._account.writer.write(lambda store: store.offer_keys(at_server, now_ms()))
        if keys is None:
            return
        if await self._ask(keys, m.KeysReply) is not None:
            await self._account.writer.write(lambda store: store.keys_taken(keys))

    async def _claim(self, name: str, devices: Sequence[str]) -> bool | None:
        """Begin sessions; None if there was no answer, False if some key is no good."""
        claimed = await self._ask(m.Claim(id="", name=name, devices=list(devices)), m.Claimed)
        if claimed is None:
            return None
        return await self._account.writer.write(
            lambda store: store.use_keys(name, devices, claimed.keys)
        )

    async def _ask(self, request: Request, kind: type[ReplyT]) -> ReplyT | None:
        """Ask the server; None if there is no answer to be had on this connection.

        Raises:
            RecipientUnknown: what was asked about is not there.
        """
        if self.link is None:
            return None
        link = self.link
        try:
            async with in_time(ANSWER_S):
                reply = await link.request(request)
        except TimeoutError:
            link.give_up(ConnectFailed("the server does not answer", reason="timeout"))
            return None
        except RecipientUnknown:
            raise
        except JimError as error:
            logger.info("no answer to %s: %s", type(request).__name__, error)
            return None
        return reply if isinstance(reply, kind) else None
