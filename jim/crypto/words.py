"""Twelve recovery words (BIP39): make them, read them back, and derive the recovery key from them.

The key comes from the BIP39 seed, which depends on the words' text and not on their numbers: the
same twelve numbers in English and in Russian are two different keys. That is what every wallet
does, and nobody translates words that are on paper. There is no passphrase.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import unicodedata
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from jim.crypto.keys import KEY_BYTES, SigningKey
from jim.errors import WordsInvalid

LANGUAGES: Final = {"en": "english", "ru": "russian"}
"""Language code to word list. The English one is BIP39's; the Russian one is the library's."""

MENDED: Final = {"сно\ufffd\ufffdа": "снова"}
"""A word that mnemonic 0.21 ships with a letter lost; the list is sorted, and it stands between
"сниться" and "снять". Nobody could write it down or type it, and one account in 170 would have it.
"""

COUNT: Final = 12
"""Words: 128 bits of randomness and 4 of checksum (BIP39)."""

STRENGTH_BITS: Final = 128
WORD_BITS: Final = 11
CHECKSUM_BITS: Final = COUNT * WORD_BITS - STRENGTH_BITS

KEY_LABEL: Final = b"jim-recovery-1"
"""HMAC key that keeps this use of the words apart from every other one."""


def new_words(language: str = "en") -> str:
    """Make twelve new words in one line; `language` is "en" or "ru"."""
    return unicodedata.normalize("NFC", _mnemonic(language).generate(STRENGTH_BITS))


def parse_words(text: str) -> SigningKey:
    """Read twelve words, in any case and spacing and either language, and give the recovery key.

    Takes about 1 ms (PBKDF2, 2048 rounds).

    Raises:
        WordsInvalid: with `reason` count (and `found`), unknown (and `word`, its `place` from 1, a
            `suggestion` if one is near), mixed (words of both languages) or checksum.
    """
    words = _split(text)
    if len(words) != COUNT:
        detail = f"{len(words)} words instead of {COUNT}"
        raise WordsInvalid(detail, reason="count", found=len(words))
    language = _language(words)
    known = _by_look(language)
    for place, word in enumerate(words, 1):
        if _look(word) not in known:
            raise _unknown(word, place, language)
    chosen = [known[_look(word)] for word in words]
    if not _sums_up(chosen, language):
        detail = "all words are in the list, but one of them is wrong or misplaced"
        raise WordsInvalid(detail, reason="checksum")
    return _derive(" ".join(chosen))


def _sums_up(words: list[str], language: str) -> bool:
    """Check the checksum by making the words anew from their randomness.

    The library's own check fails for Russian words with й: it compares NFKD with its list in NFC.
    """
    mnemonic = _mnemonic(language)
    number = 0
    for word in words:
        number = number << WORD_BITS | mnemonic.wordlist.index(word)
    entropy = (number >> CHECKSUM_BITS).to_bytes(STRENGTH_BITS // 8, "big")
    return mnemonic.to_mnemonic(entropy).split() == words


def _derive(sentence: str) -> SigningKey:
    """Derive the key: the first half of HMAC-SHA512(label, BIP39 seed) is the Ed25519 seed."""
    # to_seed normalises to NFKD, as BIP39 asks.
    seed = Mnemonic.to_seed(sentence)
    return SigningKey(hmac.digest(KEY_LABEL, seed, hashlib.sha512)[:KEY_BYTES])


def _split(text: str) -> list[str]:
    """Split at white space, commas, semicolons and full stops; drop numbers ("1. word")."""
    plain = unicodedata.normalize("NFC", text).lower()
    for sign in ",;.":
        plain = plain.replace(sign, " ")
    return [word for word in plain.split() if not word.isdecimal()]


def _look(word: str) -> str:
    """Fold what people leave out or type differently: the two dots of ё."""
    return unicodedata.normalize("NFC", word.lower()).replace("ё", "е")


def _language(words: list[str]) -> str:
    """Choose the language whose list knows more of the words, or whose letters they have.

    Raises:
        WordsInvalid: with `reason` mixed.
    """
    hits = {code: sum(_look(word) in _by_look(code) for word in words) for code in LANGUAGES}
    if all(hits.values()):
        raise WordsInvalid("the words are of two languages", reason="mixed")
    cyrillic = any("а" <= letter <= "ё" for word in words for letter in word)
    return max(hits, key=lambda code: (hits[code], (code == "ru") == cyrillic))


def _unknown(word: str, place: int, language: str) -> WordsInvalid:
    near = difflib.get_close_matches(_look(word), list(_by_look(language)), n=1)
    detail = f"word {place} ({word!r}) is not in the list"
    if not near:
        return WordsInvalid(detail, reason="unknown", word=word, place=place)
    suggestion = unicodedata.normalize("NFC", _by_look(language)[near[0]])
    detail = f"{detail}; did you mean {suggestion!r}?"
    return WordsInvalid(detail, reason="unknown", word=word, place=place, suggestion=suggestion)


@cache
def _by_look(language: str) -> dict[str, str]:
    """Map a word's look to the word as the list has it."""
    return {_look(word): word for word in _mnemonic(language).wordlist}


@cache
def _mnemonic(language: str) -> Mnemonic:
    shipped = Mnemonic(LANGUAGES[language]).wordlist
    mended = [MENDED.get(word, word) for word in shipped]
    return Mnemonic(LANGUAGES[language], wordlist=mended)
