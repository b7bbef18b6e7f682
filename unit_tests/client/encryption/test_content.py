"""What stands inside a ciphertext: padded, and read only if it is what it must be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jim.client.encryption.content import (
    BUCKET_BYTES,
    VERSION,
    Content,
    Head,
    Party,
    read_content,
    write_content,
)
from jim.errors import CannotDecrypt

ALICE = Party("alice", "a" * 16, b"a" * 32)
BOB = Party("bob", "b" * 16, b"b" * 32)


def content(body: str = "hi", **changes: Any) -> Content:
    usual = Content(
        id="id",
        time=1,
        sender=ALICE,
        to=BOB,
        chat="bob",
        count=1,
        mine=Head(0, b"m" * 32),
        yours=Head(3, b"y" * 32),
        body=body,
    )
    return msgspec.structs.replace(usual, **changes)


def packed(**changes: Any) -> bytes:
    """Write a content with fields as no honest client would have them."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(content()))
    for name, value in changes.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    return msgspec.msgpack.encode(fields) + b"\x80"


def test_it_comes_back_as_it_was() -> None:
    whole = content("привет\0\0", voids=[3, 4], kind="again", was=5, seq=6, n=7, count=2**53 - 1)
    assert read_content(write_content(whole)) == whole
    assert read_content(packed()) == content()


def test_every_size_is_padded_to_a_step_and_comes_back() -> None:
    sizes = set()
    for length in range(2 * BUCKET_BYTES):
        written = write_content(content("\x80" * (length % 3) + "x" * length))
        assert read_content(written).body.endswith("x" * length)
        assert len(written) % BUCKET_BYTES == 0
        sizes.add(len(written))
    assert len(sizes) <= 4


def test_the_padding_is_never_longer_than_a_step() -> None:
    written = write_content(content())
    assert len(written) - len(written.rstrip(b"\0")) < BUCKET_BYTES


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0",
        bytes(BUCKET_BYTES),
        b"\x80",
        b"\x80" + bytes(255),
        b"hello",
        packed()[:-1],
        packed()[:-1] + b"\x81",
        packed()[:-1] + b"x\x80",
        packed()[:-2] + b"\x80",
        packed()[1:],
        packed() + b"x",
        b"\x91" * 100_000 + b"\x80",
        packed(v=VERSION + 1),
        packed(v="1"),
        packed(v=0),
        packed(id=None),
        packed(count=None),
        packed(mine=None),
        packed(**{"from": None}),
        packed(count=-1),
        packed(count=2**53),
        packed(time=-1),
        packed(time=1.5),
        packed(voids=[1, -1]),
        packed(voids="12"),
        packed(to=["bob", "b" * 16]),
        packed(to=["bob", "b" * 16, 5]),
        packed(to={"name": "bob"}),
        packed(yours=[-1, b"y"]),
        packed(body=b"\xff"),
        packed(body=5),
        packed(kind=["text"]),
        packed(body="xxxx").replace(b"xxxx", b"\xff\xfe\xff\xfe"),
    ],
)
def test_what_is_no_content_is_refused(plaintext: bytes) -> None:
    with pytest.raises(CannotDecrypt) as raised:
        read_content(plaintext)
    assert raised.value.fields["reason"] == "content"
