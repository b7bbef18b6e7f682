"""What the client asks the server for, and what it makes of no answer and of useless ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from jim.client import errands, intake
from jim.client.errands import KEYS_INVALID, MAX_LACKED, Errands
from jim.client.events import MissingNotice
from jim.client.intake import Intake
from jim.client.notice_store import CHAIN_INVALID
from jim.client.sync import Seal
from jim.errors import ConnectFailed, JimError, RecipientUnknown, TooOften
from jim.protocol import messages as m
from unit_tests.client.encryption.post import Device, Post

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.account_store import AccountStore
    from jim.client.accounts import Account
    from jim.client.link import Link
    from jim.client.mailbox import Frame, Kept, News


class Disk:
    """Writes at once, as the store's thread does it a little later."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def write(self, work: Callable[[AccountStore], Any]) -> Any:
        await asyncio.sleep(0)
        return self._device.change(work)

    read = write


class Server:
    """Answers from the post; `answer` may say something else, or raise, or never come."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.asked: list[Any] = []
        self.given_up: list[JimError] = []
        self.answer: Callable[[Any], Any] = self.honest
        self.opened = asyncio.Event()
        self.opened.set()

    def honest(self, request: Any) -> Any:
        if isinstance(request, m.ChainRequest):
            assert isinstance(request.name, str)
            if request.name not in self.post.chains:
                raise RecipientUnknown
            known = request.after if isinstance(request.after, int) else -1
            links = [link for link in self.post.chains[request.name] if link.seq > known]
            return m.Chain(id=1, response=200, time=1, links=links)
        if isinstance(request, m.Claim):
            keys = {device: self.post.shelves[device].claim() for device in request.devices}
            return m.Claimed(id=1, response=200, time=1, keys=keys)
        assert isinstance(request, m.Keys)
        return m.KeysReply(id=1, response=200, time=1, one_time_keys=100)

    async def request(self, request: Any) -> Any:
        self.asked.append(request)
        await self.opened.wait()
        return self.answer(request)

    def give_up(self, error: JimError) -> None:
        self.given_up.append(error)


class Client:
    """A device with errands and an intake, and what they tell."""

    def __init__(self, device: Device, server: Server) -> None:
        self.device, self.name = device, device.name
        self.writer = Disk(device)
        self.told: list[News] = []
        self.kept: list[Kept] = []
        self.failed: list[Exception] = []
        account = cast("Account", self)
        self.errands = Errands(account, self.told.extend)
        self.errands.link = cast("Link", server)
        self.intake = Intake(account, self.errands, self.kept.append, self.failed.append)

    def write(self, to: str, text: str) -> int:
        return self.device.write(to, text).message_id

    async def seal(self, *message_ids: int, stale: tuple[str, ...] = ()) -> Any:
        effect = Seal(list(message_ids), list(message_ids) if stale else [])
        return await self.errands.seal(effect, stale)

    def waiting(self) -> list[Frame]:
        return self.device.waiting()


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def talk(post: Post) -> tuple[Client, Client, Server]:
    server = Server(post)
    alice, bob = (Client(post.join(name), server) for name in ("alice", "bob"))
    return alice, bob, server


# --- sealing --------------------------------------------------------------------------------------


async def test_chain_and_keys_are_asked_for_once(post: Post) -> None:
    alice, bob, server = talk(post)
    first, second = alice.write("bob", "one"), alice.write("bob", "two")
    done, waits = await alice.seal(first, second)
    assert (set(done.payloads), done.failed, waits) == ({first, second}, {}, False)
    assert [type(request) for request in server.asked] == [m.ChainRequest, m.Claim]
    assert server.asked[1].devices == [bob.device.device]


async def test_whom_nobody_knows_fails_alone(post: Post) -> None:
    alice, _, _ = talk(post)
    before, lost, after = (alice.write(to, "hi") for to in ("bob", "nobody", "bob"))
    done, waits = await alice.seal(before, lost, after)
    assert set(done.payloads) == {before, after}
    assert done.failed == {lost: RecipientUnknown.code}
    assert not waits


@pytest.mark.parametrize("answers", [0, 1])
async def test_without_an_answer_it_waits(post: Post, answers: int) -> None:
    alice, _, server = talk(post)
    message = alice.write("bob", "hi")

    def silent(request: Any) -> Any:
        if len(server.asked) > answers:
            raise ConnectFailed("gone")
        return server.honest(request)

    server.answer = silent
    done, waits = await alice.seal(message)
    assert (done.payloads, done.failed, waits) == ({}, {}, True)
    alice.errands.link = None
    assert (await alice.seal(message))[1]
    assert len(server.asked) == answers + 1
    alice.errands.link = cast("Link", server)
    server.answer = server.honest
    done, waits = await alice.seal(message)
    assert (set(done.payloads), waits) == ({message}, False)


async def test_an_answer_of_another_kind_is_none(post: Post) -> None:
    alice, _, server = talk(post)
    server.answer = lambda _: m.Pong(id=1)
    assert (await alice.seal(alice.write("bob", "hi")))[1]


async def test_a_chain_that_is_none_fails_the_message_and_is_told(post: Post) -> None:
    alice, _, server = talk(post)
    server.answer = lambda _: m.Chain(id=1, response=200, time=1, links=post.chains["alice"])
    message = alice.write("bob", "hi")
    done, waits = await alice.seal(message)
    assert (done.failed, waits) == ({message: CHAIN_INVALID}, False)
    assert [new.code for new in alice.told if isinstance(new, MissingNotice)] == [CHAIN_INVALID]


@pytest.mark.parametrize("kind", ["none", "of another device"])
async def test_keys_that_are_of_no_use_fail_the_message(post: Post, kind: str) -> None:
    alice, bob, server = talk(post)
    foreign = {bob.device.device: alice.device.vault.fallback}

    def useless(request: Any) -> Any:
        if not isinstance(request, m.Claim):
            return server.honest(request)
        return m.Claimed(id=1, response=200, time=1, keys={} if kind == "none" else foreign)

    server.answer = useless
    message = alice.write("bob", "hi")
    done, waits = await alice.seal(message)
    assert (done.failed, waits) == ({message: KEYS_INVALID}, False)
    assert len(server.asked) <= 2 * MAX_LACKED


async def test_what_lacks_something_again_and_again_is_not_asked_for_for_ever(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, server = talk(post)
    monkeypatch.setattr(alice.device.store, "use_keys", lambda *_: True)
    message = alice.write("bob", "hi")
    done, waits = await asyncio.wait_for(alice.seal(message), 5)
    assert (done.failed, waits) == ({message: KEYS_INVALID}, False)
    assert len(server.asked) == MAX_LACKED


async def test_what_is_stale_is_sealed_for_the_devices_that_there_are(post: Post) -> None:
    alice, _, _ = talk(post)
    message = alice.write("bob", "hi")
    await alice.seal(message)
    second = post.join("bob")
    done, _ = await alice.seal(message, stale=("bob",))
    assert second.device in done.payloads[message].ciphertexts
    assert len(done.payloads[message].ciphertexts) == 2


async def test_what_is_stale_waits_until_the_devices_are_known(post: Post) -> None:
    alice, _, server = talk(post)
    message = alice.write("bob", "hi")
    await alice.seal(message)
    post.join("bob")

    def refuse(_: Any) -> Any:
        raise TooOften

    server.answer = refuse
    done, waits = await alice.seal(message, stale=("bob",))
    assert (done.payloads, done.failed, waits) == ({}, {}, True)
    server.answer = server.honest
    done, waits = await alice.seal(message, stale=("bob",))
    assert (len(done.payloads[message].ciphertexts), waits) == (2, False)


async def test_a_server_that_does_not_answer_is_given_up(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, server = talk(post)
    monkeypatch.setattr(errands, "ANSWER_S", 0.01)
    server.opened.clear()
    done, waits = await asyncio.wait_for(alice.seal(alice.write("bob", "hi")), 5)
    assert (done.payloads, waits) == ({}, True)
    assert [error.fields["reason"] for error in server.given_up] == ["timeout"]


async def test_keys_are_given_again_until_the_server_has_them(post: Post) -> None:
    alice, _, server = talk(post)

    def refuse(_: Any) -> Any:
        raise ConnectFailed("gone")

    server.answer = refuse
    await alice.errands.offer_keys(0)
    server.answer = server.honest
    await alice.errands.offer_keys(0)
    await alice.errands.offer_keys(100)
    assert len(server.asked) == 2
    assert server.asked[0].one_time == server.asked[1].one_time != []


# --- the intake -----------------------------------------------------------------------------------


async def sent(post: Post, *texts: str) -> tuple[Client, Client, Server]:
    """Let alice write to bob, who does not know her chain."""
    alice, bob, server = talk(post)
    for text in texts:
        alice.device.send("bob", text)
    return alice, bob, server


async def test_frames_wait_for_a_chain_and_come_in_order(post: Post) -> None:
    _, bob, server = await sent(post, "one", "two")
    server.opened.clear()
    first, second = bob.waiting()
    await bob.intake.add([first])  # returns although it waits: the answer has to be read
    adding = asyncio.create_task(bob.intake.add([second]))
    await asyncio.sleep(0.01)
    assert bob.kept == []
    server.opened.set()
    await adding
    await bob.intake.settled()
    assert [request.name for request in server.asked] == ["alice"]
    assert bob.device.texts() == ["one", "two"]
    assert [kept.position for kept in bob.kept][-1] == 2


async def test_what_waits_is_forgotten_with_the_connection(post: Post) -> None:
    _, bob, server = await sent(post, "one", "two")
    server.opened.clear()
    await bob.intake.add(bob.waiting())
    bob.intake.lose()
    server.opened.set()
    await bob.intake.settled()
    assert bob.device.texts() == []
    assert (bob.kept, server.given_up) == ([], [])
    await bob.intake.add(bob.waiting())
    await bob.intake.settled()
    assert bob.device.texts() == ["one", "two"]


async def test_without_the_chain_the_connection_is_given_up(post: Post) -> None:
    _, bob, server = await sent(post, "one")

    def refuse(_: Any) -> Any:
        raise ConnectFailed("no chain")

    server.answer = refuse
    await bob.intake.add(bob.waiting())
    await bob.intake.settled()
    assert len(server.given_up) == 1
    assert bob.kept == []
    assert bob.device.store.standing().position == 0, "it comes again"
    server.answer = server.honest
    await bob.intake.add(bob.waiting())
    await bob.intake.settled()
    assert bob.device.texts() == ["one"]


async def test_what_waits_for_a_chain_has_a_limit(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, server = await sent(post, *(f"{number} {'x' * 200}" for number in range(20)))
    monkeypatch.setattr(intake, "HELD_BYTES", 10_000)
    frames = bob.waiting()
    await bob.intake.add(frames[:1])
    await bob.intake.settled()
    assert server.given_up == [], "what need not wait is not counted"
    stranger = [msgspec.structs.replace(each, sender="carol") for each in frames[1:]]
    server.opened.clear()
    waiting = iter(stranger)
    while not server.given_up:  # from then on nothing more is read
        await bob.intake.add([next(waiting)])
    assert "too much" in str(server.given_up[0])
    server.opened.set()
    await bob.intake.settled()
    assert bob.device.store.standing().position == 1, "the rest comes again"
    await bob.intake.add(frames[1:])
    await bob.intake.settled()
    assert len(bob.device.texts()) == 20


async def test_a_store_that_fails_is_told(post: Post) -> None:
    _, bob, _ = await sent(post, "one")

    async def broken(_: object) -> Any:
        raise OSError

    bob.writer.write = broken  # type: ignore[method-assign, assignment]
    await asyncio.wait_for(bob.intake.add(bob.waiting()), 5)
    assert [type(error) for error in bob.failed] == [OSError]
