"""Messages one by one, for tests: into a batch, and out of the answers of a commit."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET, Struct, UnsetType

from jim.core.model import Batch, Identity, Run
from jim.errors import WireError
from jim.protocol.codec import FROM_SERVER
from jim.protocol.messages import ErrorReply, Msg
from jim.protocol.messages import Stored as StoredReply
from jim.protocol.replies import raised

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.core.model import Answers


class Append(Struct):
    """One message."""

    sender: Identity
    n: int
    to: str
    text: str = ""
    mark: str = ""
    sealed: dict[str, str] | None = None
    """Device to ciphertext, instead of the text."""
    only: bool = False


class Stored(Struct):
    """The answer to one that is stored."""

    n: int
    seq: int
    time_ms: int
    skipped: int = 0


class Refused(Struct):
    """The answer to one that is not."""

    n: int
    error: WireError


Outcome = Stored | Refused


def batch_of(
    appends: Iterable[Append], acks: dict[int, int] | None = None, steady_ms: int | None = None
) -> Batch:
    """Put messages into a batch, in this order."""
    runs = [
        Run(sender, [_message(append) for append in appends])
        for sender, appends in itertools.groupby(appends, lambda append: append.sender)
    ]
    return Batch(runs, acks or {}, steady_ms)


def _message(append: Append) -> Msg:
    mark = append.mark or UNSET
    n, sealed = append.n, append.sealed
    if sealed is None:
        return Msg(id=n, n=n, to=append.to, message=append.text, mark=mark)
    return Msg(id=n, n=n, to=append.to, ciphertexts=sealed, only=append.only, mark=mark)


class Answered(Protocol):
    """A plan, or what came of a commit."""

    @property
    def answers(self) -> Sequence[Answers]:
        """What the senders are told."""


def outcomes(done: Answered) -> list[Outcome]:
    """Read the answers to single messages."""
    frames = b"".join(each.frames for each in done.answers)
    return [_outcome(reply) for reply in FROM_SERVER.json.decode_lines(frames)]


def stored(outcome: Outcome) -> Stored:
    """Expect a message to be stored."""
    assert isinstance(outcome, Stored), outcome
    return outcome


def refused(outcome: Outcome) -> Refused:
    """Expect a message to be refused."""
    assert isinstance(outcome, Refused), outcome
    return outcome


def introduced(done: Answered) -> list[int]:
    """Give the accounts that the senders are new to."""
    return [account_id for each in done.answers for account_id in each.introduced]


def _outcome(reply: object) -> Outcome:
    if isinstance(reply, StoredReply):
        skipped = 0 if isinstance(reply.skipped, UnsetType) else reply.skipped
        assert reply.id == reply.n
        return Stored(reply.n, reply.seq, reply.time, skipped)
    assert isinstance(reply, ErrorReply), reply
    assert not isinstance(reply.n, UnsetType)
    assert reply.id == reply.n
    return Refused(reply.n, raised(reply))
