from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.crypto import chain, handshake, keys, links, transcript
from jim.crypto.handshake import Decoys
from jim.crypto.keys import SigningKey, device_id, fingerprint
from jim.crypto.transcript import Exchange
from jim.errors import (
    AuthFailed,
    ChainInvalid,
    ServerIdentityChanged,
    ServerIdentityInvalid,
)
from unit_tests.crypto.test_keys import SMALL_ORDER, forged

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.protocol.messages import Link

SERVER = SigningKey(b"S" * 32)
DEVICE = SigningKey(b"D" * 32)
OTHER = SigningKey(b"O" * 32)
NEW = SigningKey(b"N" * 32)
RECOVERY = SigningKey(b"R" * 32)
SPKI = b"t" * 32
CNONCE = b"c" * 32
TERMS = '{"versions":[1]}'
TIME = 1_700_000_000_000
DECOYS = Decoys()
GENESIS = links.make_genesis("alice", DEVICE, RECOVERY.public, TIME)
STATE = chain.verify_chain([GENESIS], "alice")
EXCHANGE = Exchange(SERVER.public, SPKI, CNONCE, b"s" * 32)


def challenge() -> dict[str, Any]:
    exchange, sig = handshake.prove_server(SERVER, spki=SPKI, cnonce=CNONCE, terms=TERMS)
    return {
        "tls_spki": SPKI,
        "cnonce": CNONCE,
        "server_id": exchange.server_id,
        "spki": exchange.spki,
        "snonce": exchange.snonce,
        "terms": TERMS,
        "sig": sig,
        "pinned": None,
    }


def test_an_honest_challenge_passes_and_both_sides_hold_the_same_exchange() -> None:
    exchange, sig = handshake.prove_server(SERVER, spki=SPKI, cnonce=CNONCE, terms=TERMS)
    received = challenge() | {"snonce": exchange.snonce, "sig": sig}
    assert handshake.check_challenge(**received) == exchange
    assert handshake.check_challenge(**received | {"pinned": SERVER.public}) == exchange


@pytest.mark.parametrize("field", ["cnonce", "snonce", "terms", "sig", "server_id"])
def test_each_altered_field_of_a_challenge_is_refused(field: str) -> None:
    received = challenge()
    changed: dict[str, Any] = {"terms": TERMS + " ", "server_id": OTHER.public}
    received[field] = changed.get(field) or bytes([received[field][0] ^ 1]) + received[field][1:]
    with pytest.raises(ServerIdentityInvalid) as caught:
        handshake.check_challenge(**received)
    assert caught.value.fields["reason"] == "signature"


def test_a_relay_with_its_own_certificate_is_refused_whatever_it_claims() -> None:
    with pytest.raises(ServerIdentityInvalid) as caught:  # passes the server's words on
        handshake.check_challenge(**challenge() | {"tls_spki": b"m" * 32})
    assert caught.value.fields["reason"] == "spki"
    with pytest.raises(ServerIdentityInvalid) as caught:  # rewrites the field
        handshake.check_challenge(**challenge() | {"tls_spki": b"m" * 32, "spki": b"m" * 32})
    assert caught.value.fields["reason"] == "signature"


def test_a_relay_cannot_use_what_a_careless_client_signs() -> None:
    """A client that ignored the challenge still signs the certificate that it saw."""
    careless = EXCHANGE._replace(spki=b"m" * 32)
    sig = handshake.prove_auth(DEVICE, careless, name="alice", head=STATE.head, counter=0)
    with pytest.raises(AuthFailed):
        check_auth(sig=sig)


def test_a_changed_identity_stops_the_client_with_both_fingerprints() -> None:
    exchange, sig = handshake.prove_server(OTHER, spki=SPKI, cnonce=CNONCE, terms=TERMS)
    received = challenge() | {
        "server_id": OTHER.public,
        "snonce": exchange.snonce,
        "sig": sig,
        "pinned": SERVER.public,
    }
    with pytest.raises(ServerIdentityChanged) as caught:
        handshake.check_challenge(**received)
    assert caught.value.fields == {
        "pinned": fingerprint(SERVER.public),
        "shown": fingerprint(OTHER.public),
    }


