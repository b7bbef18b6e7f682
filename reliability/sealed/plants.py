"""Bugs for everything that seals, opens and counts; all of them sit in the real code of `jim`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from jim.client import store_rows, sync
from jim.client.encryption import opening, sealing
from jim.client.encryption.content import AGAIN
from jim.client.encryption.opening import Opening
from jim.client.encryption.peers import Peers
from jim.client.encryption.sealing import Sealing
from jim.client.encryption.vault import SUITE, Vault
from jim.client.errands import Errands
from jim.client.mailbox import REPAIR_MS, MailboxStore
from jim.client.mark import digest_of
from jim.client.store import MessageStore, SealedRows
from jim.client.sync import Payload
from jim.crypto import chain
from jim.crypto.device_keys import sign_key
from jim.crypto.keys import EncryptionKeys
from jim.crypto.suite import write_ciphertext
from jim.protocol.messages import Keys
from reliability.plants import Plant, replaced, together
from reliability.sealed.liar import Lie, lies_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.opening import Opened
    from jim.client.encryption.sealing import Outgoing, Unsealable
    from jim.client.mailbox import Frame, Kept, News
    from jim.client.sync import OutboxEffect, Seal
    from jim.protocol.messages import Delivery
    from reliability.sealed.schedule import Schedule


class Bug(Plant, frozen=True):
    """A bug, and where it can show.

    Attributes:
        climate: of the schedules in which it can, empty for any.
        lie: that has to be told for it.
        flow: of `points.py`, if it shows only with a death at a certain commit.
    """

    climate: str = ""
    lie: Lie | None = None
    flow: str = ""

    def may_show(self, schedule: Schedule) -> bool:
        """Tell whether a schedule has what the bug needs."""
        if self.lie is not None and self.lie not in lies_of(schedule.shuffle):
            return False
        return self.climate in {"", schedule.climate.name}


# --- what has to be kept, and when ----------------------------------------------------------------


def _seal_and_forget(self: Vault, name: str, device: str, plaintext: bytes) -> str:
    for _, pickle, _, wedged in self._read_sessions(name, device):
        if not wedged:
            return write_ciphertext(SUITE.session(pickle, self._key).encrypt(plaintext))
    raise LookupError(device)


_take = MailboxStore._take  # noqa: SLF001 - a bug has to be planted where it would be


def _take_in_two(self: MailboxStore, frame: Delivery, opened: Opened, now_ms: int) -> list[News]:
    self._sql.execute("COMMIT")  # the ratchet and the count
    self._sql.execute("BEGIN IMMEDIATE")
    return _take(self, frame, opened, now_ms)


_keep = MailboxStore.keep


def _keep_cursor_first(
    self: MailboxStore,
    frames: Sequence[Frame],
    now_ms: int = 0,
    fresh: frozenset[str] = frozenset(),
) -> Kept:
    self._sql.execute("UPDATE account SET position = ?", (frames[-1].position,))
    self._sql.execute("COMMIT")
    self._sql.execute("BEGIN IMMEDIATE")
    return _keep(self, frames, now_ms, fresh)


_offer = Vault.offer


def _offer_under_new_numbers(self: Vault, at_server: int, now_ms: int) -> Keys | None:
    """Give a batch that was not confirmed once more, under the next numbers."""
    offered, next_key = self._sql.execute("SELECT offered, next_key FROM vault").fetchone()
    if offered is None:
        return _offer(self, at_server, now_ms)
    keys, account = msgspec.json.decode(offered, type=Keys), self.account()
    keys.one_time = [
        sign_key(account, self._device, number, key.key)
        for number, key in enumerate(keys.one_time, next_key)
    ]
    kept = (msgspec.json.encode(keys), next_key + len(keys.one_time))
    self._sql.execute("UPDATE vault SET offered = ?, next_key = ?", kept)
    return keys


def _offer_and_forget(self: Vault, at_server: int, now_ms: int) -> Keys | None:
    (next_key,) = self._sql.execute("SELECT next_key FROM vault").fetchone()
    keys = _offer(self, at_server, now_ms)
    self._sql.execute("UPDATE vault SET offered = NULL, next_key = ?", (next_key,))
    return keys


_offer_taken = Vault.offer_taken


def _offer_taken_and_counted(self: Vault, keys: Keys) -> None:
    _offer_taken(self, keys)
    last = max([key.id for key in keys.one_time], default=0)
    self._sql.execute("UPDATE vault SET next_key = max(next_key, ?)", (last + 1,))


# --- counts ---------------------------------------------------------------------------------------


def _count_unkept(self: Peers, name: str, device: str, message_id: int) -> tuple[int, list[int]]:
    self._sql.execute("INSERT OR IGNORE INTO peers (name, device) VALUES (?, ?)", (name, device))
    sent, voids = self._sql.execute(
        "SELECT sent, voids FROM peers WHERE name = ? AND device = ?", (name, device)
    ).fetchone()
    row = (name, device, sent + 1, message_id)
    self._sql.execute("INSERT OR REPLACE INTO sealed VALUES (?, ?, ?, ?)", row)
    return sent + 1, msgspec.json.decode(voids, type=list[int])


_next_count = Peers.next_count


def _count_without_voids(
    self: Peers, name: str, device: str, message_id: int
) -> tuple[int, list[int]]:
    return _next_count(self, name, device, message_id)[0], []


def _seal_one_by_one(self: MessageStore, effect: Seal) -> SealedRows:
    """Give up what is stale only when its turn comes."""
    done = SealedRows()
    for message_id in effect.message_ids:
        if message_id in effect.stale:
            self._sql.execute(
                "UPDATE messages SET payload = NULL WHERE message_id = ?", (message_id,)
            )
        if not self._seal_row(message_id, done):
            break
    return done


def _refuse_alone(self: sync.Outbox, flight: Any, code: str) -> list[OutboxEffect]:
    """Leave what is behind a refused message as it was sealed."""
    index = next(i for i, row in enumerate(self.rows) if row is flight.row)
    del self.rows[index]
    self._rewinding = True
    self._rewinds = 0
    return [self._block(sync.Refuse(flight.row.message_id, code))]


# --- whom to believe ------------------------------------------------------------------------------


def _ever_keys_of(contact: Contact | None, device: str) -> EncryptionKeys | None:
    """Believe every device that was ever in the chain."""
    for link in contact.links if contact else ():
        if link.device == device and link.ed:
            return EncryptionKeys(link.ed, link.curve)
    return None


_targets = Sealing._targets  # noqa: SLF001 - a bug has to be planted where it would be


def _known_targets(
    self: Sealing, message: Outgoing, me: Contact, contact: Contact
) -> list[tuple[str, str]] | Unsealable:
    """Leave out who is new as soon as there is a session with anybody."""
    targets = _targets(self, message, me, contact)
    if not isinstance(targets, list):
        return targets
    known = [each for each in targets if self._vault.can_seal(*each)]
    return known or targets


async def _never_grown(_self: Errands, _name: str) -> bool:
    return False


_open = Opening._open  # noqa: SLF001 - a bug has to be planted where it would be


def _open_as_nobody(
    self: Opening, delivery: Delivery, ciphertext: str, fresh: frozenset[str]
) -> Any:
    """Judge by a chain of our own that this device is not in."""
    return _open(self, delivery, ciphertext, fresh | {self._name})


def _plain(message: Outgoing, _contact: Contact, _why: Unsealable) -> Payload:
    return Payload(None, message.text)


def _identity_by_position(frame: Delivery, text: str, content_id: str) -> bytes:
    return digest_of((frame.sender, frame.device, str(frame.position), text, content_id))


# --- mending --------------------------------------------------------------------------------------


def _wedged_for_ever(self: Vault, name: str, device: str) -> bool:
    found = self._sql.execute(
        "SELECT count(*), coalesce(max(wedged), 0) FROM sessions WHERE name = ? AND device = ?",
        (name, device),
    ).fetchone()
    return bool(found[0]) and not found[1]


_tell_device = MailboxStore._tell_device  # noqa: SLF001 - a bug has to be planted where it would be


def _never_ask(self: MailboxStore, kind: str, name: str, device: str, now_ms: int) -> None:
    if kind != AGAIN:
        _tell_device(self, kind, name, device, now_ms)


def _ask_always(self: MailboxStore, frame: Delivery, now_ms: int) -> None:
    sender, device = frame.sender, frame.device
    self._peers.note_unopened(sender, device)
    assert self._vault is not None
    if self._peers.may_repair(sender, device, now_ms, REPAIR_MS):
        self._vault.wedge(sender, device)
    self._tell_device(AGAIN, sender, device, now_ms)


_answer_again = MailboxStore._seal_again  # noqa: SLF001 - a bug has to be planted where it would be


def _answer_without_text(self: MailboxStore, frame: Delivery, _body: str, now_ms: int) -> None:
    _answer_again(self, frame, "[]", now_ms)


PLANTS: Final = (
    Bug(
        "ratchet_not_kept",
        "a session is not on disk as it was after sealing",
        replaced(Vault, seal=_seal_and_forget),
    ),
    Bug(
        "session_without_text",
        "ratchet and text are kept in two transactions",
        replaced(MailboxStore, _take=_take_in_two),
        flow="receive",
    ),
    Bug(
        "cursor_before_text",
        "the mailbox's position is kept before what lies there",
        replaced(MailboxStore, keep=_keep_cursor_first),
        flow="receive",
    ),
    Bug(
        "keys_under_new_numbers",
        "one-time keys that were not confirmed become public under other numbers too",
        replaced(Vault, offer=_offer_under_new_numbers),
    ),
    Bug(
        "keys_not_kept",
        "one-time keys are not kept until the server has them: others get their numbers",
        replaced(Vault, offer=_offer_and_forget, offer_taken=_offer_taken_and_counted),
    ),
    Bug("count_not_kept", "a count is used again", replaced(Peers, next_count=_count_unkept)),
    Bug(
        "voids_not_sent",
        "nobody is told which counts were given up",
        replaced(Peers, next_count=_count_without_voids),
        flow="seal for changed devices",
    ),
    Bug(
        "stale_given_up_late",
        "counts of later messages are not given up before the first is sealed anew",
        replaced(MessageStore, seal=_seal_one_by_one),
        flow="seal for changed devices",
    ),
    Bug(
        "refused_given_up_late",
        "what was sealed behind a refused message does not say that it was given up",
        together(
            replaced(sync.Outbox, _refuse=_refuse_alone),
            replaced(store_rows, SEALED_BEHIND=store_rows.IS_SEALED.replace("NOT plain", "0")),
        ),
        climate="calm",
    ),
    Bug(
        "no_dedupe",
        "a text is not known again by its id",
        replaced(store_rows, identity_of=_identity_by_position),
        lie=Lie.REORDER,
    ),
    Bug(
        "any_talk",
        "names, keys and talk inside a message are not looked at",
        replaced(Opening, _fits=lambda *_: True),
        lie=Lie.WRONG_CHAT,
    ),
    Bug(
        "keys_not_verified",
        "a claimed key is used whoever has signed it",
        replaced(sealing, verify_key=lambda *_: None),
        lie=Lie.FALSE_KEY,
    ),
    Bug(
        "pin_not_checked",
        "a chain is believed that is not the one that was pinned",
        replaced(chain, check_continues=lambda *_: None),
        lie=Lie.FORKED,
    ),
    Bug(
        "removed_believed",
        "what a device has sealed that was taken out is taken",
        replaced(opening, _keys_of=_ever_keys_of),
        climate="shrinking",
    ),
    Bug(
        "new_device_left_out",
        "devices_changed is answered without the device that is new",
        replaced(Sealing, _targets=_known_targets),
        climate="growing",
    ),
    Bug(
        "removed_device_waited_for",
        "a text fails because a device of its addressee has no keys any more",
        replaced(Errands, _has_grown=_never_grown),
        climate="shrinking",
    ),
    Bug(
        "own_chain_not_asked_for",
        "a device that does not stand in its own chain, as it has it, calls everything forged",
        replaced(Opening, _open=_open_as_nobody),
        lie=Lie.WITHHELD,
    ),
    Bug(
        "plain_instead",
        "a text goes out as it is where there are no keys",
        replaced(Sealing, _plain=staticmethod(_plain)),
    ),
    Bug(
        "wedged_for_ever",
        "a session that was given up stands in the way of the next one",
        replaced(Vault, can_seal=_wedged_for_ever),
        lie=Lie.DAMAGE,
    ),
    Bug(
        "never_asks",
        "what could not be opened or never came is not asked for",
        replaced(MailboxStore, _tell_device=_never_ask),
        lie=Lie.DROP,
    ),
    Bug(
        "never_answers",
        "who is asked for what never came sends only the present count",
        replaced(MailboxStore, _seal_again=_answer_without_text),
        lie=Lie.DAMAGE,
    ),
    Bug(
        "asks_for_ever",
        "two that cannot open each other's questions go on asking",
        replaced(MailboxStore, _mend=_ask_always),
        climate="cloned",
    ),
)
"""Every bug; each is looked for in the schedules in which it can show."""
