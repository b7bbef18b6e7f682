from __future__ import annotations

import base64
import contextlib
import functools
import io
import os
from typing import IO, TYPE_CHECKING, cast

import pyrage
import pytest
import vodozemac

from jim.crypto import bech32, sealed_file, words
from jim.crypto.sealed_file import Passphrase, Recipient
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.crypto.keys import SigningKey

RECOVERY = words.parse_words(
    "legal winner thank year wave sausage worth useful legal winner thank yellow"
)
OTHER = words.parse_words(
    "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
)
TO_WORDS = sealed_file.recipient(RECOVERY)
CONTENT = os.urandom(200_000)
"""Three pieces of age's and a bit."""


OPENED = functools.cache(pyrage.passphrase.decrypt)
"""age takes a second on purpose, each time; the same box and passphrase always give the same."""


@pytest.fixture(autouse=True)
def each_box_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyrage.passphrase, "decrypt", OPENED)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(BackupInvalid) as caught:
        yield
    assert caught.value.fields["reason"] == reason


def sealed(to: Recipient | Passphrase, content: bytes = CONTENT) -> bytes:
    target = io.BytesIO()
    sealed_file.seal(io.BytesIO(content), target, to)
    return target.getvalue()


def unsealed(raw: bytes, by: SigningKey | Passphrase) -> bytes:
    target = io.BytesIO()
    sealed_file.unseal(io.BytesIO(raw), target, by)
    return target.getvalue()


FOR_WORDS = sealed(TO_WORDS)


@functools.cache
def with_passphrase() -> bytes:
    """Sealed when it is asked for: it takes a second, and whoever collects tests would wait."""
    return sealed(Passphrase("пароль"))


# --- the key of the words ---


def test_the_recipient_of_known_words_never_changes() -> None:
    assert TO_WORDS.text == "age102ae5p3ka0vqv6lhkkuu3czmmssrnz7u2dv6lrv930nfqh3lkcdsqdrw5r"


def test_the_recipient_is_the_public_half_of_what_the_words_give() -> None:
    secret = vodozemac.Curve25519SecretKey.from_bytes(RECOVERY.derive("backup"))
    assert TO_WORDS.text == bech32.encode("age", secret.public_key().to_bytes())
    assert sealed_file.recipient(OTHER) != TO_WORDS


def test_age_alone_opens_what_was_sealed_for_the_words() -> None:
    text = bech32.encode("age-secret-key-", RECOVERY.derive("backup")).upper()
    assert pyrage.decrypt(FOR_WORDS, [pyrage.x25519.Identity.from_str(text)]) == CONTENT


def test_age_alone_opens_what_was_sealed_with_a_passphrase_in_two_steps() -> None:
    line, _newline, rest = with_passphrase().partition(b"\n")
    text = pyrage.passphrase.decrypt(base64.b64decode(line.split()[1]), "пароль").decode()
    assert pyrage.decrypt(rest, [pyrage.x25519.Identity.from_str(text)]) == CONTENT


# --- sealing and opening ---


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_every_size_comes_back(size: int) -> None:
    content = CONTENT[:size]
    assert unsealed(sealed(TO_WORDS, content), RECOVERY) == content


def test_a_passphrase_opens_what_it_has_sealed() -> None:
    assert unsealed(with_passphrase(), Passphrase("пароль")) == CONTENT


def test_nothing_of_the_content_shows_and_no_two_are_the_same() -> None:
    text = b"dear diary " * 100
    for to in (TO_WORDS, Passphrase("x")):
        one, two = sealed(to, text), sealed(to, text)
        assert b"diary" not in one
        assert one[-500:] != two[-500:]


def test_other_words_or_another_passphrase_open_nothing() -> None:
    with refused("words"):
        unsealed(FOR_WORDS, OTHER)
    with refused("passphrase"):
        unsealed(with_passphrase(), Passphrase("пароли"))
    with refused("words"):
        unsealed(with_passphrase(), RECOVERY)
    with refused("passphrase"):
        unsealed(FOR_WORDS, Passphrase("пароль"))


def test_what_cannot_seal_is_refused_before_anything_is_written() -> None:
    for to in (Passphrase(""), Recipient(""), Recipient("age1qqq")):
        target = io.BytesIO()
        with pytest.raises(ValueError):  # noqa: PT011 - the words are age's
            sealed_file.seal(io.BytesIO(b"x"), target, to)
        assert target.getvalue() == b""


