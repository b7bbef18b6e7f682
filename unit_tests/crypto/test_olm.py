from __future__ import annotations

import base64
import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jim.crypto.keys import EncryptionKeys, is_public_key, verify
from jim.crypto.olm import Olm, OlmAccount, OlmSession
from jim.crypto.suite import Sealed
from jim.errors import AuthFailed, CannotDecrypt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.crypto.suite import CryptoSuite, DeviceAccount, Session

KEY = b"k" * 32
OTHER_KEY = b"K" * 32
SKIPPED = 40
"""Keys of messages that are still to come which Olm keeps (vodozemac: MAX_MESSAGE_KEYS)."""


class Pair(NamedTuple):
    """Two devices and their two ends of one session; the first message has been opened."""

    alice: OlmAccount
    bob: OlmAccount
    mine: OlmSession
    yours: OlmSession
    first: Sealed


def pair(*, fallback: bool = False) -> Pair:
    alice, bob = OLM.new_account(), OLM.new_account()
    key = bob.new_fallback_key() if fallback else bob.new_one_time_keys(1)[0]
    mine = alice.begin(bob.keys, key)
    first = mine.encrypt(b"first")
    yours, plaintext = bob.accept(alice.keys, first)
    assert plaintext == b"first"
    return Pair(alice, bob, mine, yours, first)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(CannotDecrypt) as caught:
        yield
    assert caught.value.fields["reason"] == reason


OLM = Olm()


def test_it_is_what_the_interface_says() -> None:
    suite: CryptoSuite = OLM
    account: DeviceAccount = suite.new_account()
    [key] = account.new_one_time_keys(1)
    session: Session = suite.new_account().begin(account.keys, key)
    assert session.encrypt(b"x").suite == suite.suite_id == "1"


# --- the account ---


def test_every_device_has_good_keys_of_its_own() -> None:
    one, two = OLM.new_account().keys, OLM.new_account().keys
    assert is_public_key(one.ed)
    assert len(one.ed) == len(one.curve) == 32
    assert len({one.ed, one.curve, two.ed, two.curve}) == 4


def test_a_signature_of_the_account_is_verified_as_every_other() -> None:
    account = OLM.new_account()
    verify(account.keys.ed, account.sign(b"message"), b"message")
    with pytest.raises(AuthFailed):
        verify(account.keys.ed, account.sign(b"message"), b"massage")


def test_no_one_time_key_comes_twice_and_older_ones_count_as_published() -> None:
    account = OLM.new_account()
    batches = [account.new_one_time_keys(count) for count in (5, 1, 60)]
    assert [len(batch) for batch in batches] == [5, 1, 60]
    assert len({key for batch in batches for key in batch}) == 66
    restored = OLM.account(account.pickle(KEY), KEY)
    assert not set(restored.new_one_time_keys(5)) & {key for batch in batches for key in batch}


def test_keys_of_every_batch_begin_sessions_also_after_a_restart() -> None:
    bob = OLM.new_account()
    keys = bob.new_one_time_keys(3) + bob.new_one_time_keys(2)
    bob = OLM.account(bob.pickle(KEY), KEY)
    alice = OLM.new_account()
    for number, key in enumerate(keys):
        first = alice.begin(bob.keys, key).encrypt(b"%d" % number)
        assert bob.accept(alice.keys, first)[1] == b"%d" % number


def test_a_one_time_key_serves_once() -> None:
    alice, bob = OLM.new_account(), OLM.new_account()
    [key] = bob.new_one_time_keys(1)
    one, two = (alice.begin(bob.keys, key).encrypt(b"x") for _ in range(2))
    bob.accept(alice.keys, one)
    for sealed in (one, two):
        with refused("session"):
            bob.accept(alice.keys, sealed)


def test_the_last_two_fallback_keys_work_and_older_ones_do_not() -> None:
    alice, bob = OLM.new_account(), OLM.new_account()
    keys = [bob.new_fallback_key() for _ in range(3)]
    assert len(set(keys)) == 3
    firsts = [alice.begin(bob.keys, key).encrypt(b"x") for key in keys]
    with refused("session"):
        bob.accept(alice.keys, firsts[0])
    for first in firsts[1:]:
        assert bob.accept(alice.keys, first)[1] == b"x"


def test_fallback_and_one_time_keys_are_not_mixed_up() -> None:
    account = OLM.new_account()
    fallback = account.new_fallback_key()
    one_time = account.new_one_time_keys(3)
    assert len(one_time) == 3
    assert account.new_fallback_key() not in {fallback, *one_time}


