"""Open what others have sealed for this device, and judge whether it is what the server says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.client.encryption.content import Content, read_content
from jim.errors import CannotDecrypt

if TYPE_CHECKING:
    import sqlite3

    from jim.client.encryption.contacts import Contact, Contacts
    from jim.client.encryption.peers import Peers
    from jim.client.encryption.vault import Vault
    from jim.crypto.keys import EncryptionKeys
    from jim.protocol.messages import Delivery

UNDECRYPTABLE: Final = "undecryptable"
"""Code of a notice: a message could not be opened; its sender is asked to seal it anew."""
UNKNOWN_DEVICE: Final = "unknown_device"
"""Code of a notice: a message came from a device that is not in its sender's chain."""
FORGED: Final = "forged"
"""Code of a notice: what was opened is not what the server said it was."""
CLONED: Final = "cloned"
"""Code of a notice: a device has used a count twice, so its keys are in two places."""
DROPPED: Final = "dropped"
"""Code of a notice: a device has sealed more for this one than the server has delivered."""
FORKED: Final = "forked"
"""Code of a notice: the server shows us another chain of somebody than they have."""
FORKED_OWN: Final = "forked_own"
"""Code of a notice: the server shows somebody another chain of ours than we have."""


class Opened(Struct, frozen=True):
    """A content that is what it seems to be.

    Attributes:
        is_new: it was not here before.
        gap: so many contents before it never came.
        warnings: codes of what it says about the server.
    """

    content: Content
    is_new: bool
    gap: int
    warnings: list[str]


class Refused(Struct, frozen=True):
    """Something that is not to be believed; `code` says why."""

    code: str


class Lacking(Struct, frozen=True):
    """The chain of this account has to be looked at again first."""

    name: str


class Opening:
    """Opens deliveries in a transaction of the store."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        who: tuple[str, str],
        contacts: Contacts,
        vault: Vault,
        peers: Peers,
    ) -> None:
        """Take the store's connection, name and device of this one, and the tables."""
        self._sql = connection
        self._name, self._device = who
        self._contacts, self._vault, self._peers = contacts, vault, peers

    def open(
        self, delivery: Delivery, ciphertext: str, fresh: frozenset[str]
    ) -> Opened | Refused | Lacking:
        """Open a sealed delivery; `fresh` are the accounts whose chains were just looked at.

        Only for what is new has the ratchet moved, and whatever is written must be committed with
        it. For anything else nothing has changed. A first message that was made with a fallback key
        opens again: the session that it would begin anew has keys that may have been stolen since,
        and the other side left it long ago, so nothing may ever be sealed with it. And what comes
        in a wrong envelope can still be opened when it comes in the right one.
        """
        self._sql.execute("SAVEPOINT opening")
        opened = self._open(delivery, ciphertext, fresh)
        if not isinstance(opened, Opened) or not opened.is_new:
            self._sql.execute("ROLLBACK TO opening")
        self._sql.execute("RELEASE opening")
        return opened

    def _open(
        self, delivery: Delivery, ciphertext: str, fresh: frozenset[str]
    ) -> Opened | Refused | Lacking:
        contact, me = self._contacts.get(delivery.sender), self._contacts.get(self._name)
        if me is None or me.state is None:
            return Lacking(self._name)
        if _keys_of(me, self._device) is None and self._name not in fresh:
            return Lacking(self._name)  # a chain from before this device was added says nothing
        keys = _keys_of(contact, delivery.device)
        if contact is None or keys is None:
            known = delivery.sender in fresh
            return Refused(UNKNOWN_DEVICE) if known else Lacking(delivery.sender)
        try:
            plaintext = self._vault.open(delivery.sender, delivery.device, keys, ciphertext)
        except CannotDecrypt:
            return Refused(UNDECRYPTABLE)
        return self._judge(delivery, plaintext, contact, me, fresh)

    def _judge(
        self,
        delivery: Delivery,
        plaintext: bytes,
        contact: Contact,
        me: Contact,
        fresh: frozenset[str],
    ) -> Opened | Refused | Lacking:
        try:
            content = read_content(plaintext)
        except CannotDecrypt:
            return Refused(FORGED)
        if not self._fits(content, delivery, contact, me):
            return Refused(FORGED)
        for head, whose in ((content.mine, contact), (content.yours, me)):
            if head.seq > whose.seq and whose.name not in fresh:
                return Lacking(whose.name)
        warnings = []
        if not contact.has(content.mine):
            warnings.append(FORKED)
        if not me.has(content.yours):
            warnings.append(FORKED_OWN)
        sender, device = delivery.sender, delivery.device
        is_new, gap = self._peers.take(sender, device, content.count, content.voids)
        if content.was:
            self._peers.forget(sender, device, content.was)
        return Opened(content, is_new, gap, warnings)

    def _fits(self, content: Content, delivery: Delivery, contact: Contact, me: Contact) -> bool:
        """Tell whether the content is from and for whom the server says, and in that talk."""
        sent = _keys_of(contact, delivery.device)
        mine = me.state.keys.get(self._device) if me.state else None
        if sent is None or mine is None:
            return False
        sender = (content.sender.name, content.sender.device, content.sender.ed)
        to = (content.to.name, content.to.device, content.to.ed)
        return (
            sender == (delivery.sender, delivery.device, sent.ed)
            and to == (self._name, self._device, mine.ed)
            and content.chat == delivery.to
            and self._name in {content.chat, content.sender.name}
            and content.count > 0
        )


def _keys_of(contact: Contact | None, device: str) -> EncryptionKeys | None:
    """Give a device's keys by the pinned chain; a revoked one has none."""
    return contact.state.keys.get(device) if contact and contact.state else None
