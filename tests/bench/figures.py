# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Figures, and reports/bench.json, which has them with what they are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure. `samples` are what it is made of, by what was measured; `target` is None where nothing is promised.

    With `at_least` more is better, without it less.
    """

    value: float
    unit: str
    target: float | None = None
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        if self.target is None:
            return ""
        met = self.value >= self.target if self.at_least else self.value <= self.target
        return "met" if met else "missed"


def ratio(
    above: Sequence[float], below: Sequence[float], *, names: tuple[str, str], target: float, at_least: bool = False
) -> Figure:
    """The ratio of two medians."""
    samples = {name: [round(value, 3) for value in values] for name, values in zip(names, (above, below), strict=True)}
    return Figure(round(median(above) / median(below), 2), "ratio", target, samples, at_least)


def middle(values: Sequence[float], unit: str, *, target: float | None = None) -> Figure:
    """The median of `values`."""
    return Figure(round(median(values), 2), unit, target, {unit: [round(value, 3) for value in values]})


def table(figures: Mapping[str, Figure]) -> Iterator[str]:
    """The figures for a person."""
    width = max(len(name) for name in figures)
    yield f"{'figure':<{width}} {'value':>8} {'target':>9}  {'':<6} samples"
    for name, figure in figures.items():
        target = "" if figure.target is None else f"{'>=' if figure.at_least else '<='} {figure.target:g}"
        samples = "; ".join(f"{key} {' '.join(f'{value:g}' for value in row)}" for key, row in figure.samples.items())
        yield f"{name:<{width}} {figure.value:>8g} {target:>9}  {figure.verdict:<6} {samples}"


def write(path: Path, figures: Mapping[str, Figure], raw: Mapping[str, Any]) -> None:
    """Keep the figures, with the parts' raw samples under "raw"; those of parts that were not measured now stay."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    report = {**kept, **{name: asdict(figure) for name, figure in figures.items()}}
    report["raw"] = {**kept.get("raw", {}), **raw}
    path.write_text(json.dumps(report, indent=2) + "\n")
