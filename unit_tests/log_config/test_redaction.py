"""What must not be written is masked, whatever shape it comes in; the rest stays."""

from __future__ import annotations

import pytest

from jim.log_config.redaction import MASK, is_secret, redact

CANARY = "canary-4711"


@pytest.mark.parametrize(
    "line",
    [
        'frame {"action":"msg","to":"bob","message":"canary-4711 and \\"more\\" canary-4711"}',
        "frame {'action': 'msg', 'message': 'canary-4711'}",
        "Msg(id=1, n=2, to='bob', message='canary-4711', time=3)",
        'Msg(message="it\'s canary-4711")',
        "message_text=canary-4711",
        "token=canary-4711, next",
        'sig=b"canary-4711"',
        "Link(device='x', proof=b'canary-4711', sig=b'\\x00canary-4711')",
        "words=['canary-4711', 'canary-4711']",
        "words=('a', 'canary-4711')",
        "seed: canary-4711 canary-4711",
        "Recovery words: alpha canary-4711 omega",
        "the invite jim://example.org:7777/#pin=1&token=canary-4711 was used",
        "JIM://canary-4711",
        'truncated {"message":"canary-4711',
        "TOKEN = canary-4711",
        '"body" : "canary-4711"',
    ],
)
def test_secrets_are_masked(line: str) -> None:
    assert CANARY not in redact(line)
    assert MASK in redact(line)


@pytest.mark.parametrize(
    "words",
    [
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "  ".join(["январь", "облако", "ракета"] * 4),
        ", ".join(["abandon"] * 24),
    ],
)
def test_twelve_recovery_words_are_masked_without_a_name(words: str) -> None:
    masked = redact(f"shown {words}!")
    assert MASK in masked
    assert words.split(maxsplit=1)[0].strip(",") not in masked


@pytest.mark.parametrize(
    "line",
    [
        "session 7 alice: stored n=12 seq=88 position=1044 for bob in 1.2 ms",
        "called Hub.receive(Hub, str message, int n)",
        "error message_too_large: 300000 bytes, limit 262144",
        "listening on 0.0.0.0 port 7777",
        "the message was refused: no such user",
        "passwords are not used here",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line) == line


def test_fields_are_known_by_name() -> None:
    assert is_secret("Token")
    assert not is_secret("size_bytes")


LONG_CHARS = 1 << 20
"""128 times what a log line may have. Masking it takes a third of a second; a search that goes over
the text again from each of its places takes hours, and the test's time-out ends it."""


@pytest.mark.parametrize("piece", ['"message":', "'", '"\\', "seed=(", "abcd ", "jim:/", "token "])
def test_hostile_lines_take_no_longer_than_their_length(piece: str) -> None:
    assert redact(piece * (LONG_CHARS // len(piece)))
