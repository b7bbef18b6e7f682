# long module: one client without a network, and the world that it lives in
"""A client library without a network, for tests of the front ends, and a program that runs them.

`python -m unit_tests.support.fake_client line|plain|pipe NAME` talks to a world of its own. What
happens in it comes as JSON lines from the file named by JIM_TEST_CONTROL (a FIFO), one step each;
see `Fake.do`.
"""

# long module: a whole client library in miniature

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jim import i18n
from jim.client.console.session import Session
from jim.client.console.shown import Shown
from jim.client.devices import Device, checked_name, find_device
from jim.client.events import (
    CANCELLED,
    ComparisonChanged,
    ComparisonStage,
    ContactInfo,
    Contacts,
    Conversation,
    Event,
    Fatal,
    FirstContact,
    LinkChanged,
    LinkState,
    Message,
    MessageState,
    MissingNotice,
    OwnChanged,
    Received,
    Registered,
)
from jim.core.limits import Limits
from jim.errors import (
    ConnectFailed,
    JimError,
    NameInvalid,
    OwnAccount,
    RecipientUnknown,
    from_wire,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jim.client.console.library import Messenger
    from jim.crypto.link_code import LinkCode
    from jim.protocol.messages import AnnouncedLimits, Offer

NUMBER = " ".join(f"{group:05}" for group in range(12345, 12357))

WORDS = tuple(f"word{number}" for number in range(1, 13))


def message(number: int = 1, **fields: Any) -> Message:
    """Make a message; only what the test is about has to be named."""
    known: dict[str, Any] = {
        "peer": "bob",
        "outgoing": False,
        "sender": "bob",
        "text": "hi",
        "time_ms": time.time_ns() // 1_000_000,
        "seq": number,
        "n": number,
        "device": "d" * 16,
        "state": MessageState.RECEIVED,
        "error_code": None,
    }
    return Message(message_id=number, **{**known, **fields})


class Fake:
    """Fits `Messenger`. If online, messages to anybody but `nobody` are delivered at once."""

    def __init__(
        self,
        name: str = "alice",
        *,
        online: bool = True,
        words: tuple[str, ...] | None = None,
        deliver: bool = True,
        start_error: JimError | None = None,
    ) -> None:
        self.name = name
        self.fingerprint: str | None = "aaaa bbbb"
        self.state = LinkState.CONNECTING
        self.notices_shown: list[int] = []
        self.waiting: list[tuple[LinkCode, Offer]] = []
        self.taken_in: list[tuple[Offer, LinkCode, int]] = []
        self.limits: AnnouncedLimits = Limits().announced()
        self.error: JimError | None = None
        self.messages: dict[int, Message] = {}
        self.known: dict[str, ContactInfo] = {}
        self.told: list[MissingNotice] = []
        self.comparing: dict[str, ComparisonStage] = {}
        self.retried = 0
        self.own_devices = [
            Device(id="a" * 16, name="laptop", is_this=True, since_ms=1_700_000_000_000),
            Device(id="b" * 16, name="old phone", is_this=False, since_ms=1_700_000_500_000),
        ]
        self.words_were_shown = False
        self._online = online
        self._words = words
        self._deliver = deliver
        self._start_error = start_error
        self._queues: list[asyncio.Queue[Event | None]] = []
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        if self._start_error is not None:
            raise self._start_error
        if self._words is not None:
            self.emit(FirstContact("localhost:7777", "aaaa bbbb cccc dddd", "pin"))
            self.emit(Registered(self.name, self._words))
        self.link(LinkState.ONLINE if self._online else LinkState.WAITING)

    def events(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._queues.append(queue)

        async def stream() -> AsyncIterator[Event]:
            while (event := await queue.get()) is not None:
                yield event

        return stream()

    def emit(self, event: Event) -> None:
        for queue in self._queues:
            queue.put_nowait(event)

    def link(self, state: LinkState, retry_in_s: float = 30.0) -> None:
        self.state = state
        if state is LinkState.WAITING:
            self.emit(LinkChanged(state, retry_in_s, ConnectFailed(reason="refused")))
        else:
            self.emit(LinkChanged(state))

    async def send(self, to: str, text: str, *, key: str | None = None) -> Message:
        if not to.strip() or " " in to:
            raise NameInvalid(reason="empty" if not to.strip() else "characters")
        number = len(self.messages) + 1
        made = message(
            number,
            peer=to,
            outgoing=True,
            sender=self.name,
            text=text,
            state=MessageState.QUEUED,
        )
        await self.change(made)
        if self.state is LinkState.ONLINE:
            await self._decide(number)
        return self.messages[number]

    async def _decide(self, number: int) -> None:
        if self.messages[number].peer == "nobody":
            await self.become(number, "failed", RecipientUnknown.code)
            return
        await self.become(number, "stored")
        if self._deliver:
            await self.become(number, "delivered")

    async def become(self, number: int, state: str, error_code: str | None = None) -> None:
        fields = {name: getattr(self.messages[number], name) for name in Message.__struct_fields__}
        fields.update(state=MessageState(state), error_code=error_code)
        await self.change(Message(**fields))

    async def change(self, made: Message) -> None:
        self.messages[made.message_id] = made
        self.emit(OwnChanged(made))
        async with self._changed:
            self._changed.notify_all()

    async def wait_stored(self, message_id: int, timeout_s: float | None = None) -> Message:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.messages[message_id].settled)
        return self.messages[message_id]

    async def flush(
        self,
        timeout_s: float | None = None,
        *,
        everything: bool = False,
    ) -> bool:
        try:
            for number in list(self.messages):
                await self.wait_stored(number, timeout_s)
        except TimeoutError:
            return False
        return True

    async def devices(self, *, fresh: bool = False) -> list[Device]:
        return list(self.own_devices)

    async def revoke(self, device: str) -> Device:
        found = find_device(self.own_devices, device)
        self.own_devices.remove(found)
        return found

    async def rename(self, device: str, name: str) -> Device:
        found = find_device(self.own_devices, device)
        renamed = msgspec.structs.replace(found, name=checked_name(name))
        self.own_devices[self.own_devices.index(found)] = renamed
        return renamed

    async def cancel(self, message_id: int) -> bool:
        if self.messages.get(message_id) is None or self.messages[message_id].settled:
            return False
        await self.become(message_id, "failed", CANCELLED)
        return True

    async def resend(self, message_id: int) -> Message:
        old = self.messages[message_id]
        return await self.send(old.peer, old.text)

    async def history(
        self, peer: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        found = [
            each
            for each in self.messages.values()
            if each.peer == peer and (before is None or each.message_id < before)
        ]
        return found[-limit:]

    async def received_after(self, message_id: int, limit: int) -> list[Message]:
        later = [m for m in self.messages.values() if m.message_id > message_id and not m.outgoing]
        return sorted(later, key=lambda each: each.message_id)[:limit]

    async def highest_id(self) -> int:
        return max(self.messages, default=0)

    async def conversations(self) -> list[Conversation]:
        last = {each.peer: each for each in self.messages.values()}
        return [Conversation(peer, each) for peer, each in last.items()]

    async def store_id(self) -> str:
        return "fake"

    async def presence(self, *, watch: bool = False) -> Contacts:
        if self.state is not LinkState.ONLINE:
            raise ConnectFailed(reason="network")
        return Contacts(["bob"], ["carol"])

    async def find_device(self, code: LinkCode) -> Offer | None:
        if self.state is not LinkState.ONLINE:
            raise ConnectFailed(reason="network")
        return next((offer for waiting, offer in self.waiting if waiting.text == code.text), None)

    async def take_in(self, offer: Offer, code: LinkCode, shown_id: int) -> str:
        self.taken_in.append((offer, code, shown_id))
        return "12345 67890 12345 67890"

    async def contact(self, name: str) -> ContactInfo:
        usual = ContactInfo(name=name, known=True, devices=1)
        return self.known.get(name, usual)

    async def notices(self, peer: str) -> list[MissingNotice]:
        return [notice for notice in self.told if notice.peer == peer]

    async def safety_number(self, name: str) -> str:
        if name == "nobody":
            raise RecipientUnknown
        if name == self.name:
            raise OwnAccount
        return NUMBER

    async def mark_verified(self, name: str, number: str) -> bool:
        await self._know(name, verified=number == NUMBER, changed=False)
        return number == NUMBER

    async def accept_changed(self, name: str) -> bool:
        was = (await self.contact(name)).changed
        await self._know(name, changed=False)
        return was

    async def known_number(self, name: str) -> str | None:
        if name == self.name:
            raise OwnAccount
        return NUMBER if (await self.contact(name)).known else None

    async def forget_keys(self, name: str) -> bool:
        was = (await self.contact(name)).known
        await self._know(name, known=False, verified=False, changed=False)
        return was

    async def allow_plain(self, name: str, *, allowed: bool) -> list[Message]:
        await self._know(name, plain=allowed)
        found = [each for each in self.messages.values() if each.withheld and each.peer == name]
        if not allowed:
            return []
        for each in found:
            shown = msgspec.structs.replace(each, withheld=False, text="withheld text")
            self.messages[each.message_id] = shown
        return [self.messages[each.message_id] for each in found]

    async def _know(self, name: str, **fields: bool) -> None:
        self.known[name] = msgspec.structs.replace(await self.contact(name), **fields)

    async def compare_emoji(self, name: str) -> None:
        await self.safety_number(name)
        self.compared(name, ComparisonStage.WAITING)

    async def answer_emoji(self, name: str, *, same: bool) -> bool:
        if name not in self.comparing:
            return False
        if same:
            self.compared(name, ComparisonStage.VERIFIED)
        else:
            self.compared(name, ComparisonStage.FAILED, reason="differ")
        del self.comparing[name]
        return True

    def compared(self, name: str, stage: ComparisonStage, **fields: Any) -> None:
        self.comparing[name] = stage
        self.emit(ComparisonChanged(name, stage, **fields))

    async def notice_shown(self, notice_id: int) -> None:
        self.notices_shown.append(notice_id)

    async def words_shown(self) -> None:
        self.words_were_shown = True

    def retry_now(self) -> None:
        self.retried += 1
        self.link(LinkState.ONLINE)

    async def aclose(self) -> None:
        self.emit(LinkChanged(LinkState.STOPPED))
        for queue in self._queues:
            queue.put_nowait(None)

    async def do(self, step: dict[str, Any]) -> None:
        """Let one thing happen: receive, notice, emoji, link, state or fatal."""
        if step["do"] in {"notice", "emoji"}:
            self._do_trust(step)
            return
        match step["do"]:
            case "receive":
                number = len(self.messages) + 1
                sender = step.get("from", "bob")
                got = message(
                    number,
                    peer=sender,
                    sender=sender,
                    text=step["text"],
                    plain=step.get("plain", False),
                    withheld=step.get("withheld", False),
                )
                self.messages[number] = got
                self.emit(Received(got))
            case "link":
                self.link(LinkState(step["state"]), step.get("retry_in_s", 30.0))
                if step["state"] == "online":
                    for number in [n for n, m in self.messages.items() if not m.settled]:
                        await self._decide(number)
            case "state":
                await self.become(step["number"], step["state"])
            case "fatal":
                self.error = from_wire(step["code"])
                self.emit(Fatal(self.error))
            case other:
                raise ValueError(other)

    def _do_trust(self, step: dict[str, Any]) -> None:
        if step["do"] == "notice":
            self.told.append(MissingNotice(step["code"], step["time_ms"], 7, step["peer"]))
            self.emit(self.told[-1])
            return
        emoji = tuple((sign, name) for sign, name in step["emoji"])
        self.compared("bob", ComparisonStage(step["stage"]), emoji=emoji)


def session_on(fake: Messenger, **fields: Any) -> Session:
    """Make what a mode is started with, for a fake client."""

    async def open_client() -> Messenger:
        return fake

    async def open_shown(_client: Messenger) -> Shown:
        return Shown(None)

    known = {"name": fake.name, "address": "localhost:7777", "version": "0.0"}
    return Session(open_client, open_shown, **{**known, **fields})


PATIENCE_S = 60.0
"""Times that a person has for the next key are this long here: a loaded machine types slowly."""


def main() -> int:
    """Run one mode on a fake client that follows the control file."""
    mode, name = sys.argv[1:3]
    settings = json.loads(os.environ.get("JIM_TEST_FAKE", "{}"))
    i18n.set_language(settings.pop("language", None))
    fields = {"timeout_s": settings.pop("timeout_s", 60.0)}
    fields["colours"] = settings.pop("colours", True)
    if settings.get("words"):
        settings["words"] = WORDS

    def make_session(given: str) -> Session:
        async def open_client() -> Messenger:
            fake = Fake(given, **settings)
            _follow(fake)
            return fake

        session = session_on(Fake(given), **fields)
        return session._replace(open_client=open_client)

    if mode in {"line", "plain"}:
        from jim.client.console import line_mode, plain_mode, session

        hurried: Any = ((line_mode, "TWICE_S"), (plain_mode, "TWICE_S"), (session, "LEAVE_S"))
        for module, limit in hurried:
            setattr(module, limit, PATIENCE_S)
        run = line_mode.run if mode == "line" else plain_mode.run
        return run(make_session(name))
    from jim.client.console import pipe_mode

    return pipe_mode.run(make_session, "" if name == "-" else name)


def _follow(fake: Fake) -> None:
    control = os.environ.get("JIM_TEST_CONTROL")
    if control is None:
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        with Path(control).open(encoding="utf-8") as steps:
            for step in steps:
                asyncio.run_coroutine_threadsafe(fake.do(json.loads(step)), loop)

    threading.Thread(target=read, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
