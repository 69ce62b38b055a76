"""What many simulated nights come to: run on all cores, counted, and each that breaks an invariant printed."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from shunter.topology.recheck import Violation

EVERY = 200


class Night(Protocol):
    @property
    def seed(self) -> int: ...

    def replay(self, folder: Path) -> str: ...


class Outcome(Protocol):
    """How a night went, as `tests/` tell it."""

    violations: tuple[Violation, ...]
    states: Counter[tuple[str, str]]
    faults: Counter[str]
    moves: Counter[str]
    executed: bool
    ok: bool

    @property
    def night(self) -> Night: ...


Spent = TypeVar("Spent", bound=Outcome)


@dataclass
class Tally(Generic[Spent]):
    """What all nights together come to. `took_s`: of the machine's time."""

    nights: int = 0
    executed: int = 0
    ok: int = 0
    failing: int = 0
    took_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, outcome: Spent) -> None:
        self.nights += 1
        self.executed += outcome.executed
        self.ok += outcome.ok
        self.failing += bool(outcome.violations)
        self.faults += outcome.faults
        self.moves += outcome.moves
        self.states += outcome.states

    def show(self, called: str = "nights") -> None:
        print(f"{self.nights} {called} in {self.took_s:.0f} s: {self.failing} broke an invariant")
        refused = self.nights - self.executed
        runs = {"ok": self.ok, "in part": self.executed - self.ok, "refused": refused}
        print(f"  runs       {counts(runs.items())}")
        print(f"  migrations {counts(self.moves.most_common())}")
        print(f"  faults     {counts(self.faults.most_common())}")


def options(about: str | None, seeds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many (default {seeds})")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--replays", type=Path, default=Path("failing-nights"), help="where cluster files are written")
    return parser


def spent(spend: Callable[[int], Spent], given: argparse.Namespace, tally: Tally[Spent]) -> Iterator[Spent]:
    """Every night in the order of its seed, as it is counted. `spend`: a function of a module, for other processes."""
    begun_s = time.monotonic()
    with multiprocessing.Pool(given.processes) as pool:
        for outcome in pool.imap(spend, range(given.first, given.first + given.seeds), chunksize=10):
            tally.add(outcome)
            if outcome.violations:
                _complain(outcome, given.replays)
            if tally.nights % EVERY == 0:
                print(f"{tally.nights:6}, {tally.failing} failed", file=sys.stderr, flush=True)
            yield outcome
    tally.took_s = time.monotonic() - begun_s


def _complain(outcome: Outcome, folder: Path) -> None:
    print(f"seed {outcome.night.seed}: {len(outcome.violations)} violations")
    for violation in outcome.violations[:5]:
        print(f"    {violation}")
    print(f"    {outcome.night.replay(folder)}", flush=True)


def counts(numbers: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in numbers)
