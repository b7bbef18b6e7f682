"""The devices of the own account: which there are, what the user calls them, and who is out."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.client.errands import now_ms
from jim.client.link import protocol_error
from jim.crypto import links
from jim.crypto.transcript import link_hash
from jim.errors import BadRequest, ChainMoved, ConnectFailed, DeviceUnknown, Revoked
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.client.accounts import Account
    from jim.client.errands import Errands

MAX_NAME: Final = 32
"""Characters of a device's name: as many as one of an account has (`jim.core.names`)."""

MAX_TRIES: Final = 4
"""So often a chain may grow between looking at it and adding a link; the server allows fewer
changes in a minute than somebody could make in between by chance."""


class Device(Struct, frozen=True, kw_only=True):
    """A device of the own account.

    Attributes:
        id: what the device chain calls it.
        name: what the user calls it, empty if this device was not told.
        is_this: it is the one that this runs on.
        since_ms: when it joined, by the clock of whoever allowed it (ms since the epoch).
    """

    id: str
    name: str
    is_this: bool
    since_ms: int


def default_name() -> str:
    """Give what a new device calls itself: the machine's name without its domain."""
    host = platform.node().partition(".")[0]
    return clean_name(host) or platform.system() or "jim"


def clean_name(text: str) -> str:
    """Make a device's name of any text: one short line of what can be printed, perhaps none."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:MAX_NAME].rstrip()


def checked_name(text: str) -> str:
    """Take what the user wants to call a device.

    Raises:
        BadRequest: nothing of it can be shown, or it is too long.
    """
    name = clean_name(text)
    if not name or len(" ".join(text.split())) > MAX_NAME:
        raise BadRequest(f"a device's name has 1 to {MAX_NAME} characters")
    return name


def find_device(devices: Sequence[Device], typed: str) -> Device:
    """Find the device that is meant by its id, the beginning of it, or its name.

    Raises:
        DeviceUnknown: there is none, or there are several.
    """
    wanted = typed.strip().casefold()
    exact = [each for each in devices if each.id == wanted]
    found = exact or [
        each
        for each in devices
        if wanted and (each.id.startswith(wanted) or each.name.casefold() == wanted)
    ]
    if len(found) != 1:
        raise DeviceUnknown(reason="several" if found else "none")
    return found[0]


async def revoke(account: Account, errands: Errands, device: str) -> None:
    """Take a device out of the account for good; it may be this one.

    One that is out already is as it should be: the answer to an earlier try may have been lost.

    Raises:
        Revoked: this device is not in the account itself any more.
        ConnectFailed: there is no link, or no end to the changes of the chain.
        JimError: the server's refusal.
    """
    name = account.name
    for _ in range(MAX_TRIES):
        own = await account.writer.read(lambda store: store.own_chain())
        if own is None or own.state is None:
            raise ConnectFailed("the own device chain is not known yet")
        if device not in own.state.devices:
            return
        if account.record.device not in own.state.devices:
            raise Revoked
        time_ms = max(now_ms(), own.links[-1].time + 1)
        link = links.make_revoke(own.state, device, account.key, time_ms)
        try:
            await _extend(errands, link)
        except ChainMoved:
            await errands.look_at_all([name])
            continue
        await account.learn_own([link])
        return
    raise ConnectFailed("the device chain has changed all the time", reason="protocol")


async def _extend(errands: Errands, link: m.Link) -> None:
    if errands.link is None:
        raise ConnectFailed("not connected")
    reply = await errands.link.request(m.Extend(id="", link=link))
    if not isinstance(reply, m.Extended) or reply.chain_head != link_hash(link):
        raise protocol_error("the server does not say that the device chain has grown")


def others(devices: Iterable[Device]) -> list[Device]:
    """Give the devices besides the one that this runs on."""
    return [each for each in devices if not each.is_this]
