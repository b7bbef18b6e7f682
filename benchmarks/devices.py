"""Devices of a client with real stores, and nothing between them: what is sealed is handed over.

Each has the keys, the chains and the hundred one-time keys that it would have at a server; who is
written to answers once, so that sessions are as in a talk that is under way. Nothing is timed here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from jim.client import sync
from jim.client.account_record import AccountRecord, Stage
from jim.client.account_store import AccountStore
from jim.client.encryption.contacts import Contacts
from jim.client.encryption.content import HERE
from jim.client.encryption.vault import new_vault, pickle_key
from jim.client.schema import open_database
from jim.client.store import Draft
from jim.crypto import links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import NO_KEYS, SigningKey, device_id
from jim.protocol.messages import Delivery, Msg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.events import Message
    from jim.protocol.messages import Link, PublicKey

SENDER, ADDRESSEE, PLAIN = "anna", "boris", "plain"
"""Names of a usual length; the last one's device has no keys."""

TIME_MS: Final = 1_790_000_000_000
"""Some moment of 2026: as many digits as now."""

SESSION_MARK: Final = "0123456789abcdef"
"""As long as a mark; the server only gives it back."""


class Device:
    """One device with its store."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make keys and a store."""
        self.name = name
        self.key = SigningKey.generate()
        self.device = device_id(self.key.public)
        self.vault = new_vault(self.key, self.device)
        self.position = 0
        self._connection = open_database(folder / f"{self.device}.db", create=True)
        self.store = AccountStore(self._connection, pickle_key(self.key))
        record = AccountRecord(name=name, device=self.device, stage=Stage.REGISTERED)
        self.change(lambda store: store.begin(record, self.vault, TIME_MS))
        self.one_time: deque[PublicKey] = deque()
        self._offer()

    def _offer(self) -> None:
        keys = self.change(lambda store: store.offer_keys(0, TIME_MS))
        self.change(lambda store: store.keys_taken(keys))
        self.one_time.extend(keys.one_time)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def change(self, work: Callable[[AccountStore], Any]) -> Any:
        """Run a transaction as the client's thread for its store does."""
        self._connection.execute("BEGIN IMMEDIATE")
        result = work(self.store)
        self._connection.execute("COMMIT")
        return result

    def learn(self, name: str, chain: list[Link]) -> None:
        """Pin the chain of somebody."""
        self.change(lambda store: store.learn(name, chain, TIME_MS))

    def allow_plain(self, name: str) -> None:
        """Let texts go to somebody that are not sealed."""
        Contacts(self._connection).allow_plain(name, allowed=True)

    # --- sending ----------------------------------------------------------------------------------

    def send(self, to: str, text: str, kind: str = "text", only_for: str = "") -> Message:
        """Queue a message and seal it, in one transaction, as a connected client does."""
        draft = Draft(to, text, TIME_MS, kind=kind, only_for=only_for)
        queued, _ = self.change(lambda store: store.enqueue(draft, released=True))
        return queued  # type: ignore[no-any-return]

    def payload(self, message: Message) -> sync.Payload:
        """Read what goes out for a message.

        Raises:
            RuntimeError: it could not be sealed.
        """
        done = self.change(lambda store: store.seal(sync.Seal([message.message_id])))
        if message.message_id not in done.payloads:
            raise RuntimeError(f"not sealed: {done}")
        return done.payloads[message.message_id]  # type: ignore[no-any-return]

    def confirm(self, message: Message) -> None:
        """Note that the server has stored it; the sequence is as good as any."""
        effect = sync.Confirm(message.message_id, message.n, message.n, TIME_MS)
        self.change(lambda store: store.confirm(effect))

    # --- receiving --------------------------------------------------------------------------------

    def delivery(self, sender: Device, message: Message, payload: sync.Payload) -> Delivery:
        """Make the frame with which the server delivers a message to this device."""
        self.position += 1
        sealed = payload.ciphertexts
        return Delivery(
            position=self.position,
            seq=0 if payload.only else message.n,
            sender=sender.name,
            device=sender.device,
            n=message.n,
            to=message.peer,
            time=TIME_MS,
            message=payload.text if sealed is None else UNSET,
            ciphertext=UNSET if sealed is None else sealed[self.device],
        )

    def receive(self, frames: list[Delivery]) -> None:
        """Keep frames in one transaction.

        Raises:
            RuntimeError: not all of them could be opened.
        """
        kept = self.change(lambda store: store.keep(frames, TIME_MS))
        if kept.position != frames[-1].position:
            raise RuntimeError(f"the chain of {kept.lacking} is lacking")


class Talk:
    """Somebody with one device, who writes to somebody with many; and to somebody without keys."""

    def __init__(self, folder: Path, devices: int) -> None:
        """Make all devices; they know each other's chains, and have a session with the sender."""
        self.sender = Device(folder, SENDER)
        self.receivers = [Device(folder, ADDRESSEE) for _ in range(devices)]
        self.plain = Device(folder, PLAIN)
        chains = {
            SENDER: chain_of([self.sender]),
            ADDRESSEE: chain_of(self.receivers),
            PLAIN: chain_of([self.plain], with_keys=False),
        }
        for device in (self.sender, *self.receivers, self.plain):
            for name, chain in chains.items():
                device.learn(name, chain)
        self.sender.allow_plain(PLAIN)
        self.plain.allow_plain(SENDER)

    def close(self) -> None:
        """Close all stores."""
        for device in (self.sender, *self.receivers, self.plain):
            device.close()

    def claimed(self) -> dict[str, PublicKey]:
        """Take a one-time key of each device of the addressee, as the server gives them."""
        return {each.device: each.one_time.popleft() for each in self.receivers}

    def begin(self, keys: dict[str, PublicKey]) -> None:
        """Begin the sessions of the sender."""
        devices = list(keys)
        self.sender.change(lambda store: store.use_keys(ADDRESSEE, devices, keys))

    def exchange(self, text: str) -> None:
        """Have every device receive a message, and answer by itself."""
        self.hand_over(text)
        for device in self.receivers:
            answer = device.send(SENDER, "", HERE, self.sender.device)
            frame = self.sender.delivery(device, answer, device.payload(answer))
            self.sender.receive([frame])
            device.confirm(answer)

    def hand_over(self, text: str) -> None:
        """Have every device receive a message."""
        message = self.sender.send(ADDRESSEE, text)
        payload = self.sender.payload(message)
        for device in self.receivers:
            device.receive([device.delivery(self.sender, message, payload)])
        self.sender.confirm(message)


def chain_of(devices: list[Device], *, with_keys: bool = True) -> list[Link]:
    """Make the chain of an account: its first device adds every further one."""
    recovery, first = SigningKey.generate(), devices[0]
    keys = first.vault.keys if with_keys else NO_KEYS
    chain = [links.make_genesis(first.name, first.key, recovery.public, TIME_MS, keys)]
    for device in devices[1:]:
        state = verify_chain(chain, first.name)
        chain.append(links.make_add(state, device.key, first.key, TIME_MS, device.vault.keys))
    return chain


def msg_of(message: Message, payload: sync.Payload) -> Msg:
    """Make the frame that a client sends for a message."""
    return Msg(
        id=message.n,
        n=message.n,
        to=message.peer,
        message=payload.text if payload.ciphertexts is None else UNSET,
        ciphertexts=UNSET if payload.ciphertexts is None else payload.ciphertexts,
        mark=SESSION_MARK,
    )
