from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.crypto import transcript
from jim.crypto.keys import SigningKey, verify
from jim.crypto.transcript import Exchange
from jim.errors import AuthFailed
from jim.protocol.messages import Link, Offer, PublicKey

EXCHANGE = Exchange(b"i" * 32, b"t" * 32, b"c" * 32, b"s" * 32)
LINK = Link(
    acct="alice",
    seq=3,
    prev=b"p" * 32,
    op="add",
    device="abcdefghijklmnop",
    login_key=b"d" * 32,
    ed=b"e" * 32,
    curve=b"x" * 32,
    recovery_key=b"r" * 32,
    time=1700000000000,
    proof=b"o" * 64,
    sig=b"g" * 64,
)
OFFER = Offer(
    offer=1,
    login_key=b"d" * 32,
    ed=b"e" * 32,
    curve=b"x" * 32,
    fallback=PublicKey(id=7, key=b"f" * 32, sig=b"F" * 64),
    address="",
    age_s=0,
    client="",
)
OTHER_LINKS = {
    "acct": "alicf",
    "seq": 4,
    "prev": b"q" * 32,
    "op": "revoke",
    "device": "abcdefghijklmnoq",
    "login_key": b"D" * 32,
    "ed": b"",
    "curve": b"",
    "recovery_key": b"",
    "time": 1700000000001,
    "proof": b"O" * 64,
    "sig": b"G" * 64,
}


def altered(field: str) -> Link:
    return msgspec.structs.replace(LINK, **{field: OTHER_LINKS[field]})


def by_hand(label: str, *fields: bytes) -> bytes:
    prefix = label.encode() + b"\x00"
    body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return prefix + hashlib.sha512(prefix + body).digest()


IDS = tuple(EXCHANGE)
LINK_FIELDS = (
    b"alice",
    b"3",
    b"p" * 32,
    b"add",
    b"abcdefghijklmnop",
    b"d" * 32,
    b"e" * 32,
    b"x" * 32,
    b"r" * 32,
    b"1700000000000",
)
LINK_HASH = hashlib.sha256(by_hand("jim-head-1", *LINK_FIELDS, b"o" * 64, b"g" * 64)).digest()


def test_every_kind_as_the_protocol_writes_it() -> None:
    terms = '{"versions":[1],"имя":"ё"}'
    terms_hash = hashlib.sha256(terms.encode()).digest()
    head = b"h" * 32
    assert transcript.server_challenge(EXCHANGE, terms) == by_hand("jim-srv-1", *IDS, terms_hash)
    assert transcript.auth(EXCHANGE, "пётр", "dev", head, 17) == by_hand(
        "jim-auth-1", *IDS, "пётр".encode(), b"dev", head, b"17"
    )
    assert transcript.register(EXCHANGE, "a", LINK) == by_hand("jim-reg-1", *IDS, b"a", LINK_HASH)
    assert transcript.recover(EXCHANGE, "a") == by_hand("jim-recover-1", *IDS, b"a")
    assert transcript.enroll(EXCHANGE, "a", LINK) == by_hand("jim-enroll-1", *IDS, b"a", LINK_HASH)
    assert transcript.device_key("dev", 7, b"k" * 32) == by_hand(
        "jim-key-1", b"dev", b"7", b"k" * 32
    )
    assert transcript.possession(LINK) == by_hand("jim-pop-1", *LINK_FIELDS)
    assert transcript.link_signature(LINK) == by_hand("jim-link-1", *LINK_FIELDS, b"o" * 64)
    assert transcript.link_hash(LINK) == LINK_HASH
    assert transcript.device_key("dev", 17, b"k" * 32) == by_hand(
        "jim-key-1", b"dev", b"17", b"k" * 32
    )
    assert transcript.approval(LINK) == by_hand("jim-approve-1", *LINK_FIELDS)
    keys = (b"d" * 32, b"e" * 32, b"x" * 32)
    code = transcript.link_code(b"i" * 32, "пётр", LINK, "secret")
    assert code == by_hand("jim-code-1", b"i" * 32, "пётр".encode(), *keys, b"secret")
    offer = by_hand("jim-offer-1", *IDS, b"a", *keys, b"7", b"f" * 32, b"F" * 64)
    assert transcript.offer(EXCHANGE, "a", OFFER) == offer
    confirmation = transcript.confirmation("a", b"h" * 32, b"d" * 32)
    assert confirmation == by_hand("jim-confirm-1", b"a", b"h" * 32, b"d" * 32)


def test_a_known_transcript_never_changes() -> None:
    known = (
        "6a696d2d617574682d310017a21811b6e349542c158ffa294a8670b46c7d435e70d09ba5ae0"
        "e242262a24828b3fbdbe7563bab7e349084496f88aee3d51fc0831cdb4feb5c1b9df62b11a8"
    )
    assert transcript.auth(EXCHANGE, "alice", "dev", b"h" * 32, 17).hex() == known


