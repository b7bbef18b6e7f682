# long module: every message of the protocol, read as a list
# long module: one catalogue of messages, read as a list
"""Every message of JIM version 1 as a typed structure; docs/protocol.md is its prose.

`ClientMessage` is what a client may send, `ServerMessage` what a server may send. The field
`action` is the tag of both unions. It never says what a message *does*; that is the hub's and the
handlers'.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

VERSION = 1
"""The version of the protocol that this module describes."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON implementation keeps exactly (RFC 8259, section 6)."""

RequestId = (
    Annotated[int, Meta(ge=0, le=MAX_INTEGER)] | Annotated[str, Meta(min_length=1, max_length=64)]
)
"""Chosen by the asking side, repeated by the reply."""

Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
SendNumber = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
KeyOrNone = Annotated[bytes, Meta(max_length=32)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
WireName = Annotated[str, Meta(min_length=1, max_length=128)]
"""A name as typed: longer than any valid one, so that the answer can say what is wrong with it."""
ShownName = Annotated[str, Meta(max_length=128)]
"""A name as a server says it: no longer than anybody can type one, whatever else may be wrong with
it, so that what a client keeps by name has a bound."""
DeviceId = Annotated[str, Meta(min_length=16, max_length=16)]
ShownDevice = Annotated[str, Meta(max_length=16)]
"""A device as a server says it."""
Mark = Annotated[str, Meta(min_length=1, max_length=32)]
"""What a client tells its own messages apart by, kept and given back as it came. 32 is twice what
ours has. No pattern: nobody else reads it, and matching one takes four times as long as decoding
the message."""


Ciphertext = Annotated[str, Meta(min_length=2)]
"""A text sealed for one device (`jim.crypto.suite`); the server never looks into it. Its length is
limited with that of a text (`jim.core.limits.ciphertext_bytes`)."""
MAX_KEYS = 128
"""Keys in one `keys`: more than a device keeps at the server (`Limits.one_time_keys`)."""
MAX_CLAIMED = 64
"""Devices in one `claim`: more than an account has."""

GENESIS = "genesis"
ADD = "add"
REVOKE = "revoke"
RESET = "reset"
"""What a link of a device chain does (`Link.op`)."""


class PublicKey(Struct, frozen=True, kw_only=True):
    """A Curve25519 key with which others begin a session, signed by its device.

    `id` grows with every key that the device ever makes, one-time or fallback: the server takes
    each number once. `jim.crypto.device_keys` signs and verifies.
    """

    id: Count
    key: Bytes32
    sig: Bytes64


class Link(Struct, frozen=True, kw_only=True):
    """One signed step of an account's device chain (`jim.crypto.chain` makes and verifies it)."""

    acct: WireName
    seq: Count
    prev: Bytes32
    op: Annotated[str, Meta(max_length=16)]
    device: DeviceId
    login_key: Bytes32
    ed: KeyOrNone = b""
    curve: KeyOrNone = b""
    recovery_key: KeyOrNone = b""
    time: Count
    proof: Bytes64
    sig: Bytes64


class Offer(Struct, frozen=True, kw_only=True):
    """A new device that waits to be linked, as the account's devices are told of it.

    `address` and `age_s` are what the server has seen, `client` is what the device says it is.
    """

    offer: Count
    login_key: Bytes32
    ed: Bytes32
    curve: Bytes32
    fallback: PublicKey
    address: str
    age_s: Count
    client: str


# --- client to server ---------------------------------------------------------------------------


class Hello(Struct, tag_field="action", tag="hello", kw_only=True):
    """Open the session: version and the client's nonce."""

    id: RequestId
    v: Count
    cnonce: Bytes32
    client: Annotated[str, Meta(max_length=64)] = ""


class Auth(Struct, tag_field="action", tag="auth", kw_only=True):
    """Log a known device in. `counter` is the highest send number the device ever used."""

    id: RequestId
    name: WireName
    device: DeviceId
    head: Bytes32
    counter: Count
    sig: Bytes64


class Register(Struct, tag_field="action", tag="register", kw_only=True):
    """Claim a free name with the first link of its device chain."""

    id: RequestId
    name: WireName
    genesis: Link
    sig: Bytes64
    invite: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    fallback: PublicKey | UnsetType = UNSET
    """Of a device with encryption keys: it can be written to from the first moment."""


class Recover(Struct, tag_field="action", tag="recover", kw_only=True):
    """Prove the recovery key and ask for the device chain."""

    id: RequestId
    name: WireName
    sig: Bytes64


class Enroll(Struct, tag_field="action", tag="enroll", kw_only=True):
    """Add this new device to the chain that `recover` has shown, or begin anew with it alone.

    The latter is a `reset` link, which also ends the session of every other device.
    """

    id: RequestId
    name: WireName
    link: Link
    sig: Bytes64
    fallback: PublicKey | UnsetType = UNSET


class LinkRequest(Struct, tag_field="action", tag="link", kw_only=True):
    """Offer this device, which belongs to no account yet, to the devices of an account."""

    id: RequestId
    name: WireName
    login_key: Bytes32
    ed: Bytes32
    curve: Bytes32
    fallback: PublicKey
    sig: Bytes64
    client: Annotated[str, Meta(max_length=64)] = ""


class Proof(Struct, tag_field="action", tag="proof", kw_only=True):
    """Answer the `draft` of a link that adds this new device. No reply."""

    proof: Bytes64


class Msg(Struct, tag_field="action", tag="msg", kw_only=True, gc=False):
    """Send a text to one addressee; `n` makes it exactly once.

    It is either plain (`message`) or sealed (`ciphertexts`, device to ciphertext): then for every
    device with keys of the addressee and every other one of the sender, no more and no less; with
    `only` for one device of either, and without a place in the conversation. `mark` comes back in
    `welcome` for as long as this is the device's last message.
    """

    id: RequestId
    n: SendNumber
    to: WireName
    message: str | UnsetType = UNSET
    ciphertexts: dict[DeviceId, Ciphertext] | UnsetType = UNSET
    only: bool = False
    mark: Mark | UnsetType = UNSET


class Ack(Struct, tag_field="action", tag="ack", kw_only=True, gc=False):
    """Confirm every mailbox frame up to `position`, after the client's own commit. No reply."""

    position: Count


class Sync(Struct, tag_field="action", tag="sync", kw_only=True):
    """Ask for every mailbox frame after the position, then for live delivery."""

    id: RequestId
    after: Count


class Receipts(Struct, tag_field="action", tag="receipts", kw_only=True):
    """Ask up to which sequence the named people hold our conversations."""

    id: RequestId
    names: Annotated[list[WireName], Meta(max_length=256)]


class Presence(Struct, tag_field="action", tag="presence", kw_only=True):
    """Ask who of those I talk to is online; `watch` subscribes this session to changes."""

    id: RequestId
    watch: bool = False


class ChainRequest(Struct, tag_field="action", tag="chain", kw_only=True):
    """Ask for the links of a device chain after a number; without one, for all of them.

    Without a name it is the own one.
    """

    id: RequestId
    name: WireName | UnsetType = UNSET
    after: Count | UnsetType = UNSET


class Extend(Struct, tag_field="action", tag="extend", kw_only=True):
    """Append a link to the own device chain: add a device (with its `fallback`), or revoke one."""

    id: RequestId
    link: Link
    fallback: PublicKey | UnsetType = UNSET


class Offers(Struct, tag_field="action", tag="offers", kw_only=True):
    """Ask which new devices wait to be linked to the own account."""

    id: RequestId


class Draft(Struct, tag_field="action", tag="draft", kw_only=True):
    """Ask a new device for its proof in a link that adds it.

    `approval` shows the new device that whoever knows its code has drawn the link up.
    """

    id: RequestId
    offer: Count
    link: Link
    approval: Bytes32


class Keys(Struct, tag_field="action", tag="keys", kw_only=True):
    """Give the server one-time keys of this device, and perhaps a new fallback key.

    Numbers that the server has had are passed over, so that this can be repeated.
    """

    id: RequestId
    one_time: Annotated[list[PublicKey], Meta(max_length=MAX_KEYS)]
    fallback: PublicKey | UnsetType = UNSET


class Claim(Struct, tag_field="action", tag="claim", kw_only=True):
    """Take a key of each of these devices of `name`, to begin a session with it."""

    id: RequestId
    name: WireName
    devices: Annotated[list[DeviceId], Meta(max_length=MAX_CLAIMED)]


class Probe(Struct, tag_field="action", tag="probe", kw_only=True, gc=False):
    """Ask the other side for a sign of life."""

    id: RequestId


class Pong(Struct, tag_field="action", tag="pong", kw_only=True, gc=False):
    """Answer a probe with its id."""

    id: RequestId


class Quit(Struct, tag_field="action", tag="quit", kw_only=True):
    """End the session; the server says goodbye and closes."""

    id: RequestId


ClientMessage = (
    Hello
    | Auth
    | Register
    | Recover
    | Enroll
    | LinkRequest
    | Proof
    | Msg
    | Ack
    | Sync
    | Receipts
    | Presence
    | ChainRequest
    | Extend
    | Offers
    | Draft
    | Keys
    | Claim
    | Probe
    | Pong
    | Quit
)

# --- server to client ---------------------------------------------------------------------------


class Challenge(Struct, tag_field="action", tag="challenge", kw_only=True):
    """Answer `hello`: the server's identity, its nonce and its terms, signed.

    `terms` is a JSON text (see `Terms`), sent as a string so that both sides hash the same bytes.
    """

    id: RequestId
    response: int
    time: int
    snonce: Bytes32
    server_id: Bytes32
    spki: Annotated[bytes, Meta(max_length=32)]
    terms: str
    sig: Bytes64


class Welcome(Struct, tag_field="action", tag="welcome", kw_only=True):
    """The login succeeded: where this device stands.

    `last_n` is the last send number stored, `last_mark` the mark of its message if that had one,
    `position` the last of the mailbox, `acked` the last confirmed; `epoch` identifies the lineage
    of the server's store, `one_time_keys` says how many of this device nobody has claimed yet.
    """

    id: RequestId
    response: int
    time: int
    name: str
    device: str
    last_n: int
    position: int
    acked: int
    epoch: str
    chain_seq: int
    chain_head: Bytes32
    one_time_keys: int = 0
    last_mark: Mark | UnsetType = UNSET


class Chain(Struct, tag_field="action", tag="chain", kw_only=True):
    """Answer `recover` and `chain`: links of the account's device chain, oldest first."""

    id: RequestId
    response: int
    time: int
    links: list[Link]


class Linking(Struct, tag_field="action", tag="linking", kw_only=True):
    """Answer `link`: the device waits now, so many seconds at most. The name may be nobody's."""

    id: RequestId
    response: int
    time: int
    expires_s: Count


class DraftPush(Struct, tag_field="action", tag="draft", kw_only=True):
    """A device of the account has drawn up this link and asks for the `proof`."""

    link: Link
    approval: Bytes32
    time: int


class Linked(Struct, tag_field="action", tag="linked", kw_only=True):
    """The account's whole chain, which this device is in; `id` if it was at `link` already."""

    links: list[Link]
    time: int
    id: RequestId | UnsetType = UNSET
    response: int | UnsetType = UNSET


class OffersReply(Struct, tag_field="action", tag="offers", kw_only=True):
    """Answer `offers`: who waits, or only says so."""

    id: RequestId
    response: int
    time: int
    offers: list[Offer]


class ProofReply(Struct, tag_field="action", tag="proof", kw_only=True):
    """Answer `draft`: the new device's proof for the link."""

    id: RequestId
    response: int
    time: int
    proof: Bytes64


class Extended(Struct, tag_field="action", tag="extended", kw_only=True):
    """Answer `extend`: the link is the end of the chain now, or was before this was repeated."""

    id: RequestId
    response: int
    time: int
    chain_seq: int
    chain_head: Bytes32


class KeysReply(Struct, tag_field="action", tag="keys", kw_only=True):
    """Answer `keys`: so many one-time keys of this device are there now."""

    id: RequestId
    response: int
    time: int
    one_time_keys: int


class Claimed(Struct, tag_field="action", tag="claimed", kw_only=True):
    """Answer `claim`: device to key; a device without any is left out.

    A one-time key is given to nobody else; a fallback key is what is left when there is none.
    """

    id: RequestId
    response: int
    time: int
    keys: dict[str, PublicKey]


class Ok(Struct, tag_field="action", tag="ok", kw_only=True):
    """Answer `sync`: frames up to `position` are on their way."""

    id: RequestId
    response: int
    time: int
    position: int


class Stored(Struct, tag_field="action", tag="stored", kw_only=True, gc=False):
    """Answer `msg`: the message is on disk, under this sequence of the conversation.

    `skipped` counts devices of the addressee whose mailbox takes nothing more for now.
    """

    id: RequestId
    response: int
    time: int
    n: int
    seq: int
    skipped: int | UnsetType = UNSET


class ReceiptsReply(Struct, tag_field="action", tag="receipts", kw_only=True):
    """Answer `receipts`: name to the last sequence that a device of theirs holds.

    `chains` says with which number the device chain of each of them ends now.
    """

    id: RequestId
    response: int
    time: int
    delivered: dict[ShownName, int]
    chains: dict[ShownName, int] = field(default_factory=dict)


class Contacts(Struct, tag_field="action", tag="contacts", kw_only=True):
    """Answer `presence`: who can be seen, and who of them is here."""

    id: RequestId
    response: int
    time: int
    online: list[ShownName]
    offline: list[ShownName]


class Delivery(Struct, tag_field="action", tag="msg", kw_only=True, gc=False):
    """A message at a mailbox position, as pushed to a device and as stored for it.

    Either `message` or `ciphertext` is there. `seq` is 0 for what was meant for this device alone.
    """

    position: int
    seq: int
    sender: ShownName = field(name="from")
    device: ShownDevice
    n: int
    to: ShownName
    time: int
    message: str | UnsetType = UNSET
    ciphertext: str | UnsetType = UNSET


class Notice(Struct, tag_field="action", tag="notice", kw_only=True):
    """A tombstone at a mailbox position; `code` says what is missing from here on."""

    position: int
    code: str
    time: int


class Delivered(Struct, tag_field="action", tag="delivered", kw_only=True):
    """A device of `name` holds everything of our conversation up to `seq`."""

    name: ShownName
    seq: int
    time: int


class DevicesChange(Struct, tag_field="action", tag="devices", kw_only=True):
    """The device chain of `name`, oneself or somebody one has written to, has grown to this end."""

    name: ShownName
    chain_seq: int
    time: int


class KeysLeft(Struct, tag_field="action", tag="keys_left", kw_only=True):
    """Few one-time keys of this device are left; it should give the server new ones."""

    one_time_keys: int
    time: int


class PresenceChange(Struct, tag_field="action", tag="presence", kw_only=True):
    """Somebody whom this session watches came or went."""

    name: ShownName
    online: bool
    time: int


class Goodbye(Struct, tag_field="action", tag="goodbye", kw_only=True):
    """The server ends the session; `code` is an error's code or "quit"."""

    code: str
    time: int
    id: RequestId | UnsetType = UNSET
    response: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET


class ErrorReply(Struct, tag_field="action", tag="error", kw_only=True):
    """A request failed. The numbers that explain it are fields of their own where they apply."""

    response: int
    code: str
    error: str
    time: int
    fatal: bool = False
    id: RequestId | UnsetType = UNSET
    n: int | UnsetType = UNSET
    expected: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    size_bytes: int | UnsetType = UNSET
    limit_bytes: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    incident: str | UnsetType = UNSET
    devices: list[str] | UnsetType = UNSET
    """With `devices_changed`: for which devices a message to this addressee is to be sealed."""


ServerMessage = (
    Challenge
    | Welcome
    | Chain
    | Linking
    | DraftPush
    | Linked
    | OffersReply
    | ProofReply
    | Extended
    | KeysReply
    | Claimed
    | Ok
    | Stored
    | ReceiptsReply
    | Contacts
    | Delivery
    | Notice
    | Delivered
    | DevicesChange
    | KeysLeft
    | PresenceChange
    | Probe
    | Pong
    | Goodbye
    | ErrorReply
)


Measure = Annotated[float, Meta(ge=0, le=MAX_INTEGER)]
"""A rate or a time that a client can calculate with; JSON itself knows no bounds."""


class AnnouncedLimits(Struct, frozen=True, kw_only=True):
    """What a client has to keep to; part of the signed terms."""

    frame_bytes: Count
    text_bytes: Count
    window: Count
    messages_per_second: Measure
    message_burst: Count
    bytes_per_second: Count
    byte_burst: Count
    ping_s: Measure
    idle_s: Measure


class Policy(Struct, frozen=True, kw_only=True):
    """What a newcomer should know before joining; part of the signed terms."""

    registration: str
    plain: bool
    waiting_messages: Count
    waiting_days: Count


class Terms(Struct, frozen=True, kw_only=True):
    """The parsed `terms` of a challenge."""

    versions: list[int]
    server: str
    limits: AnnouncedLimits
    policy: Policy


def encode_terms(terms: Terms) -> str:
    """Write the terms as the JSON text that is signed."""
    return msgspec.json.encode(terms).decode()


_terms = msgspec.json.Decoder(Terms)


def parse_terms(text: str) -> Terms:
    """Parse the JSON text of a verified challenge.

    Raises:
        msgspec.DecodeError: the text is not JSON, misses a field, has a number out of bounds, or is
            nested deeper than the parser goes.
    """
    try:
        return _terms.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("the terms are nested too deeply") from None
