"""Mask secrets and message texts in log lines: the second line of defence.

The first one is that no code logs them. This one catches a slip: a logged struct, frame, invite,
or an exception that quotes one. It works on the finished text, in the writer's thread.
"""

from __future__ import annotations

import re

MASK = "[redacted]"

SECRET_FIELDS = frozenset(
    {
        "body",
        "invite",
        "message",
        "message_text",
        "mnemonic",
        "passphrase",
        "password",
        "plaintext",
        "private_key",
        "proof",
        "recovery",
        "secret",
        "seed",
        "sig",
        "signature",
        "text",
        "token",
        "words",
    }
)
"""Names whose values are never written: bodies, keys, invites (security.md, files)."""

_QUOTED = r"""b?"(?:\\.|[^"\\])*"?|b?'(?:\\.|[^'\\])*'?"""

_NAMES = "|".join(sorted(SECRET_FIELDS, key=len, reverse=True))

# "message": "…" of JSON, 'message': '…' of a dict, message='…' of a struct, token=… of anything.
_ASSIGNED = re.compile(
    rf"""(?P<name>(?P<quote>["'])(?:{_NAMES})(?P=quote)\s*:\s*|\b(?:{_NAMES})\s*=\s*)"""
    rf"""(?:{_QUOTED}|[\[(][^\])]*[\])]?|[^\s,;)\]}}]+)""",
    re.IGNORECASE,
)

# "token: …" in prose, for the words that mean nothing else.
_SPELLED = re.compile(
    r"\b(?P<name>(?:token|seed|mnemonic|password|passphrase|recovery words|words)\s*:\s*).+",
    re.IGNORECASE,
)

_INVITE = re.compile(r"\bjim://\S+", re.IGNORECASE)

# Twelve words or more as BIP39 has them (3 to 8 letters each, English or Russian) in a row.
_RECOVERY_WORDS = re.compile(r"\b(?:[a-zа-яё]{3,8}[ ,]+){11,}[a-zа-яё]{3,8}\b")


def redact(text: str) -> str:
    """Return the text with everything masked that looks like a secret or a message body."""
    text = _INVITE.sub(f"jim://{MASK}", text)
    text = _ASSIGNED.sub(rf"\g<name>{MASK}", text)
    text = _SPELLED.sub(rf"\g<name>{MASK}", text)
    return _RECOVERY_WORDS.sub(MASK, text)


def is_secret(field: str) -> bool:
    """Tell whether a field of that name must not be written."""
    return field.lower() in SECRET_FIELDS
