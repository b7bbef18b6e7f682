"""Logging in: what the client says, and what it does not believe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from jim.client.account_record import AccountRecord, Stage
from jim.client.encryption.vault import new_vault
from jim.client.login import Credentials, Greeting, log_in
from jim.crypto import chain, handshake, links
from jim.crypto.handshake import Decoys
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.transcript import Exchange, link_hash
from jim.errors import ChainInvalid, ConnectFailed, JimError
from jim.protocol import messages as m
from unit_tests.client.fake_server import TERMS

if TYPE_CHECKING:
    from jim.client.link import Link

KEY = SigningKey(b"k" * 32)
RECOVERY = SigningKey(b"r" * 32)
OLD = SigningKey(b"o" * 32)
EXCHANGE = Exchange(bytes(32), bytes(32), bytes(32), bytes(32))
GREETING = Greeting(EXCHANGE, m.parse_terms(TERMS))
VAULT = new_vault(KEY, device_id(KEY.public))
GENESIS = links.make_genesis("alice", KEY, RECOVERY.public, 1, VAULT.keys)
OLD_GENESIS = links.make_genesis("alice", OLD, RECOVERY.public, 1)


class Scripted:
    """A link whose other side says what the test wants."""

    def __init__(self, *replies: m.ServerMessage) -> None:
        self.replies = list(replies)
        self.asked: list[Any] = []

    async def ask(self, message: m.ClientMessage) -> m.ServerMessage:
        self.asked.append(message)
        return self.replies.pop(0)


class Login:
    """One account about to log in, and what it kept."""

    def __init__(self, stage: Stage, **changes: Any) -> None:
        self.record = AccountRecord(
            name="alice", device=device_id(KEY.public), stage=stage, **changes
        )
        self.saved: list[AccountRecord] = []

    async def run(self, *replies: m.ServerMessage, recovery: SigningKey | None = None) -> list[Any]:
        async def save(record: AccountRecord) -> None:
            self.saved.append(record)

        who = Credentials(
            key=KEY,
            record=self.record,
            counter=5,
            token="token",
            recovery=recovery,
            keys=VAULT.keys,
            fallback=VAULT.fallback,
            save=save,
        )
        scripted = Scripted(*replies)
        await log_in(cast("Link", scripted), GREETING, who)
        return scripted.asked


def welcome(**changes: Any) -> m.Welcome:
    usual = m.Welcome(
        id=1,
        response=200,
        time=1,
        name="alice",
        device=device_id(KEY.public),
        last_n=0,
        position=0,
        acked=0,
        epoch="e",
        chain_seq=0,
        chain_head=link_hash(GENESIS),
    )
    return msgspec.structs.replace(usual, **changes)


def registering() -> Login:
    return Login(Stage.REGISTERING, link=GENESIS, words="secret")


def registered() -> Login:
    return Login(Stage.REGISTERED, chain_seq=3, chain_head=b"h" * 32)


async def test_a_registration_proves_the_genesis_and_pins_it() -> None:
    login = registering()
    (register,) = await login.run(welcome())
    handshake.check_register(EXCHANGE, name="alice", genesis=GENESIS, sig=register.sig)
    assert register.invite == "token"
    (kept,) = login.saved
    assert (kept.stage, kept.link, kept.chain_head) == (
        Stage.REGISTERED,
        None,
        link_hash(GENESIS),
    )


async def test_a_known_device_proves_its_key_and_the_head_it_knows() -> None:
    login = registered()
    (auth,) = await login.run(welcome(chain_seq=3, chain_head=b"h" * 32))
    handshake.check_auth(
        EXCHANGE,
        name="alice",
        device=auth.device,
        head=b"h" * 32,
        counter=5,
        sig=auth.sig,
        login_key=KEY.public,
        decoys=Decoys(),
    )
    assert login.saved == []


SECOND = SigningKey(b"2" * 32)
ADDED = links.make_add(chain.verify_chain([GENESIS], "alice"), SECOND, KEY, 2)
GROWN = links.make_add(
    chain.verify_chain([GENESIS, ADDED], "alice"), SigningKey(b"3" * 32), RECOVERY, 3
)


def knowing_the_genesis() -> Login:
    return Login(Stage.REGISTERED, chain_seq=0, chain_head=link_hash(GENESIS))


def ending_with(link: m.Link) -> m.Welcome:
    return welcome(chain_seq=link.seq, chain_head=link_hash(link))


@pytest.mark.parametrize("more", [[], [GROWN]])
async def test_a_chain_that_grew_is_verified_and_then_pinned(more: list[m.Link]) -> None:
    login = knowing_the_genesis()
    _, request = await login.run(ending_with(ADDED), shown(GENESIS, ADDED, *more))
    assert isinstance(request, m.ChainRequest)
    end = (more or [ADDED])[-1]
    assert [(kept.chain_seq, kept.chain_head) for kept in login.saved] == [
        (end.seq, link_hash(end))
    ]


FORK = links.make_genesis("alice", SECOND, RECOVERY.public, 1)
FORK_ADDED = links.make_add(chain.verify_chain([FORK], "alice"), KEY, SECOND, 2)
UNSIGNED = msgspec.structs.replace(ADDED, sig=bytes(64))
BY_A_STRANGER = links.sign_add(ADDED, SigningKey(b"x" * 32))


@pytest.mark.parametrize(
    ("end", "answer", "reason"),
    [
        (FORK_ADDED, [FORK, FORK_ADDED], "forked"),
        (ADDED, [GENESIS], "rolled_back"),
        (GROWN, [GENESIS, ADDED], "rolled_back"),
        (UNSIGNED, [GENESIS, UNSIGNED], "signer"),
        (BY_A_STRANGER, [GENESIS, BY_A_STRANGER], "signer"),
        (BY_A_STRANGER, [GENESIS, ADDED], "forked"),
        (ADDED, [ADDED], "seq"),
        (ADDED, [], "empty"),
    ],
)
async def test_growth_that_nobody_can_prove_is_refused(
    end: m.Link, answer: list[m.Link], reason: str
) -> None:
    login = knowing_the_genesis()
    with pytest.raises(ChainInvalid) as raised:
        await login.run(ending_with(end), shown(*answer))
    assert raised.value.fields["reason"] == reason
    assert raised.value.final
    assert login.saved == []


async def test_growth_without_an_answer_is_not_pinned() -> None:
    login = knowing_the_genesis()
    with pytest.raises(ConnectFailed):
        await login.run(ending_with(ADDED), m.Pong(id=1))
    assert login.saved == []


async def test_a_registration_repeated_after_the_chain_grew_verifies_it_too() -> None:
    login = registering()
    with pytest.raises(ChainInvalid):
        await login.run(ending_with(FORK_ADDED), shown(FORK, FORK_ADDED))
    assert login.saved == []
    await login.run(ending_with(ADDED), shown(GENESIS, ADDED))
    assert login.saved[-1].chain_head == link_hash(ADDED)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"chain_seq": 2}, "rolled_back"), ({"chain_seq": 3, "chain_head": b"x" * 32}, "forked")],
)
async def test_a_chain_with_another_history_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    login = registered()
    with pytest.raises(ChainInvalid) as raised:
        await login.run(welcome(**changes))
    assert raised.value.fields["reason"] == reason
    assert login.saved == []


async def test_a_server_with_another_genesis_than_ours_is_refused() -> None:
    with pytest.raises(ChainInvalid):
        await registering().run(welcome(chain_head=b"x" * 32))


@pytest.mark.parametrize("changes", [{"name": "bob"}, {"device": "x" * 16}])
async def test_a_welcome_for_somebody_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConnectFailed):
        await registered().run(welcome(**changes))


async def test_an_answer_that_is_none_is_refused() -> None:
    with pytest.raises(ConnectFailed):
        await registered().run(m.Pong(id=1))
    with pytest.raises(ConnectFailed):
        await Login(Stage.ENROLLING).run(m.Pong(id=1), recovery=RECOVERY)


def shown(*shown_links: m.Link) -> m.Chain:
    return m.Chain(id=1, response=200, time=1, links=list(shown_links))


async def test_recovery_adds_this_device_and_keeps_the_link_before_sending_it() -> None:
    login = Login(Stage.ENROLLING)
    state = chain.verify_chain([OLD_GENESIS], "alice")

    async def expect() -> list[Any]:
        scripted = Scripted(shown(OLD_GENESIS))

        async def save(record: AccountRecord) -> None:
            if record.link is not None:
                assert len(scripted.asked) == 1, "kept before it is sent"
                head = link_hash(record.link)
                scripted.replies.append(welcome(chain_seq=1, chain_head=head))
            login.saved.append(record)

        who = Credentials(
            key=KEY,
            record=login.record,
            counter=0,
            token=None,
            recovery=RECOVERY,
            keys=VAULT.keys,
            fallback=VAULT.fallback,
            save=save,
        )
        await log_in(cast("Link", scripted), GREETING, who)
        return scripted.asked

    recover, enroll = await expect()
    handshake.check_recover(
        EXCHANGE, name="alice", sig=recover.sig, recovery_key=RECOVERY.public, decoys=Decoys()
    )
    after = handshake.check_enroll(EXCHANGE, state=state, link=enroll.link, sig=enroll.sig)
    assert device_id(KEY.public) in after.devices
    assert login.saved[-1].stage is Stage.REGISTERED
    assert login.saved[-1].chain_head == after.head


async def test_a_chain_of_other_words_or_another_account_is_refused() -> None:
    foreign = links.make_genesis("alice", OLD, SigningKey(b"x" * 32).public, 1)
    other = links.make_genesis("bob", OLD, RECOVERY.public, 1)
    forged = msgspec.structs.replace(OLD_GENESIS, time=2)
    for genesis in (foreign, other, forged):
        login = Login(Stage.ENROLLING)
        with pytest.raises(ChainInvalid):
            await login.run(shown(genesis), recovery=RECOVERY)
        assert login.saved == []


async def test_a_recovery_that_had_succeeded_becomes_an_ordinary_login() -> None:
    state = chain.verify_chain([OLD_GENESIS], "alice")
    added = links.make_add(state, KEY, RECOVERY, 2)
    login = Login(Stage.ENROLLING, link=added)
    with pytest.raises(ConnectFailed):
        await login.run(shown(OLD_GENESIS, added), recovery=RECOVERY)
    (kept,) = login.saved
    assert (kept.stage, kept.chain_seq, kept.chain_head) == (
        Stage.REGISTERED,
        1,
        link_hash(added),
    )


async def test_a_recovery_without_its_words_tries_the_key_it_has() -> None:
    auth, request = await Login(Stage.ENROLLING).run(welcome(), shown(GENESIS))
    assert isinstance(auth, m.Auth)
    assert isinstance(request, m.ChainRequest)
    assert issubclass(ChainInvalid, JimError)
