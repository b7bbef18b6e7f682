"""The pinned chains: they only grow, and what the user has compared counts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jim.client.encryption.contacts import Contacts, Trust
from jim.client.encryption.content import Head
from jim.client.encryption.vault import new_vault
from jim.client.schema import open_database
from jim.crypto import links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.transcript import link_hash
from jim.errors import ChainInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.protocol.messages import Link

FIRST, SECOND, THIRD = (SigningKey(letter * 32) for letter in (b"1", b"2", b"3"))
RECOVERY, NEXT_RECOVERY = SigningKey(b"r" * 32), SigningKey(b"n" * 32)
KEYS = {key.public: new_vault(key, device_id(key.public)).keys for key in (FIRST, SECOND, THIRD)}


def begin(key: SigningKey = FIRST, time: int = 1) -> list[Link]:
    return [links.make_genesis("bob", key, RECOVERY.public, time, KEYS[key.public])]


def add(chain: list[Link], key: SigningKey) -> list[Link]:
    state = verify_chain(chain, "bob")
    return [*chain, links.make_add(state, key, RECOVERY, 10 + len(chain), KEYS[key.public])]


def reset(chain: list[Link], key: SigningKey) -> list[Link]:
    state, new = verify_chain(chain, "bob"), NEXT_RECOVERY.public
    keys = KEYS[key.public]
    return [*chain, links.make_reset(state, key, new, RECOVERY, time=50, keys=keys)]


def revoke(chain: list[Link], key: SigningKey) -> list[Link]:
    state = verify_chain(chain, "bob")
    return [*chain, links.make_revoke(state, device_id(key.public), FIRST, 40)]


GENESIS = begin()
TWO = add(GENESIS, SECOND)
THREE = add(TWO, THIRD)


@pytest.fixture
def contacts(tmp_path: Path) -> Iterator[Contacts]:
    with contextlib.closing(open_database(tmp_path / "store.db", create=True)) as connection:
        yield Contacts(connection)


def pinned(contacts: Contacts) -> list[Link]:
    contact = contacts.get("bob")
    return [] if contact is None else contact.links


def test_the_first_chain_is_pinned_and_grows(contacts: Contacts) -> None:
    assert contacts.get("bob") is None
    learned = contacts.learn("bob", GENESIS)
    assert (learned.is_new, learned.restarted) == (True, False)
    learned = contacts.learn("bob", THREE)
    assert learned.added == [device_id(key.public) for key in (SECOND, THIRD)]
    assert (learned.is_new, learned.removed) == (False, [])
    assert pinned(contacts) == THREE


@pytest.mark.parametrize("shown", [THREE[1:], THREE[2:], THREE, THREE[:1] + THREE[1:]])
def test_what_is_here_already_may_come_again(contacts: Contacts, shown: list[Link]) -> None:
    contacts.learn("bob", TWO)
    assert contacts.learn("bob", shown).added == [device_id(THIRD.public)]
    assert contacts.learn("bob", shown).added == []
    assert pinned(contacts) == THREE


def test_a_device_that_came_and_went_meanwhile_is_named(contacts: Contacts) -> None:
    contacts.learn("bob", GENESIS)
    learned = contacts.learn("bob", add(revoke(TWO, SECOND), THIRD))
    assert learned.added == [device_id(THIRD.public)]
    assert (learned.removed, learned.passing) == ([], [device_id(SECOND.public)])
    learned = contacts.learn("bob", revoke(add(revoke(TWO, SECOND), THIRD), THIRD))
    assert (learned.removed, learned.passing) == ([device_id(THIRD.public)], [])


FORKED = add(begin(SECOND), THIRD)
FORKED_LATER = add(GENESIS, THIRD)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ([], "empty"),
        (GENESIS, "rolled_back"),
        (add(TWO, THIRD)[3:], "empty"),
        (add(FORKED, FIRST), "forked"),
        (FORKED, "forked"),
        (add(FORKED_LATER, SECOND), "forked"),
        (FORKED_LATER[1:], "forked"),
    ],
)
def test_another_chain_is_refused_and_changes_nothing(
    contacts: Contacts, shown: list[Link], reason: str
) -> None:
    contacts.learn("bob", TWO)
    with pytest.raises(ChainInvalid) as raised:
        contacts.learn("bob", shown)
    assert raised.value.fields["reason"] == reason
    assert pinned(contacts) == TWO


@pytest.mark.parametrize("known", [[], GENESIS])
def test_links_that_are_left_out_are_missed(contacts: Contacts, known: list[Link]) -> None:
    if known:
        contacts.learn("bob", known)
    with pytest.raises(ChainInvalid) as raised:
        contacts.learn("bob", THREE[2:])
    assert raised.value.fields["reason"] == "seq"
    assert pinned(contacts) == known


def test_a_chain_of_somebody_else_is_none(contacts: Contacts) -> None:
    with pytest.raises(ChainInvalid):
        contacts.learn("carol", GENESIS)
    assert contacts.get("carol") is None


def test_a_device_that_was_taken_out_has_no_keys(contacts: Contacts) -> None:
    contacts.learn("bob", TWO)
    learned = contacts.learn("bob", revoke(TWO, SECOND))
    assert learned.removed == [device_id(SECOND.public)]
    assert learned.contact.state is not None
    assert list(learned.contact.state.keys) == [device_id(FIRST.public)]


@pytest.mark.parametrize(
    ("before", "after"),
    [(Trust.FIRST, Trust.FIRST), (Trust.VERIFIED, Trust.CHANGED), (Trust.CHANGED, Trust.CHANGED)],
)
def test_a_new_beginning_undoes_only_what_was_compared(
    contacts: Contacts, before: Trust, after: Trust
) -> None:
    contacts.learn("bob", TWO)
    contacts.trust("bob", before)
    learned = contacts.learn("bob", reset(TWO, THIRD))
    assert learned.restarted
    assert (learned.added, len(learned.removed)) == ([device_id(THIRD.public)], 2)
    contact = contacts.get("bob")
    assert contact is not None
    assert contact.trust is after is learned.contact.trust


def test_a_chain_that_began_anew_before_it_was_seen_is_no_news(contacts: Contacts) -> None:
    learned = contacts.learn("bob", reset(TWO, THIRD))
    assert (learned.is_new, learned.restarted) == (True, False)


def test_a_new_device_leaves_the_comparison_valid(contacts: Contacts) -> None:
    contacts.learn("bob", GENESIS)
    assert contacts.trust("bob", Trust.VERIFIED)
    assert contacts.learn("bob", TWO).contact.trust is Trust.VERIFIED
    assert not contacts.trust("nobody", Trust.VERIFIED)


def test_plain_can_be_allowed_before_a_chain_is_known(contacts: Contacts) -> None:
    contacts.allow_plain("bob", allowed=True)
    contact = contacts.get("bob")
    assert contact is not None
    assert (contact.plain, contact.state, contact.seq, contact.links) == (True, None, -1, [])
    learned = contacts.learn("bob", GENESIS)
    assert learned.is_new
    assert learned.contact.plain
    contacts.allow_plain("bob", allowed=False)
    contact = contacts.get("bob")
    assert contact is not None
    assert (contact.plain, contact.links) == (False, GENESIS)


def test_it_knows_which_ends_somebody_can_have_seen(contacts: Contacts) -> None:
    contact = contacts.learn("bob", TWO).contact
    assert all(contact.has(Head(link.seq, link_hash(link))) for link in TWO)
    assert not contact.has(Head(THREE[2].seq, link_hash(THREE[2])))
    assert not contact.has(Head(TWO[1].seq, link_hash(TWO[0])))


def test_what_was_rolled_back_was_never_learned(contacts: Contacts) -> None:
    contacts.learn("bob", GENESIS)
    contacts._sql.execute("BEGIN")
    contacts.learn("bob", TWO)
    contacts.get("bob")
    contacts._sql.execute("ROLLBACK")
    assert pinned(contacts) == GENESIS
