"""Nights of drawn clusters in which things go wrong, in virtual time; plans, witness logs, reports are rechecked.

    python benchmarks/simulated_nights.py [--seeds 5000] [--first 0] [--processes 2] [--replays DIR]

Even seeds evacuate clusters of up to eight nodes; odd ones evacuate or repair small clusters with little room, of which
it is found out by trying whether every VM that could be moved was moved. A seed that breaks an invariant is printed
with the command that replays it, for which the cluster file is written to DIR; the exit code is then 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from nights import LIFECYCLES, Outcome, draw, draw_tight, spend
from tally import Tally, counts, options, spent


def main() -> int:
    given = options(__doc__, 5000).parse_args()
    tally: Tally[Outcome] = Tally()
    tried_out = sum(outcome.tried_out for outcome in spent(_night, given, tally))
    tally.show()
    print(f"  tried out  {tried_out}: of these it is known that nothing was left that could have moved")
    for lifecycle in LIFECYCLES:
        entered = [(state.value, tally.states[lifecycle.noun, state]) for state in lifecycle.states]
        print(f"  {lifecycle.noun:10} {counts(entered)}")
    return 1 if tally.failing else 0


def _night(seed: int) -> Outcome:
    return spend(draw_tight(seed) if seed % 2 else draw(seed))


if __name__ == "__main__":
    sys.exit(main())