def test_the_first_message_of_a_fallback_key_opens_twice() -> None:
    """Olm cannot tell: what was had before is found by the `id` in the content alone."""
    both = pair(fallback=True)
    again, plaintext = both.bob.accept(both.alice.keys, both.first)
    assert plaintext == b"first"
    assert again.session_id == both.yours.session_id


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_session_is_not_begun_with_keys_of_a_wrong_size(size: int) -> None:
    alice, bob = OLM.new_account(), OLM.new_account()
    [key] = bob.new_one_time_keys(1)
    with refused("key"):
        alice.begin(bob.keys, bytes(size))
    with refused("key"):
        alice.begin(EncryptionKeys(bob.keys.ed, b"x" * size), key)


def test_a_first_message_is_accepted_from_its_maker_alone() -> None:
    alice, bob, eve = (OLM.new_account() for _ in range(3))
    [key] = bob.new_one_time_keys(1)
    first = alice.begin(bob.keys, key).encrypt(b"x")
    with refused("session"):
        bob.accept(eve.keys, first)
    with refused("session"):
        eve.accept(alice.keys, first)
    with refused("session"):
        bob.accept(EncryptionKeys(alice.keys.ed, b"short"), first)
    assert bob.accept(alice.keys, first)[1] == b"x"  # the refusals have used nothing up


def test_a_further_message_begins_no_session() -> None:
    both = pair()
    with refused("session"):
        both.alice.accept(both.bob.keys, both.yours.encrypt(b"x"))


# --- the session ---


def test_both_directions_and_the_same_id_on_both_sides() -> None:
    both = pair()
    assert both.mine.session_id == both.yours.session_id != pair().mine.session_id
    for number in range(5):
        there, back = b"there %d" % number, b"back %d" % number
        assert both.yours.decrypt(both.mine.encrypt(there)) == there
        assert both.mine.decrypt(both.yours.encrypt(back)) == back


def test_messages_are_first_ones_until_the_other_side_has_answered() -> None:
    both = pair()
    assert both.first.is_first
    assert both.mine.encrypt(b"x").is_first
    answer = both.yours.encrypt(b"y")
    assert not answer.is_first
    both.mine.decrypt(answer)
    assert not both.mine.encrypt(b"z").is_first


def test_the_same_text_never_gives_the_same_ciphertext() -> None:
    mine = pair().mine
    assert len({mine.encrypt(b"x").body for _ in range(20)}) == 20


def test_out_of_order_within_the_keys_that_olm_keeps() -> None:
    both = pair()
    sealed = [both.mine.encrypt(b"%d" % number) for number in range(SKIPPED + 1)]
    for number in reversed(range(SKIPPED + 1)):
        assert both.yours.decrypt(sealed[number]) == b"%d" % number


def test_beyond_them_a_message_cannot_be_opened_any_more() -> None:
    both = pair()
    sealed = [both.mine.encrypt(b"%d" % number) for number in range(SKIPPED + 2)]
    both.yours.decrypt(sealed[-1])
    with refused("session"):
        both.yours.decrypt(sealed[0])
    assert both.yours.decrypt(sealed[1]) == b"1"


def test_a_late_message_is_opened_after_the_ratchet_has_turned() -> None:
    both = pair()
    late = both.mine.encrypt(b"late")
    both.yours.decrypt(both.mine.encrypt(b"x"))
    both.mine.decrypt(both.yours.encrypt(b"y"))
    assert both.yours.decrypt(both.mine.encrypt(b"z")) == b"z"
    assert both.yours.decrypt(late) == b"late"


def test_a_replay_is_refused_within_a_session() -> None:
    both = pair()
    there, back = both.mine.encrypt(b"x"), both.yours.encrypt(b"y")
    both.yours.decrypt(there)
    both.mine.decrypt(back)
    for session, sealed in ((both.yours, both.first), (both.yours, there), (both.mine, back)):
        with refused("session"):
            session.decrypt(sealed)
    restored = OLM.session(both.yours.pickle(KEY), KEY)
    with refused("session"):
        restored.decrypt(there)


def test_a_message_of_another_session_is_refused() -> None:
    one, two = pair(), pair()
    with refused("session"):
        two.yours.decrypt(one.mine.encrypt(b"x"))
    one.mine.decrypt(one.yours.encrypt(b"answered"))
    with refused("session"):
        two.yours.decrypt(one.mine.encrypt(b"x"))
    with refused("session"):
        one.mine.decrypt(one.mine.encrypt(b"x"))  # nor does one open what one has sealed


