"""The hub and sealed messages: what it refuses by itself, and whom it tells of devices and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jim.core.limits import Limits, ciphertext_bytes
from jim.core.ports import ChainGrown
from jim.errors import BadRequest, Revoked, TextTooLong, WireError
from jim.protocol import messages as m
from unit_tests.core.test_hub import LIMITS, Node
from unit_tests.support.accounts import LATER_MS, NOW_MS, add_account, revocation
from unit_tests.support.hub_world import finish

if TYPE_CHECKING:
    from jim.core.link import Link
    from jim.core.model import Identity

DEVICE = "d" * 16
LONGEST = ciphertext_bytes(LIMITS.text_bytes)


@pytest.fixture
def node() -> Node:
    return Node()


def keyed(node: Node, name: str, devices: int = 1) -> list[Identity]:
    return finish(add_account(node.store, name, devices, keys=True))


def refusal(node: Node, link: Link, **fields: Any) -> WireError:
    message = m.Msg(id="r", n=1, to="bob", **fields)
    [(refused, error)] = node.hub.submit(link, [message])
    assert refused is message
    assert error.fields["n"] == 1
    return error


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "either"),
        ({"message": "x", "ciphertexts": {DEVICE: "1mx"}}, "either"),
        ({"message": "", "ciphertexts": {}}, "either"),
        ({"message": "x", "only": True}, "ciphertexts"),
        ({"ciphertexts": {}, "only": True}, "one device"),
        ({"ciphertexts": {DEVICE: "1mx", "e" * 16: "1mx"}, "only": True}, "one device"),
    ],
)
def test_a_message_is_either_plain_or_sealed(node: Node, fields: dict[str, Any], word: str) -> None:
    [alice] = keyed(node, "alice")
    _, link = node.join(alice)
    error = refusal(node, link, **fields)
    assert isinstance(error, BadRequest)
    assert word in error.detail
    assert not node.hub.has_messages


def test_a_ciphertext_may_be_as_long_as_the_longest_text_sealed(node: Node) -> None:
    [alice], [bob] = keyed(node, "alice"), keyed(node, "bob")
    _, link = node.join(alice)
    his, _ = node.join(bob)
    error = refusal(node, link, ciphertexts={DEVICE: "1mx", bob.device: "x" * (LONGEST + 1)})
    assert isinstance(error, TextTooLong)
    assert error.fields == {"n": 1, "size_bytes": LONGEST + 1, "limit_bytes": LONGEST}
    sealed = m.Msg(id=1, n=1, to="bob", ciphertexts={bob.device: "x" * LONGEST})
    assert node.hub.submit(link, [sealed]) == []
    node.commit()
    assert len(his.frames[-1].ciphertext) == LONGEST


def test_the_longest_texts_of_the_defaults_fit_into_a_frame() -> None:
    limits = Limits()
    copies = 2 * limits.devices - 1
    assert copies * (ciphertext_bytes(limits.text_bytes) + 22) + 512 <= limits.frame_bytes


def test_a_revoked_sender_is_refused_and_its_session_ended(node: Node) -> None:
    desk, phone = keyed(node, "alice", 2)
    outlet, link = node.join(phone)
    node.send(link, 1, "alice")
    account = finish(node.store.find_account("alice"))
    assert account is not None
    finish(node.store.extend(revocation(account, phone.device), NOW_MS))
    node.commit()
    [answer] = outlet.frames
    assert (answer.code, answer.n, answer.fatal) == ("revoked", 1, True)
    assert isinstance(outlet.closed, Revoked)
    assert finish(node.store.standing(desk.device_id)).position == 0


def test_news_of_a_chain_reach_the_others_of_the_account_and_contacts(node: Node) -> None:
    desk, phone = keyed(node, "alice", 2)
    [bob], [carol] = keyed(node, "bob"), keyed(node, "carol")
    outlets = {who.device_id: node.join(who)[0] for who in (desk, phone, bob, carol)}
    news = ChainGrown("alice", 5, desk.device_id)
    node.hub.chain_grown(desk.account_id, news, [bob.account_id, desk.account_id])
    change = m.DevicesChange(name="alice", chain_seq=5, time=LATER_MS)
    assert outlets[phone.device_id].along == [change]
    assert outlets[bob.device_id].along == [change]
    assert outlets[desk.device_id].along == outlets[carol.device_id].along == []


def test_only_a_connected_device_with_few_keys_is_asked_for_more(node: Node) -> None:
    desk, phone = keyed(node, "alice", 2)
    outlet, _ = node.join(desk)
    few = LIMITS.few_one_time_keys
    for count in (few + 1, few, 0):
        node.hub.keys_left(desk.account_id, desk.device_id, count)
        node.hub.keys_left(phone.account_id, phone.device_id, count)
    assert outlet.along == [m.KeysLeft(one_time_keys=count, time=LATER_MS) for count in (few, 0)]
