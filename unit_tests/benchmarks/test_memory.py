from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import layers, memory
from benchmarks.memory import Weight
from benchmarks.peer import Account

WEIGHTS = [
    Weight(1500.0, {"loop.py": 1400.0}),
    Weight(18_000.0, {"loop.py": 1400.0, "ssl.py": 700.0}),
    Weight(21_000.0, {"loop.py": 1400.0, "ssl.py": 700.0, "connection.py": 2900.0}),
    Weight(22_500.0, {"loop.py": 1400.0, "ssl.py": 700.0, "hub.py": 4000.0}),
]


def test_the_parts_add_up_to_the_total() -> None:
    rows = memory.rows_of(WEIGHTS, 23_100.0)
    assert [row.resident for row in rows] == [1500, 16_500, 3000, 1500, 600]
    assert [row.python for row in rows] == [1400, 700, 2900, 1100, 0]
    assert [row.other for row in rows] == [100, 15_800, 100, 400, 600]


def test_the_table_shows_parts_sum_and_the_largest_files() -> None:
    rows = memory.rows_of(WEIGHTS, 23_100.0)
    figures: dict[str, Any] = {
        "total": 23_100.0,
        "busy": 178_000.0,
        "rows": [vars(row) | {"other": row.other} for row in rows],
        "objects": {"hub.py": 4000.0, "loop.py": 1400.0, "small.py": 30.0, "tiny.py": 20.0},
    }
    lines = [" ".join(line.split()) for line in memory.table(figures).splitlines()]
    assert lines[2] == "TLS: channel and OpenSSL's session 16,500 700 15,800"
    assert lines[6] == "together 23,100 6,100 17,000"
    assert lines[7] == "after 256 KiB went through, more 178,000"
    assert lines[-3:] == ["4,000 hub.py", "1,400 loop.py", "50 others"]


def test_files_are_named_from_the_root_of_the_project_on() -> None:
    assert layers.file_name(layers.__file__) == "benchmarks/layers.py"
    assert layers.file_name(str(Path("/usr/lib/python3.11/ssl.py"))) == "python3.11/ssl.py"


@pytest.mark.e2e
async def test_every_layer_is_weighed_in_a_process_of_its_own(tmp_path: Path) -> None:
    for stage in memory.STAGES[:3]:  # the last one needs accounts, as `idle` does
        weight = await memory.weighed(stage, tmp_path, [Account("nobody")] * 6, 2)
        assert weight.python > 100
