"""Two people compare seven emoji instead of sixty digits, and know that nobody sits between them.

As in Matrix (client-server specification, "Short Authentication String verification"):

    initiator                 responder
    Start          ->
                   <-         Commit: a hash of its key, so that it cannot choose it later
    Key            ->
                   <-         Reveal: the key itself
    both show the emoji and ask; who was told that they are the same sends
    Confirm        <->        a MAC of its own root and identity

Somebody in between has to choose its keys before it knows those of the two, so that it gets one
guess at 42 bits. The keys, the MAC and the emoji are vodozemac's. Nothing here sends, waits or
asks: every call takes what came and gives what is to be sent. A comparison lives in memory alone.
"""

from __future__ import annotations

import base64
import enum
import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import vodozemac
from msgspec import Meta, Struct
from vodozemac import Curve25519PublicKey

from jim.crypto.emoji import EMOJI
from jim.crypto.transcript import transcript
from jim.errors import VerificationFailed
from jim.protocol.messages import Bytes32

if TYPE_CHECKING:
    from jim.crypto.emoji import Emoji

COMMITMENT: Final = "jim-sas-commit-1"
SHOWN: Final = "jim-sas-show-1"
MAC: Final = "jim-sas-mac-1"
IDENTITY: Final = "jim-sas-id-1"
"""Labels of what is hashed here; the digit is the version of the fields behind it."""

TRANSACTION_BYTES: Final = 16
"""128 random bits: no comparison is ever mistaken for another one."""

Transaction = Annotated[bytes, Meta(min_length=TRANSACTION_BYTES, max_length=TRANSACTION_BYTES)]


class Start(Struct, frozen=True, tag_field="step", tag="start"):
    """Ask the other side to compare."""

    transaction: Transaction


class Commit(Struct, frozen=True, tag_field="step", tag="commit"):
    """The responder's promise of a key."""

    transaction: Transaction
    commitment: Bytes32


class Key(Struct, frozen=True, tag_field="step", tag="key"):
    """The initiator's key."""

    transaction: Transaction
    key: Bytes32


class Reveal(Struct, frozen=True, tag_field="step", tag="reveal"):
    """The responder's key, as promised."""

    transaction: Transaction
    key: Bytes32


class Confirm(Struct, frozen=True, tag_field="step", tag="confirm"):
    """The user of the sender saw the same emoji; `mac` is over the sender's root and identity."""

    transaction: Transaction
    mac: Bytes32


class Cancel(Struct, frozen=True, tag_field="step", tag="cancel"):
    """The emoji differ, or the sender gives up."""

    transaction: Transaction


Step = Start | Commit | Key | Reveal | Confirm | Cancel
"""What travels, inside sealed messages; a union that msgspec decodes by its field `step`."""


class Party(NamedTuple):
    """One of the two, as the own copy of its device chain says."""

    name: str
    device: str
    root: bytes
    ed: bytes


class State(enum.Enum):
    """Where a comparison is; each name says what is waited for."""

    COMMIT = "commit"
    KEY = "key"
    REVEAL = "reveal"
    COMPARE = "compare"
    OVER = "over"


