from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from benchmarks import steady
from benchmarks.flow import Plan
from benchmarks.generator import GeneratorError
from benchmarks.watch import SLACK_BYTES
from unit_tests.benchmarks.runs import interval, measured
from unit_tests.benchmarks.test_minutes import MIB, RUN, SEEN

if TYPE_CHECKING:
    from pathlib import Path

CUT = Plan(6.0, 2)


def test_a_run_with_bounded_files_is_good() -> None:
    figures = steady.figures_of(RUN, SEEN, CUT)
    assert figures["bounded"] == {"database": True, "log": True}
    assert steady.complaints(figures) == []
    assert "log: 4.0 MiB in the first part, 4.0 in the last, 4.0 at most" in steady.text_of(figures)


def test_a_file_that_grows_is_complained_about() -> None:
    grown = [
        dataclasses.replace(each, database_bytes=SLACK_BYTES * index)
        for index, each in enumerate(SEEN)
    ]
    figures = steady.figures_of(RUN, grown, CUT)
    assert steady.complaints(figures) == ["database grows"]
    assert steady.text_of(figures).endswith("database grows")


def test_samples_outside_of_the_run_do_not_count() -> None:
    before = dataclasses.replace(SEEN[0], at_s=99.0, log_bytes=90 * MIB)
    figures = steady.figures_of(RUN, [before, *SEEN], CUT)
    assert figures["sizes_bytes"]["log"]["most"] == 4 * MIB
    assert figures["seen"][0]["s"] == 0


def test_a_run_too_short_to_look_at_the_server_proves_nothing() -> None:
    with pytest.raises(GeneratorError, match="too short"):
        steady.figures_of([interval(1)], [], CUT)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.usefixtures("flow_program")
def test_the_command_measures_our_server(tmp_path: Path) -> None:
    figures = measured("steady", tmp_path, "--seconds", "4", "--rate", "100", "--pairs", "2")
    assert figures["whole"]["samples"] == 400
    assert (figures["whole"]["lost"], figures["whole"]["wrong"]) == (0, 0)
    assert len(figures["parts"]) == 4
    assert figures["seen"][-1]["log_bytes"] > 0
