"""Nonsense that a device says inside a sealed message ends nobody's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.comparing import Comparing
from jim.client.device_store import DEVICE_NAME
from jim.client.encryption import history
from jim.client.encryption.content import AGAIN, HERE, SAS, SINCE, read_content, write_content
from jim.client.mailbox import FromDevice
from jim.client.store import Draft
from jim.errors import CannotDecrypt
from unit_tests.client.encryption.post import Device, Post
from unit_tests.client.encryption.test_content import content

if TYPE_CHECKING:
    from pathlib import Path

DEPTH = 3_000
"""Three times Python's usual limit of recursion."""

ABYSS = '{"step":"start","unknown":' + "[" * DEPTH + "]" * DEPTH + "}"
"""Valid JSON of six kilobytes, far below the limit of a text: decoders go down into it."""

KINDS = [
    *(AGAIN, HERE, SINCE, SAS, DEVICE_NAME, "of a later version"),
    *(history.CONTACTS, history.HISTORY, history.HISTORY_END, history.HISTORY_WANTED),
]


def tell(device: Device, other: Device, kind: str, body: str) -> None:
    draft = Draft(other.name, body, 1, None, kind, other.device)
    device.change(lambda store: store.enqueue(draft, released=False))
    device.send_all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own", [False, True])
def test_a_body_without_a_bottom_ends_nobody(tmp_path: Path, kind: str, own: bool) -> None:
    post = Post(tmp_path)
    alice, bob = post.join("alice"), post.join("bob")
    sender = post.join("alice", alice) if own else bob
    sender.send("alice" if own else "bob", "hi")
    alice.learn("alice")
    tell(sender, alice, kind, ABYSS)
    bob.send("alice", "and on")
    alice.receive()
    assert "and on" in alice.texts()


def test_a_comparison_passes_it_over() -> None:
    written: list[object] = []
    comparing = Comparing("alice", written.append, lambda *work: written.append(work))
    comparing.take(FromDevice("bob", "b" * 16, SAS, ABYSS))
    assert written == []


def test_a_content_has_an_id() -> None:
    for wrong in ("", "x" * 65):
        with pytest.raises(CannotDecrypt):
            read_content(write_content(content(id=wrong)))
    assert msgspec.structs.replace(content(), id="x" * 64) == read_content(
        write_content(content(id="x" * 64))
    )
