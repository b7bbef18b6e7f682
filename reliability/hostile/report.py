"""What a hostile run found: one section per part, violations by name, and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SHOWN = 20
"""Violations of a section that are printed; one defect often shows in hundreds of cases."""


class Section(Struct):
    """One part of a run.

    Attributes:
        name: of the part.
        cases: inputs tried.
        violations: each says what was sent and what came of it.
        answers: how often which code, or which outcome, was seen.
        figures: whatever else was measured; the unit is in the name.
    """

    name: str
    cases: int = 0
    violations: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def count(self, answer: str) -> None:
        """Count one answer."""
        self.answers[answer] = self.answers.get(answer, 0) + 1

    def violate(self, text: str) -> None:
        """Note a violation."""
        self.violations.append(text)

    def lines(self) -> Iterator[str]:
        """Word the section."""
        verdict = "ok" if not self.violations else f"{len(self.violations)} VIOLATIONS"
        yield f"{self.name}: {self.cases:,} cases, {verdict}"
        if self.answers:
            counted = sorted(self.answers.items(), key=lambda item: -item[1])
            yield "    " + ", ".join(f"{answer} {times:,}" for answer, times in counted)
        if self.figures:
            yield "    " + ", ".join(f"{key} {value:,.6g}" for key, value in self.figures.items())
        for violation in self.violations[:MAX_SHOWN]:
            yield f"    ! {violation}"


class Report(Struct):
    """A whole run."""

    seconds: float
    sections: list[Section]

    @property
    def cases(self) -> int:
        """How many inputs were tried in all."""
        return sum(section.cases for section in self.sections)

    @property
    def violations(self) -> int:
        """How many violations there are in all."""
        return sum(len(section.violations) for section in self.sections)

    def text(self) -> str:
        """Word the report for people."""
        lines = [line for section in self.sections for line in section.lines()]
        end = f"{self.cases:,} cases in {self.seconds:.1f} s, {self.violations} violations"
        return "\n".join([*lines, end])
