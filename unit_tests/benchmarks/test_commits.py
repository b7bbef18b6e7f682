from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.commits import Shape, costs_us
from benchmarks.stocking import stocked
from jim.storage.sqlite.verify import verify

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_timed_is_really_stored(tmp_path: Path) -> None:
    shape = Shape(pairs=2, messages=3, batches=4)
    with stocked(tmp_path / "server.db") as stock:
        found = costs_us(stock, shape, "c")
    assert len(found) == 4
    assert min(found) > 0
    report = verify(tmp_path / "server.db", None)
    assert report.is_complete
    # Nine batches: all but the last one's messages have been confirmed.
    waiting = {each.mailbox.account: each.mailbox.waiting for each in report.mailboxes}
    assert waiting == {"cs0": 0, "cs1": 0, "cr0": 3, "cr1": 3}
    assert {each.mailbox.last_position for each in report.mailboxes} == {0, 27}
