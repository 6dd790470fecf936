# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Growth is told from what only goes up and down, and figures meet their targets from the right side."""

from __future__ import annotations

import pytest
from figures import Figure, ratio
from lab_growth import Sample, growth, more_descriptors, slope


def test_a_slope_is_that_of_most_points() -> None:
    line = [(x, 3.0 * x + 7) for x in range(8)]
    assert slope(line) == pytest.approx(3.0)
    assert slope([*line, (8, 1000.0)]) == pytest.approx(3.0, abs=0.5)


def test_only_who_was_there_all_the_time_can_grow() -> None:
    samples = [
        Sample(n * 1000, {"old:1:1": 5_000 + n * 300_000, "still:2:1": 7, f"new:{n}:1": n}, {}) for n in range(6)
    ]
    assert growth(samples) == pytest.approx({"old:1:1": 300.0, "still:2:1": 0.0})


def test_descriptors_that_stay_open_are_told() -> None:
    def sample(number: int, leaking: int) -> Sample:
        return Sample(number, {}, {"leaks:1:1": leaking, "breathes:2:1": 10 + number % 2})

    assert list(more_descriptors([sample(n, 10 + 5 * n) for n in range(8)], allowed=3)) == [
        "leaks:1:1: 25 descriptors at first, 30 in the end"
    ]


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"), [(1, True, "missed"), (3, True, "met"), (3, False, "missed")]
)
def test_a_target_is_met_from_one_side(value: float, verdict: str, *, at_least: bool) -> None:
    assert Figure(value, "ratio", 2, at_least=at_least).verdict == verdict
    assert Figure(value, "ratio").verdict == ""


def test_a_ratio_is_of_medians() -> None:
    assert ratio([1, 2, 30], [1, 1, 9], names=("a", "b"), target=1).value == 2.0
