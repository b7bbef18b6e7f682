"""The launcher with the real server and clients, as a user on a fresh machine starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.launch.plan import Programs
from unit_tests.launch.conftest import CHECKOUT
from unit_tests.launch.test_tmux import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("language", "head", "verdict"),
    [
        ("en", "Message from alice: ", "only where it should"),
        ("ru", "Сообщение от пользователя alice: ", "только туда, куда нужно"),
    ],
)
def test_the_demo_passes_from_any_directory_and_leaves_nothing(
    language: str, head: str, verdict: str, tmp_path: Path, home: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "launcher.py")],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "JIM_LANG": language, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"    {head}Hello! Can you read this?" in done.stdout
    assert f"    {head}Привет! А так — читается? 👍" in done.stdout
    assert verdict in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    made = Session(Programs.of(sys.executable, CHECKOUT))
    yield made
    made.tmux("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_people_talk_in_panes(session: Session, tmp_path: Path) -> None:
    done = session.launch("--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("alice", "bob"):
        session.expect(name, "Connection to the server established")
    session.type("alice", "1", "bob", "привет из панели")
    session.expect("bob", "Message from alice: привет из панели")
    session.type("bob", "@alice и тебе")
    session.expect("alice", "Message from bob: и тебе")
    session.type("bob", "3")
    session.expect_gone("bob")
    assert list(session.panes()) == ["server", "alice"]
    session.type_key("server", "C-c")
    session.expect_gone("server")
    assert session.panes() == {}
