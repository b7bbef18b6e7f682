"""One file a day, private, shared by processes without losing or mixing a line."""

from __future__ import annotations

import datetime
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from jim.log_config import daily_file
from jim.log_config.daily_file import DAYS_KEPT, DailyFileHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@pytest.fixture
def handler(path: Path) -> Iterator[DailyFileHandler]:
    handler = DailyFileHandler(path)
    yield handler
    handler.close()


def write(handler: DailyFileHandler, text: str) -> None:
    handler.handle(logging.makeLogRecord({"msg": text}))


def day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).astimezone().date().isoformat()


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(time, "time", lambda: seconds)


def set_written(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def test_the_file_is_private_and_written_at_once(path: Path, handler: DailyFileHandler) -> None:
    write(handler, "привет")
    assert path.read_text(encoding="utf-8") == "привет\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_start_appends(path: Path, handler: DailyFileHandler) -> None:
    write(handler, "one")
    again = DailyFileHandler(path)
    write(again, "two")
    again.close()
    assert path.read_text() == "one\ntwo\n"


def test_lone_surrogates_do_not_fail(path: Path, handler: DailyFileHandler) -> None:
    write(handler, "a\ud800b")
    assert path.read_text() == "a\\ud800b\n"


def test_midnight_begins_a_new_file(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = time.time()
    write(handler, "today")
    at(monkeypatch, today + DAY_S)
    write(handler, "tomorrow")
    assert path.read_text() == "tomorrow\n"
    assert path.with_name(f"server.log.{day(today)}").read_text() == "today\n"


def test_before_midnight_nothing_changes(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(handler, "one")
    midnight = daily_file._midnight_after(daily_file._local_day(time.time()))
    at(monkeypatch, midnight - 0.001)
    write(handler, "two")
    assert path.read_text() == "one\ntwo\n"
    assert list(path.parent.iterdir()) == [path]


def test_yesterdays_file_is_put_aside_by_a_start_this_morning(path: Path) -> None:
    path.write_text("yesterday\n")
    yesterday = time.time() - DAY_S
    set_written(path, yesterday)
    handler = DailyFileHandler(path)
    write(handler, "today")
    handler.close()
    assert path.read_text() == "today\n"
    assert path.with_name(f"server.log.{day(yesterday)}").read_text() == "yesterday\n"


def test_fourteen_days_are_kept_and_other_files_left_alone(path: Path) -> None:
    now = time.time()
    for age in range(1, 20):
        path.with_name(f"server.log.{day(now - age * DAY_S)}").touch()
    other = path.with_name("client.log.2001-01-01")
    other.touch()
    path.write_text("yesterday\n")
    set_written(path, now - DAY_S)
    path.with_name(f"server.log.{day(now - DAY_S)}").unlink()
    handler = DailyFileHandler(path)
    write(handler, "today")
    handler.close()
    kept = sorted(file.name for file in path.parent.glob("server.log.*"))
    assert len(kept) == DAYS_KEPT
    assert kept[0] == f"server.log.{day(now - DAYS_KEPT * DAY_S)}"
    assert other.exists()


def test_two_processes_rotate_once(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = time.time()
    other = DailyFileHandler(path)
    write(handler, "a1")
    write(other, "b1")
    at(monkeypatch, today + DAY_S)
    write(handler, "a2")
    write(other, "b2")
    other.close()
    assert path.read_text() == "a2\nb2\n"
    assert path.with_name(f"server.log.{day(today)}").read_text() == "a1\nb1\n"
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
def test_a_rotation_waits_for_that_of_another_process(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    write(handler, "today")
    at(monkeypatch, time.time() + DAY_S)
    writing = threading.Thread(target=write, args=(handler, "tomorrow"))
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing.start()
        writing.join(0.2)
        assert writing.is_alive()
        assert path.read_text() == "today\n"
    writing.join(10)
    assert path.read_text() == "tomorrow\n"


def test_a_file_that_is_there_already_is_not_overwritten(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = time.time()
    dated = path.with_name(f"server.log.{day(today)}")
    dated.write_text("kept\n")
    write(handler, "late")
    at(monkeypatch, today + DAY_S)
    write(handler, "next")
    assert dated.read_text() == "kept\n"
    texts = {file.read_text() for file in path.parent.iterdir()}
    assert texts == {"kept\n", "late\n", "next\n"}


def test_a_rename_that_fails_is_tried_again_a_minute_later(
    path: Path, handler: DailyFileHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = time.time()
    write(handler, "one")
    tries = []

    def refuse(target: Path) -> None:
        tries.append(target)
        raise PermissionError

    at(monkeypatch, today + DAY_S)
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "rename", lambda _self, target: refuse(target))
        write(handler, "two")
        write(handler, "three")
        assert len(tries) == 1
    at(monkeypatch, today + DAY_S + 61)
    write(handler, "four")
    assert path.read_text() == "four\n"
    assert path.with_name(f"server.log.{day(today)}").read_text() == "one\ntwo\nthree\n"


def test_a_full_disk_costs_one_line_on_stderr(
    handler: DailyFileHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    handler._stream.close()
    write(handler, "one")
    write(handler, "two")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert str(handler.path) in shown


WRITER = """
import datetime, logging, sys, time
from pathlib import Path
from jim.log_config import daily_file
from jim.log_config.daily_file import DailyFileHandler
number, path = sys.argv[1], Path(sys.argv[2])
handler = DailyFileHandler(path)
# A day lasts 0.2 s here: each process meets many midnights at the same moments.
daily_file._local_day = lambda s: datetime.date.fromordinal(700_000 + int(s * 5) % 99_999)
daily_file._midnight_after = lambda day: (int(time.time() * 5) + 1) / 5
handler._next_day = 0
for line in range(400):
    handler.handle(logging.makeLogRecord({"msg": f"{number} {line} " + "x" * 200}))
    time.sleep(0.002)
handler.close()
"""


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform == "win32", reason="there the rename waits for a lone process")
def test_processes_that_write_and_rotate_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    source = WRITER.replace("DailyFileHandler(path)", "DailyFileHandler(path, days_kept=10**5)")
    processes = [
        subprocess.Popen([sys.executable, "-c", source, str(number), str(path)])
        for number in range(4)
    ]
    assert [process.wait(timeout=50) for process in processes] == [0, 0, 0, 0]
    files = list(tmp_path.iterdir())
    lines = [line for file in files for line in file.read_text().splitlines()]
    expected = {f"{number} {line} " + "x" * 200 for number in range(4) for line in range(400)}
    assert len(files) > 3
    assert len(lines) == 1600
    assert set(lines) == expected
