"""For which devices a message has to be sealed, and whether it is. What is in it nobody sees here.

The addressee's devices that have keys, and the sender's other ones: no more, for a device that the
server invents must not get a copy, and no less, for one that was added must not be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from jim.core.limits import ciphertext_bytes
from jim.errors import BadRequest, DevicesChanged, TextTooLong

if TYPE_CHECKING:
    from collections.abc import KeysView

    from jim.core.counters import AccountView, DeviceCounters
    from jim.protocol.messages import Msg


def check(message: Msg, text_bytes: int) -> None:
    """Demand a text or ciphertexts, and that it is not too long, nor they for such a text.

    Raises:
        BadRequest: says what is wrong with the message.
        TextTooLong: with the sizes of the text, or of the longest ciphertext.
    """
    text, ciphertexts = message.message, message.ciphertexts
    if (text is UNSET) == (ciphertexts is UNSET):
        raise BadRequest("a msg has either `message` or `ciphertexts`", n=message.n)
    if message.only and (ciphertexts is UNSET or len(ciphertexts) != 1):
        raise BadRequest("`only` goes with `ciphertexts` for one device", n=message.n)
    if ciphertexts is not UNSET:
        size_bytes = max(map(len, ciphertexts.values()), default=0)
        limit_bytes = ciphertext_bytes(text_bytes)
    else:
        size_bytes, limit_bytes = len(str(text).encode()), text_bytes
    if size_bytes > limit_bytes:
        raise TextTooLong(n=message.n, size_bytes=size_bytes, limit_bytes=limit_bytes)


def check_devices(
    message: Msg, addressee: AccountView, own: AccountView, sender: DeviceCounters
) -> KeysView[str] | None:
    """Give the devices that a message is sealed for, None for a plain one.

    Raises:
        DevicesChanged: they are not exactly those that there are; with `devices`, which are.
    """
    if message.ciphertexts is UNSET:
        return None
    named = message.ciphertexts.keys()
    theirs = [each.device for each in _sealed_for(addressee, sender)]
    foreign = addressee.account_id != own.account_id
    wanted = theirs + [each.device for each in _sealed_for(own, sender)] if foreign else theirs
    unreachable = foreign and not theirs
    if unreachable or len(named) != len(wanted) or not named >= set(wanted):
        raise DevicesChanged(devices=sorted(wanted))
    return named


def only_device(
    message: Msg, addressee: AccountView, own: AccountView, sender: DeviceCounters
) -> tuple[DeviceCounters, str]:
    """Give the one device that a message is for, and the ciphertext.

    Raises:
        DevicesChanged: it is none of those that there are; with `devices`, which are.
    """
    wanted = {
        each.device: each for account in (own, addressee) for each in _sealed_for(account, sender)
    }
    for device, ciphertext in (message.ciphertexts or {}).items():
        if device in wanted:
            return wanted[device], ciphertext
    raise DevicesChanged(devices=sorted(wanted))


def _sealed_for(account: AccountView, sender: DeviceCounters) -> list[DeviceCounters]:
    """Give the devices of an account that have keys, but never the sending one.

    A mailbox that takes nothing for now counts: it may have been collected by the time of the next
    attempt, and the list is one that the sender can know from the chains.
    """
    return [each for each in account.devices if each.has_keys and each is not sender]
