from __future__ import annotations

import msgspec
import pytest

from jim.crypto import transcript
from jim.crypto.device_keys import sign_key, verify_key
from jim.crypto.olm import Olm
from jim.errors import AuthFailed
from unit_tests.crypto.test_keys import SMALL_ORDER, forged

DEVICE = "abcdefghijklmnop"
ACCOUNT = Olm().new_account()
OTHER = Olm().new_account()
ED = ACCOUNT.keys.ed
[KEY] = ACCOUNT.new_one_time_keys(1)
SIGNED = sign_key(ACCOUNT, DEVICE, 7, KEY)


def test_a_signed_key_is_verified_with_the_identity_of_its_device() -> None:
    assert (SIGNED.id, SIGNED.key) == (7, KEY)
    verify_key(SIGNED, DEVICE, ED)


def test_another_device_number_key_signature_or_identity_fails() -> None:
    flipped = bytes([SIGNED.sig[0] ^ 1]) + SIGNED.sig[1:]
    for public, device, ed in (
        (SIGNED, "abcdefghijklmnoq", ED),
        (SIGNED, "", ED),
        (msgspec.structs.replace(SIGNED, id=8), DEVICE, ED),
        (msgspec.structs.replace(SIGNED, id=77), DEVICE, ED),
        (msgspec.structs.replace(SIGNED, key=OTHER.new_one_time_keys(1)[0]), DEVICE, ED),
        (msgspec.structs.replace(SIGNED, key=b""), DEVICE, ED),
        (msgspec.structs.replace(SIGNED, sig=flipped), DEVICE, ED),
        (msgspec.structs.replace(SIGNED, sig=b""), DEVICE, ED),
        (SIGNED, DEVICE, OTHER.keys.ed),
        (SIGNED, DEVICE, ACCOUNT.keys.curve),
        (SIGNED, DEVICE, b""),
    ):
        with pytest.raises(AuthFailed):
            verify_key(public, device, ed)


def test_a_server_cannot_put_in_a_key_that_another_account_has_signed() -> None:
    [key] = OTHER.new_one_time_keys(1)
    with pytest.raises(AuthFailed):
        verify_key(sign_key(OTHER, DEVICE, 7, key), DEVICE, ED)


@pytest.mark.parametrize("ed", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_an_identity_of_small_order_fails_though_its_signatures_are_forged(ed: bytes) -> None:
    sig = forged(ed, transcript.device_key(DEVICE, 7, KEY)) or bytes(64)
    with pytest.raises(AuthFailed):
        verify_key(msgspec.structs.replace(SIGNED, sig=sig), DEVICE, ed)


def test_what_the_account_signs_elsewhere_is_no_signature_of_a_key() -> None:
    for label in transcript.LABELS:
        sig = ACCOUNT.sign(transcript.transcript(label, DEVICE, 7, KEY))
        public = msgspec.structs.replace(SIGNED, sig=sig)
        if label == transcript.KEY:
            verify_key(public, DEVICE, ED)
            continue
        with pytest.raises(AuthFailed):
            verify_key(public, DEVICE, ED)
