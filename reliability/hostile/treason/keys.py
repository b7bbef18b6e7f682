"""Attacks on the keys that sessions begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec.structs import replace

from jim.crypto.device_keys import sign_key
from jim.crypto.olm import Olm
from jim.protocol import messages as m
from reliability.hostile.treason.attack import Attack, demand
from reliability.hostile.treason.scene import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.hostile.traitor import Session
    from reliability.hostile.treason.scene import Witness


def own_key(device: str) -> m.PublicKey:
    """Make a key whose secret the server has, signed as well as it can."""
    account = Olm().new_account()
    return sign_key(account, device, 1, account.new_fallback_key())


class OnClaims(Attack):
    """An attack on the keys that bob claims to write to alice for the first time."""

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Treat what bob gets."""
        if isinstance(message, m.Claimed) and session.name == self.scene.name_of("bob"):
            return [replace(message, keys=self.treat(message.keys))]
        return [message]

    def treat(self, keys: dict[str, m.PublicKey]) -> dict[str, m.PublicKey]:
        """Give the keys that he gets instead."""
        raise NotImplementedError

    async def play(self) -> None:
        """Let bob write to somebody new under attack: it fails, and says why."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        self.begin()
        lost = await bob.send(alice, "first words")
        demand(lost.error_code == "keys_invalid", f"failed with {lost.error_code}")


class SwappedKey(OnClaims):
    """The claimed key is the server's own."""

    def treat(self, keys: dict[str, m.PublicKey]) -> dict[str, m.PublicKey]:
        """Put keys of its own in."""
        return {device: own_key(device) for device in keys}


class RenumberedKey(OnClaims):
    """The claimed key is the right one, under another number."""

    def treat(self, keys: dict[str, m.PublicKey]) -> dict[str, m.PublicKey]:
        """Change the numbers."""
        return {device: replace(key, id=key.id + 1) for device, key in keys.items()}


class ForeignKey(OnClaims):
    """The claimed key is one of another device."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._other: m.PublicKey | None = None

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Take note of a good key of somebody else's."""
        if isinstance(message, m.Keys) and session.name == self.scene.name_of("carol"):
            self._other = message.one_time[0]
        return [message]

    def treat(self, keys: dict[str, m.PublicKey]) -> dict[str, m.PublicKey]:
        """Give carol's key out as alice's."""
        demand(self._other is not None, "carol has no keys")
        return dict.fromkeys(keys, self._other) if self._other else {}

    async def play(self) -> None:
        """Let carol join before."""
        self.begin()
        await self.scene.join("carol")
        await super().play()


class NoKeys(OnClaims):
    """The server says that there is no key for the device."""

    def treat(self, keys: dict[str, m.PublicKey]) -> dict[str, m.PublicKey]:
        """Give none."""
        del keys
        return {}


class SameKeyTwice(Attack):
    """Two people get the same one-time key of alice's."""

    told: ClassVar = {"alice": {"undecryptable"}}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._given: dict[str, m.PublicKey] = {}

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Give the second one what the first one got."""
        if not isinstance(message, m.Claimed) or session.name == self.scene.name_of("alice"):
            return [message]
        keys = {device: self._given.setdefault(device, key) for device, key in message.keys.items()}
        return [replace(message, keys=keys)]

    async def play(self) -> None:
        """Let both write to her; each text arrives in the end."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        carol = await self.scene.join("carol")
        self.begin()
        await bob.send(alice, "from the first")
        await alice.reads("from the first")
        await carol.send(alice, "from the second")
        await alice.is_told("undecryptable")
        demand(alice.told_of("undecryptable") == [carol.client.name], "another conversation")
        await alice.reads("from the second")


class SaysNoEncryption(Attack):
    """The chain of alice comes without encryption keys, so that bob may write plainly."""

    told: ClassVar = {"bob": {"chain_invalid"}}

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Take the keys out of the links."""
        if isinstance(message, m.Chain) and session.name == self.scene.name_of("bob"):
            links = [replace(link, ed=b"", curve=b"") for link in message.links]
            return [replace(message, links=links)]
        return [message]

    async def play(self) -> None:
        """Let bob write, who would even allow plain texts with her."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        await bob.client.allow_plain(alice.client.name, allowed=True)
        self.begin()
        lost = await bob.send(alice, "first words")
        demand(lost.error_code == "chain_invalid", f"failed with {lost.error_code}")
        demand(not await _history(alice, bob), "a text came in the open")


async def _history(reader: Witness, writer: Witness) -> list[str]:
    found = await reader.client.history(writer.client.name)
    return [each.text for each in found if CANARY in each.text]


ATTACKS: Final[dict[str, type[Attack]]] = {
    "a claimed key is the server's own": SwappedKey,
    "a claimed key has another number": RenumberedKey,
    "a claimed key is that of another device": ForeignKey,
    "claims are answered without keys": NoKeys,
    "one one-time key is given to two people": SameKeyTwice,
    "a chain is stripped of its encryption keys": SaysNoEncryption,
}
