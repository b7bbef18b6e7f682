"""`ack`, `sync`, `receipts`: what a device has collected, and what others have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.core.names import lookup_key
from jim.errors import NameInvalid
from jim.protocol import messages as m
from jim.server.node import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jim.server.active import Active

_OK: Final = 200


def acknowledge(session: Active, message: m.Ack) -> None:
    """Take a confirmation; there is no reply.

    Raises:
        BadRequest: of something that was not sent.
    """
    session.node.hub.acknowledge(session.link, message.position)
    session.node.committer.wake_later()


def sync(session: Active, message: m.Sync) -> m.Ok:
    """Start delivery after a position; the reply goes out before the first frame.

    Raises:
        BadRequest: the position is ahead of the mailbox.
    """
    position = session.node.hub.sync(session.link, message.after)
    session.node.committer.wake_later()
    return m.Ok(id=message.id, response=_OK, time=now_ms(), position=position)


async def receipts(session: Active, message: m.Receipts) -> m.ReceiptsReply:
    """Tell up to where others hold our conversations, and where their chains end.

    People without a conversation with us are left out.
    """
    account_id = session.link.identity.account_id
    keys = list(_keys(message.names))
    found = await session.node.store.receipts(account_id, keys)
    return m.ReceiptsReply(
        id=message.id,
        response=_OK,
        time=now_ms(),
        delivered={name: each.seq for name, each in found.items()},
        chains={name: each.chain_seq for name, each in found.items()},
    )


def _keys(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            yield lookup_key(name)
        except NameInvalid:
            continue
