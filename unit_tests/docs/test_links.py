"""The pages of the project point only at files that are there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MENTION = re.compile(r"`((?:docs|jim|unit_tests|benchmarks|tools|packaging)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [target for target in LINK.findall(text) if "://" not in target]
    missing = [target for target in links if not (page.parent / target).exists()]
    missing += [path for path in MENTION.findall(text) if not (ROOT / path.rstrip("/")).exists()]
    assert not missing


def test_there_are_pages() -> None:
    assert len(PAGES) > 10
