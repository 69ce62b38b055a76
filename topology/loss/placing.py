"""Who restarts where, all together: everybody who can; where that is not all, the most important first (I3)."""

from __future__ import annotations

from shunter.topology.loss.packing import Packing, complete, everybody, fast, heeding, packed
from shunter.topology.loss.problem import Problem
from shunter.topology.loss.solver import solve

MOST_WORK = 1.0


def place(problem: Problem, work: float = MOST_WORK) -> tuple[Packing, bool]:
    """The best packing found, and whether it is proved that no other restarts more, or more important, VMs.

    Preferred owners and soft rules are heeded where that costs nobody's restart. `work`: what the solver may spend, in
    its deterministic units, on what greedy packings do not settle.
    """
    best, bound = heeding(problem), everybody(problem)
    if best.counts < bound:
        other, bound = fast(problem)
        best = other if other.counts > best.counts else best
    wish_open = any(r.preferred and best.refuge.get(r.vm) not in r.preferred for r in problem.restarts)
    if best.counts < bound or wish_open:
        answer = solve(problem, best, work, heeding=True)
        best, bound = packed(problem, answer.refuge), min(bound, answer.at_most)
    best = complete(best)
    return best, best.counts >= bound
