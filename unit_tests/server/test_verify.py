"""`jim-server verify`: what it prints, beside a running server and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.core.findings import Fault, Finding, Item, Mailbox
from jim.core.limits import Limits
from jim.errors import StoreCorrupt
from jim.server.arguments import parse
from jim.server.main import main
from jim.server.settings import load
from jim.server.verify import OF_SEVERAL, SENTENCES, _complete, chain_end, word
from jim.server.verify import verify as look
from jim.storage.sqlite import open_store
from jim.storage.sqlite.offline import create
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


@pytest.mark.parametrize("fault", OF_SEVERAL)
def test_one_and_several(fault: Fault) -> None:
    one = word(Finding(fault=fault, first=5, last=5))
    several = word(Finding(fault=fault, first=5, last=25))
    assert several.replace("5…25", "5") != one


def test_what_is_gone_is_named() -> None:
    row = Finding(fault=Fault.REFERENCE, first=1, last=1, detail="sending -> device")
    assert word(row) == "row 1 refers to something that is gone (sending -> device)"
    device = Finding(fault=Fault.REFERENCE, account="bob", device="b", detail="receiving")
    assert word(device) == "the counters of the device are gone (receiving)"
    author = Finding(
        fault=Fault.REFERENCE, account="bob", peer="eve", first=3, last=3, detail="bob"
    )
    assert word(author).startswith("position 3: a message from eve to bob, but no such device")
    chain = Finding(fault=Fault.CHAIN, account="bob", detail="head")
    assert word(chain).endswith(": its end is not the one that was kept")


def looked(
    items: Iterator[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> list[str]:
    """Give what is printed about what a look through some database gives."""
    loaded = load(parse(["verify", "--data-dir", str(tmp_path)]).flags, {}, None)
    assert not look(loaded, lambda *_: items, as_json=as_json)
    return capsys.readouterr().out.splitlines()


def half() -> Iterator[Item]:
    """Find something, then fail."""
    yield Finding(fault=Fault.DAMAGED, detail="page 7")
    raise StoreCorrupt("server.db: page 8")


def test_a_sum_follows_whatever_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looked(half(), tmp_path, capsys, as_json=False) == [
        "the database is damaged: page 7",
        "the database cannot be read: server.db: page 8",
        "0 mailboxes: 2 faults.",
    ]
    *found, total = map(json.loads, looked(half(), tmp_path, capsys, as_json=True))
    assert [each["fault"] for each in found] == ["damaged", "unreadable"]
    assert (total["type"], total["complete"], total["faults"]) == ("verified", False, 2)


@pytest.mark.parametrize(
    ("acked", "last", "said"),
    [
        (0, 0, "ещё ничего не приходило"),
        (5, 5, "все по 5, ничего не ждёт"),
        (4, 5, "всё на месте (5), ждёт 1"),
        (2, 5, "все с 3 по 5 (ждут 3)"),
        (0, 21, "все с 1 по 21 (ждёт 21)"),
    ],
)
def test_complete_in_russian(acked: int, last: int, said: str) -> None:
    i18n.set_language("ru")
    mailbox = Mailbox(
        account="a", device="d", last_position=last, acked=acked, state=0, waiting_since_ms=0
    )
    assert _complete(mailbox) == said


def test_an_emptied_database_is_not_called_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who starts the server on it must not believe that nothing was lost."""
    database = tmp_path / "server.db"
    database.touch()
    looking = ["verify", "--data-dir", str(tmp_path)]
    assert main(looking) == 1
    said = capsys.readouterr().out
    assert "the database is empty; put a backup in its place before a server starts" in said
    assert database.stat().st_size == 0
    asyncio.run(begin(database))
    assert main(looking) == 0
    assert capsys.readouterr().out.startswith("No accounts here yet. If there were some, this is")


async def begin(database: Path) -> None:
    """Do what a server does that starts."""
    await (await open_store(database, Limits())).aclose()


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
    create(database)  # replays what only the journal had
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
    assert torn.lines[0].startswith("the database cannot be read: ")
    assert torn.lines[1:] == ["0 mailboxes: 1 fault."]
    assert torn.errors == []
    assert here.operate("verify", "--nonsense").wait() == 2
    database.unlink()
    gone = here.operate("verify", "--json")
    assert gone.wait() == 1
    finding, total = map(json.loads, gone.lines)
    assert (finding["type"], finding["fault"]) == ("finding", "unreadable")
    assert "there is no database" in finding["detail"]
    assert (total["type"], total["complete"], total["faults"]) == ("verified", False, 1)
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
