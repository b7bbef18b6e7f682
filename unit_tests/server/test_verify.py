"""`jim-server verify`: what it prints, beside a running server and without one."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from jim.core.findings import Fault, Finding
from jim.server.verify import SENTENCES, chain_end, word
from jim.storage.sqlite.verify import verify
from unit_tests.support.processes import World, world
from unit_tests.support.serving import serving
from unit_tests.support.wire import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_a_sentence(fault: Fault) -> None:
    assert set(SENTENCES) == set(Fault)
    said = word(Finding(fault=fault, peer="bob", first=3, last=5, detail="why"))
    assert "{" not in said


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    async with serving(tmp_path) as server:
        await server.join(Person("alice"))
        await server.join(Person("bob"))
    return tmp_path / "server.db"


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_real_chains_verify(path: Path) -> None:
    assert verify(path, chain_end).findings == []


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("UPDATE account SET chain_head = zeroblob(32) WHERE name = 'bob'", "head"),
        ("UPDATE link SET head = zeroblob(32) WHERE account_id = 2", "head"),
        ("UPDATE device SET login_key = zeroblob(32) WHERE account_id = 2", "devices"),
        ("DELETE FROM link WHERE account_id = 2", "device chain, link 0: the chain has no links"),
        ("UPDATE link SET body = '{}' WHERE account_id = 2", None),
        ("UPDATE link SET body = replace(body, 'bob', 'eve') WHERE account_id = 2", None),
    ],
)
def test_a_damaged_chain(path: Path, statement: str, detail: str | None) -> None:
    change(path, statement)
    [found] = verify(path, chain_end).findings
    assert (found.fault, found.account) == (Fault.CHAIN, "bob")
    assert detail is None or found.detail == detail


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


@pytest.mark.e2e
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform == "win32", reason="the data directory is opened beside a server")
def test_complete_then_damaged(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.client("bob").finish("1", "alice", "one", "1", "alice", "two", "3") == 0
    good = here.operate("verify")
    assert good.wait() == 0
    alice, bob, summary = good.lines
    assert alice.startswith("alice ")
    assert alice.endswith(": complete 1…2 (2 waiting)")
    assert bob.endswith(": nothing has come yet")
    assert summary == "2 mailboxes: nothing is missing."
    assert good.errors == []
    here.kill_server()
    database = here.directory / "server" / "data" / "server.db"
    change(database, "DELETE FROM mailbox WHERE first_position = 1")
    bad = here.operate("verify", "--json")
    assert bad.wait() == 1
    finding, *mailboxes, total = map(json.loads, bad.lines)
    assert (finding["schema"], finding["type"], finding["fault"]) == (1, "finding", "positions")
    assert (finding["account"], finding["first"]) == ("alice", 1)
    assert [each["complete"] for each in mailboxes] == [False, True]
    assert (total["type"], total["complete"], total["faults"]) == ("verified", False, 1)
    database.write_bytes(b"nothing of the kind" * 300)
    torn = here.operate("verify")
    assert torn.wait() == 1
    assert torn.lines == []
    assert len(torn.errors) == 1
    assert here.operate("verify", "--nonsense").wait() == 2
    database.unlink()
    gone = here.operate("verify")
    assert gone.wait() == 1
    assert "there is no database" in gone.errors[0]
    assert not database.exists()


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_in_russian(here: World) -> None:
    assert here.client("bob").finish("1", "bob", "to myself", "3") == 0
    server = here.directory / "server"
    program = here._run(
        server, "-m", "jim.server", "verify", "--data-dir", str(server / "data"), JIM_LANG="ru"
    )
    assert program.wait() == 0
    assert program.lines[-1] == "1 почтовый ящик: всё на месте."
