from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.linking import deliveries, measured

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.e2e
def test_everything_is_handed_over_and_counted(tmp_path: Path) -> None:
    found = measured(tmp_path, 60)
    assert found.messages == 60
    assert found.seconds > 0
    # In base64, and padded to steps of 256 bytes.
    assert 60 * 100 * 4 / 3 < found.sent_bytes < 60 * 100 * 4
    assert found.text.startswith("60 messages of 100 B")


def test_no_two_messages_have_the_same_place() -> None:
    made = list(deliveries(100))
    assert len({(each.sender, each.seq) for each in made}) == 100
    assert {len(each.message or "") for each in made} == {100}
