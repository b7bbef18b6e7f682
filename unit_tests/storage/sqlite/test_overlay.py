"""Looking at a database with a journal costs about what looking at its tables does."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.storage.sqlite import open_store, store
from jim.storage.sqlite.verify import verify
from unit_tests.support.accounts import NOW_MS, add_account
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PEOPLE = 60
EACH_STEPS = 100


class Steps:
    """Counts what SQLite does on connections that are opened after this one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        connect = sqlite3.connect

        def counted(*arguments: object, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
            connection.set_progress_handler(self._add, EACH_STEPS)
            return connection

        monkeypatch.setattr(sqlite3, "connect", counted)

    def _add(self) -> int:
        self.count += EACH_STEPS
        return 0


async def test_no_query_reads_a_whole_table_for_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    path = tmp_path / "server.db"
    current = await open_store(path, Limits())
    people = [(await add_account(current, f"u{k}"))[0] for k in range(PEOPLE)]
    for n in range(1, 5):
        appends = [
            Append(person, n, f"u{(k + n) % PEOPLE}", "hi") for k, person in enumerate(people)
        ]
        await current.commit(batch_of(appends), NOW_MS)
    steps = Steps(monkeypatch)
    assert verify(path, None).findings == []
    with_journal, steps.count = steps.count, 0
    await current.aclose()
    assert verify(path, None).findings == []
    # A view that is carried out as a whole for each conversation costs 23 times as much.
    assert with_journal < 3 * steps.count