def test_a_renewed_certificate_raises_no_alarm() -> None:
    exchange, sig = handshake.prove_server(SERVER, spki=b"n" * 32, cnonce=CNONCE, terms=TERMS)
    received = challenge() | {"tls_spki": b"n" * 32, "spki": b"n" * 32, "pinned": SERVER.public}
    handshake.check_challenge(**received | {"snonce": exchange.snonce, "sig": sig})


@pytest.mark.parametrize("public", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_a_server_identity_of_small_order_is_refused(public: bytes) -> None:
    exchange = EXCHANGE._replace(server_id=public)
    message = transcript.server_challenge(exchange, TERMS)
    sig = forged(public, message) or bytes(64)
    received = challenge() | {"server_id": public, "snonce": exchange.snonce, "sig": sig}
    with pytest.raises(ServerIdentityInvalid):
        handshake.check_challenge(**received)


@pytest.mark.parametrize("field", ["spki", "cnonce", "snonce", "server_id"])
def test_fields_of_another_size_are_refused_even_if_signed(field: str) -> None:
    exchange = EXCHANGE._replace(**{field: getattr(EXCHANGE, field)[:-1]})
    sig = SERVER.sign(transcript.server_challenge(exchange, TERMS))
    with pytest.raises(ServerIdentityInvalid):
        handshake.check_challenge(
            tls_spki=exchange.spki, terms=TERMS, sig=sig, pinned=None, **exchange._asdict()
        )


def test_every_login_has_a_nonce_of_its_own() -> None:
    nonces = {challenge()["snonce"] for _ in range(50)}
    assert len(nonces) == 50
    assert {len(nonce) for nonce in nonces} == {32}
    assert len({handshake.new_nonce() for _ in range(50)}) == 50


# --- auth ---


def check_auth(**changes: Any) -> None:
    fields: dict[str, Any] = {
        "exchange": EXCHANGE,
        "name": "alice",
        "device": device_id(DEVICE.public),
        "head": STATE.head,
        "counter": 7,
        "sig": handshake.prove_auth(DEVICE, EXCHANGE, name="alice", head=STATE.head, counter=7),
        "login_key": DEVICE.public,
        "decoys": DECOYS,
    }
    fields |= changes
    handshake.check_auth(fields.pop("exchange"), **fields)


def test_an_honest_login_passes() -> None:
    check_auth()


ALTERED: list[dict[str, Any]] = [
    *({"exchange": EXCHANGE._replace(**{field: b"?" * 32})} for field in Exchange._fields),
    {"name": "alicf"},
    {"name": "alice\ud800"},
    {"device": device_id(OTHER.public)},
    {"head": b"?" * 32},
    {"counter": 8},
    {"counter": 77},
    {"sig": bytes(64)},
    {"sig": b""},
    {"login_key": OTHER.public},
    {"login_key": None},
    {"login_key": bytes(32)},
]


@pytest.mark.parametrize("changes", ALTERED, ids=str)
def test_each_altered_field_of_a_login_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AuthFailed) as caught:
        check_auth(**changes)
    assert str(caught.value) == str(AuthFailed())
    assert not caught.value.fields


def test_a_replayed_login_is_refused() -> None:
    old = handshake.prove_auth(DEVICE, EXCHANGE, name="alice", head=STATE.head, counter=7)
    fresh = EXCHANGE._replace(snonce=handshake.new_nonce())
    with pytest.raises(AuthFailed):
        check_auth(exchange=fresh, sig=old)


def test_an_unknown_name_costs_the_same_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bytes] = []
    real = keys.verify

    def verify(public: bytes, signature: bytes, message: bytes) -> None:
        used.append(public)
        real(public, signature, message)

    monkeypatch.setattr(handshake, "verify", verify)
    with pytest.raises(AuthFailed):
        check_auth(login_key=None)
    with pytest.raises(AuthFailed):
        handshake.check_recover(
            EXCHANGE, name="nobody", sig=bytes(64), recovery_key=None, decoys=DECOYS
        )
    assert used == [DECOYS.public, DECOYS.public]


