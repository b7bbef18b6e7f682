"""Devices with real stores, and a server in their midst that is a few lists: honest unless told.

Nothing here is timed and nothing is a socket: what a test wants to happen, it lets happen.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from jim.client import sync
from jim.client.account_record import AccountRecord, Stage
from jim.client.account_store import AccountStore
from jim.client.encryption.vault import new_vault, pickle_key
from jim.client.events import Message, MissingNotice
from jim.client.schema import open_database
from jim.client.store import Draft
from jim.crypto import links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.protocol.messages import Delivery, Keys, Link, Notice, PublicKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

HOUR_MS = 3_600_000


class Shelf:
    """The keys of one device at the server."""

    def __init__(self, fallback: PublicKey) -> None:
        self.fallback = fallback
        self.one_time: deque[PublicKey] = deque()
        self.highest = 0

    def put(self, keys: Keys) -> None:
        for key in keys.one_time:
            if key.id > self.highest:
                self.one_time.append(key)
                self.highest = key.id
        if keys.fallback is not UNSET:
            self.fallback = keys.fallback

    def claim(self) -> PublicKey:
        return self.one_time.popleft() if self.one_time else self.fallback


class Post:
    """The server: chains, keys, and a mailbox for each device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 1_000_000
        self.chains: dict[str, list[Link]] = {}
        self.recovery: dict[str, SigningKey] = {}
        self.shelves: dict[str, Shelf] = {}
        self.devices: dict[str, Device] = {}
        self.mailboxes: dict[str, list[Delivery | Notice]] = {}
        self.seqs: dict[frozenset[str], int] = {}
        self.seen: list[str] = []
        """Every frame as the server saw it, encoded."""
        self.alter: Callable[[Device, Delivery], Delivery | None] = lambda _device, frame: frame
        """What the server makes of a delivery; None to drop it."""

    def join(self, name: str, signer: Device | None = None) -> Device:
        """Register an account, or add a further device to it."""
        device = Device(self, name, SigningKey.generate())
        if name not in self.chains:
            self.recovery[name] = SigningKey.generate()
            recovery = self.recovery[name].public
            link = links.make_genesis(name, device.key, recovery, self.now_ms, device.vault.keys)
            self.chains[name] = [link]
        else:
            state = verify_chain(self.chains[name], name)
            by = self.recovery[name] if signer is None else signer.key
            self.chains[name].append(
                links.make_add(state, device.key, by, self.now_ms, device.vault.keys)
            )
        self._admit(device)
        return device

    def reset(self, name: str) -> Device:
        """Begin an account anew with its recovery key: every earlier device is out."""
        device = Device(self, name, SigningKey.generate())
        state = verify_chain(self.chains[name], name)
        old, self.recovery[name] = self.recovery[name], SigningKey.generate()
        self.chains[name].append(
            links.make_reset(
                state,
                device.key,
                self.recovery[name].public,
                old,
                time=self.now_ms,
                keys=device.vault.keys,
            )
        )
        self._admit(device)
        return device

    def revoke(self, device: Device, signer: Device) -> None:
        state = verify_chain(self.chains[device.name], device.name)
        self.chains[device.name].append(
            links.make_revoke(state, device.device, signer.key, self.now_ms)
        )

    def replace(self, old: Device, *, crash: bool = False) -> Device:
        """Let a device put a new one in its place, in the same store, as `rotation` does.

        With `crash` it dies once after the new one is in the chain.
        """
        new = Device.__new__(Device)
        new.post, new.name, new.news = self, old.name, old.news
        new.key = SigningKey.generate()
        new.device, new.path = device_id(new.key.public), old.path
        new.vault = new_vault(new.key, new.device)
        state = verify_chain(self.chains[old.name], old.name)
        added = links.make_add(state, new.key, old.key, self.now_ms, new.vault.keys)
        self.chains[old.name].append(added)
        if crash:
            old.reopen()
        self.revoke(old, new)
        new.store, new.connection = old.store, old.connection
        record = AccountRecord(name=old.name, device=new.device, stage=Stage.REGISTERED)
        settled = sync.Settled([], [], old.store.standing().confirmed_n)
        key, now_ms = pickle_key(new.key), self.now_ms
        new.change(lambda store: store.become(record, new.vault, key, now_ms, settled))
        self._admit(new)
        new.offer_keys()
        return new

    def _admit(self, device: Device) -> None:
        self.devices[device.device] = device
        self.shelves[device.device] = Shelf(device.vault.fallback)
        self.mailboxes[device.device] = []
        device.learn(device.name)

    def present(self, name: str) -> set[str]:
        return set(verify_chain(self.chains[name], name).keys)

    def submit(self, sender: Device, to: str, payload: sync.Payload, n: int) -> int | None:
        """Take a message; gives its place, or None if it is sealed for other devices."""
        self.seen.append(repr(payload))
        if payload.ciphertexts is None:
            targets = dict.fromkeys(self.present(to), "")
        else:
            targets = payload.ciphertexts
        wanted = (self.present(to) | self.present(sender.name)) - {sender.device}
        allowed = set(targets) <= wanted if payload.only else set(targets) == wanted
        if payload.ciphertexts is not None and not allowed:
            return None
        seq = 0
        if not payload.only:
            pair = frozenset({sender.name, to})
            seq = self.seqs[pair] = self.seqs.get(pair, 0) + 1
        for device, ciphertext in targets.items():
            self._deliver(sender, self.devices[device], to, seq, n, ciphertext or payload.text)
        return seq

    def _deliver(
        self, sender: Device, device: Device, to: str, seq: int, n: int, text: str
    ) -> None:
        is_plain = not text.startswith("1")
        frame = Delivery(
            position=0,
            seq=seq,
            sender=sender.name,
            device=sender.device,
            n=n,
            to=to,
            time=self.now_ms,
            message=text if is_plain else UNSET,
            ciphertext=UNSET if is_plain else text,
        )
        altered = self.alter(device, frame)
        if altered is not None:
            self.put(device, altered)

    def put(self, device: Device, frame: Delivery | Notice) -> None:
        """Put a frame into a mailbox, under its next position."""
        mailbox = self.mailboxes[device.device]
        mailbox.append(msgspec.structs.replace(frame, position=len(mailbox) + 1))


