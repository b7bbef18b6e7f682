"""Every transcript of docs/protocol.md is played against the real server, frame by frame.

`alice> {…}` is what alice's client sends, `alice< {…}` the next frame that it gets, with exactly
those fields unless `"..."` is among them. Texts in angle brackets stand for values that differ each
time; `<… of alice>` is a value of alice's. `alice: registered`, `alice: logged in` and
`alice: logged in with keys` say what happened before the transcript begins.
"""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.crypto import chain, handshake, links, tls
from jim.crypto.keys import EncryptionKeys, SigningKey, device_id
from jim.protocol import messages as m
from unit_tests.support.linking import Device
from unit_tests.support.processes import ROOT, world
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
TRANSCRIPTS = re.findall(r"^```transcript\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MORE = "..."


def plain(value: object) -> Any:
    """Show a structure or bytes as JSON would."""
    return json.loads(msgspec.json.encode(value))


class Actor:
    """One side of a transcript: a person, a connection, and the values that stand for something."""

    def __init__(self, name: str, before: str, cast: dict[str, Actor]) -> None:
        self.person = Person.keyed(name) if before.endswith("with keys") else Person(name)
        self._before = before
        self._cast = cast
        self.values: dict[str, Any] = {
            "<genesis>": plain(self.person.genesis),
            "<device>": self.person.device,
            "<head>": plain(self.person.head),
            "<wrong sig>": plain(bytes(64)),
        }
        self.device = device = Device()
        """A new one, for whoever wants to be linked."""
        self.values |= {
            "<login key>": plain(device.login_key),
            "<ed>": plain(device.ed),
            "<curve>": plain(device.curve),
            "<offered fallback>": plain(device.fallback),
            "<approval>": plain(bytes(32)),
        }
        self.offers: list[m.Offer] = []
        if self.person.olm is not None:
            self.values["<fallback>"] = plain(self.person.fallback)
            for number in (1, 2):
                self.values[f"<key {number}>"] = plain(self.person.sign_key(number))
        self.wire: Wire
        self.links: list[m.Link] = []
        self._state = chain.verify_chain([self.person.genesis], name)

    async def connect(self, port: int) -> None:
        if self._before == "registered":
            first = await Wire.connect(port)
            await first.register(self.person)
            first.close()
        self.wire = await Wire.connect(port)
        if self._before.startswith("logged in"):
            await self.wire.register(self.person)

    def send(self, frame: dict[str, Any]) -> None:
        if frame["action"] == "hello":
            self.cnonce = handshake.new_nonce()
            self.values["<cnonce>"] = plain(self.cnonce)
        if frame.get("link") == "<link>":
            self._prepare_link()
        if frame.get("link") == "<draft>":
            self._draw_up()
        if frame.get("sig") == "<sig>":
            self.values["<sig>"] = plain(self._sign(frame))
        if frame["action"] == "extend":
            self._prepare_extension(frame["link"])
        self.wire.send_raw(json.dumps(self.fill(frame), ensure_ascii=False).encode() + b"\n")

    def value_of(self, name: str, value: str) -> Any:
        """Give a value of somebody else in the transcript."""
        return self._cast[name].values[value]

    def fill(self, value: Any) -> Any:
        """Put the values that are known into the places of their names."""
        if isinstance(value, dict):
            return {self.fill(key): self.fill(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        if not isinstance(value, str):
            return value
        other = re.fullmatch(r"<(.+) of (\w+)>", value)
        if other and other[2] in self._cast:
            return self._cast[other[2]].values[f"<{other[1]}>"]
        return self.values.get(value, value)

    def _prepare_extension(self, name: str) -> None:
        """Make a link, unless it is one that was sent before."""
        if name in self.values:
            return
        person, now_ms = self.person, time.time_ns() // 1_000_000
        if name == "<add>":
            self.added = person.another()
            assert self.added.olm is not None
            keys = self.added.olm.keys
            link = links.make_add(self._state, self.added.key, person.key, now_ms, keys)
            self.values["<fallback of the new device>"] = plain(self.added.fallback)
        else:
            link = links.make_revoke(self._state, self.added.device, person.key, now_ms)
        self._state = chain.extend(self._state, link)
        self.values[name] = plain(link)

    def _prepare_link(self) -> None:
        state = chain.verify_chain(self.links, self.person.name)
        self.new_key = SigningKey.generate()
        now_ms = time.time_ns() // 1_000_000
        self.link = links.make_add(state, self.new_key, self.person.recovery, now_ms)
        self.values["<link>"] = plain(self.link)

    def _draw_up(self) -> None:
        state = chain.verify_chain([self.person.genesis], self.person.name)
        offer = self.offers[0]
        keys = EncryptionKeys(offer.ed, offer.curve)
        self.values["<draft>"] = plain(links.draft_add(state, offer.login_key, 2_000, keys))

    def _sign(self, frame: dict[str, Any]) -> bytes:
        person, exchange = self.person, self.exchange
        match frame["action"]:
            case "auth":
                return handshake.prove_auth(
                    person.key,
                    exchange,
                    name=frame["name"],
                    head=person.head,
                    counter=frame["counter"],
                )
            case "register":
                return handshake.prove_register(
                    person.key, exchange, name=frame["name"], genesis=person.genesis
                )
            case "recover":
                return handshake.prove_recover(person.recovery, exchange, name=frame["name"])
            case "enroll":
                return handshake.prove_enroll(
                    self.new_key, exchange, name=frame["name"], link=self.link
                )
            case "link":
                return handshake.prove_offer(
                    self.device.key, exchange, name=frame["name"], device=self.device
                )
        raise AssertionError(frame)

    def learn(self, frame: m.ServerMessage) -> None:
        if isinstance(frame, m.Challenge):
            self.exchange = handshake.check_challenge(
                tls_spki=tls.peer_spki(self.wire.writer.get_extra_info("ssl_object")),
                cnonce=self.cnonce,
                server_id=frame.server_id,
                spki=frame.spki,
                snonce=frame.snonce,
                terms=frame.terms,
                sig=frame.sig,
                pinned=None,
            )
        elif isinstance(frame, m.Chain):
            self.links = frame.links
        elif isinstance(frame, m.OffersReply):
            self.offers = frame.offers
        elif isinstance(frame, m.DraftPush):
            proven = links.prove_add(frame.link, self.device.key)
            self.values["<proof>"] = plain(proven.proof)


def fits(expected: Any, got: Any, who: Actor) -> bool:
    """Tell whether a value of the page allows the value that came."""
    expected = who.fill(expected)
    if not (isinstance(expected, str) and expected.startswith("<")):
        return bool(expected == got) and type(expected) is type(got)
    if expected in {"<offers>", "<draft>"}:
        keys = [link["login_key"] for link in (got if expected == "<offers>" else [got])]
        return keys == [who.value_of("laptop", "<login key>")]
    match expected:
        case "<int>":
            return isinstance(got, int)
        case "<text>":
            return isinstance(got, str) and bool(got)
        case "<bytes>":
            return len(base64.b64decode(got, validate=True)) in (32, 64)
        case "<links>":
            return isinstance(got, list) and device_id(who.person.key.public) in str(got)
    raise AssertionError(expected)


@pytest.mark.parametrize("number", range(len(TRANSCRIPTS)))
async def test_transcript(number: int, tmp_path: Path) -> None:
    with world(tmp_path) as here:
        lines = TRANSCRIPTS[number].splitlines()
        before = dict(line.split(": ", 1) for line in lines if re.match(r"\w+: ", line))
        cast: dict[str, Actor] = {}
        for name in re.findall(r"^(\w+)[:<>]", TRANSCRIPTS[number], re.MULTILINE):
            if name not in cast:
                cast[name] = Actor(name, before.get(name, ""), cast)
                await cast[name].connect(here.port)
        for line in lines:
            step = re.fullmatch(r"(\w+)([<>]) (.*)", line)
            if step is None:
                continue
            actor, frame = cast[step[1]], json.loads(step[3])
            if step[2] == ">":
                actor.send(frame)
                continue
            received = await actor.wire.receive()
            actor.learn(received)
            got = plain(received)
            more = frame.pop(MORE, None)
            assert set(frame) <= set(got) if more else set(frame) == set(got), (line, got)
            wrong = {key: got[key] for key in frame if not fits(frame[key], got[key], actor)}
            assert not wrong, (line, wrong)
        for actor in cast.values():
            actor.wire.close()


def test_there_are_transcripts_for_every_topic() -> None:
    actions = set(re.findall(r'> \{"action":"(\w+)"', PAGE))
    tags = {str(cls.__struct_config__.tag) for cls in m.ClientMessage.__args__}
    assert tags - actions <= {"pong"}
