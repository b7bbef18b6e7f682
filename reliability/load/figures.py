"""Numbers to judgements: percentiles, slopes, checks, and the report that holds them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliability.promise import Verdict

SHOWN_VIOLATIONS = 20
"""Of a run that went wrong: the first ones tell what the others only repeat."""


class Check(Struct, frozen=True):
    """One demand, and whether the run met it."""

    name: str
    good: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.good else 'FAIL'} {self.name}: {self.detail}"


class Report(Struct):
    """What one scenario measured and what its checks said.

    Attributes:
        sizes: the form that was run: how many clients, for how long.
        lifted: limits of the server that were not left as delivered.
        figures: what was measured; units are in the names.
        violations: of the promise, as the checker words them.
    """

    scenario: str
    form: str
    sizes: dict[str, Any] = field(default_factory=dict)
    lifted: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every check is met; one that made no checks at all has proved nothing."""
        return bool(self.checks) and all(check.good for check in self.checks)

    def text(self) -> str:
        """Write the report for people."""
        lines = [f"{self.scenario} ({self.form}): {'good' if self.good else 'FAILED'}"]
        lines.append(f"  {self.took_s:.1f} s; {_pairs(self.machine)}")
        lines.append(f"  sizes: {_pairs(self.sizes)}")
        lines.append(f"  limits lifted: {_pairs(self.lifted) or 'none'}")
        lines += [f"  {name} = {_shown(value)}" for name, value in self.figures.items()]
        lines += [f"  {check}" for check in self.checks]
        lines += [f"  violation: {text}" for text in self.violations[:SHOWN_VIOLATIONS]]
        return "\n".join(lines)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def at_most(name: str, value: float, bound: float, unit: str = "") -> Check:
    """Demand that a value does not exceed its bound."""
    return Check(name, value <= bound, f"{_shown(value)} of at most {_shown(bound)} {unit}".strip())


def at_least(name: str, value: float, bound: float, unit: str = "") -> Check:
    """Demand that a value reaches its bound."""
    detail = f"{_shown(value)} of at least {_shown(bound)} {unit}".strip()
    return Check(name, value >= bound, detail)


def kept(verdict: Verdict) -> list[Check]:
    """Demand that the checker found nothing: the promise held, and the run was not vacuous."""
    counts = verdict.counts
    detail = f"{counts.acked} acked, {counts.displayed} shown, {len(verdict.violations)} violations"
    return [Check("the promise", verdict.good, detail)]


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that `percent` of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values; a run without any proves nothing.
    """
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Give the slope of the least-squares line through points (x, y), in y per x.

    Raises:
        ValueError: fewer than two different x.
    """
    count = len(points)
    mean_x = sum(x for x, _ in points) / count if count else 0.0
    mean_y = sum(y for _, y in points) / count if count else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("a slope needs points at two different places")
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
