from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from jim.client.account_record import AccountRecord, Stage, write_account
from jim.client.device_store import DEVICE_NAME
from jim.client.schema import open_database
from reliability.rig.actor import Actor

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client import Client
    from reliability.rig.lines import Report

_WRITE = """
INSERT INTO messages (peer, outgoing, sender, device, n, text, time_ms, place, state, kind)
VALUES (?, 1, 'alice', 'here', ?, ?, 1, 1, 'queued', ?)
"""


def test_what_goes_between_devices_is_no_message_that_could_be_lost(tmp_path: Path) -> None:
    folder = tmp_path / "accounts" / "server" / "alice"
    folder.mkdir(parents=True)
    with closing(open_database(folder / "store.db", create=True)) as store:
        write_account(store, AccountRecord(name="alice", device="here", stage=Stage.REGISTERED))
        store.execute(_WRITE, ("alice", 1, '{"device":"here","name":"desk"}', DEVICE_NAME))
        store.execute(_WRITE, ("bob", 2, "alice-here-1 hello", "text"))
    told: list[Report] = []
    actor = Actor(cast("Client", cast("Any", SimpleNamespace(name="alice"))), tmp_path, told.append)
    assert [row.uid for row in actor._look(0, 0).rows] == ["alice-here-1"]
