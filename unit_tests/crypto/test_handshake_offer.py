"""What a new device proves that waits to be linked."""

from __future__ import annotations

import msgspec
import pytest

from jim.crypto import handshake, transcript
from jim.errors import AuthFailed
from jim.protocol.messages import PublicKey
from unit_tests.crypto.test_handshake import EXCHANGE
from unit_tests.crypto.test_keys import SMALL_ORDER, forged
from unit_tests.support.linking import Device


def test_a_device_proves_its_offer_on_one_connection_and_for_one_name() -> None:
    device = Device()
    sig = handshake.prove_offer(device.key, EXCHANGE, name="alice", device=device)
    handshake.check_offer(EXCHANGE, name="alice", device=device, sig=sig)
    for exchange, name, other, proof in (
        (EXCHANGE._replace(snonce=b"o" * 32), "alice", device, sig),
        (EXCHANGE, "alicf", device, sig),
        (EXCHANGE, "alice", Device(), sig),
        (EXCHANGE, "alice", device, bytes(64)),
    ):
        with pytest.raises(AuthFailed):
            handshake.check_offer(exchange, name=name, device=other, sig=proof)


def test_an_offer_with_a_fallback_key_of_another_device_is_refused() -> None:
    device = Device()
    device.fallback = Device().fallback
    sig = handshake.prove_offer(device.key, EXCHANGE, name="alice", device=device)
    with pytest.raises(AuthFailed):
        handshake.check_offer(EXCHANGE, name="alice", device=device, sig=sig)


@pytest.mark.parametrize("public", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_an_offer_with_a_small_order_key_is_refused(public: bytes) -> None:
    device = Device()
    bad = msgspec.structs.replace(device.offer(), login_key=public)
    sig = forged(public, transcript.offer(EXCHANGE, "alice", bad)) or bytes(64)
    with pytest.raises(AuthFailed):
        handshake.check_offer(EXCHANGE, name="alice", device=bad, sig=sig)
    signed = transcript.device_key(device.device, 1, bytes(32))
    fallback = PublicKey(id=1, key=bytes(32), sig=forged(public, signed) or bytes(64))
    bad = msgspec.structs.replace(device.offer(), ed=public, fallback=fallback)
    sig = device.key.sign(transcript.offer(EXCHANGE, "alice", bad))
    with pytest.raises(AuthFailed):
        handshake.check_offer(EXCHANGE, name="alice", device=bad, sig=sig)
