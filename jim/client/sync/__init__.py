"""Every decision about what is sent, sent again, kept and confirmed: the client's exactly-once.

Two pure machines without I/O, clock or chance. `Outbox` owns the messages that the server has not
confirmed, `Inbox` the mailbox cursor. Each method takes what has happened and gives the effects to
carry out, in order. Effects that change the store are carried out one after the other; those
marked *blocking* are reported back by `done` once they are durable, and nothing is transmitted
until then. Why this is safe: docs/adr/0006-client-outbox-and-cursor.md.
"""

from jim.client.sync.common import MAX_FRUITLESS, Disconnect
from jim.client.sync.inbox import (
    Acknowledge,
    AskFrom,
    Decision,
    Inbox,
    InboxEffect,
    Missing,
    MoveCursor,
)
from jim.client.sync.outbox import (
    BLOCKING,
    Confirm,
    Outbox,
    OutboxEffect,
    Payload,
    Refuse,
    Requeue,
    Restart,
    Row,
    Seal,
    Transmit,
)
from jim.client.sync.settling import Settled, settle

__all__ = [
    "BLOCKING",
    "MAX_FRUITLESS",
    "Acknowledge",
    "AskFrom",
    "Confirm",
    "Decision",
    "Disconnect",
    "Inbox",
    "InboxEffect",
    "Missing",
    "MoveCursor",
    "Outbox",
    "OutboxEffect",
    "Payload",
    "Refuse",
    "Requeue",
    "Restart",
    "Row",
    "Seal",
    "Settled",
    "Transmit",
    "settle",
]
