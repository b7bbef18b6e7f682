from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from benchmarks import accounts, own, targets
from benchmarks.peers import jim
from benchmarks.peers.base import PeerError


def test_a_place_is_removed_whatever_the_end_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), own.directory(tmp_path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_removed_when_the_program_is_asked_to_end(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, own.directory(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == own.KILLED_STATUS
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_accounts_stand_in_the_file_in_their_order(tmp_path: Path) -> None:
    with own.directory(tmp_path) as place:
        names = ["h0", *own.pair_names(2)]
        members = own.enlist(place, names)
        lines = jim.accounts_file(place).read_text(encoding="utf-8").splitlines(keepends=True)
        assert [line.split()[0] for line in lines] == ["h0", "s0", "s1", "r0", "r1"]
        assert lines == [accounts.line(member.account()) for member in members]
        assert own.disk_bytes(place) >= own.database(place).stat().st_size > 0


def test_every_command_has_the_common_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/somewhere")
    options = own.parser("steady", "Measures.").parse_args(["--quick"])
    assert (options.quick, options.scratch, options.json) == (True, Path("/somewhere"), None)


@pytest.mark.e2e
def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with own.directory(tmp_path) as place:
        own.enlist(place, ["one"])
        own.database(place).write_bytes(b"no database")
        with pytest.raises(PeerError, match=r"does not listen:\n.*server\.db"), own.serving(place):
            pass


@pytest.mark.e2e
def test_a_server_tells_how_long_its_start_took_and_ends_with_the_block(tmp_path: Path) -> None:
    with own.directory(tmp_path) as place:
        own.enlist(place, ["one"])
        with own.serving(place) as (server, took_s):
            assert server.alive()
            assert took_s > 0
            if targets.SERVER_CORE in os.sched_getaffinity(0):
                assert os.sched_getaffinity(server.pid) == {targets.SERVER_CORE}
        assert not server.alive()
        assert list((place.directory / "log").iterdir())
