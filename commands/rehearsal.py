"""What many simulated nights of one run came to."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shunter.topology.plan import Plan

P95_PERCENT = 95


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one night went. `done`: every node that was planned is done. `trouble`: faults that happened, by kind."""

    seed: int
    total_s: float
    moves: int
    done: bool
    trouble: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All nights. `plan`: the forecast, without any trouble. `replay`: the command that spends one of them, but for
    its seed.
    """

    cluster: str
    plan: Plan
    seed: int
    window_s: float | None
    replay: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every night was done, and in time."""
        return self.plan.ok and bool(self.outcomes) and self.window_met == 1.0

    @property
    def window_met(self) -> float:
        """The share of nights in which all planned nodes were done, within the window if there is one."""
        met = sum(o.done and (self.window_s is None or o.total_s <= self.window_s) for o in self.outcomes)
        return met / len(self.outcomes) if self.outcomes else 0.0

    @property
    def worst(self) -> Outcome:
        """The longest night; of equal ones the first."""
        return max(self.outcomes, key=lambda outcome: (outcome.total_s, -outcome.seed))

    @property
    def undone(self) -> tuple[Outcome, ...]:
        """The nights in which not every node that was planned is done, the longest first."""
        left = [outcome for outcome in self.outcomes if not outcome.done]
        return tuple(sorted(left, key=lambda outcome: (-outcome.total_s, outcome.seed)))

    def replay_of(self, outcome: Outcome) -> str:
        return f"{self.replay} --seed {outcome.seed}"

    @property
    def trouble(self) -> Counter[str]:
        return Counter(kind for outcome in self.outcomes for kind in outcome.trouble)

    def to_json(self) -> str:
        totals = [outcome.total_s for outcome in self.outcomes]
        moves = [outcome.moves for outcome in self.outcomes]
        document = {
            "kind": "rehearsal",
            "cluster": self.cluster,
            "ok": self.ok,
            "nights": len(self.outcomes),
            "seed": self.seed,
            "forecast_s": self.plan.makespan_s,
            "total_s": {
                "median": statistics.median(totals),
                "p95": at_percent(totals, P95_PERCENT),
                "worst": max(totals),
                "worst_seed": self.worst.seed,
            },
            "moves": {"median": statistics.median(moves), "p95": at_percent(moves, P95_PERCENT), "worst": max(moves)},
            "trouble": dict(self.trouble.most_common()),
            "all_done": round(1 - len(self.undone) / len(self.outcomes), 4),
            "window_met": round(self.window_met, 4),
            "replay": self.replay_of(self.worst),
        }
        return json.dumps(document, ensure_ascii=False, indent=2)


def at_percent(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that at least this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
