"""Split a text that is longer than one message may be; pure."""

from __future__ import annotations

from typing import Final

LOOK_BACK: Final = 2
"""A line or word boundary is used if the part before it is at least 1/2 of what fits: better a word
cut in two than twice the number of messages."""

CLUSTER_WINDOW: Final = 64
"""Characters looked at before a cut to find where its grapheme begins; the longest emoji sequence
in use has 10 code points (UTS #51)."""


def split_text(text: str, limit_bytes: int) -> list[str]:
    """Split a text into parts of at most `limit_bytes` bytes of UTF-8.

    The parts joined together are the text. Cuts are after a newline if there is one in the second
    half of what fits, else after a space, else between graphemes; a grapheme that is longer than
    the limit is cut between code points, and a code point never.

    Raises:
        ValueError: the limit is below 4 bytes, the longest code point.
    """
    if limit_bytes < 4:  # noqa: PLR2004 - RFC 3629: a code point has at most 4 bytes
        raise ValueError(limit_bytes)
    parts: list[str] = []
    start = 0
    while start < len(text):
        end = _end_of_part(text, start, limit_bytes)
        parts.append(text[start:end])
        start = end
    return parts or [""]


def _end_of_part(text: str, start: int, limit_bytes: int) -> int:
    end = _last_that_fits(text, start, limit_bytes)
    if end == len(text):
        return end
    least = start + (end - start) // LOOK_BACK
    for boundary in ("\n", " "):
        found = text.rfind(boundary, least, end)
        if found >= 0:
            return found + 1
    return _between_graphemes(text, start, end)


def _last_that_fits(text: str, start: int, limit_bytes: int) -> int:
    """Find the largest end with text[start:end] within the limit."""
    encoded = text[start : start + limit_bytes].encode("utf-8", "surrogatepass")
    if len(encoded) <= limit_bytes:
        return min(start + limit_bytes, len(text))
    cut = limit_bytes
    while encoded[cut] & 0xC0 == 0x80:  # noqa: PLR2004 - RFC 3629: a continuation byte
        cut -= 1
    return start + len(encoded[:cut].decode("utf-8", "surrogatepass"))


def _between_graphemes(text: str, start: int, end: int) -> int:
    """Move a cut back to the beginning of the grapheme that it would divide."""
    import wcwidth

    window = max(start, end - CLUSTER_WINDOW)
    position = window
    for cluster in wcwidth.iter_graphemes(text[window : end + CLUSTER_WINDOW]):
        if position + len(cluster) > end:
            break
        position += len(cluster)
    return position if position > start else end