def test_a_decoy_is_a_real_random_key_and_never_lets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.is_public_key(DECOYS.public)
    assert Decoys().public != DECOYS.public
    monkeypatch.setattr(handshake, "verify", lambda public, signature, message: None)
    check_auth()
    with pytest.raises(AuthFailed):
        check_auth(login_key=None)


# --- register, recover, enroll ---


def registration(**changes: Any) -> chain.ChainState:
    sig = handshake.prove_register(DEVICE, EXCHANGE, name="alice", genesis=GENESIS)
    fields: dict[str, Any] = {"exchange": EXCHANGE, "name": "alice", "genesis": GENESIS}
    fields |= {"sig": sig} | changes
    return handshake.check_register(fields.pop("exchange"), **fields)


def test_an_honest_registration_gives_the_chain() -> None:
    assert registration() == STATE
    assert registration() == STATE  # the same again, as a client does whose answer was lost


@pytest.mark.parametrize(
    "changes",
    [
        *({"exchange": EXCHANGE._replace(**{field: b"?" * 32})} for field in Exchange._fields),
        {"name": "bob"},
        {"sig": bytes(64)},
        {"genesis": links.make_genesis("alice", DEVICE, RECOVERY.public, TIME + 1)},
        {"genesis": links.make_genesis("alice", DEVICE, OTHER.public, TIME)},
        {"genesis": links.make_genesis("alice", OTHER, RECOVERY.public, TIME)},
        {"genesis": links.make_genesis("bob", DEVICE, RECOVERY.public, TIME)},
    ],
    ids=str,
)
def test_each_altered_field_of_a_registration_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((AuthFailed, ChainInvalid)):
        registration(**changes)


