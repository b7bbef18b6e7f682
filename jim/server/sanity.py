"""What limits have to be for a server to be of any use: the least of each, and what goes together.

With less nobody could log in, send the longest text or read it, and only the users would find out.
Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.core.limits import ciphertext_bytes
from jim.i18n import _
from jim.protocol.messages import MAX_INTEGER

if TYPE_CHECKING:
    from jim.core.limits import Limits

LEAST: Final = {
    "first_byte_s": 0.1,
    "tls_s": 0.1,
    "login_s": 0.1,
    "login_frame_bytes": 2_048,
    "login_frames": 3,
    "page_bytes": 4_096,
    "new_connections_window_s": 1.0,
    "registrations_window_s": 1.0,
    "rate_debt_s": 1.0,
    "ping_s": 0.1,
    "idle_s": 0.1,
    "drain_s": 0.1,
}
"""Times: a login takes 0.01 s on an idle machine, an idle server ends within 0.04 s, and a window
of less than a second limits nobody. `login_frame_bytes`: the largest honest one is below that (a
`register` with the longest name, an invite and keys has 1,088 bytes). `login_frames`: hello,
recover, enroll. `page_bytes`: one page of SQLite. All others only have to be greater than 0, or fit
together as below."""

ESCAPED: Final = 6
"""Bytes that JSON takes for one of a text at worst: \\u0001 (RFC 8259, 7)."""

ENVELOPE_BYTES: Final = 512
"""Of a frame around its text: two names of 64 bytes, numbers and keys are 300."""

NAMED_BYTES: Final = 22
"""Of a device around its ciphertext: 16 of the id, two pairs of quotes, a colon, a comma."""

LESS_THAN: Final = (
    ("unauthenticated_start", "unauthenticated_full"),
    ("penalty_start_s", "penalty_max_s"),
    ("few_one_time_keys", "one_time_keys"),
)
"""Pairs of which the first may be no more than the second."""


def check_one(key: str, value: float) -> None:
    """Refuse a number that is too small or too large for this limit.

    Raises:
        ValueError: says which would do.
    """
    if value < (least := LEAST.get(key, 0)):
        raise ValueError(_("has to be at least {least}").format(least=least))
    if value > MAX_INTEGER:  # a client would not believe it
        raise ValueError(_("has to be at most {most}").format(most=MAX_INTEGER))


def check_together(limits: Limits) -> None:
    """Refuse limits that stand in each other's way.

    Raises:
        ValueError: says which, and how far.
    """
    for small, large in LESS_THAN:
        if getattr(limits, small) > getattr(limits, large):
            text = _("limits.{small} is greater than limits.{large}")
            raise ValueError(text.format(small=small, large=large))
    if limits.ping_s >= limits.idle_s:
        raise ValueError(_("limits.ping_s has to be less than limits.idle_s"))
    if limits.unauthenticated_rate_percent > 100:  # noqa: PLR2004 - percent
        raise ValueError(_("limits.unauthenticated_rate_percent is more than 100"))
    _check_room(limits)


def _check_room(limits: Limits) -> None:
    """Demand that the longest text can be sent, plain and to all devices sealed, and read."""
    sealed_bytes = ciphertext_bytes(limits.text_bytes)
    copies = 2 * limits.devices - 1  # the addressee's devices, and the sender's other ones
    longest_bytes = ENVELOPE_BYTES + max(
        ESCAPED * limits.text_bytes, copies * (sealed_bytes + NAMED_BYTES)
    )
    # From half of `outgoing_bytes` on nothing is pushed: that half has to hold one message.
    held_bytes = max(limits.text_bytes, sealed_bytes) + ENVELOPE_BYTES
    least = {"frame_bytes": longest_bytes, "outgoing_bytes": 2 * held_bytes}
    if limits.bytes_per_s:
        # Who is further ahead of the rate than `rate_debt_s` pays for is disconnected.
        least["byte_burst"] = longest_bytes - int(limits.bytes_per_s * limits.rate_debt_s)
    for name, least_bytes in least.items():
        value = getattr(limits, name)
        if value < least_bytes:
            text = _(
                "limits.{name} is {value}; with a limits.text_bytes of {text} and a limits.devices "
                "of {devices} it has to be at least {least}"
            )
            raise ValueError(
                text.format(
                    name=name,
                    value=value,
                    text=limits.text_bytes,
                    devices=limits.devices,
                    least=least_bytes,
                )
            )
