"""Bad days in virtual time: nodes are emptied, others are lost, and all that can run is brought to run again.

    python benchmarks/bad_days.py [--seeds 3000] [--first 0] [--processes 2] [--replays DIR]

Evacuation, failover and return of the real engine on drawn clusters with drawn faults. Witness logs and reports are
rechecked, and at the end nothing may lie that a node could run. A seed that breaks an invariant is printed with what
replays it; the exit code is then 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bad_days import Outcome, draw, spend
from tally import Tally, counts, options, spent

from shunter.statemachines.vm import VM
from shunter.statemachines.volume import VOLUME


def main() -> int:
    given = options(__doc__, 3000).parse_args()
    tally: Tally[Outcome] = Tally()
    tried_out = sum(outcome.tried_out for outcome in spent(_day, given, tally))
    tally.show("days")
    print(f"  tried out  {tried_out}: on these clusters as many restart as an exact search says can")
    for lifecycle in (VM, VOLUME):
        entered = [(state.value, tally.states[lifecycle.noun, state]) for state in lifecycle.states]
        print(f"  {lifecycle.noun:10} {counts(entered)}")
    return 1 if tally.failing else 0


def _day(seed: int) -> Outcome:
    return spend(draw(seed))


if __name__ == "__main__":
    sys.exit(main())
