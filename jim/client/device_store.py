"""The part of an account's store that is about its own devices: their names, and who is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim.client.devices import Device, clean_name
from jim.client.encryption.content import UNREADABLE
from jim.client.mailbox import MailboxStore
from jim.client.store import Draft
from jim.protocol.messages import REVOKE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.content import Content
    from jim.client.mailbox import News
    from jim.protocol.messages import Delivery, Link

DEVICE_NAME: Final = "device_name"
"""Kind of what tells the other own devices what the user calls a device."""

_NAME: Final = """
    INSERT INTO device_names (device, name, time_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (device) DO UPDATE SET name = ?2, time_ms = ?3
    WHERE (?3, ?2) > (time_ms, name)
"""


_FORMER_NAME: Final = """
    SELECT name FROM device_names WHERE device IN (SELECT device FROM former)
    ORDER BY time_ms DESC LIMIT 1
"""


class DeviceName(Struct, frozen=True):
    """The body of `DEVICE_NAME`."""

    device: str
    name: str


class DeviceStore(MailboxStore):
    """The messages of one account on this device, and the devices that the account has."""

    def own_chain(self) -> Contact | None:
        """Read our own device chain, None before it was looked at."""
        return self._contacts.get(self._name)

    def devices(self) -> list[Device]:
        """Read the devices that the account has, as far as this one knows; the oldest first."""
        own = self.own_chain()
        if own is None or own.state is None:
            return []
        names = dict(self._sql.execute("SELECT device, name FROM device_names").fetchall())
        joined = {link.device: link.time for link in own.links if link.op != REVOKE}
        return [
            Device(
                id=device,
                name=names.get(device, ""),
                is_this=device == self._device,
                since_ms=joined[device],
            )
            for device in own.state.devices
        ]

    def learn(self, name: str, links: Sequence[Link], now_ms: int) -> list[News]:
        """Pin what the server shows of a device chain; gives what the user should know of it.

        A device that is new in our own account is told the name of this one.
        """
        before = self._device_ids() if name == self._name else []
        news = super().learn(name, links, now_ms)
        if before:
            self._tell_name(self._device, set(self._other_ids()).difference(before))
        return news

    def learn_own(self, links: Sequence[Link]) -> None:
        """Pin a link of our own account that this device has made: no news for its user."""
        self._contacts.learn(self._name, links)

    # --- names ----------------------------------------------------------------------------------

    def introduce(self, name: str, now_ms: int) -> bool:
        """Give this device its first name and tell the others; False if it has one.

        One that has taken the place of another here is called like that.
        """
        own = self.own_chain()
        known = self._sql.execute("SELECT 1 FROM device_names WHERE device = ?", (self._device,))
        if own is None or self._device not in self._device_ids() or known.fetchone():
            return False
        former = self._sql.execute(_FORMER_NAME).fetchone()
        self.rename_device(self._device, name if former is None else former[0], now_ms)
        return True

    def rename_device(self, device: str, name: str, now_ms: int) -> None:
        """Call a device something else, here and on every other device of the account."""
        known = self._sql.execute("SELECT time_ms FROM device_names WHERE device = ?", (device,))
        earlier = known.fetchone()
        time_ms = now_ms if earlier is None else max(now_ms, earlier[0] + 1)
        self._sql.execute(_NAME, (device, name, time_ms))
        self._tell_name(device, self._other_ids())

    def tell_name_to(self, device: str) -> None:
        """Tell a device that is new in the account what this one is called."""
        self._tell_name(self._device, [device])

    def _tell_name(self, device: str, to: Iterable[str]) -> None:
        """Queue what a device is called for some of the others, if it is called anything."""
        row = self._sql.execute(
            "SELECT name, time_ms FROM device_names WHERE device = ?", (device,)
        ).fetchone()
        if row is None:
            return
        body = msgspec.json.encode(DeviceName(device, row[0])).decode()
        for each in to:
            self._queue(Draft(self._name, body, row[1], None, DEVICE_NAME, each))

    def _between_devices(self, frame: Delivery, content: Content, now_ms: int) -> list[News]:
        if content.kind != DEVICE_NAME:
            return super()._between_devices(frame, content, now_ms)
        if frame.sender == self._name:
            self._take_name(content)
        return []

    def _take_name(self, content: Content) -> None:
        """Keep what another own device says, unless something later is known."""
        try:
            told = msgspec.json.decode(content.body, type=DeviceName)
        except UNREADABLE:
            return
        name = clean_name(told.name)
        if name and told.device in self._device_ids():
            self._sql.execute(_NAME, (told.device, name, content.time))

    def _device_ids(self) -> list[str]:
        own = self.own_chain()
        return list(own.state.devices) if own is not None and own.state is not None else []

    def _other_ids(self) -> list[str]:
        """Give the other own devices that something can be sealed for."""
        own = self.own_chain()
        keys = own.state.keys if own is not None and own.state is not None else ()
        return [device for device in keys if device != self._device]

    # --- being taken out ------------------------------------------------------------------------

    def note_revoked(self) -> None:
        """Note that this device was taken out of the account."""
        self._sql.execute("UPDATE account SET revoked = 1")

    def is_revoked(self) -> bool:
        """Tell whether this device is known to have been taken out of the account."""
        return bool(self._sql.execute("SELECT revoked FROM account").fetchone()[0])
