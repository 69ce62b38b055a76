"""Nights of rolling maintenance in which things go wrong, in virtual time; plans, witness logs, reports are rechecked.

    python benchmarks/rolling_nights.py [--seeds 3000] [--first 0] [--processes 2] [--replays DIR]
    python benchmarks/rolling_nights.py --forecast --seeds 200

A seed that breaks an invariant is printed with the command that replays it, for which the cluster file is written to
DIR; the exit code is then 1. With `--forecast` nothing goes wrong, and migrations take up to 30 % more or less than
estimated: how far is what really happens from what was forecast?
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rolling_nights import Outcome, draw, draw_calm, spend
from tally import Tally, counts, options, spent

from shunter.statemachines.node import NODE

MEDIAN, WORST = 0.05, 0.12
"""By so much of the forecast a calm night may differ from it."""


def main() -> int:
    parser = options(__doc__, 3000)
    parser.add_argument("--forecast", action="store_true", help="nights in which nothing goes wrong")
    given = parser.parse_args()
    tally: Tally[Outcome] = Tally()
    turns: Counter[str] = Counter()
    off = []
    for outcome in spent(_calm_night if given.forecast else _night, given, tally):
        turns += outcome.turns
        if outcome.executed and outcome.planned_s:
            off.append((abs(outcome.took_s - outcome.planned_s) / outcome.planned_s, outcome.night.seed))
    tally.show()
    print(f"  turns      {counts(turns.most_common())}")
    print(f"  node       {counts((state.value, tally.states[NODE.noun, state]) for state in NODE.states)}")
    kept = _show_forecast(off) if given.forecast else True
    return 1 if tally.failing or not kept else 0


def _night(seed: int) -> Outcome:
    return spend(draw(seed))


def _calm_night(seed: int) -> Outcome:
    return spend(draw_calm(seed))


def _show_forecast(off: Sequence[tuple[float, int]]) -> bool:
    """Whether the forecast was kept. `off`: by which share of it each night differed, and its seed."""
    if not off:
        print("  no night was carried out")
        return False
    shares = sorted(share for share, _ in off)
    worst, seed = max(off)
    median = statistics.median(shares)
    p95 = shares[int(0.95 * (len(shares) - 1))]
    print(f"  off the forecast: median {median:.1%}, 95th percentile {p95:.1%}, worst {worst:.1%} (seed {seed})")
    return median <= MEDIAN and worst <= WORST


if __name__ == "__main__":
    sys.exit(main())
