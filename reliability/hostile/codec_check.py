"""Part one: every corpus through the codec, from both sides and in any chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from jim.core.names import claim, normalise
from jim.errors import NameInvalid
from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Decoder, Invalid, Parser
from reliability.hostile import corpus, torture, utf8
from reliability.hostile.fuzz import codec
from reliability.hostile.fuzz.choices import Broken
from reliability.hostile.report import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_BYTES: Final = 64 * 1024
"""Of a frame in this part: every case but the giants fits, and the giants shall not."""

PIECES: Final = (1, 7, 64, 1000)
"""Sizes of the chunks for streams of many frames: all byte by byte, and three that fit nothing."""

STREAM_FRAMES: Final = 40
"""Frames joined to one stream, so that whole and broken ones meet in one chunk."""

WRAPPED: Final = b'{"action":"probe","id":7,"x":%b}'

DecoderMaker = "Callable[[Parser[Any], int], Decoder[Any]]"


def run(make: Callable[[Parser[Any], int], Decoder[Any]] = Decoder, every: int = 1) -> Section:
    """Check the codec with every `every`-th case; `make` gives the decoder under test."""
    section = Section("codec")
    for cases, side in (
        (torture.client_cases(LIMIT_BYTES), 0),
        (torture.server_cases(LIMIT_BYTES), 1),
    ):
        _check_cases(section, cases[::every], side, make)
    for name, broken in _wrong_verdicts(make):
        section.violate(f"{name}: {broken}")
    section.cases += len(corpus.json_cases()) + len(utf8.cases())
    _check_every_split(section, make, every)
    _check_endless(section, make)
    _check_names(section)
    return section


def _check_cases(
    section: Section,
    cases: list[torture.Case],
    side: int,
    make: Callable[[Parser[Any], int], Decoder[Any]],
) -> None:
    parser, union = codec.SIDES[side]
    streams = [
        cases[start : start + STREAM_FRAMES] for start in range(0, len(cases), STREAM_FRAMES)
    ]
    for case in cases:
        size = len(case.frame) + 1
        cuts = sorted({size * part // 9 for part in range(1, 9)})
        items = _attempt(section, case.name, case.frame + b"\n", cuts, parser, union, make)
        section.cases += 1
        for item in items:
            section.count(item.error.code if isinstance(item, Invalid) else "message")
    for stream in streams:
        data = b"\n".join(case.frame for case in stream) + b"\n"
        for size in PIECES[1:]:
            cuts = list(range(size, len(data), max(size, len(data) // 200)))
            _attempt(section, f"stream from {stream[0].name}", data, cuts, parser, union, make)


def _attempt(
    section: Section,
    name: str,
    stream: bytes,
    cuts: list[int],
    parser: Parser[Any],
    union: Any,
    make: Callable[[Parser[Any], int], Decoder[Any]],
) -> list[Any]:
    """Check one stream; whatever is raised is a violation."""
    try:
        return codec.check(stream, cuts, parser, union, LIMIT_BYTES, make)
    except Broken as error:
        section.violate(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 - the codec must not raise at all
        section.violate(f"{name}: raised {type(error).__name__}: {str(error)[:200]}")
    return []


# --- verdicts -------------------------------------------------------------------------------------


def _wrong_verdicts(
    make: Callable[[Parser[Any], int], Decoder[Any]],
) -> Iterator[tuple[str, str]]:
    """Hold the codec to what the corpora say about validity, for values that it only skips."""
    for case in corpus.json_cases():
        if b"\n" in case.content or case.expected == "i":
            continue
        accepted = _accepts(make, WRAPPED % case.content)
        if accepted is not (case.expected == "y"):
            yield case.name, "accepted" if accepted else "refused"
    for odd in utf8.cases():
        accepted = _accepts(make, WRAPPED % (b'"%b"' % odd.content))
        if accepted is not odd.valid:
            yield f"UTF-8: {odd.name}", "accepted" if accepted else "refused"


def _accepts(make: Callable[[Parser[Any], int], Decoder[Any]], frame: bytes) -> bool | None:
    """Tell whether the frame is a message; None if it is neither that nor refused."""
    try:
        items = make(FROM_CLIENT, 1 << 20).feed(frame + b"\n")
    except Exception:  # noqa: BLE001 - it is a wrong verdict, whatever it is
        return None
    return len(items) == 1 and isinstance(items[0], m.Probe)


def _check_every_split(
    section: Section, make: Callable[[Parser[Any], int], Decoder[Any]], every: int
) -> None:
    """Cut one frame of every message at every byte, and many frames at every byte of the first."""
    for (parser, union), cases in (
        ((FROM_CLIENT, m.ClientMessage), torture.mutations(m.ClientMessage)),
        ((FROM_SERVER, m.ServerMessage), torture.mutations(m.ServerMessage)),
    ):
        good = [case for case in cases if case.name.endswith("as it should be")]
        everything = b"".join(case.frame + b"\n" for case in good)
        for case in good:
            for cut in range(1, len(case.frame) + 1, every):
                _attempt(
                    section,
                    case.name,
                    case.frame + b"\n" + everything[:100] + b"\n",
                    [cut],
                    parser,
                    union,
                    make,
                )
                section.cases += 1
        found = len(make(parser, LIMIT_BYTES).feed(everything * 20))
        if found != 20 * len(get_args(union)):
            section.violate(f"{found} messages of {20 * len(get_args(union))} in one segment")


def _check_endless(section: Section, make: Callable[[Parser[Any], int], Decoder[Any]]) -> None:
    """Feed a frame that never ends: one error, and no more is held than the limit."""
    section.cases += 1
    decoder = make(FROM_CLIENT, LIMIT_BYTES)
    items: list[Any] = []
    for _ in range(32):
        items += decoder.feed(b"x" * (LIMIT_BYTES // 8))
        if decoder.pending_bytes > LIMIT_BYTES:
            section.violate(f"holds {decoder.pending_bytes} bytes of a frame without an end")
            break
    if len(items) != 1:
        section.violate(f"{len(items)} answers to one frame without an end")


def _check_names(section: Section) -> None:
    """Every naughty string is a name or refused as one, and a name's normal form is stable."""
    texts = [
        *corpus.naughty_strings(),
        *(odd.content.decode() for odd in utf8.cases() if odd.valid),
    ]
    for text in texts:
        section.cases += 1
        try:
            claimed = claim(text).name
            if normalise(claimed) != claimed:
                section.violate(f"name {text!r}: {claimed!r} is not stable")
        except NameInvalid as error:
            section.count(f"name {error.fields.get('reason')}")
        except Exception as error:  # noqa: BLE001 - nothing else may come of a name
            section.violate(f"name {text!r}: raised {type(error).__name__}")
        else:
            section.count("name")
