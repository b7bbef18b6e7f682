"""The keys that sessions with a device are begun with, as the store in memory keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from jim.protocol.messages import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeviceKeys(Struct):
    """The keys of a device with which others begin sessions."""

    fallback: PublicKey
    last_number: int
    """The highest that any key of the device ever had."""
    one_time: list[PublicKey] = field(default_factory=list)
    """Those that nobody has claimed, by their numbers."""

    def add(self, one_time: Sequence[PublicKey], fallback: PublicKey | None, most: int) -> int:
        """Keep keys with new numbers; give how many one-time keys wait."""
        fresh = {key.id: key for key in one_time if key.id > self.last_number}
        room = max(0, most - len(self.one_time))
        self.one_time += [fresh[number] for number in sorted(fresh)][:room]
        numbers = [self.last_number, *fresh]
        if fallback is not None and fallback.id > self.last_number and fallback.id not in fresh:
            self.fallback = fallback
            numbers.append(fallback.id)
        self.last_number = max(numbers)
        return len(self.one_time)

    def claim(self) -> PublicKey:
        """Take the oldest one-time key, or else give the fallback key."""
        return self.one_time.pop(0) if self.one_time else self.fallback
