"""Errors of the project as messages of the protocol, and back."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from jim.errors import JimError, WireError, from_wire
from jim.protocol.messages import ErrorReply, Goodbye

_FIELDS = (
    "n",
    "expected",
    "reason",
    "size_bytes",
    "limit_bytes",
    "limit",
    "retry_after_ms",
    "incident",
    "devices",
)


def error_reply(error: WireError, time_ms: int, request_id: int | str | None = None) -> ErrorReply:
    """Word an error for the wire; fields that the protocol does not know stay at home."""
    known: dict[str, Any] = {name: error.fields[name] for name in _FIELDS if name in error.fields}
    return ErrorReply(
        response=error.response,
        code=error.code,
        error=str(error.detail or error.text),
        time=time_ms,
        fatal=error.fatal,
        id=UNSET if request_id is None else request_id,
        **known,
    )


def goodbye(error: JimError, time_ms: int) -> Goodbye:
    """Word the error that ends a session."""
    retry_after = error.fields.get("retry_after_ms")
    return Goodbye(
        code=error.code,
        time=time_ms,
        response=error.response,
        error=str(error.detail or error.text),
        retry_after_ms=retry_after if isinstance(retry_after, int) else UNSET,
    )


def raised(reply: ErrorReply | Goodbye) -> WireError:
    """Rebuild the error that the other side has worded."""
    fields = {
        name: value
        for name in _FIELDS
        if not isinstance(value := getattr(reply, name, UNSET), UnsetType)
    }
    detail = reply.error if isinstance(reply.error, str) else ""
    return from_wire(reply.code, detail, **fields)
