"""The marks of messages: short, of this store only, and different for different messages."""

from __future__ import annotations

import msgspec
import pytest

from jim.client.mark import MARK_BYTES, digest_of, mark_of
from jim.protocol import messages as m

STORE = "0123456789abcdef" * 2


def test_a_mark_is_what_the_protocol_takes() -> None:
    mark = mark_of(STORE, 2**53 - 1, "bob", "привет" * 1000)
    assert len(mark) == 2 * MARK_BYTES
    frame = msgspec.json.encode(m.Msg(id=1, n=1, to="bob", message="", mark=mark))
    assert msgspec.json.decode(frame, type=m.Msg).mark == mark


def test_a_mark_never_changes() -> None:
    """A store restored by a later version has to give those that the server was told."""
    assert mark_of(STORE, 7, "bob", "hello") == "44cc0eeca9c9c1a2"


@pytest.mark.parametrize(
    "other",
    [
        ("f" * 32, 7, "bob", "hello"),
        (STORE, 8, "bob", "hello"),
        (STORE, 7, "carol", "hello"),
        (STORE, 7, "bob", "hello!"),
        (STORE, 7, "bobh", "ello"),
    ],
    ids=["store", "message", "addressee", "text", "border"],
)
def test_everything_counts(other: tuple[str, int, str, str]) -> None:
    assert mark_of(*other) != mark_of(STORE, 7, "bob", "hello")


def test_texts_are_kept_apart() -> None:
    several = (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""])
    assert len({digest_of(parts) for parts in several}) == len(several)
