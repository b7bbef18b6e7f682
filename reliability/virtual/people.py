"""Somebody at a device, seen from outside: runs the real client, writes, reads and restarts it."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from jim.client import Address, Client
from jim.client.encryption.opening import DROPPED
from jim.client.events import (
    UNKNOWN_OUTCOME,
    Fatal,
    LinkState,
    Message,
    MessageState,
    MissingNotice,
    OwnChanged,
    Received,
    Registered,
)
from jim.errors import JimError, MailboxFull
from reliability.history import Acked, Cursor, Displayed, Failed, Told, Written, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

    from jim.client.events import Event
    from reliability.virtual.disk import ClientDisk
    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.world import World

HOST = "127.0.0.1"
"""Where the server is; an address for which certificates are pinned."""

PORT = 7777

NEVER_QUEUED = "never_queued"
"""The code of a message that its own device has not kept: a crash came before."""

_ROWS = """
    SELECT message_id, outgoing, sender, text, seq, device, state, error_code, n
    FROM messages WHERE kind = 'text' AND (message_id > ? OR outgoing) ORDER BY message_id
"""


class Person:
    """A device of an account over all its lives."""

    def __init__(self, world: World, device: str, data_dir: Path, disk: ClientDisk) -> None:
        """Take the device's name ("anna/1"), its files and its database; nothing runs yet."""
        self.device = device
        self.name = device.partition("/")[0]
        self.disk = disk
        self.client: Client | None = None
        self.loop: VirtualLoop | None = None
        self.is_started = False
        self.words: str | None = None
        """With recovery words the device is added to an account that is there."""
        self.new_words: str | None = None
        """The recovery words that this device was told when it made the account."""
        self._world = world
        self._data_dir = data_dir
        self._own = ""
        self._shown = 0
        self._noted = 0
        self._written: list[int] = []
        self._undecided: dict[str, None] = {}
        self._told: set[str] = set()

    # --- lives ------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.loop is not None and not self.loop.dead

    def begin_life(self) -> None:
        """Start the process; first its front end shows what an earlier life could not."""
        if self.is_alive:
            return
        if self.loop is not None:
            self._world.network.reboot(self.loop)
            self.look_at_disk()
        self.loop = loop = self._world.make_loop(self.device)
        loop.on_fuse = lambda: self.crash(power=False)
        loop.create_task(self._live(loop))

    def crash(self, *, power: bool) -> None:
        """Die without a word; `power`: the machine dies too, so nobody is told."""
        if self.loop is not None and not self.loop.dead:
            self.is_started = False
            self.loop.die()
            self._world.network.end_process(self.loop, power=power)
            self.disk.crash()

    def quit(self) -> None:
        """End politely."""
        if self.loop is not None and self.client is not None and self.is_started:
            self.is_started = False
            self.loop.create_task(self._quit(self.client))

    async def _quit(self, client: Client) -> None:
        await client.aclose()
        self.crash(power=False)

    async def _live(self, loop: VirtualLoop) -> None:
        address = Address(HOST, PORT)
        if self.words is None:
            client = Client(address, self.name, data_dir=self._data_dir)
        else:
            client = Client.recover(address, self.name, self.words, data_dir=self._data_dir)
        self.client = client
        events = client.events()
        try:
            await client.start()
        except JimError as error:
            self._world.report(f"{self.device} cannot start: {error!r}")
            return
        self.is_started = not loop.dead
        async for event in events:
            self._see(event)

    # --- writing ----------------------------------------------------------------------------------

    def write(self, to: str, size: int) -> bool:
        """Write a message; False if the program does not run."""
        if not self.is_alive or not self.is_started or self.client is None:
            return False
        uid = self._world.new_uid()
        text = f"{uid} {'x' * size}"
        self._undecided[uid] = None
        self._world.record(
            Written(self._world.now_s, uid, self.name, self.device, to, digest(text))
        )
        assert self.loop is not None
        self.loop.create_task(self._send(self.client, to, text))
        return True

    async def _send(self, client: Client, to: str, text: str) -> None:
        try:
            self._written.append((await client.send(to, text)).message_id)
        except JimError as error:
            if self.is_started:  # else the program is ending, and says so
                self._world.report(f"{self.device} cannot write: {error!r}")

    def take_back(self) -> bool:
        """Try to take the latest message back; False if there is none."""
        if not self.is_started or self.client is None or self.loop is None or not self._written:
            return False
        self.loop.create_task(
            self._quietly(functools.partial(self.client.cancel, self._written[-1]))
        )
        return True

    def watch(self) -> bool:
        """Ask who is there, and to be told from now on; False if the program does not run."""
        if not self.is_started or self.client is None or self.loop is None:
            return False
        self.loop.create_task(self._quietly(functools.partial(self.client.presence, watch=True)))
        return True

    async def _quietly(self, ask: Callable[[], Coroutine[Any, Any, object]]) -> None:
        with contextlib.suppress(JimError):  # there is no link, or it ends before the answer
            await ask()

    # --- what the front end shows -----------------------------------------------------------------

    def _see(self, event: Event) -> None:
        if isinstance(event, Received):
            self._show(event.message)
        elif isinstance(event, OwnChanged):
            self._see_own(event.message)
        elif isinstance(event, MissingNotice):
            self._note(event.notice_id, event.code)
            if self.client is not None and self.loop is not None:
                self.loop.create_task(
                    self._quietly(functools.partial(self.client.notice_shown, event.notice_id))
                )
            # Nobody has restored an older store here; what a full mailbox did not take is missed.
            if event.code not in {MailboxFull.code, DROPPED}:
                self._world.report(
                    f"{self.device} was told that something is missing: {event.code}"
                )
        elif isinstance(event, Registered) and event.words is not None:
            self.new_words = " ".join(event.words)
        elif isinstance(event, Fatal):
            self._world.report(f"{self.device} has stopped: {event.error!r}")

    def _note(self, notice_id: int, code: str) -> None:
        """Record that the device was told, in whichever life, of something missing."""
        if notice_id > self._noted:
            self._noted = notice_id
            self._world.record(Told(self._world.now_s, self.device, code))

    def _see_own(self, message: Message) -> None:
        if message.device == self._own_device():
            self._decide(
                _uid(message.text), message.state, message.error_code, message.seq, message.n
            )
        elif message.message_id > self._shown:  # else it is news of one that was shown
            self._show(message)

    def _show(self, message: Message) -> None:
        self._shown = max(self._shown, message.message_id)
        self._display(message.text, message.sender, message.seq)

    def _display(self, text: str, sender: str, seq: int) -> None:
        uid, world = _uid(text), self._world
        position = world.position_of(self.device, uid)
        world.record(
            Displayed(world.now_s, self.name, self.device, uid, sender, seq, position, digest(text))
        )

    def _decide(self, uid: str, state: str, code: str | None, seq: int, n: int) -> None:
        """Note ✓ or a failure, once each."""
        world = self._world
        if state == MessageState.FAILED:
            key = f"{uid} failed"
            event: Acked | Failed = Failed(world.now_s, uid, code or UNKNOWN_OUTCOME)
            if code == UNKNOWN_OUTCOME:  # nor has anybody else used this device's numbers
                world.report(f"{self.device} does not know what became of {uid}")
        elif state in {MessageState.STORED, MessageState.DELIVERED}:
            key = f"{uid} ✓"
            event = Acked(world.now_s, uid, seq, n, world.skipped.get(uid, 0))
        else:
            return
        self._undecided.pop(uid, None)
        if key not in self._told:
            self._told.add(key)
            world.record(event)

    # --- looking from outside ---------------------------------------------------------------------

    def look_at_disk(self) -> None:
        """Show what the database has and no earlier life has shown; no process must be running."""
        if not self.disk.is_made:
            self._give_up(())
            return
        own = self._own_device()
        rows = self.disk.read(_ROWS, (self._shown,))
        for message_id, outgoing, sender, text, seq, device, state, code, n in rows:
            if outgoing and device == own:
                self._decide(_uid(text), state, code, seq, n)
            elif message_id > self._shown:
                self._shown = message_id
                self._display(text, sender, seq)
        self._give_up(_uid(row[3]) for row in rows if row[1])
        for notice_id, code in self.disk.read("SELECT notice_id, code FROM notices"):
            self._note(notice_id, code)
        self.note_cursor()

    def note_cursor(self) -> None:
        """Record where the durable cursor stands."""
        for (position,) in self.disk.read("SELECT position FROM account"):
            self._world.record(Cursor(self._world.now_s, self.device, position))

    def _give_up(self, kept: Iterable[str]) -> None:
        """Note which messages a crash has taken before they were on the disk."""
        known = set(kept)
        for uid in [uid for uid in self._undecided if uid not in known]:
            del self._undecided[uid]
            self._world.record(Failed(self._world.now_s, uid, NEVER_QUEUED))

    def _own_device(self) -> str:
        if not self._own:
            found = self.disk.read("SELECT device FROM account")
            self._own = str(found[0][0]) if found else ""
        return self._own

    @property
    def is_quiet(self) -> bool:
        """Whether the device is connected, and every message of its own is decided about."""
        client = self.client
        if not self.is_alive or not self.is_started or client is None:
            return False
        return client.state is LinkState.ONLINE and not self._undecided

    def cursor(self) -> int:
        """Give the durable cursor."""
        found = self.disk.read("SELECT position FROM account")
        return int(found[0][0]) if found else 0


def _uid(text: str) -> str:
    return text.partition(" ")[0]
