"""Nights of rolling maintenance in which things go wrong, in virtual time; plans, witness logs, reports are rechecked.

    python benchmarks/rolling_nights.py [--seeds 3000] [--first 0] [--processes 2] [--replays DIR]
    python benchmarks/rolling_nights.py --forecast 200

A seed that breaks an invariant is printed with the command that replays it, for which the cluster file is written to
DIR; the exit code is then 1. With `--forecast` nothing goes wrong, and migrations take up to 30 % more or less than
estimated: how far is what really happens from what was forecast?
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rolling_nights import Outcome, draw, draw_calm, spend

from shunter.statemachines.node import NODE

EVERY = 200
MEDIAN, WORST = 0.05, 0.12
"""By so much of the forecast a calm night may differ from it."""


@dataclass
class Tally:
    """What all nights together come to."""

    nights: int = 0
    executed: int = 0
    ok: int = 0
    failing: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    off: list[tuple[float, int]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.nights += 1
        self.executed += outcome.executed
        self.ok += outcome.ok
        self.failing += bool(outcome.violations)
        self.faults += outcome.faults
        self.moves += outcome.moves
        self.turns += outcome.turns
        self.states += outcome.states
        if outcome.executed and outcome.planned_s:
            self.off.append((abs(outcome.took_s - outcome.planned_s) / outcome.planned_s, outcome.night.seed))


def main() -> int:
    options = _options()
    tally = Tally()
    begun_s = time.monotonic()
    seeds = range(options.first, options.first + (options.forecast or options.seeds))
    with multiprocessing.Pool(options.processes) as pool:
        for outcome in pool.imap(_calm_night if options.forecast else _night, seeds, chunksize=5):
            tally.add(outcome)
            if outcome.violations:
                _complain(outcome, options.replays)
            if tally.nights % EVERY == 0:
                print(f"{tally.nights:6} nights, {tally.failing} failed", file=sys.stderr, flush=True)
    _show(tally, time.monotonic() - begun_s)
    kept = _show_forecast(tally) if options.forecast else True
    return 1 if tally.failing or not kept else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3000, help="how many nights (default 3000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--forecast", type=int, metavar="N", help="N nights in which nothing goes wrong")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--replays", type=Path, default=Path("failing-nights"), help="where cluster files are written")
    return parser.parse_args()


def _night(seed: int) -> Outcome:
    return spend(draw(seed))


def _calm_night(seed: int) -> Outcome:
    return spend(draw_calm(seed))


def _complain(outcome: Outcome, folder: Path) -> None:
    print(f"seed {outcome.night.seed}: {len(outcome.violations)} violations")
    for violation in outcome.violations[:5]:
        print(f"    {violation}")
    print(f"    {outcome.night.replay(folder)}", flush=True)


def _show(tally: Tally, took_s: float) -> None:
    print(f"{tally.nights} nights in {took_s:.0f} s: {tally.failing} broke an invariant")
    refused = tally.nights - tally.executed
    print(f"  runs       {_counts({'ok': tally.ok, 'in part': tally.executed - tally.ok, 'refused': refused}.items())}")
    print(f"  turns      {_counts(tally.turns.most_common())}")
    print(f"  migrations {_counts(tally.moves.most_common())}")
    print(f"  faults     {_counts(tally.faults.most_common())}")
    print(f"  node       {_counts((state.value, tally.states[NODE.noun, state]) for state in NODE.states)}")


def _show_forecast(tally: Tally) -> bool:
    """Whether the forecast was kept."""
    off = sorted(tally.off)
    if not off:
        print("  no night was carried out")
        return False
    shares = [share for share, _ in off]
    worst, seed = off[-1]
    median = statistics.median(shares)
    p95 = shares[int(0.95 * (len(shares) - 1))]
    print(f"  off the forecast: median {median:.1%}, 95th percentile {p95:.1%}, worst {worst:.1%} (seed {seed})")
    return median <= MEDIAN and worst <= WORST


def _counts(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts)


if __name__ == "__main__":
    sys.exit(main())