def test_a_damaged_ciphertext_leaves_the_session_as_it_was() -> None:
    both = pair()
    both.mine.decrypt(both.yours.encrypt(b"y"))
    for good in (both.mine.encrypt(b"a text"), both.mine.encrypt(b"another")):
        before = both.yours.pickle(KEY)
        for place in range(len(good.body)):
            bad = bytearray(good.body)
            bad[place] ^= 1
            with pytest.raises(CannotDecrypt):
                both.yours.decrypt(good._replace(body=bytes(bad)))
        assert OLM.session(before, KEY).decrypt(good) == both.yours.decrypt(good)


def test_a_damaged_first_message_uses_nothing_up() -> None:
    alice, bob = OLM.new_account(), OLM.new_account()
    [key] = bob.new_one_time_keys(1)
    good = alice.begin(bob.keys, key).encrypt(b"x")
    for place in range(len(good.body)):
        bad = bytearray(good.body)
        bad[place] ^= 1
        with pytest.raises(CannotDecrypt):
            bob.accept(alice.keys, good._replace(body=bytes(bad)))
    assert bob.accept(alice.keys, good)[1] == b"x"


@settings(max_examples=300)
@given(st.booleans(), st.binary(max_size=200), st.sampled_from([b"", b"\x03", b"\x03\x0a\x20"]))
def test_no_bytes_whatsoever_are_anything_but_cannot_decrypt(
    is_first: bool, body: bytes, beginning: bytes
) -> None:
    sealed = Sealed("1", is_first, beginning + body)
    with pytest.raises(CannotDecrypt):
        PAIR.yours.decrypt(sealed)
    with pytest.raises(CannotDecrypt):
        PAIR.bob.accept(PAIR.alice.keys, sealed)


def test_another_suite_is_named_as_the_reason() -> None:
    sealed = PAIR.first._replace(suite="2")
    with refused("suite"):
        PAIR.yours.decrypt(sealed)
    with refused("suite"):
        PAIR.bob.accept(PAIR.alice.keys, sealed)


def test_a_session_knows_the_message_that_has_begun_it() -> None:
    both, other = pair(), pair()
    assert both.yours.matches(both.first)
    assert both.yours.matches(both.mine.encrypt(b"the second says it again"))
    assert not both.yours.matches(other.first)
    both.mine.decrypt(both.yours.encrypt(b"y"))
    assert not both.yours.matches(both.mine.encrypt(b"no longer"))


# --- what is kept ---


def test_what_was_pickled_goes_on_where_it_was() -> None:
    both = pair()
    mine, yours = (OLM.session(end.pickle(KEY), KEY) for end in (both.mine, both.yours))
    assert mine.session_id == both.mine.session_id
    assert yours.decrypt(mine.encrypt(b"x")) == b"x"
    restored = OLM.account(both.bob.pickle(KEY), KEY)
    assert restored.keys == both.bob.keys
    verify(both.bob.keys.ed, restored.sign(b"m"), b"m")


def test_another_key_or_a_damaged_pickle_restores_nothing() -> None:
    both = pair()
    account, session = both.bob.pickle(KEY), both.yours.pickle(KEY)
    for key in (OTHER_KEY, b"", b"short"):
        with refused("pickle"):
            OLM.account(account, key)
        with refused("pickle"):
            OLM.session(session, key)
    for text in ("", "x", "ё", account[:-4], "A" + account[1:] + "AAAA", session):
        with refused("pickle"):
            OLM.account(text, KEY)
    for text in ("", session[:-4], account):
        with refused("pickle"):
            OLM.session(text, KEY)


def test_a_pickle_shows_nothing_of_the_keys() -> None:
    account = OLM.new_account()
    one_time = account.new_one_time_keys(1)
    text = account.pickle(KEY)
    raw = base64.b64decode(text + "=" * (-len(text) % 4))
    for key in (account.keys.ed, account.keys.curve, *one_time, KEY):
        assert key not in raw


def test_a_store_that_was_put_back_cannot_open_what_came_in_between() -> None:
    """Why a device whose store is older than the server knows leaves the account (ADR 0017)."""
    both = pair()
    older = both.mine.pickle(KEY)
    both.yours.decrypt(both.mine.encrypt(os.urandom(8)))
    restored = OLM.session(older, KEY)
    with refused("session"):
        both.yours.decrypt(restored.encrypt(b"sealed with a key that was used before"))


PAIR = pair()
