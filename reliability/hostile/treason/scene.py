"""The people of one attack: real clients of the traitor, and everything that they are told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from jim.client import Address, Client, LinkChanged, LinkState, Received
from jim.client.events import Fatal, MissingNotice, OwnChanged, Registered
from jim.crypto import chain
from jim.crypto import words as recovery_words
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.events import Event, Message
    from jim.crypto.chain import ChainState
    from jim.crypto.keys import SigningKey
    from reliability.hostile.traitor import Session, Traitor, Treason

EventT = TypeVar("EventT")

PATIENCE_S: Final = 20.0
"""For anything to happen: at once here; only a fault reaches it."""

CANARY: Final = "kanareika"
"""In every text, so that one search shows whether a text was ever said in the open."""


class Failed(Exception):
    """What an attack must lead to did not come, or something else did."""


class Witness:
    """One client of the scene, and what it has told."""

    def __init__(self, role: str, client: Client) -> None:
        """Follow a client that is about to start."""
        self.role = role
        self.client = client
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._follow(client.events()))

    async def _follow(self, events: object) -> None:
        async for event in events:  # type: ignore[attr-defined]
            if isinstance(event, LinkChanged) and event.state is LinkState.WAITING:
                self.client.retry_now()
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Give the events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so that an event brings about."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            raise Failed(
                f"{self.role}: {what} never came; told {self.told}, {self.texts}"
            ) from None

    # --- what it does -----------------------------------------------------------------------------

    async def send(self, to: Witness, words: str) -> Message:
        """Write something to somebody, and wait until the server has decided about it."""
        queued = await self.write(to, words)
        try:
            return await self.client.wait_stored(queued.message_id, PATIENCE_S)
        except TimeoutError:
            raise Failed(f"{self.role}: the server never decided about {words!r}") from None

    async def write(self, to: Witness, words: str) -> Message:
        """Write something to somebody, whatever becomes of it."""
        return await self.client.send(to.client.name, f"{words} {CANARY}")

    # --- what it was told -------------------------------------------------------------------------

    @property
    def told(self) -> list[str]:
        """Codes of the notices, in their order, with the one they are about where that is known."""
        return [event.code for event in self.of(MissingNotice)]

    def told_of(self, code: str) -> list[str]:
        """Give in which conversations a notice of that code stands."""
        return [event.peer for event in self.of(MissingNotice) if event.code == code]

    @property
    def texts(self) -> list[str]:
        """What others wrote, without what every text ends with."""
        return [
            event.message.text.removesuffix(f" {CANARY}")
            for event in self.of(Received)
            if not event.message.withheld
        ]

    @property
    def withheld(self) -> list[Message]:
        """Messages that came unsealed, of others or in our own name, and were not shown."""
        found = [event.message for event in self.of(Received)]
        found += [event.message for event in self.of(OwnChanged)]
        return [message for message in found if message.withheld]

    @property
    def failed(self) -> dict[str, str]:
        """Texts of our own that have visibly failed, and with which code."""
        return {
            event.message.text.removesuffix(f" {CANARY}"): event.message.error_code
            for event in self.of(OwnChanged)
            if event.message.error_code is not None
        }

    @property
    def errors(self) -> list[str]:
        """Why links ended: class and reason of each error."""
        found = [event.error for event in self.of(LinkChanged) if event.error is not None]
        return [f"{type(each).__name__} {each.fields.get('reason', '')}".strip() for each in found]

    async def reads(self, *texts: str) -> None:
        """Wait until these texts have come."""
        await self.until(lambda: set(texts) <= set(self.texts), f"{texts}")

    async def is_told(self, code: str) -> None:
        """Wait for a notice."""
        await self.until(lambda: code in self.told, code)

    async def online(self, count: int = 1) -> None:
        """Wait until it has been connected so many times."""

        def times() -> int:
            return sum(event.state is LinkState.ONLINE for event in self.of(LinkChanged))

        await self.until(lambda: times() >= count, f"connection {count}")

    @property
    def connections(self) -> int:
        """How often it has been connected."""
        return sum(event.state is LinkState.ONLINE for event in self.of(LinkChanged))

    async def device(self) -> str:
        """Give the id of the device that this client is."""
        return next(each.id for each in await self.client.devices() if each.is_this)

    async def words(self) -> str:
        """Give the recovery words."""
        await self.until(lambda: any(each.words for each in self.of(Registered)), "the words")
        return next(" ".join(each.words) for each in self.of(Registered) if each.words)

    async def recovery(self) -> SigningKey:
        """Give the recovery key: whoever has it can make valid links of this account."""
        return recovery_words.parse_words(await self.words())

    async def stopped(self) -> Fatal:
        """Wait for the end for good."""
        await self.until(lambda: bool(self.of(Fatal)), "the end")
        return self.of(Fatal)[0]

    async def aclose(self) -> None:
        """End it."""
        await self.client.aclose()
        await self._task


class Scene:
    """Accounts of their own for one attack, at the one traitor of the run."""

    def __init__(self, traitor: Traitor, directory: Path, number: int) -> None:
        """Take the traitor, a directory for this attack, and what makes names unique."""
        self.traitor = traitor
        self._directory = directory
        self._number = number
        self.witnesses: list[Witness] = []
        self._heard_before = len(traitor.heard)

    def name_of(self, role: str) -> str:
        """Give the account's name behind a role."""
        return f"{role}{self._number}"

    async def join(self, role: str) -> Witness:
        """Make an account, or come back to it, and wait for the link."""
        witness = await self.start(role)
        await witness.online()
        return witness

    async def start(self, role: str) -> Witness:
        """Start a client without waiting for anything."""
        client = Client(self._address, self.name_of(role), data_dir=self._directory / role)
        return await self._begin(role, client)

    async def further(self, of: Witness) -> Witness:
        """Bring an account to one more device, by its words; its role is the other's with 2."""
        role = f"{of.role}2"
        client = Client.recover(
            self._address, of.client.name, await of.words(), data_dir=self._directory / role
        )
        witness = await self._begin(role, client)
        await witness.online()
        return witness

    @property
    def _address(self) -> Address:
        return Address("127.0.0.1", self.traitor.port)

    async def _begin(self, role: str, client: Client) -> Witness:
        witness = Witness(role, client)
        self.witnesses.append(witness)
        await client.start()
        return witness

    async def acquaint(self, *witnesses: Witness) -> None:
        """Let everybody and everybody else have talked before anything happens."""
        for one in witnesses:
            for other in witnesses:
                if one.client.name != other.client.name:
                    await one.send(other, f"hello from {one.role}")
                    await other.reads(f"hello from {one.role}")

    def commit(self, treason: Treason) -> None:
        """From now on the server does this."""
        self.traitor.treason = treason

    async def session(self, witness: Witness) -> Session:
        """Give the present connection of a client."""
        return self.traitor.sessions[await witness.device()]

    def heard(self, kind: type[EventT]) -> list[EventT]:
        """Give what the clients of this scene have said of one kind."""
        return [each for each in map(_decode, self._frames) if isinstance(each, kind)]

    @property
    def _frames(self) -> list[bytes]:
        return self.traitor.heard[self._heard_before :]

    @property
    def unreadable(self) -> list[str]:
        """Give what clients have said that is no message."""
        return self.traitor.unreadable

    def leaks(self) -> bool:
        """Tell whether a text was said in the open."""
        return any(CANARY.encode() in frame for frame in self._frames)

    async def aclose(self) -> None:
        """End all clients."""
        for witness in self.witnesses:
            await witness.aclose()


_decode = msgspec.json.Decoder(m.ClientMessage).decode


def present_ms() -> int:
    """Give the wall clock's time, ms since the epoch."""
    return int(time.time() * 1000)


def chain_of(links: list[m.Link], name: str) -> ChainState:
    """Give what a chain says."""
    return chain.verify_chain(links, name)
