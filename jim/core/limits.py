"""Every limit of the server with its unit and the reason for its default.

Defaults are those of the project's threat model (docs/security.md, "Limits") where nothing else is
said. Settings may change each of them; the pure parts get the values as arguments.
"""

from __future__ import annotations

from msgspec import Struct

from jim.protocol.messages import AnnouncedLimits

KIB = 1024

WINDOW = 64
"""Messages a device may have outstanding. The answers of the last window are kept with the device,
so that a retry gets the very answer of the first time; 64 is also where throughput stops
growing."""


class Limits(Struct, frozen=True, kw_only=True):
    """All limits of one server; sizes in bytes, times in seconds unless the name says otherwise."""

    # connecting
    first_byte_s: float = 3.0
    """A client sends its TLS hello at once; 3 s is a bad mobile link's round trip, several
    times."""
    tls_s: float = 5.0
    """Total for the TLS handshake."""
    login_s: float = 15.0
    """Total from the first byte to `welcome`; also the life of a challenge."""
    unauthenticated_start: int = 64
    """From here on new connections are refused at random (sshd's MaxStartups start:rate:full)."""
    unauthenticated_rate_percent: int = 30
    unauthenticated_full: int = 256
    unauthenticated_per_address: int = 8
    connections_per_address: int = 16
    """Of one IPv4 address or IPv6 /64."""
    new_connections_per_address: int = 64
    new_connections_window_s: float = 600.0
    exempt_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks without limits per address: on one machine all users share an address."""

    # frames and texts
    login_frame_bytes: int = 8 * KIB
    login_frames: int = 4
    """Per attempt; the longest login (hello, recover, enroll) has 3."""
    frame_bytes: int = 256 * KIB
    text_bytes: int = 16 * KIB
    malformed_frames: int = 16
    """After that many useless frames in one session it is closed: nobody is listening there."""

    # rates
    message_burst: int = 20
    messages_per_s: float = 5.0
    byte_burst: int = 256 * KIB
    bytes_per_s: int = 20_000
    rate_debt_s: float = 60.0
    """A sender is slowed down by not reading from it. When it is so far ahead that this would take
    longer than a minute, it is disconnected instead (a full window over the burst takes 9 s)."""

    # logins
    login_failures: int = 3
    """On one connection."""
    penalty_start_s: float = 5.0
    penalty_max_s: float = 600.0
    """By source, doubling with each failed connection, as sshd's PerSourcePenalties."""
    registrations_per_address: int = 5
    registrations_window_s: float = 600.0
    devices: int = 10

    # delivery
    window: int = WINDOW
    outgoing_bytes: int = 1024 * KIB
    page_bytes: int = 256 * KIB
    """Read from the store at once for a device that catches up: a quarter of the outgoing bound."""
    waiting_messages: int = 10_000
    waiting_days: int = 30
    """Beyond either the device turns stale: nothing more is kept for it until it has collected."""

    # liveness
    ping_s: float = 90.0
    idle_s: float = 150.0
    """A probe after 90 s of silence, the end after 150 s: two lost probes of a NAT-friendly
    period."""
    drain_s: float = 5.0
    """From SIGTERM to the exit."""

    def announced(self) -> AnnouncedLimits:
        """Pick what a client has to keep to."""
        return AnnouncedLimits(
            frame_bytes=self.frame_bytes,
            text_bytes=self.text_bytes,
            window=self.window,
            messages_per_second=self.messages_per_s,
            message_burst=self.message_burst,
            bytes_per_second=self.bytes_per_s,
            byte_burst=self.byte_burst,
            ping_s=self.ping_s,
            idle_s=self.idle_s,
        )
