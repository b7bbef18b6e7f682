from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.rig import tracing
from reliability.rig.tracing import Trace

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SEEN = """\
101   pwrite64(3, "x", 1, 0) = 1
101   fdatasync(3) = 0
1022  pwrite64(4, "x", 1, 0) = 1
1022  pwrite64(4, "x", 1, 0) = -1 EIO (Input/output error) (INJECTED)
101   --- SIGTERM {si_signo=SIGTERM} ---
1022  +++ killed by SIGKILL +++
"""


def test_calls_are_counted_for_each_thread(tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace", ("pwrite64", "fdatasync"))
    trace.file.write_text(SEEN)
    assert trace.most() == {"pwrite64": 2, "fdatasync": 1}
    assert trace.fired() == 1


def test_nothing_seen_is_nothing_fired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "WRITTEN_WITHIN_S", 0.0)
    trace = Trace(tmp_path / "trace", ("pwrite64",))
    assert trace.fired() == 0
    assert not trace.most()


def test_a_signal_is_not_combined_with_the_filter_that_swallows_it(tmp_path: Path) -> None:
    killing = Trace(tmp_path / "t", ("fsync",), "fsync:signal=KILL:when=2", (tmp_path / "db",))
    assert "--seccomp-bpf" not in killing.prefix
    assert killing.prefix[-2:] == ("-P", str(tmp_path / "db"))
    assert "--seccomp-bpf" in Trace(tmp_path / "t", ("fsync",), "fsync:error=EIO").prefix
