"""Nights of drawn clusters in which things go wrong, in virtual time; plans, witness logs, reports are rechecked.

    python benchmarks/simulated_nights.py [--seeds 5000] [--first 0] [--processes 2] [--replays DIR]

Even seeds evacuate clusters of up to eight nodes; odd ones evacuate or repair small clusters with little room, of which
it is found out by trying whether every VM that could be moved was moved. A seed that breaks an invariant is printed
with the command that replays it, for which the cluster file is written to DIR; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from nights import LIFECYCLES, Outcome, draw, draw_tight, spend

EVERY = 200


@dataclass
class Tally:
    """What all nights together come to."""

    nights: int = 0
    executed: int = 0
    ok: int = 0
    failing: int = 0
    tried_out: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.nights += 1
        self.executed += outcome.executed
        self.ok += outcome.ok
        self.failing += bool(outcome.violations)
        self.tried_out += outcome.tried_out
        self.faults += outcome.faults
        self.moves += outcome.moves
        self.states += outcome.states


def main() -> int:
    options = _options()
    tally = Tally()
    begun_s = time.monotonic()
    with multiprocessing.Pool(options.processes) as pool:
        for outcome in pool.imap(_night, range(options.first, options.first + options.seeds), chunksize=20):
            tally.add(outcome)
            if outcome.violations:
                _complain(outcome, options.replays)
            if tally.nights % EVERY == 0:
                print(f"{tally.nights:6} nights, {tally.failing} failed", file=sys.stderr, flush=True)
    _show(tally, time.monotonic() - begun_s)
    return 1 if tally.failing else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5000, help="how many nights (default 5000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--replays", type=Path, default=Path("failing-nights"), help="where cluster files are written")
    return parser.parse_args()


def _night(seed: int) -> Outcome:
    return spend(draw_tight(seed) if seed % 2 else draw(seed))


def _complain(outcome: Outcome, folder: Path) -> None:
    print(f"seed {outcome.night.seed}: {len(outcome.violations)} violations")
    for violation in outcome.violations[:5]:
        print(f"    {violation}")
    print(f"    {outcome.night.replay(folder)}", flush=True)


def _show(tally: Tally, took_s: float) -> None:
    print(f"{tally.nights} nights in {took_s:.0f} s: {tally.failing} broke an invariant")
    print(f"  tried out  {tally.tried_out}: of these it is known that nothing was left that could have moved")
    refused = tally.nights - tally.executed
    print(f"  runs       {_counts({'ok': tally.ok, 'in part': tally.executed - tally.ok, 'refused': refused}.items())}")
    print(f"  migrations {_counts(tally.moves.most_common())}")
    print(f"  faults     {_counts(tally.faults.most_common())}")
    for lifecycle in LIFECYCLES:
        entered = [(state.value, tally.states[lifecycle.noun, state]) for state in lifecycle.states]
        print(f"  {lifecycle.noun:10} {_counts(entered)}")


def _counts(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts)


if __name__ == "__main__":
    sys.exit(main())
