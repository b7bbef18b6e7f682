"""All messages as signed lines: whatever is altered in them is found without a server."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING

import pytest

from jim.client.export import check, export
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import KEY_FILE, STORE_FILE, account_directories
from jim.crypto.key_files import read_key
from jim.crypto.keys import SigningKey
from jim.crypto.safety_number import safety_number
from jim.errors import ExportInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from unit_tests.client.household import Household


async def exported(house: Household) -> tuple[bytes, Path, SigningKey]:
    bob, alice = await house.join("bob"), await house.join("alice")
    for text in ("one", "two \x1b[2J\u202e", "три"):
        await alice.client.send("bob", text)
    await bob.received(3)
    await bob.client.send("alice", "an answer")
    await alice.received(1)
    assert await alice.client.flush(10)
    await bob.client.flush(10)
    folder = house.folder / "alice"
    (place,) = account_directories(folder)
    (server,) = KnownServers(folder).all()
    key = read_key(place / KEY_FILE)
    done: list[tuple[int, int]] = []
    lines = export(place / STORE_FILE, key, server.server_id, lambda *numbers: done.append(numbers))
    raw = b"".join(lines)
    assert done[-1] == (4, 4)
    return raw, place / STORE_FILE, key


def reason_of(raw: bytes, root: str | None = None) -> object:
    with pytest.raises(ExportInvalid) as caught:
        check(io.BytesIO(raw), root)
    return caught.value.fields["reason"]


async def test_an_export_says_whose_it_is_and_that_it_is_whole(house: Household) -> None:
    raw, _, _ = await exported(house)
    found = check(io.BytesIO(raw))
    assert (found.header.account, found.header.messages) == ("alice", 4)
    lines = [json.loads(line) for line in raw.splitlines()]
    assert [line["type"] for line in lines] == ["export", *["message"] * 4, "signature"]
    texts = {line["text"] for line in lines[1:-1]}
    assert texts == {"one", "two \x1b[2J\u202e", "три", "an answer"}
    assert raw.isascii(), "no terminal obeys what is in it"
    both = safety_number(("alice", bytes.fromhex(found.root)), ("bob", bytes(32)))
    for root in (found.root, found.root.upper(), found.number, both, both.replace(" ", "")):
        assert check(io.BytesIO(raw), root) == found
    for wrong in ("", found.root[:-1], "0" * 64, "0" * 30, "0" * 60, found.number[:-1]):
        assert reason_of(raw, wrong) == "root"


async def test_every_altered_byte_is_found(house: Household) -> None:
    raw, _, _ = await exported(house)
    seeded = random.Random(5)
    last = raw[:-1].rindex(b"\n")
    places = {*seeded.sample(range(len(raw)), 300), *range(last, len(raw)), 0}
    for place in places:
        for bit in (0, seeded.randrange(1, 8)):
            altered = bytearray(raw)
            altered[place] ^= 1 << bit
            assert reason_of(bytes(altered)), place


async def test_what_is_left_out_added_or_moved_is_found(house: Household) -> None:
    raw, _, _ = await exported(house)
    lines = raw.splitlines(keepends=True)
    altered = [
        lines[:-1],
        lines[1:],
        [*lines[:2], *lines[3:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        [*lines, lines[-1]],
        [*lines, b"\n"],
        [*lines[:3], lines[2], *lines[3:]],
        [lines[0], lines[-1]],
        [lines[0]],
        [],
        [b"\n", *lines],
        [line.replace(b"\n", b"\r\n") for line in lines],
    ]
    for each in altered:
        assert reason_of(b"".join(each))
    for cut in range(0, len(raw), 97):
        assert reason_of(raw[:cut])


async def test_somebody_else_cannot_sign_for_the_account(house: Household) -> None:
    raw, path, _ = await exported(house)
    other = SigningKey.generate()
    with pytest.raises(ExportInvalid) as caught:
        list(export(path, other, bytes(32)))
    assert caught.value.fields["reason"] == "chain"
    header, *rest = raw.splitlines(keepends=True)
    fields = json.loads(header)
    shorter = json.dumps({**fields, "chain": []}, separators=(",", ":")).encode() + b"\n"
    assert reason_of(b"".join([shorter, *rest])) == "chain"
    newer = json.dumps({**fields, "format": "jim-export-2"}).encode() + b"\n"
    assert reason_of(b"".join([newer, *rest])) == "format"


def test_a_line_without_a_bottom_is_no_export() -> None:
    assert reason_of(b'{"unknown":' + b"[" * 3_000 + b"]" * 3_000 + b"}\n") == "format"
