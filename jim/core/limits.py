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


SEALING_BYTES = 2 * KIB
"""What sealing adds to a text at most: names, keys and numbers (up to 1.2 KiB with the longest
names and 64 voids), padding (256 bytes) and what Olm puts around it (less than 200 bytes)."""


def ciphertext_bytes(text_bytes: int) -> int:
    """Give the longest ciphertext of a text of so many bytes: sealed, then in base64."""
    return (text_bytes + SEALING_BYTES) * 4 // 3 + 4


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
    unauthenticated_start: int = 256
    """From here on new connections are refused at random (as sshd's MaxStartups start:rate:full).
    Half a second of logins: fewer left the server idle in a storm of 12,000 that came back."""
    unauthenticated_rate_percent: int = 30
    """The chance of a refusal at the start, growing evenly to certainty (sshd's default too)."""
    unauthenticated_full: int = 1024
    """From here on all are refused: 1024 handshakes at 40 KiB of TLS buffers are 40 MB."""
    unauthenticated_per_address: int = 8
    """Half of what an address may have: one source alone cannot fill the places of all."""
    connections_per_address: int = 16
    """Of one IPv4 address or IPv6 /64: a household with a few devices each."""
    new_connections_per_address: int = 64
    """Within the next limit's time: each of the 16 may come back four times over a bad link."""
    new_connections_window_s: float = 600.0
    """Ten minutes: as long as the longest penalty."""
    exempt_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks without limits per address: on one machine all users share an address."""

    # frames and texts
    login_frame_bytes: int = 8 * KIB
    """The largest honest one (`register` with its link) is below 2 KiB."""
    login_frames: int = 4
    """Per attempt; the longest login (hello, recover, enroll) has 3."""
    frame_bytes: int = 512 * KIB
    """After the login: the longest text, sealed for the ten devices of an addressee and the
    sender's nine others (`ciphertext_bytes`), has 457 KiB."""
    text_bytes: int = 16 * KIB
    """Of one message in UTF-8: several screens; a file is no message."""
    malformed_frames: int = 16
    """After that many useless frames in one session it is closed: nobody is listening there."""

    # rates
    message_burst: int = 20
    """At once: somebody pastes a page line by line."""
    messages_per_s: float = 5.0
    """In the long run: nobody types faster; programs raise it by configuration."""
    byte_burst: int = 256 * KIB
    """At once: 16 of the longest texts, or ten of them, each sealed for one device."""
    bytes_per_s: int = 20_000
    """In the long run: more than one of the longest texts a second."""
    rate_debt_s: float = 60.0
    """A sender is slowed down by not reading from it. When it is so far ahead that this would take
    longer than a minute, it is disconnected instead (a full window over the burst takes 9 s)."""

    # logins
    login_failures: int = 3
    """On one connection; a client's software does not mistype, so three are plenty."""
    penalty_start_s: float = 5.0
    """After the first connection with failed logins (sshd's PerSourcePenalties: authfail 5 s)."""
    penalty_max_s: float = 600.0
    """By source, doubling with each failed connection, at most as long as sshd's (max 10 min)."""
    registrations_per_address: int = 5
    """A family at once; taking names in bulk takes hours or many addresses."""
    registrations_window_s: float = 600.0
    """Ten minutes, as for new connections."""
    devices: int = 10
    """Of one account: each is another copy of every message to it."""
    linking_s: float = 600.0
    """A new device waits to be linked: ten minutes, to walk to the other device and type a code."""
    linking_frames: int = 64
    """From a device that waits: a sign of life every half minute and a few proofs are 30."""
    linking_devices: int = 64
    """That wait, altogether: a quarter of where refusals of connections begin."""
    linking_devices_per_address: int = 2
    """That wait: nobody sets up more at once, and most places of an address stay for logins."""
    linking_devices_per_name: int = 4
    """That wait for one account: more only hinders who really owns one; whoever wants to hinder
    needs two addresses, and every ten minutes again."""
    linking_proof_s: float = 10.0
    """A new device answers a draft by itself: a few round trips of a bad link."""
    one_time_keys: int = 100
    """Of one device, unclaimed: so many people can write to it for the first time while it is away
    before the fallback key has to do; 100 rows of 150 bytes."""
    few_one_time_keys: int = 20
    """With so few left a connected device is asked for more: time for a round trip in a rush."""
    claims_per_minute: int = 10
    """Of one account on the keys of one device: a session is begun once, or again after a mishap,
    while a thief of keys would drive everybody to the fallback key."""

    # delivery
    window: int = WINDOW
    """Messages of a device without an answer; 64 is where throughput stops growing."""
    outgoing_bytes: int = 1024 * KIB
    """Waiting for one client that reads slowly; from half on nothing is pushed, the whole ends the
    session. 100 stuck readers are then 100 MB, not everything that anybody writes to them."""
    page_bytes: int = 256 * KIB
    """Read from the store at once for a device that catches up: a quarter of the outgoing bound."""
    waiting_messages: int = 10_000
    """In one mailbox: a month of a busy chat; of the longest texts 160 MB of disk at worst."""
    waiting_days: int = 30
    """Beyond either the device turns stale: nothing more is kept for it until it has collected."""

    # liveness
    ping_s: float = 90.0
    """Below the two minutes after which NAT may forget a connection in practice; the two hours and
    four minutes of RFC 5382 are not kept everywhere."""
    idle_s: float = 150.0
    """A probe after 90 s of silence, the end after 150 s: two lost probes of a NAT-friendly
    period."""
    drain_s: float = 5.0
    """From SIGTERM to the exit: four fifths for clients to leave, the rest to close the store and
    end."""

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
