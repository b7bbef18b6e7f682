"""`jim verify` as a process: what it prints, in both languages, and its exit status."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim.client.cli.verify import SENTENCES, word
from jim.client.verify import Finding, Kind
from unit_tests.support.processes import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_sentence(kind: Kind) -> None:
    assert set(SENTENCES) == set(Kind)
    said = word(Finding(kind=kind, peer="bob\x1b[2J", first=3, last=5, detail="why\x07"))
    assert said.isprintable()
    assert "{" not in said


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def damage(here: World, name: str, statement: str) -> None:
    [path] = here.home(name).rglob("store.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_complete_then_damaged(here: World) -> None:
    assert here.client("alice").finish("3") == 0
    assert here.client("bob").finish("1", "alice", "one", "1", "alice", "two", "3") == 0
    listening = here.jim("alice", "listen", "--count", "2")
    assert listening.wait() == 0
    running = here.client("alice")
    running.expect("established")
    good = here.jim("alice", "verify")
    assert good.wait() == 0
    assert good.lines == [
        f"alice (127.0.0.1:{here.port})",
        "  own messages: none yet",
        "  bob: complete 1…2",
        "  Nothing is missing.",
    ]
    assert running.finish("3") == 0
    here.kill_server()
    damage(here, "alice", "DELETE FROM messages WHERE seq = 1")
    bad = here.jim("alice", "verify", "--all", "--lang", "ru")
    assert bad.wait() == 1
    assert bad.lines[1:] == [
        "  свои сообщения: пока нет",
        "  bob: из 2 здесь 1",
        "  bob: НЕ ХВАТАЕТ 1",
        "  1 неисправность.",
    ]
    assert bad.errors == []
    records = here.jim("alice", "verify", "--json")
    assert records.wait() == 1
    conversation, finding, summary = map(json.loads, records.lines)
    assert (conversation["schema"], conversation["type"], conversation["complete"]) == (
        *(1, "conversation"),
        False,
    )
    assert (finding["type"], finding["kind"], finding["level"]) == ("finding", "missing", "fault")
    assert (finding["peer"], finding["first"], finding["last"]) == ("bob", 1, 1)
    assert (summary["type"], summary["complete"], summary["faults"]) == ("verified", False, 1)


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_no_account_and_no_store(here: World) -> None:
    nobody = here.jim("nobody", "verify")
    assert nobody.wait() == 2
    assert here.jim("nobody", "verify", "--nonsense").wait() == 2
    assert here.client("alice").finish("3") == 0
    [path] = here.home("alice").rglob("store.db")
    for companion in path.parent.glob("store.db-*"):
        companion.unlink()
    path.write_bytes(b"nothing of the kind")
    torn = here.jim("alice", "verify", JIM_LANG="ru")
    assert torn.wait() == 1
    assert torn.lines[1].startswith("  хранилище не читается: ")
    assert not any("Traceback" in line for line in torn.errors)
