"""Each planted bug of a codec is caught by the corpora and by the fuzzer's properties."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jim.errors import Malformed
from jim.protocol import messages as m
from jim.protocol.codec import Decoder, Invalid
from reliability.hostile import codec_check
from reliability.hostile.fuzz import codec, driver
from reliability.hostile.fuzz.choices import Broken


class RaisesOnDepth(Decoder[Any]):
    """Parses before it looks at the nesting."""

    def feed(self, data: bytes) -> list[Any]:
        if b"[" * 5_000 in data:
            raise RecursionError
        return super().feed(data)


class AcceptsNaN(Decoder[Any]):
    """Believes Python's json, which knows NaN."""

    def feed(self, data: bytes) -> list[Any]:
        return super().feed(data.replace(b"NaN", b"0"))


class DependsOnChunks(Decoder[Any]):
    """Takes the end of a segment for the end of a frame."""

    def feed(self, data: bytes) -> list[Any]:
        items = super().feed(data)
        if not data.endswith(b"\n") and b'"action":"ack"' in data:
            items += super().feed(b"\n")
        return items


class SkipsUtf8(Decoder[Any]):
    """Does not look at the encoding of what it skips."""

    def feed(self, data: bytes) -> list[Any]:
        return super().feed(data.decode("utf-8", "replace").encode())


class LosesFrames(Decoder[Any]):
    """Gives at most 100 messages for a segment."""

    def feed(self, data: bytes) -> list[Any]:
        return super().feed(data)[:100]


class HoldsEverything(Decoder[Any]):
    """Never gives up on a frame without an end."""

    __slots__ = ("_all",)

    def __init__(self, parser: Any, max_frame_bytes: int) -> None:
        super().__init__(parser, max_frame_bytes)
        self._all = 0

    def feed(self, data: bytes) -> list[Any]:
        self._all += len(data)
        return super().feed(data)

    @property
    def pending_bytes(self) -> int:
        return self._all


class InventsErrors(Decoder[Any]):
    """Answers with an error that is not the codec's to give."""

    def feed(self, data: bytes) -> list[Any]:
        items = super().feed(data)
        return [
            Invalid(ValueError()) if isinstance(item, Invalid) and item.id == 7 else item  # type: ignore[arg-type]
            for item in items
        ]


class AnswersNothing(Decoder[Any]):
    """Leaves out what is malformed."""

    def feed(self, data: bytes) -> list[Any]:
        return [
            item
            for item in super().feed(data)
            if not (isinstance(item, Invalid) and isinstance(item.error, Malformed))
        ]


PLANTED = [
    RaisesOnDepth,
    AcceptsNaN,
    DependsOnChunks,
    SkipsUtf8,
    LosesFrames,
    HoldsEverything,
    InventsErrors,
    AnswersNothing,
]


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_is_caught_by_the_corpora(planted: type[Decoder[Any]]) -> None:
    assert codec_check.run(planted, every=20).violations


def test_the_codec_itself_breaks_nothing() -> None:
    section = codec_check.run(every=10)
    assert not section.violations
    assert section.cases > 2_000
    assert {"message", "malformed", "bad_request", "unknown_action"} <= set(section.answers)


@pytest.mark.parametrize("planted", [DependsOnChunks, HoldsEverything, AnswersNothing])
def test_a_planted_bug_is_caught_by_fuzzing(planted: type[Decoder[Any]]) -> None:
    outcome = driver.fuzz("codec", 3_000, run=lambda content: codec.run(content, planted))
    assert outcome.failure is not None
    assert "Broken" in outcome.failure.trace


def test_what_is_taken_as_a_message_is_judged_by_the_standard_library() -> None:
    class Obliging(Decoder[Any]):
        def feed(self, data: bytes) -> list[Any]:
            return [m.Ack(position=1) for _ in range(data.count(b"\n"))]

    with pytest.raises(Broken, match="taken as a message"):
        codec.check(b'{"a":NaN}\n', [], *codec.SIDES[0], 100, Obliging)
    json.loads('{"a":NaN}')  # which is why its own liberty has to be switched off
