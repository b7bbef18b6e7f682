from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mnemonic import Mnemonic

from jim.crypto.keys import SigningKey
from jim.crypto.words import new_words, parse_words
from jim.errors import WordsInvalid

ABANDON = "abandon " * 11 + "about"
BIP39_SEED = bytes.fromhex(  # the test vector of BIP39 for zero entropy, without its passphrase
    "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"
    "9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4"
)


def refusal(text: str) -> dict[str, Any]:
    with pytest.raises(WordsInvalid) as caught:
        parse_words(text)
    return dict(caught.value.fields) | {"text": str(caught.value)}


@pytest.mark.parametrize(("language", "letters"), [("en", "a-z"), ("ru", "а-я")])
def test_new_words_are_twelve_of_the_language_and_give_a_key(language: str, letters: str) -> None:
    first, last = letters.split("-")
    words = new_words(language)
    assert len(words.split()) == 12
    assert all(first <= letter <= last for word in words.split() for letter in word)
    assert words == unicodedata.normalize("NFC", words)
    assert isinstance(parse_words(words), SigningKey)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_word_that_may_be_given_can_be_written_down_and_typed(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = {"en": "abcdefghijklmnopqrstuvwxyz", "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя"}
    for start in range(0, 2048, 11):
        # eleven words by their numbers, and what the checksum makes of the twelfth
        bits = "".join(f"{(start + place) % 2048:011b}" for place in range(11)) + "0000000"
        entropy = int(bits, 2).to_bytes(16, "big")
        monkeypatch.setattr(secrets, "token_bytes", lambda _, entropy=entropy: entropy)
        words = new_words(language)
        assert set(words) <= {*letters[language], " "}, words
        assert isinstance(parse_words(words), SigningKey)


def test_new_words_are_new() -> None:
    assert len({new_words() for _ in range(20)}) == 20


def test_the_key_of_known_words_never_changes() -> None:
    seed = hmac.new(b"jim-recovery-1", BIP39_SEED, hashlib.sha512).digest()[:32]
    assert parse_words(ABANDON).seed == seed


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=16, max_size=16), st.sampled_from(["english", "russian"]))
def test_typing_does_not_matter_and_the_words_do(entropy: bytes, language: str) -> None:
    words = Mnemonic(language).to_mnemonic(entropy)
    expected = hmac.new(b"jim-recovery-1", Mnemonic.to_seed(words), hashlib.sha512).digest()[:32]
    numbered = "\n".join(f"{place}. {word}" for place, word in enumerate(words.split(), 1))
    for typed in (
        words,
        f"  {words.upper()}\t\n",
        words.replace(" ", " \u00a0 "),
        words.replace(" ", ", ").title(),
        numbered,
        unicodedata.normalize("NFC", words),
        unicodedata.normalize("NFD", words),
        unicodedata.normalize("NFKD", words),
    ):
        assert parse_words(typed).seed == expected


def test_the_same_numbers_in_two_languages_are_two_keys() -> None:
    entropy = secrets.token_bytes(16)
    keys = {parse_words(Mnemonic(lg).to_mnemonic(entropy)).seed for lg in ("english", "russian")}
    assert len(keys) == 2


def test_the_key_is_not_the_bare_seed() -> None:
    assert parse_words(ABANDON).seed not in (BIP39_SEED[:32], BIP39_SEED[32:])


@pytest.mark.parametrize("count", [0, 1, 11, 13, 24])
def test_a_wrong_count_is_explained(count: int) -> None:
    said = refusal("abandon " * count)
    assert (said["reason"], said["found"]) == ("count", count)
    assert f"{count} words instead of 12" in said["text"]


@pytest.mark.parametrize(
    ("words", "place", "typo", "suggestion"),
    [
        (ABANDON.replace("about", "abuot"), 12, "abuot", "about"),
        ("abandn " + "abandon " * 10 + "about", 1, "abandn", "abandon"),
        ("абзац " * 3 + "бассеин " + "абзац " * 8, 4, "бассеин", "бассейн"),
    ],
)
def test_an_unknown_word_is_named_with_the_nearest_one(
    words: str, place: int, typo: str, suggestion: str
) -> None:
    said = refusal(words)
    assert said["reason"] == "unknown"
    assert (said["place"], said["word"], said["suggestion"]) == (place, typo, suggestion)
    assert suggestion in said["text"]


def test_nothing_is_suggested_for_nonsense() -> None:
    said = refusal("abandon " * 11 + "zzzzqqqq")
    assert said["reason"] == "unknown"
    assert "suggestion" not in said


@pytest.mark.parametrize("letter", ["x", "ъ"])
def test_words_of_no_list_are_judged_by_their_letters(letter: str) -> None:
    said = refusal(f"{letter * 9} " * 12)
    assert (said["reason"], said["place"]) == ("unknown", 1)


def test_a_wrong_checksum_is_explained() -> None:
    said = refusal("abandon " * 12)
    assert said["reason"] == "checksum"
    assert refusal("абзац " * 12)["reason"] == "checksum"


def test_words_of_two_languages_are_refused() -> None:
    assert refusal("abandon " * 11 + "абзац")["reason"] == "mixed"


def test_swapped_words_are_noticed_by_the_checksum_mostly_and_never_give_the_key() -> None:
    words = new_words().split()
    right = parse_words(" ".join(words)).seed
    for place in range(11):
        swapped = list(words)
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        if swapped == words:
            continue
        with contextlib.suppress(WordsInvalid):
            assert parse_words(" ".join(swapped)).seed != right


def test_only_the_two_languages_are_offered() -> None:
    with pytest.raises(KeyError):
        new_words("fr")
