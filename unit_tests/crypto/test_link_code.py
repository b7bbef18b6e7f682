"""The code of a new device: what it is tied to, how it is read, and what it authenticates."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import msgspec
import pytest

from jim.crypto import base32, link_code, links, transcript
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey
from jim.crypto.link_code import LinkCode, confirmation, make_code, new_secret, parse_code
from jim.errors import ChainInvalid, LinkCodeInvalid
from jim.protocol.messages import Link
from unit_tests.crypto.test_transcript import by_hand
from unit_tests.support.linking import Device, altered

SERVER = b"S" * 32
SECRET = "abcdefghij"
PHONE = SigningKey(b"p" * 32)
R = SigningKey(b"r" * 32)
START = verify_chain([links.make_genesis("alice", PHONE, R.public, 1)], "alice")
LAPTOP = Device()
CODE = make_code(SERVER, "alice", LAPTOP, SECRET)
DRAFT = LAPTOP.draft(START)
TYPED = parse_code("6tplyh3d7jyljm7jabcdefghij")
"""Always the same one, so that tests are called the same in every run."""


def test_a_code_is_a_hash_and_a_secret() -> None:
    fields = (SERVER, b"alice", LAPTOP.login_key, LAPTOP.ed, LAPTOP.curve, SECRET.encode())
    digest = hashlib.sha256(by_hand("jim-code-1", *fields)).digest()
    assert CODE.text == base32.encode(digest)[:16] + SECRET
    assert CODE.shown == base32.grouped(CODE.text)
    assert len(CODE.text) == 26


def test_a_code_fits_the_device_that_shows_it() -> None:
    assert CODE.fits(SERVER, "alice", LAPTOP.offer())
    assert CODE.fits(SERVER, "alice", DRAFT)
    assert not CODE.fits(altered(SERVER), "alice", LAPTOP)
    assert not CODE.fits(SERVER, "alicf", LAPTOP)
    assert not CODE.fits(SERVER, "alice", Device())


@pytest.mark.parametrize("field", ["login_key", "ed", "curve"])
def test_a_server_that_swaps_a_key_makes_the_code_fit_nothing(field: str) -> None:
    offer: Any = LAPTOP.offer()
    swapped = msgspec.structs.replace(offer, **{field: getattr(Device(), field)})
    assert not CODE.fits(SERVER, "alice", swapped)


def test_any_wrong_character_is_noticed() -> None:
    for place in range(26):
        wrong = "a" if CODE.text[place] != "a" else "b"
        text = CODE.text[:place] + wrong + CODE.text[place + 1 :]
        assert not parse_code(text).fits(SERVER, "alice", LAPTOP)


@pytest.mark.parametrize(
    "spelling",
    [
        TYPED.text,
        TYPED.text.upper(),
        TYPED.shown,
        TYPED.shown.replace(" ", "-"),
        f"  {TYPED.shown}\n",
        f"JIM-LINK:{TYPED.text.upper()}",
        f"jim-link: {TYPED.shown}",
    ],
)
def test_every_way_to_type_a_code(spelling: str) -> None:
    assert parse_code(spelling) == TYPED
    assert parse_code(CODE.text) == CODE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 characters instead of 26"),
        (TYPED.text[:-1], "25 characters"),
        (TYPED.text + "a", "27 characters"),
        (TYPED.text[:-1] + "1", "'1'"),
        (TYPED.text[:-1] + "ж", "'ж'"),
        (TYPED.text[:-1] + "\u212a", "\u212a"),
    ],
)
def test_what_is_no_code(text: str, says: str) -> None:
    with pytest.raises(LinkCodeInvalid, match=re.escape(says)):
        parse_code(text)


def test_secrets_differ_and_are_part_of_the_hash() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(parse_code("a" * 16 + secret).secret == secret for secret in secrets)
    other = make_code(SERVER, "alice", LAPTOP, new_secret())
    assert other.check != CODE.check


def test_the_secret_is_not_in_the_repr() -> None:
    assert SECRET not in repr(CODE)


# --- the approval of a draft ------------------------------------------------------------------


def refused(code: LinkCode, link: Link, approval: bytes) -> bool:
    with pytest.raises(ChainInvalid) as caught:
        code.check_approval(link, approval)
    return caught.value.fields["reason"] == "approval"


def test_who_knows_the_code_may_approve() -> None:
    CODE.check_approval(DRAFT, CODE.approve(DRAFT))
    proven = links.prove_add(DRAFT, LAPTOP.key)
    CODE.check_approval(proven, CODE.approve(DRAFT))


def test_who_does_not_know_the_code_may_not() -> None:
    guessed = LinkCode(CODE.check, "abcdefghik")
    assert refused(CODE, DRAFT, guessed.approve(DRAFT))
    assert refused(CODE, DRAFT, bytes(32))
    assert refused(CODE, DRAFT, b"")


@pytest.mark.parametrize("field", [f for f in Link.__struct_fields__ if f not in {"proof", "sig"}])
def test_an_approval_is_for_one_draft(field: str) -> None:
    old = getattr(DRAFT, field)
    if isinstance(old, int):
        new: Any = old + 1
    else:
        new = old + (b"x" if isinstance(old, bytes) else "x")
    other = msgspec.structs.replace(DRAFT, **{field: new})
    assert refused(CODE, other, CODE.approve(DRAFT))


def test_an_approval_as_the_protocol_writes_it() -> None:
    key = hashlib.scrypt(
        SECRET.encode(), salt=LAPTOP.login_key, n=2**15, r=8, p=1, maxmem=2**27, dklen=32
    )
    fields = (
        b"alice",
        b"1",
        START.head,
        b"add",
        LAPTOP.device.encode(),
        LAPTOP.login_key,
        LAPTOP.ed,
        LAPTOP.curve,
        b"",
        b"2000",
    )
    message = by_hand("jim-approve-1", *fields)
    assert CODE.approve(DRAFT) == hmac.new(key, message, "sha256").digest()


# --- what people compare ----------------------------------------------------------------------


def test_the_confirmation_is_four_groups_of_five_digits_for_one_account_and_one_device() -> None:
    shown = confirmation("alice", START.root, LAPTOP.login_key)
    assert re.fullmatch(r"\d{5} \d{5} \d{5} \d{5}", shown)
    others = {
        confirmation("alicf", START.root, LAPTOP.login_key),
        confirmation("alice", altered(START.root), LAPTOP.login_key),
        confirmation("alice", START.root, altered(LAPTOP.login_key)),
    }
    assert len(others | {shown}) == 4


def test_a_small_number_keeps_its_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_code, "CONFIRMATION_DIGITS", 100)
    digits = confirmation("alice", START.root, LAPTOP.login_key).replace(" ", "")
    assert len(digits) == 100
    digest = hashlib.sha256(transcript.confirmation("alice", START.root, LAPTOP.login_key)).digest()
    assert int(digits) == int.from_bytes(digest, "big")
