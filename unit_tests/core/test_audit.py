"""The checks by themselves, where a store would not let the damage be planted."""

from __future__ import annotations

import pytest

from jim.core.audit import Author, MailboxAudit, Membership, check_conversation, check_totals
from jim.core.findings import Fault, Mailbox
from jim.core.model import MailboxState, Stored
from jim.protocol.codec import encode
from jim.protocol.messages import Notice, Probe


class Nobody:
    """A directory without people."""

    def author(self, name: str, device: str) -> None:
        """Know nobody."""

    def talk(self, name: str, other: str) -> None:
        """Know no conversation."""

    def agrees_place(self, conversation_id: int, seq: int, digest: bytes) -> bool:
        raise AssertionError

    def agrees_number(self, device_id: int, n: int, digest: bytes) -> bool:
        raise AssertionError


def mailbox(last: int, acked: int = 0, state: MailboxState = MailboxState.STALE) -> Mailbox:
    return Mailbox(
        account="alice",
        device="d",
        last_position=last,
        acked=acked,
        state=state,
        waiting_since_ms=int(last != acked),
    )


def notice(position: int) -> bytes:
    return encode(Notice(position=position, code="mailbox_full", time=1))


def faults(audit: MailboxAudit, *segments: tuple[int, int, bytes]) -> list[Fault]:
    found = [f for first, last, raw in segments for f in audit.add(first, last, raw, {})]
    return [each.fault for each in [*found, *audit.end()]]


def test_a_tombstone_closes_a_stale_mailbox() -> None:
    assert faults(MailboxAudit(mailbox(3, 2), Nobody()), (3, 3, notice(3))) == []


def test_nothing_follows_a_tombstone() -> None:
    segments = ((1, 1, notice(1)), (2, 2, notice(2)))
    assert faults(MailboxAudit(mailbox(2), Nobody()), *segments) == [Fault.STATE]


def test_a_live_mailbox_has_no_tombstone() -> None:
    audit = MailboxAudit(mailbox(1, state=MailboxState.LIVE), Nobody())
    assert faults(audit, (1, 1, notice(1))) == [Fault.STATE]


def test_a_confirmation_beyond_the_end() -> None:
    audit = MailboxAudit(mailbox(2, 3, MailboxState.LIVE), Nobody())
    assert faults(audit) == [Fault.STATE]


def test_segments_that_overlap() -> None:
    segments = ((1, 2, b""), (2, 3, notice(2) + notice(3)))
    assert Fault.DOUBLED in faults(MailboxAudit(mailbox(3), Nobody()), *segments)


def test_a_frame_that_never_belongs_into_a_mailbox() -> None:
    audit = MailboxAudit(mailbox(1, state=MailboxState.LIVE), Nobody())
    assert faults(audit, (1, 1, encode(Probe(id=1)))) == [Fault.FRAMES]


@pytest.mark.parametrize(("n", "seq"), [(0, None), (7, None), (8, 21), (9, 22), (10, None)])
def test_the_answer_to_a_number(n: int, seq: int | None) -> None:
    author = Author(1, 9, (Stored(8, 21, 5), Stored(9, 22, 6)))
    answer = author.answer(n)
    assert (answer.seq if answer else None) == seq


def member(account_id: int, wrote: int = 1, delivered_seq: int = 0) -> Membership:
    return Membership(
        account_id=account_id, name=f"n{account_id}", wrote=wrote, delivered_seq=delivered_seq
    )


@pytest.mark.parametrize(
    ("sides", "last_seq", "members", "count"),
    [
        ((1, 2), 3, [member(1, delivered_seq=3), member(2, 0)], 0),
        ((1, 1), 3, [member(1)], 0),
        ((1, 2), 0, [member(1, 0), member(2, 0)], 0),
        ((1, 2), 3, [member(1)], 1),
        ((1, 2), 3, [member(1), member(3)], 1),
        ((1, 2), 3, [], 1),
        ((1, 2), 3, [member(1, 0), member(2, 0)], 1),
        ((1, 2), 0, [member(1), member(2)], 1),
        ((1, 2), 3, [member(1, 2), member(2)], 1),
        ((1, 2), 3, [member(1, delivered_seq=4), member(2, delivered_seq=-1)], 2),
    ],
)
def test_a_conversation(
    sides: tuple[int, int], last_seq: int, members: list[Membership], count: int
) -> None:
    assert len(list(check_conversation(sides, last_seq, members))) == count


def test_every_message_takes_one_number_and_one_place() -> None:
    assert list(check_totals(5, 0, 5)) == []
    [found] = check_totals(5, 0, 4)
    assert (found.fault, found.first, found.last) == (Fault.TOTAL, 5, 4)


def test_a_message_for_one_device_alone_takes_a_number_and_no_place() -> None:
    assert list(check_totals(5, 2, 3)) == []
    [found] = check_totals(5, 2, 5)
    assert (found.fault, found.first, found.last) == (Fault.TOTAL, 3, 5)
