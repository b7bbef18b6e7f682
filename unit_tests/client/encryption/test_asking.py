"""What a device asks another for: nonsense does no harm, and what is gone is said to be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.encryption.content import AGAIN
from jim.client.store import Draft
from unit_tests.client.encryption.post import Device, Post, rows_of, settle

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from jim.client.encryption.sealing import Outgoing


def ask(device: Device, other: Device, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as no honest device does: with any body."""
    outgoing = device.store._outgoing

    def lie(row: sqlite3.Row) -> Outgoing | None:
        made = outgoing(row)
        if made is None or made.kind != AGAIN:
            return made
        return msgspec.structs.replace(made, text=body)

    monkeypatch.setattr(device.store, "_outgoing", lie)
    draft = Draft(other.name, "", 1, None, AGAIN, other.device)
    device.change(lambda store: store.enqueue(draft, released=False))
    device.send_all()


@pytest.mark.parametrize(
    "body", ["", "x", "{}", "[1.5]", "[-1]", f"[{2**53}]", f"[{2**64}]", f"[{10**30}]", '["1"]']
)
def test_nonsense_that_is_asked_for_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    post = Post(tmp_path)
    alice, bob = post.join("alice"), post.join("bob")
    alice.send("bob", "hi")
    bob.receive()
    ask(bob, alice, body, monkeypatch)
    settle([alice, bob])
    bob.send("alice", "and on")
    alice.send("bob", "and on, too")
    settle([alice, bob])
    assert sorted(bob.texts()) == sorted(alice.texts()) == ["and on", "and on, too", "hi"]
    assert alice.codes() == bob.codes() == []
    assert rows_of(bob, "missing") == []
