"""The rules, and what the documentation says of them."""

from __future__ import annotations

import re
from pathlib import Path

from reliability.promise import RULES

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
ROW = re.compile(r"^\| \*\*(\w+)\*\* \|(.+)\|$", re.MULTILINE)


def test_the_page_says_of_every_rule_which_layer_judges_it() -> None:
    found = [(name, cells.split(" | ")) for name, cells in ROW.findall(PAGE.read_text("utf-8"))]
    # The rules of the schedules with encryption have a table of their own, without layers.
    assert [name for name, cells in found if len(cells) == 4] == list(RULES)
