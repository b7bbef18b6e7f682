"""`jim verify` as a process: what it prints, in both languages, and its exit status."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.client.cli.verify import OF_SEVERAL, SENTENCES, Place, _lines, word
from jim.client.verify import Finding, Kind, Report, Walked
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


@pytest.mark.parametrize("kind", OF_SEVERAL)
def test_one_and_several(kind: Kind) -> None:
    one = word(Finding(kind=kind, peer="bob", first=5, last=5))
    several = word(Finding(kind=kind, peer="bob", first=5, last=25))
    assert several.replace("5…25", "5") != one


def said(report: Report, tmp_path: Path) -> list[str]:
    """Give what is printed about a report, without the line that says whose it is."""
    place = Place(tmp_path / "alice", "server", is_known=True)
    return [line.strip() for line in _lines(place, report)][1:]


def lost(kind: Kind, first: int, last: int, peer: str = "") -> Finding:
    return Finding(kind=kind, peer=peer, first=first, last=last)


TALK = Walked(peer="bob", first=1, last=5, messages=4)


def test_a_message_that_is_gone_counts_once(tmp_path: Path) -> None:
    own = [lost(Kind.NUMBER_MISSING, 2, 2), lost(Kind.MISSING, 3, 3, "bob")]
    report = Report(confirmed_n=2, conversations=[TALK], findings=own)
    assert said(report, tmp_path) == [
        "bob: 4 messages here, the last one at place 5",
        "own messages: MISSING 2; this device has sent it",
        "bob: MISSING 3",
        "1 message is missing.",
    ]


def test_the_end_of_a_conversation_may_be_gone(tmp_path: Path) -> None:
    """Nobody can say which one has lost it, so none is called complete."""
    found = [lost(Kind.POSITION_MISSING, 7, 8), lost(Kind.ALTERED, 1, 1, "carol")]
    talk = Walked(peer="bob", first=1, last=1, messages=1)
    report = Report(position=8, conversations=[talk], findings=found)
    assert said(report, tmp_path) == [
        "own messages: none yet",
        "bob: 1 message here, the last one at place 1",
        "mailbox: MISSING positions 7…8; this device has received them",
        "carol: message 1 (number 0 here) is not what was received",
        "2 messages are missing.",
        "1 other fault.",
    ]


def test_complete_in_russian(tmp_path: Path) -> None:
    i18n.set_language("ru")
    talk = Walked(peer="bob", first=1, last=5, messages=5)
    report = Report(confirmed_n=1, walked_from=3, position=5, conversations=[talk])
    assert said(report, tmp_path) == [
        "свои сообщения: всё на месте (1)",
        "почтовый ящик: все с 4 по 5",
        "bob: все с 1 по 5",
        "Всё на месте.",
    ]


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
        "  mailbox: complete 1…2",
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
        "  bob: здесь 1 сообщение, последнее на месте 2",
        "  почтовый ящик: НЕ ХВАТАЕТ позиции 1; это устройство её получило",
        "  bob: НЕ ХВАТАЕТ 1",
        "  Не хватает 1 сообщения.",
    ]
    assert bad.errors == []
    records = here.jim("alice", "verify", "--json")
    assert records.wait() == 1
    conversation, position, finding, summary = map(json.loads, records.lines)
    assert (position["kind"], position["first"], position["last"]) == ("position_missing", 1, 1)
    assert (conversation["schema"], conversation["type"], conversation["complete"]) == (
        *(1, "conversation"),
        False,
    )
    assert (finding["type"], finding["kind"], finding["level"]) == ("finding", "missing", "fault")
    assert (finding["peer"], finding["first"], finding["last"]) == ("bob", 1, 1)
    assert (summary["type"], summary["complete"], summary["faults"]) == ("verified", False, 2)
    assert (summary["lost"], summary["walked_from"], summary["position"]) == (1, 0, 2)


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
    assert torn.lines[1].endswith("это не база данных; уберите её или восстановите из копии")
    assert torn.errors == []


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_an_account_whose_store_is_gone_is_not_passed_over(here: World) -> None:
    for name in ("alice", "bob"):
        assert here.client(name, "--data-dir", str(here.home("both"))).finish("3") == 0

    def verify(*arguments: str) -> tuple[int, list[str]]:
        chosen = ("--data-dir", str(here.home("both")), *arguments)
        program = here.jim("", "verify", *chosen, JIM_SERVER="")
        return program.wait(), program.lines

    assert [len(verify("--all")[1]), verify("--name", "alice")[0], verify()[0]] == [6, 0, 2]
    [alice, _] = sorted(here.home("both").rglob("store.db"))
    for file in alice.parent.glob("store.db*"):
        file.unlink()
    gone = [f"alice (127.0.0.1:{here.port})", f"  the store cannot be read: {alice}: there is no"]
    for arguments in (("--all",), (), ("--name", "Alice"), ("--server", f"127.0.0.1:{here.port}")):
        status, lines = verify(*arguments)
        assert status == 1
        assert gone[0] in lines
        assert lines[lines.index(gone[0]) + 1].startswith(gone[1])
    assert verify("--name", "bob")[0] == 0
    status, records = verify("--all", "--json")
    assert [json.loads(line)["complete"] for line in records if "verified" in line] == [False, True]
    for file in here.home("both").glob("known_servers*"):
        file.unlink()
    status, lines = verify("--all")
    assert status == 1
    assert len([line for line in lines if not line.startswith(" ")]) == 2
