"""Nights of rolling maintenance in which things go wrong: no invariant breaks, every node ends done or named, nothing
is left paused or under way, and the report tells what really happened.

`benchmarks/rolling_nights.py` runs thousands of the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rolling_nights import draw, draw_calm, spend

LONG = (155,)
"""Seeds whose search for a plan takes as long as all others together; the benchmark spends them."""


@pytest.mark.parametrize(
    "first", [0, 25, *(pytest.param(first, marks=pytest.mark.heavy) for first in range(50, 200, 25))]
)
def test_no_invariant_breaks_in_a_rolling_night_with_faults(first: int, tmp_path: Path) -> None:
    for seed in (seed for seed in range(first, first + 25) if seed not in LONG):
        outcome = spend(draw(seed))
        found = "\n".join(map(str, outcome.violations))
        assert not outcome.violations, f"seed {seed}:\n{found}\n{outcome.night.replay(tmp_path)}"


def test_a_seed_gives_the_same_rolling_night_again() -> None:
    one, other = spend(draw(7)), spend(draw(7))
    assert (one.night, one.states, one.faults, one.moves) == (other.night, other.states, other.faults, other.moves)


@pytest.mark.parametrize("seed", [2, 7, 9])
def test_a_calm_night_goes_as_was_forecast_although_migrations_do_not(seed: int) -> None:
    outcome = spend(draw_calm(seed))
    assert outcome.violations == ()
    assert outcome.ok
    assert outcome.took_s == pytest.approx(outcome.planned_s, rel=0.12)