def test_every_damage_is_noticed() -> None:
    for place in (FOR_WORDS.index(b"\n---") + 8, len(FOR_WORDS) // 2, len(FOR_WORDS) - 1):
        bad = bytearray(FOR_WORDS)
        bad[place] ^= 1
        with refused("damaged"):
            unsealed(bytes(bad), RECOVERY)
    for raw in (b"", b"x", b"PK\3\4" * 50, FOR_WORDS[:100], FOR_WORDS[:-1], FOR_WORDS + b"x"):
        with refused("damaged"):
            unsealed(raw, RECOVERY)
    # A cut between two pieces: age marks the last one.
    header = len(FOR_WORDS) - len(CONTENT) - 16 - 4 * 16
    with refused("damaged"):
        unsealed(FOR_WORDS[: header + 16 + 65536 + 16], RECOVERY)


def test_every_damage_of_a_file_with_a_passphrase_is_noticed() -> None:
    by = Passphrase("пароль")
    line = with_passphrase().index(b"\n")
    for raw in (
        b"",
        b"x",
        b"jim-sealed-1 ",
        b"jim-sealed-1 \n",
        b"jim-sealed-1 ???\n",
        b"jim-sealed-2 " + with_passphrase()[13:],
        with_passphrase()[:100],
        with_passphrase()[: line - 4] + with_passphrase()[line:],
        with_passphrase()[: line + 1],
        with_passphrase()[:-1],
        with_passphrase()[:-1] + bytes([with_passphrase()[-1] ^ 1]),
        b"jim-sealed-1 " + b"A" * 10_000 + b"\n",
    ):
        with refused("damaged"):
            unsealed(raw, by)


class Endless(io.RawIOBase):
    """A file of a given size that is nowhere, and notes how much is asked of it at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size
        self.largest = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0
        self.largest = max(self.largest, size)
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def test_a_large_file_goes_through_in_small_pieces(tmp_path: Path) -> None:
    source = Endless(32 * 2**20)
    path = tmp_path / "sealed"
    with path.open("wb") as target:
        sealed_file.seal(cast("IO[bytes]", source), target, TO_WORDS)
    assert source.left == 0
    assert source.largest <= 65536
    pieces: list[int] = []

    class Sink(io.BytesIO):
        def write(self, content: bytes) -> int:  # type: ignore[override]
            pieces.append(len(content))
            return len(content)

    with path.open("rb") as file:
        sealed_file.unseal(file, Sink(), RECOVERY)
    assert sum(pieces) == 32 * 2**20
    assert max(pieces) <= 65536


# --- files ---


def test_a_file_says_what_it_was_sealed_with(tmp_path: Path) -> None:
    path = tmp_path / "store.age"
    for raw, kind in ((FOR_WORDS, Recipient), (with_passphrase(), Passphrase)):
        path.write_bytes(raw)
        assert sealed_file.sealed_with(path) is kind


def test_a_missing_file_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BackupInvalid, match=r"store\.age") as caught:
        sealed_file.sealed_with(tmp_path / "store.age")
    assert caught.value.fields["reason"] == "file"


class Full(io.BytesIO):
    def write(self, content: object) -> int:
        raise OSError(28, "No space left on device")


class Torn(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_errors_of_the_streams_are_no_damage() -> None:
    with pytest.raises(OSError, match="No space left"):
        sealed_file.seal(io.BytesIO(CONTENT), Full(), TO_WORDS)
    with pytest.raises(OSError, match="No space left"):
        sealed_file.unseal(io.BytesIO(FOR_WORDS), Full(), RECOVERY)
    with pytest.raises(OSError, match="Input/output"):
        sealed_file.seal(Torn(), io.BytesIO(), TO_WORDS)
    with pytest.raises(OSError, match="Input/output"):
        sealed_file.unseal(Torn(), io.BytesIO(), RECOVERY)


@pytest.mark.parametrize("raw", [b"", b"x", b"a", b"age", b"SQLite format 3\0", b"jim-sealed-2 x"])
def test_what_is_no_sealed_file_is_told_by_its_beginning(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(raw)
    with refused("damaged"):
        sealed_file.sealed_with(path)