class Comparison:
    """One side of one comparison; `begin` or `answer` makes it."""

    __slots__ = (
        "_commitment",
        "_confirmed",
        "_established",
        "_first",
        "_me",
        "_order",
        "_peer",
        "_proven",
        "_sas",
        "state",
        "transaction",
    )

    state: State
    transaction: bytes

    def __init__(self, me: Party, peer: Party, transaction: bytes, state: State) -> None:
        """Make a key for this comparison alone; use `begin` or `answer`."""
        self.state, self.transaction = state, transaction
        self._me, self._peer = me, peer
        self._first = state is State.COMMIT
        self._sas = vodozemac.Sas()
        self._established: vodozemac.EstablishedSas | None = None
        self._order: tuple[bytes | str, ...] = ()
        self._commitment = b""
        self._confirmed = self._proven = False

    @classmethod
    def begin(cls, me: Party, peer: Party) -> tuple[Comparison, Start]:
        """Begin as the initiator; send the start."""
        transaction = secrets.token_bytes(TRANSACTION_BYTES)
        return cls(me, peer, transaction, State.COMMIT), Start(transaction)

    @classmethod
    def answer(cls, me: Party, peer: Party, start: Start) -> tuple[Comparison, Commit]:
        """Take part as the responder, once the user has agreed; send the commitment."""
        made = cls(me, peer, start.transaction, State.KEY)
        return made, Commit(start.transaction, _commitment(made.key, start.transaction))

    @property
    def key(self) -> bytes:
        """The public key of this side, 32 bytes."""
        return self._sas.public_key.to_bytes()

    @property
    def emoji(self) -> tuple[Emoji, ...]:
        """The seven emoji to show while the state is `COMPARE`; before it there are none."""
        if self._established is None:
            return ()
        shown = self._established.bytes(transcript(SHOWN, *self._order).hex())
        return tuple(EMOJI[index] for index in shown.emoji_indices)

    @property
    def verified(self) -> bool:
        """Tell whether this user saw the same emoji, and the peer too, proven by its MAC."""
        return self._confirmed and self._proven

    def receive(self, step: Step) -> Step | None:
        """Take what the peer sent; gives what to send back, if anything.

        Raises:
            VerificationFailed: with `reason` other (of another comparison, or this one is over:
                nothing has changed), order, commitment (the key is not the promised one), key (a
                bad one), mac, or cancelled; then it is over and has failed.
        """
        if step.transaction != self.transaction or self.state is State.OVER:
            raise _failed("other", "it belongs to another comparison")
        try:
            return self._receive(step)
        except VerificationFailed:
            self.state = State.OVER
            raise

    def confirm(self) -> Confirm:
        """Note that the user saw the same emoji as the peer; send the MAC.

        Raises:
            VerificationFailed: with `reason` order: there is nothing to confirm.
        """
        if self.state is not State.COMPARE or self._confirmed:
            raise _failed("order", "there is nothing to confirm")
        self._confirmed = True
        mac = self._mac(self._me, self._peer)
        self._finish()
        return Confirm(self.transaction, mac)

    def cancel(self) -> Cancel:
        """Give up: the emoji differ, or the user does not want to go on."""
        self.state = State.OVER
        return Cancel(self.transaction)

    # --- what comes -----------------------------------------------------------------------------

    def _receive(self, step: Step) -> Step | None:
        match (self.state, step):
            case (State.COMMIT, Commit(commitment=commitment)):
                self._commitment, self.state = commitment, State.REVEAL
                return Key(self.transaction, self.key)
            case (State.KEY, Key(key=key)):
                own = self.key
                self._agree(key)
                return Reveal(self.transaction, own)
            case (State.REVEAL, Reveal(key=key)):
                self._check_commitment(key)
                self._agree(key)
            case (State.COMPARE, Confirm(mac=mac)) if not self._proven:
                self._check_mac(mac)
            case (_, Cancel()):
                raise _failed("cancelled", "the other side has given up")
            case _:
                raise _failed("order", f"{type(step).__name__} does not belong here")
        return None

    def _agree(self, other: bytes) -> None:
        """Agree on a secret; from here on there are emoji."""
        own = self.key
        try:
            self._established = self._sas.diffie_hellman(Curve25519PublicKey.from_bytes(other))
        except ValueError as error:
            raise _failed("key", f"a bad key: {error}") from None
        parties, keys = (self._me, self._peer), (own, other)
        if not self._first:
            parties, keys = (self._peer, self._me), (other, own)
        self._order = (self.transaction, *parties[0], *parties[1], *keys)
        self.state = State.COMPARE

    def _check_commitment(self, key: bytes) -> None:
        if not hmac.compare_digest(_commitment(key, self.transaction), self._commitment):
            raise _failed("commitment", "the key is not the one that was promised")

    def _check_mac(self, mac: bytes) -> None:
        if not hmac.compare_digest(self._mac(self._peer, self._me), mac):
            raise _failed("mac", "the other side has other keys than shown here")
        self._proven = True
        self._finish()

    def _mac(self, sender: Party, receiver: Party) -> bytes:
        """Give the sender's MAC; both are named in it, so that it is no answer to itself."""
        assert self._established is not None  # noqa: S101 - the state says so
        content = transcript(IDENTITY, *sender).hex()
        info = transcript(MAC, *sender, *receiver, *self._order).hex()
        text = self._established.calculate_mac(content, info)
        return base64.b64decode(text + "=" * (-len(text) % 4))

    def _finish(self) -> None:
        if self.verified:
            self.state = State.OVER


def goes_on(mine: Start, theirs: Start) -> bool:
    """Tell whether, of two that both sides began at once, the own one goes on: the smaller one."""
    return mine.transaction < theirs.transaction


def _commitment(key: bytes, transaction: bytes) -> bytes:
    return sha256(transcript(COMMITMENT, key, transaction)).digest()


def _failed(reason: str, detail: str) -> VerificationFailed:
    return VerificationFailed(detail, reason=reason)
