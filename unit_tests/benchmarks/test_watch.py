from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks import watch
from benchmarks.watch import SIZES, SLACK_BYTES, Sample, between, bounded, growth, taken

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def sample(at_s: float, *, log_bytes: int = 0, cpu_s: float = 0.0, rss_bytes: int = 0) -> Sample:
    return Sample(at_s, cpu_s, rss_bytes, database_bytes=0, log_bytes=log_bytes)


class Me:
    pid = os.getpid()


def test_a_process_is_looked_at_with_the_sizes_of_its_files(tmp_path: Path) -> None:
    database = tmp_path / "server.db"
    database.write_bytes(bytes(10))
    seen = watch.look(Me(), database)
    assert (seen.database_bytes, seen.log_bytes) == (10, 0)
    (tmp_path / "server.db-wal").write_bytes(bytes(20))
    assert watch.look(Me(), database).log_bytes == 20
    assert seen.rss_bytes > MIB
    assert seen.cpu_s > 0


def test_sockets_are_counted_and_nothing_else(tmp_path: Path) -> None:
    before = watch.sockets(os.getpid())
    with socket.socket(), socket.socket(), (tmp_path / "file").open("w"):
        assert watch.sockets(os.getpid()) == before + 2


def test_watching_ends_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.001)
    with watch.watched(Me(), tmp_path / "none") as samples:
        while len(samples) < 3:
            time.sleep(0.001)
    count = len(samples)
    assert [each.at_s for each in samples] == sorted(each.at_s for each in samples)
    assert len(samples) == count


def test_watching_a_process_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    class Gone:
        pid = 2**22 + 1  # above any process id of Linux (PID_MAX_LIMIT)

    with pytest.raises(OSError, match="No such file"):
        watch.look(Gone(), tmp_path / "none")
    with watch.watched(Gone(), tmp_path / "none") as samples:
        pass
    assert samples == []


def test_only_samples_of_the_time_count() -> None:
    samples = [sample(at_s) for at_s in (1, 2, 3, 4)]
    assert [each.at_s for each in between(samples, 2, 3)] == [2, 3]


def test_what_was_taken_is_a_share_of_a_core_and_the_most_of_each_size() -> None:
    seen = [
        sample(10, cpu_s=1, rss_bytes=5 * MIB, log_bytes=MIB),
        sample(11, cpu_s=1.2, rss_bytes=7 * MIB, log_bytes=4 * MIB),
        sample(12, cpu_s=1.5, rss_bytes=6 * MIB),
    ]
    assert taken(seen) == {"cpu_share": 0.25, "rss_mib": 7, "database_mib": 0, "log_mib": 4}
    assert "cpu_share" not in taken(seen[:1])
    assert taken([]) == {}


def test_growth_compares_the_first_part_with_the_last() -> None:
    seen = [sample(100 + at_s, log_bytes=size) for at_s, size in enumerate([3, 5, 9, 4, 6, 2])]
    assert growth(seen, 1.5, SIZES["log"]) == {"first": 5, "last": 6, "most": 9}
    with pytest.raises(ValueError, match="empty"):
        growth([], 1.5, SIZES["log"])


@pytest.mark.parametrize(
    ("first", "last", "good"),
    [
        (0, 0, True),
        (4 * MIB, MIB, True),
        (MIB, MIB + SLACK_BYTES, True),
        (MIB, MIB + SLACK_BYTES + 1, False),
        (20 * SLACK_BYTES, 22 * SLACK_BYTES, True),
        (20 * SLACK_BYTES, 22 * SLACK_BYTES + 1, False),
    ],
)
def test_a_file_is_bounded_when_it_needs_no_more_at_the_end(
    first: int, last: int, good: bool
) -> None:
    assert bounded({"first": first, "last": last, "most": max(first, last)}) is good
