"""What many simulated nights of one run came to."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shunter.topology.plan import Plan

P95 = 0.95


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
    """All nights. `plan`: the forecast, without any trouble."""

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
        """Of the nights in which most was left undone, the longest."""
        return max(self.outcomes, key=lambda outcome: (not outcome.done, outcome.total_s, -outcome.seed))

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
                "p95": at_share(totals, P95),
                "worst": max(totals),
                "worst_seed": self.worst.seed,
            },
            "moves": {"median": statistics.median(moves), "p95": at_share(moves, P95), "worst": max(moves)},
            "trouble": dict(self.trouble.most_common()),
            "all_done": sum(outcome.done for outcome in self.outcomes) / len(self.outcomes),
            "window_met": round(self.window_met, 4),
            "replay": self.replay.format(seed=self.worst.seed),
        }
        return json.dumps(document, ensure_ascii=False, indent=2)


def at_share(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]