@pytest.mark.parametrize("public", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_a_small_order_key_cannot_register_though_its_signatures_are_forged(
    public: bytes,
) -> None:
    genesis = msgspec.structs.replace(GENESIS, login_key=public, device=device_id(public))
    proof = forged(public, transcript.possession(genesis)) or bytes(64)
    genesis = msgspec.structs.replace(genesis, proof=proof)
    sig = forged(public, transcript.link_signature(genesis)) or bytes(64)
    genesis = msgspec.structs.replace(genesis, sig=sig)
    login = forged(public, transcript.register(EXCHANGE, "alice", genesis)) or bytes(64)
    with pytest.raises(ChainInvalid) as caught:
        registration(genesis=genesis, sig=login)
    assert caught.value.fields["reason"] == "key"


def test_recovery_is_proven_by_the_recovery_key_alone() -> None:
    sig = handshake.prove_recover(RECOVERY, EXCHANGE, name="alice")
    known: dict[str, Any] = {"recovery_key": RECOVERY.public, "decoys": DECOYS}
    handshake.check_recover(EXCHANGE, name="alice", sig=sig, **known)
    for field in Exchange._fields:
        other = EXCHANGE._replace(**{field: b"?" * 32})
        with pytest.raises(AuthFailed):
            handshake.check_recover(other, name="alice", sig=sig, **known)
    with pytest.raises(AuthFailed):
        handshake.check_recover(EXCHANGE, name="bob", sig=sig, **known)
    by_device = handshake.prove_recover(DEVICE, EXCHANGE, name="alice")
    with pytest.raises(AuthFailed):
        handshake.check_recover(EXCHANGE, name="alice", sig=by_device, **known)


def test_an_enrolment_is_signed_by_r_and_proven_by_the_new_device() -> None:
    link = links.make_add(STATE, NEW, RECOVERY, TIME)
    sig = handshake.prove_enroll(NEW, EXCHANGE, name="alice", link=link)
    after = handshake.check_enroll(EXCHANGE, state=STATE, link=link, sig=sig)
    assert device_id(NEW.public) in after.devices
    for field in Exchange._fields:
        other = EXCHANGE._replace(**{field: b"?" * 32})
        with pytest.raises(AuthFailed):
            handshake.check_enroll(other, state=STATE, link=link, sig=sig)
    foreign = handshake.prove_enroll(RECOVERY, EXCHANGE, name="alice", link=link)
    with pytest.raises(AuthFailed):
        handshake.check_enroll(EXCHANGE, state=STATE, link=link, sig=foreign)
    elsewhere = handshake.prove_enroll(NEW, EXCHANGE, name="bob", link=link)
    with pytest.raises(AuthFailed):
        handshake.check_enroll(EXCHANGE, state=STATE, link=link, sig=elsewhere)
    by_device = links.make_add(STATE, NEW, DEVICE, TIME)
    sig = handshake.prove_enroll(NEW, EXCHANGE, name="alice", link=by_device)
    with pytest.raises(ChainInvalid):
        handshake.check_enroll(EXCHANGE, state=STATE, link=by_device, sig=sig)


# --- no signature passes for another kind ---

# One key plays every part, so that nothing but the label tells the signatures apart.
ALL = EXCHANGE._replace(server_id=DEVICE.public)
LOGIN: dict[str, Any] = {
    "name": "alice",
    "device": device_id(DEVICE.public),
    "head": STATE.head,
    "counter": 1,
    "login_key": DEVICE.public,
    "decoys": DECOYS,
}
ADDED = links.make_add(STATE, NEW, RECOVERY, TIME)


def with_proof(sig: bytes) -> Link:
    link = msgspec.structs.replace(GENESIS, proof=sig)
    return msgspec.structs.replace(link, sig=DEVICE.sign(transcript.link_signature(link)))


CHECKS: dict[str, Callable[[bytes], object]] = {
    "server": lambda sig: handshake.check_challenge(
        tls_spki=SPKI, terms=TERMS, sig=sig, pinned=None, **ALL._asdict()
    ),
    "auth": lambda sig: handshake.check_auth(ALL, sig=sig, **LOGIN),
    "register": lambda sig: handshake.check_register(ALL, name="alice", genesis=GENESIS, sig=sig),
    "recover": lambda sig: handshake.check_recover(
        ALL, name="alice", sig=sig, recovery_key=DEVICE.public, decoys=DECOYS
    ),
    "proof": lambda sig: chain.verify_chain([with_proof(sig)], "alice"),
    "link": lambda sig: chain.verify_chain([msgspec.structs.replace(GENESIS, sig=sig)], "alice"),
}
SIGNATURES = {
    "server": DEVICE.sign(transcript.server_challenge(ALL, TERMS)),
    "auth": handshake.prove_auth(DEVICE, ALL, name="alice", head=STATE.head, counter=1),
    "register": handshake.prove_register(DEVICE, ALL, name="alice", genesis=GENESIS),
    "recover": handshake.prove_recover(DEVICE, ALL, name="alice"),
    "enroll": handshake.prove_enroll(DEVICE, ALL, name="alice", link=GENESIS),
    "proof": GENESIS.proof,
    "link": GENESIS.sig,
    "head": DEVICE.sign(transcript.link_hash(GENESIS)),
    "key": DEVICE.sign(transcript.device_key(device_id(DEVICE.public), 1, STATE.head)),
}


@pytest.mark.parametrize("made", SIGNATURES)
@pytest.mark.parametrize("checked", CHECKS)
def test_a_signature_passes_for_its_own_kind_alone(checked: str, made: str) -> None:
    if checked == made:
        CHECKS[checked](SIGNATURES[made])
        return
    with pytest.raises((AuthFailed, ChainInvalid, ServerIdentityInvalid)):
        CHECKS[checked](SIGNATURES[made])


@pytest.mark.parametrize("kind", ["register", "auth", "recover"])
def test_nothing_else_passes_for_an_enrolment(kind: str) -> None:
    sigs = {
        "register": handshake.prove_register(NEW, ALL, name="alice", genesis=ADDED),
        "auth": handshake.prove_auth(NEW, ALL, name="alice", head=STATE.head, counter=1),
        "recover": handshake.prove_recover(NEW, ALL, name="alice"),
    }
    with pytest.raises(AuthFailed):
        handshake.check_enroll(ALL, state=STATE, link=ADDED, sig=sigs[kind])
