"""The devices of the own account as front ends see them: which there are and what they are called.

Pure and light: who adds and removes them is `jim.client.own_devices` and `jim.client.login`.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.errors import DeviceNameInvalid, DeviceUnknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_NAME: Final = 32
"""Characters of a device's name: as many as one of an account has (`jim.core.names`)."""

_QUOTES: Final = {'"': '"', "«": "»", "“": "”"}
"""Around a name that has spaces: as lists show it, and as Russian and English write it."""


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
        DeviceNameInvalid: nothing of it can be shown, or it is too long.
    """
    name = clean_name(text)
    if not name or len(" ".join(text.split())) > MAX_NAME:
        raise DeviceNameInvalid
    return name


def find_device(devices: Sequence[Device], typed: str) -> Device:
    """Find the device that is meant by its id, its name, or the beginning of either.

    The beginning of a name counts only where nothing else fits, for names are given elsewhere.

    Raises:
        DeviceUnknown: there is none, or there are several.
    """
    wanted = typed.strip().casefold()
    ways: tuple[Callable[[Device], bool], ...] = (
        lambda each: each.id == wanted,
        lambda each: each.id.startswith(wanted) or each.name.casefold() == wanted,
        lambda each: each.name.casefold().startswith(wanted),
    )
    for fits in ways if wanted else ():
        found = [each for each in devices if fits(each)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DeviceUnknown(reason="several")
    raise DeviceUnknown(reason="none")


def find_at_start(
    devices: Sequence[Device], typed: str, *, more: bool = False
) -> tuple[Device, str]:
    """Find the device that a text begins with, and give the rest of the text.

    A name may have spaces, and may stand in the quotes in which it is listed; the longest beginning
    that is a device counts. With `more` something has to follow it.

    Raises:
        DeviceUnknown: as `find_device`.
    """
    typed = typed.strip()
    end = _QUOTES.get(typed[:1])
    if end is not None and end in typed[1:]:
        name, _end, rest = typed[1:].partition(end)
        return find_device(devices, name), rest.strip()
    words = typed.split(" ")
    several = False
    for count in range(len(words) - more, 0, -1):
        try:
            found = find_device(devices, " ".join(words[:count]))
        except DeviceUnknown as error:
            several = several or error.fields.get("reason") == "several"
        else:
            return found, " ".join(words[count:]).strip()
    raise DeviceUnknown(reason="several" if several else "none")


def others(devices: Iterable[Device]) -> list[Device]:
    """Give the devices besides the one that this runs on."""
    return [each for each in devices if not each.is_this]
