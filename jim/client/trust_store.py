"""What the user knows and allows of others: the part of an account's store that keeps it.

Nothing here ever touches the row of the account itself: nobody can block or verify themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.client import store_rows as sql
from jim.client.encryption.contacts import Trust
from jim.client.encryption.content import SAS
from jim.client.events import ContactInfo, Message
from jim.client.mailbox import MailboxStore
from jim.client.notice_store import FORGOTTEN
from jim.client.store import Draft
from jim.crypto.safety_number import safety_number
from jim.crypto.sas import Party
from jim.errors import OwnAccount

if TYPE_CHECKING:
    from jim.client.encryption.contacts import Contact
    from jim.crypto.chain import ChainState


MAX_STEPS: Final = 8
"""Steps that wait for one device: twice what one side says in a whole comparison."""


class Parties(Struct, frozen=True):
    """This device and those of somebody, as their chains say; `root` is that of their account."""

    me: Party
    theirs: dict[str, Party]
    root: bytes


class TrustStore(MailboxStore):
    """The messages of one account on this device, and what its user knows of others."""

    def contact_info(self, name: str) -> ContactInfo:
        """Read what is known of somebody; of the own account, too."""
        contact = self._contacts.get(name)
        if contact is None:
            return ContactInfo(name=name)
        return ContactInfo(
            name=name,
            known=contact.state is not None,
            devices=len(contact.state.keys) if contact.state else 0,
            verified=contact.trust is Trust.VERIFIED,
            changed=contact.trust is Trust.CHANGED,
            plain=contact.plain,
        )

    def safety_number(self, name: str) -> str | None:
        """Give the 60 digits to compare with somebody, None while a chain is not known.

        Raises:
            OwnAccount: there is nobody to compare with.
        """
        mine, theirs = self._state(self._name), self._other(name)
        if mine is None or theirs is None:
            return None
        return safety_number((self._name, mine.root), (name, theirs.root))

    def mark_verified(self, name: str, number: str) -> bool:
        """Note that the user has compared this number; False if it is another one by now.

        Raises:
            OwnAccount: there is nobody to compare with.
        """
        is_same = self.safety_number(name) == number
        return is_same and self._contacts.trust(name, Trust.VERIFIED)

    def mark_root(self, name: str, root: bytes) -> bool:
        """Note that the account with this root was verified; False if it is another one by now."""
        theirs = self._other(name)
        is_same = theirs is not None and theirs.root == root
        return is_same and self._contacts.trust(name, Trust.VERIFIED)

    def accept_changed(self, name: str) -> bool:
        """Go on with the new keys of somebody, as if met for the first time.

        False if there is nothing to accept.
        """
        contact = self._contacts.get(name)
        if name == self._name or contact is None or contact.trust is not Trust.CHANGED:
            return False
        return self._contacts.trust(name, Trust.FIRST)

    def forget_keys(self, name: str, now_ms: int) -> bool:
        """Let go of the keys of somebody, whatever was known of them; False if there are none.

        The conversation keeps that it happened.

        Raises:
            OwnAccount: the own devices are what this one has to stand by.
        """
        if self._other(name) is None:
            return False
        self._contacts.forget(name)
        self.notice_shown(self.note(FORGOTTEN, now_ms, peer=name).notice_id)
        return True

    def allow_plain(self, name: str, *, allowed: bool) -> list[Message]:
        """Keep whether unencrypted messages may come and go; gives those that were withheld.

        Raises:
            OwnAccount: the own devices are never sent anything that is not sealed.
        """
        if name == self._name:
            raise OwnAccount
        self._contacts.allow_plain(name, allowed=allowed)
        if not allowed:
            return []
        return sorted(self._read(sql.REVEAL, (name,)), key=lambda message: message.message_id)

    # --- comparing emoji --------------------------------------------------------------------------

    def parties(self, name: str) -> Parties | None:
        """Give between whom emoji can be compared, None while a chain is not known.

        Raises:
            OwnAccount: there is nobody to compare with.
        """
        mine, theirs = self._state(self._name), self._other(name)
        pair = None if mine is None else mine.keys.get(self._device)
        if mine is None or theirs is None or pair is None:
            return None
        devices = {
            device: Party(name, device, theirs.root, keys.ed)
            for device, keys in theirs.keys.items()
        }
        return Parties(Party(self._name, self._device, mine.root, pair.ed), devices, theirs.root)

    def queue_step(self, name: str, device: str, step: str, now_ms: int) -> None:
        """Queue a step for one device; more than any comparison has are passed over.

        A device could ask for as many answers as it sends nonsense, and hold up everything else.
        """
        (waiting,) = self._sql.execute(sql.WAIT_FOR, (SAS, f'["{device}"]')).fetchone()
        if waiting >= MAX_STEPS:
            return
        self._queue(Draft(name, step, now_ms, None, SAS, device))

    def _other(self, name: str) -> ChainState | None:
        if name == self._name:
            raise OwnAccount
        return self._state(name)

    def _state(self, name: str) -> ChainState | None:
        contact: Contact | None = self._contacts.get(name)
        return None if contact is None else contact.state