def test_labels_differ_and_none_is_the_beginning_of_another() -> None:
    assert len(set(transcript.LABELS)) == len(transcript.LABELS) == 14
    for label in transcript.LABELS:
        assert "\0" not in label
        others = [other for other in transcript.LABELS if other != label]
        assert not any(other.startswith(label) for other in others)


@pytest.mark.parametrize("field", ["server_id", "spki", "cnonce", "snonce"])
def test_every_field_of_the_exchange_is_in_every_transcript(field: str) -> None:
    other = EXCHANGE._replace(**{field: b"?" * 32})
    assert transcript.server_challenge(other, "") != transcript.server_challenge(EXCHANGE, "")
    assert transcript.auth(other, "a", "d", b"", 0) != transcript.auth(EXCHANGE, "a", "d", b"", 0)
    assert transcript.register(other, "a", LINK) != transcript.register(EXCHANGE, "a", LINK)
    assert transcript.recover(other, "a") != transcript.recover(EXCHANGE, "a")
    assert transcript.enroll(other, "a", LINK) != transcript.enroll(EXCHANGE, "a", LINK)
    assert transcript.offer(other, "a", OFFER) != transcript.offer(EXCHANGE, "a", OFFER)


@pytest.mark.parametrize("field", Link.__struct_fields__)
def test_every_field_of_a_link_is_in_its_transcripts(field: str) -> None:
    other = altered(field)
    assert transcript.link_hash(other) != transcript.link_hash(LINK)
    assert (transcript.link_signature(other) == transcript.link_signature(LINK)) == (field == "sig")
    alone = transcript.possession(other) == transcript.possession(LINK)
    assert alone == (field in {"sig", "proof"})


@pytest.mark.parametrize(
    "other",
    [
        transcript.server_challenge(EXCHANGE, "terms "),
        transcript.auth(EXCHANGE, "b", "d", b"h", 1),
        transcript.auth(EXCHANGE, "a", "e", b"h", 1),
        transcript.auth(EXCHANGE, "a", "d", b"i", 1),
        transcript.auth(EXCHANGE, "a", "d", b"h", 2),
        transcript.register(EXCHANGE, "b", LINK),
        transcript.register(EXCHANGE, "a", altered("seq")),
        transcript.recover(EXCHANGE, "b"),
        transcript.enroll(EXCHANGE, "b", LINK),
        transcript.enroll(EXCHANGE, "a", altered("seq")),
        transcript.device_key("e", 1, b"k"),
        transcript.device_key("d", 2, b"k"),
        transcript.device_key("d", 1, b"l"),
    ],
)
def test_every_further_field_is_in_its_transcript(other: bytes) -> None:
    assert other not in {
        transcript.server_challenge(EXCHANGE, "terms"),
        transcript.auth(EXCHANGE, "a", "d", b"h", 1),
        transcript.register(EXCHANGE, "a", LINK),
        transcript.recover(EXCHANGE, "a"),
        transcript.enroll(EXCHANGE, "a", LINK),
        transcript.device_key("d", 1, b"k"),
    }


SIGNER = SigningKey(b"S" * 32)


@pytest.mark.parametrize("made", transcript.LABELS)
@pytest.mark.parametrize("checked", transcript.LABELS)
def test_a_signature_made_under_one_label_verifies_under_no_other(made: str, checked: str) -> None:
    signature = SIGNER.sign(transcript.transcript(made, *IDS, "alice", 1))
    message = transcript.transcript(checked, *IDS, "alice", 1)
    if made == checked:
        verify(SIGNER.public, signature, message)
        return
    with pytest.raises(AuthFailed):
        verify(SIGNER.public, signature, message)


Fields = st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=8)), max_size=5)


@given(Fields, Fields)
def test_different_fields_never_give_the_same_bytes(
    one: list[bytes | str], two: list[bytes | str]
) -> None:
    def raw(fields: list[bytes | str]) -> list[bytes]:
        return [f.encode() if isinstance(f, str) else f for f in fields]

    same = transcript.transcript("x", *one) == transcript.transcript("x", *two)
    assert same == (raw(one) == raw(two))


def test_fields_that_run_together_are_told_apart() -> None:
    assert transcript.transcript("x", "ab", "c") != transcript.transcript("x", "a", "bc")
    assert transcript.transcript("x", "abc") != transcript.transcript("x", "abc", "")
    assert transcript.transcript("x", "") != transcript.transcript("x")


def test_whole_numbers_are_decimal_text() -> None:
    assert transcript.transcript("x", 0, 2**53 - 1) == by_hand("x", b"0", b"9007199254740991")


def test_a_lone_surrogate_is_bytes_and_no_crash() -> None:
    odd = transcript.transcript("x", "\ud800")
    assert odd != transcript.transcript("x", "?")
