"""A client that does not survive a lie is noticed, whichever way it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.link import Link
from jim.client.receiving import Receiving
from jim.protocol import messages as m
from reliability.hostile import client_check, liar, program_check
from reliability.hostile.liar import Script
from reliability.hostile.report import Section

if TYPE_CHECKING:
    from pathlib import Path

FEW = [
    Script("unknown", "active", b'{"action":"fly"}'),
    Script("an odd message", "active", liar.delivery(1, "bob\x1b[2J", "\x00\u202e")),
    Script("garbage", "hello", b"\xff\xfe"),
    Script("garbage", "login", b"[" * 1_000),
    Script("nested", "terms", b'{"later":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    Script("presence", "active", b'{"action":"presence","name":"x","online":true,"time":1}'),
]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_check, "scripts", lambda _every: FEW)
    monkeypatch.setattr(client_check, "SETTLE_S", 2.0)
    monkeypatch.setattr(liar, "PATIENCE_S", 1.0)


async def test_the_client_survives_lies_and_works_afterwards(tmp_path: Path) -> None:
    section = await client_check.check_library(tmp_path)
    assert not section.violations
    assert section.cases == len(FEW) + 1
    assert section.answers["stopped: ServerIdentityInvalid terms"] == 1


async def test_an_error_that_nobody_foresaw_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very defect that the first run of this check has found."""
    terms = msgspec.json.Decoder(m.Terms)
    monkeypatch.setattr(m, "parse_terms", terms.decode)
    section = await client_check.check_library(tmp_path)
    assert any("RecursionError" in text for text in section.violations)


async def test_a_client_that_trips_over_a_push_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(_self: Receiving, _message: object, _kept: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Receiving, "consider", trip)
    section = await client_check.check_library(tmp_path)
    assert any("KeyError" in text for text in section.violations)


async def test_a_client_that_hangs_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled = Link._is_handled

    def ignore(self: Link, message: m.ServerMessage) -> bool:
        return isinstance(message, m.Probe) or handled(self, message)

    monkeypatch.setattr(Link, "_is_handled", ignore)
    monkeypatch.setattr(client_check, "scripts", lambda _every: FEW[:1])
    section = await client_check.check_library(tmp_path)
    assert any("neither answers nor closes" in text for text in section.violations)


def test_every_kind_of_lie_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    told = client_check.scripts()
    assert {script.point for script in told} == {"active", "hello", "login", "terms"}
    assert len(told) > 8_000
    names = {script.name for script in told if script.point == "terms"}
    assert all(f"NaN as {name}" in names for name in m.AnnouncedLimits.__struct_fields__)


def test_what_reaches_the_terminal_is_looked_at() -> None:
    section = Section("test")
    program_check._check_output("listen", "one\ntwo \x9b31m\n\x1b[2J\n", 3, section)
    program_check._check_output("listen", "one\n", 30, section)
    assert "U+001B, U+009B" in section.violations[0]
    assert "shows only 1 of 30" in section.violations[1]


@pytest.mark.e2e
async def test_the_programs_survive_too(tmp_path: Path) -> None:
    section = await program_check.check_programs(tmp_path)
    assert not section.violations
    assert section.cases > 1_500
