from __future__ import annotations

import nacl.exceptions
import nacl.pwhash.argon2id as kdf
import pytest

from jim.crypto import passphrase
from jim.crypto.keys import SigningKey

KEY = SigningKey(bytes(range(32)))

KNOWN = """jim-key-2 argon2id 3 268435456
wg35alydn6rkhuwcx2w7cq4bje
5uauds3qm4jwxim2glpmocc5jbw6onqayyf4grc3tjasoaxzhkojknitkxgiasvrzmxwz4p65zo5qyw7h23ismpz7p67a7wxacymoswn3bkhbwvhozva
aoqqpp7tzyil4hlq3umoos6atft6jvrqtosq2xy53sdgiesvgg4a
sncqlxwvgubihewa
"""
"""The seed above, sealed with "correct horse" as it was written first."""


def test_what_was_sealed_once_opens_for_ever() -> None:
    key = passphrase.unseal(passphrase.parse(KNOWN), "correct horse")
    assert key is not None
    assert key.seed == KEY.seed


def test_the_cost_is_libsodiums_moderate_and_stands_in_the_text() -> None:
    text = passphrase.seal(KEY, "пароль")
    assert text.startswith("jim-key-2 argon2id 3 268435456\n")
    assert passphrase.unseal(passphrase.parse(text), "пароли") is None


@pytest.mark.usefixtures("cheap_passphrases")
def test_the_text_says_the_cost_and_the_public_key_and_not_the_seed() -> None:
    text = passphrase.seal(KEY, "x")
    sealed = passphrase.parse(text)
    assert sealed.public == KEY.public
    assert (sealed.operations, sealed.memory_bytes) == (kdf.OPSLIMIT_MIN, kdf.MEMLIMIT_MIN)
    assert KEY.seed not in sealed.box
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 120


@pytest.mark.usefixtures("cheap_passphrases")
def test_the_same_passphrase_never_gives_the_same_text() -> None:
    one, two = (passphrase.parse(passphrase.seal(KEY, "x")) for _ in range(2))
    assert one.salt != two.salt
    assert one.box != two.box


@pytest.mark.usefixtures("cheap_passphrases")
@pytest.mark.parametrize("typed", ["", "X", "x ", " x", "xx", "х"])
def test_another_passphrase_opens_nothing(typed: str) -> None:
    assert passphrase.unseal(passphrase.parse(passphrase.seal(KEY, "x")), typed) is None


@pytest.mark.usefixtures("cheap_passphrases")
def test_the_same_letters_are_the_same_however_they_are_composed() -> None:
    sealed = passphrase.parse(passphrase.seal(KEY, "ёж"))
    assert passphrase.unseal(sealed, "е\u0308ж") is not None


@pytest.mark.usefixtures("cheap_passphrases")
def test_no_text_is_too_odd_for_a_passphrase() -> None:
    for odd in ("\udcff", "\0", "a" * 10_000, "🔑"):
        assert passphrase.unseal(passphrase.parse(passphrase.seal(KEY, odd)), odd) is not None


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        passphrase.seal(KEY, "")


def test_every_altered_character_is_damage_and_no_wrong_passphrase() -> None:
    for place, sign in enumerate(KNOWN):
        if sign.isspace():
            continue
        wrong = "b" if sign != "b" else "c"
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, it is no crash
            passphrase.parse(KNOWN[:place] + wrong + KNOWN[place + 1 :])
    for text in ("", "jim-key-2", KNOWN * 2, KNOWN[: len(KNOWN) // 2]):
        with pytest.raises(ValueError):  # noqa: PT011
            passphrase.parse(text)


@pytest.mark.usefixtures("cheap_passphrases")
def test_a_box_that_holds_another_key_than_it_says_is_not_opened() -> None:
    sealed = passphrase.parse(passphrase.seal(KEY, "x"))
    other = SigningKey(bytes(32)).public
    assert passphrase.unseal(sealed._replace(public=other), "x") is None


@pytest.mark.parametrize(
    ("operations", "memory_bytes"), [(0, 2**20), (65, 2**20), (1, 8191), (1, 2**32 + 1), (1, 2**70)]
)
def test_a_cost_out_of_bounds_is_refused_before_it_is_paid(
    operations: int, memory_bytes: int
) -> None:
    sealed = passphrase.parse(KNOWN)
    text = passphrase._write(sealed._replace(operations=operations, memory_bytes=memory_bytes))
    with pytest.raises(ValueError, match="out of bounds"):
        passphrase.parse(text)


def test_too_little_memory_is_said_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Key derivation failed")

    monkeypatch.setattr(kdf, "kdf", fails)
    with pytest.raises(MemoryError, match="256 MiB"):
        passphrase.unseal(passphrase.parse(KNOWN), "correct horse")