class Device:
    """One device: its key, its store on disk, and the steps that a client takes with them."""

    def __init__(self, post: Post, name: str, key: SigningKey) -> None:
        self.post, self.name, self.key = post, name, key
        self.device = device_id(key.public)
        self.vault = new_vault(key, self.device)
        self.path = post.folder / f"{self.device}.db"
        self.store = self._open()
        record = AccountRecord(name=name, device=self.device, stage=Stage.REGISTERED)
        self.change(lambda store: store.begin(record, self.vault, post.now_ms))
        self.news: list[Message | MissingNotice] = []

    def _open(self) -> AccountStore:
        self.connection = open_database(self.path, create=True)
        return AccountStore(self.connection, pickle_key(self.key))

    def reopen(self) -> None:
        """Die and come back: only what was committed is left."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.connection.close()
        self.store = self._open()

    def change(self, work: Callable[[AccountStore], Any], *, crash: bool = False) -> Any:
        """Run a transaction; with `crash` all of it is undone at its very end."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.store)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        if crash:
            self.reopen()
            return None
        self.connection.execute("COMMIT")
        return result

    # --- what a client asks -----------------------------------------------------------------------

    def learn(self, name: str) -> None:
        shown = self.post.chains[name]
        self.news += self.change(lambda store: store.learn(name, shown, self.post.now_ms))

    def offer_keys(self, *, crash: bool = False) -> None:
        """Give the server keys; with `crash` it never hears that they have come."""
        count = len(self.post.shelves[self.device].one_time)
        keys = self.change(lambda store: store.offer_keys(count, self.post.now_ms))
        if keys is not None:
            self.post.shelves[self.device].put(keys)
            if crash:
                self.reopen()
            else:
                self.change(lambda store: store.keys_taken(keys))

    # --- sending ----------------------------------------------------------------------------------

    def write(self, to: str, text: str) -> Message:
        """Queue a message."""
        draft = Draft(to, text, self.post.now_ms)
        message, _ = self.change(lambda store: store.enqueue(draft, released=False))
        return message  # type: ignore[no-any-return]

    def seal(self, message_id: int, *, stale: bool = False) -> sync.Payload | str:
        """Seal a message as the client does; gives the payload, or why there is none."""
        effect = sync.Seal([message_id], [message_id] if stale else [])
        for _ in range(6):
            done = self.change(lambda store, e=effect: store.seal(e))  # type: ignore[misc]
            if message_id in done.payloads:
                return done.payloads[message_id]  # type: ignore[no-any-return]
            if message_id in done.failed:
                code: str = done.failed[message_id]
                self.change(lambda store, c=code: store.refuse(sync.Refuse(message_id, c)))  # type: ignore[misc]
                return code
            for name in done.needs.chains:
                self.learn(name)
            for name, devices in done.needs.keys.items():
                keys = {each: self.post.shelves[each].claim() for each in devices}
                self.change(lambda store, n=name, d=devices, k=keys: store.use_keys(n, d, k))  # type: ignore[misc]
        return "lacking"

    def send_all(self) -> None:
        """Send everything that is queued, and have it confirmed."""
        while rows := self.store.queued_after(0):
            row, message = rows[0]
            payload = row.payload or self.seal(row.message_id)
            if isinstance(payload, str):
                continue
            seq = self.post.submit(self, message.peer, payload, message.n)
            while seq is None:
                for name in {message.peer, self.name}:
                    self.learn(name)
                payload = self.seal(row.message_id, stale=True)
                if isinstance(payload, str):
                    break
                seq = self.post.submit(self, message.peer, payload, message.n)
            else:
                confirm = sync.Confirm(row.message_id, message.n, seq, self.post.now_ms)
                self.change(lambda store, c=confirm: store.confirm(c))  # type: ignore[misc]

    def send(self, to: str, text: str) -> Message:
        message = self.write(to, text)
        self.send_all()
        return self.store.message(message.message_id) or message

    # --- receiving --------------------------------------------------------------------------------

    def waiting(self) -> list[Delivery | Notice]:
        position = self.store.standing().position
        return [each for each in self.post.mailboxes[self.device] if each.position > position]

    def receive(self, *, crash: bool = False) -> list[Message | MissingNotice]:
        """Keep everything that waits; gives what is new. With `crash` nothing of the first try."""
        if crash:
            frames = self.waiting()
            self.change(lambda store: store.keep(frames, self.post.now_ms), crash=True)
        news: list[Message | MissingNotice] = []
        fresh: frozenset[str] = frozenset()
        while frames := self.waiting():
            asked = fresh
            kept = self.change(lambda s, f=frames, a=asked: s.keep(f, self.post.now_ms, a))  # type: ignore[misc]
            news += kept.news
            fresh = frozenset() if kept.position else fresh
            if kept.lacking:
                self.learn(kept.lacking)
                fresh |= {kept.lacking}
        self.news += news
        return news

    def texts(self) -> list[str]:
        """Give the texts of everything that is here, own and received, by their conversation."""
        found = []
        for conversation in self.store.conversations():
            found += [each.text for each in self.store.history(conversation.peer, None, 1000)]
        return found

    def codes(self) -> list[str]:
        return [each.code for each in self.news if isinstance(each, MissingNotice)]


def settle(devices: Sequence[Device], rounds: int = 8) -> None:
    """Let everybody receive and answer until nothing is left to say."""
    for _ in range(rounds):
        for device in devices:
            device.receive()
            device.send_all()


def rows_of(device: Device, table: str) -> list[sqlite3.Row]:
    return device.connection.execute(f"SELECT * FROM {table}").fetchall()
