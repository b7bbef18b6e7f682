from __future__ import annotations

import os

import pytest

from reliability.injectors import system
from reliability.injectors.taken import NotTaken


def test_a_command_gives_what_it_printed() -> None:
    assert system.command("cat", stdin="some text") == "some text"


def test_a_failing_command_says_what_it_complained_about() -> None:
    with pytest.raises(NotTaken, match=r"ls .*/nowhere: .*No such file"):
        system.command("ls", "/nowhere")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(NotTaken, match="no-such-program"):
        system.command("no-such-program")


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert system.missing("root", "cat", "ls") == ""
    assert system.missing("cat", "no-such-program") == "no-such-program"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert system.missing("root", "cat", "no-such-program") == "root, no-such-program"
    monkeypatch.setattr(system, "library", lambda _: None)
    assert system.missing("libfaketime", "libeatmydata") == "libfaketime, libeatmydata"


def test_each_library_is_found_by_its_own_name() -> None:
    for name in ("libfaketime", "libeatmydata"):
        found = system.library(name)
        assert found is None or found.name.startswith(name)
        assert bool(system.missing(name)) == (found is None)
