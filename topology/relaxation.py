"""Targets by linear programming, where memory and time must both be shared out.

Long migrations of little memory belong on the nodes with little room. The relaxed problem, in which a VM may be split
between nodes, says which; in a vertex of it few VMs are split (Lenstra, Shmoys, Tardos 1990), and these go last.
"""

# ruff: noqa: PLC0415  (the solver takes a third of a second to import: only who needs it pays)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shunter.topology.placement import Problem
from shunter.topology.units import Unit

MOST_SHARES = 40_000
WHOLE = 0.999


def relaxed_targets(problem: Problem, targets: Mapping[str, str], goal_s: float) -> dict[str, str] | None:
    """Targets (VM → node) that keep the busiest node busy for little longer than `goal_s`, or than can be had. VMs that
    a rule ties to others, or that do not run, keep those given.

    None where there are too many, or where those that were split find no room.
    """
    freely = [unit for unit in problem.units if unit.live and unit.name in targets and not problem.ruled[unit.name]]
    if not freely or sum(len(problem.options[unit.name]) for unit in freely) > MOST_SHARES:
        return None
    relaxed = _Relaxed(problem)
    for unit in problem.units:
        if unit.name in targets and unit not in freely:
            relaxed.put(unit, targets[unit.name])
    split: list[Unit] = []
    solution = relaxed.shares(freely, goal_s)
    if solution is None:
        return None
    for unit, shares in zip(freely, solution, strict=True):
        target = max(shares, key=lambda node: (shares[node], node))
        if shares[target] > WHOLE:
            relaxed.put(unit, target)
        else:
            split.append(unit)
    split.sort(key=lambda unit: (-unit.memory_mib, unit.name))
    return relaxed.targets if all(relaxed.put_where_there_is_room(unit) for unit in split) else None


class _Relaxed:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.free_mib = dict(problem.free_mib)
        self.inbound_s = dict.fromkeys(problem.nodes, 0.0)
        self.targets: dict[str, str] = {}

    def put(self, unit: Unit, node: str) -> None:
        self.free_mib[node] -= unit.memory_mib
        self.inbound_s[node] += self.problem.takes_s(unit, node)
        self.targets.update((vm.name, node) for vm in unit.vms)

    def put_where_there_is_room(self, unit: Unit) -> bool:
        ends_s = {
            option.target: self.inbound_s[option.target] + option.duration_s
            for option in self.problem.options[unit.name]
            if unit.memory_mib <= self.free_mib[option.target]
        }
        if ends_s:
            self.put(unit, min(ends_s, key=lambda node: (ends_s[node], node)))
        return bool(ends_s)

    def shares(self, units: Sequence[Unit], goal_s: float) -> list[dict[str, float]] | None:
        """Of each unit: node → the share of it that goes there. None where that was not found."""
        from ortools.linear_solver import pywraplp

        solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        none = -solver.infinity()
        latest_s = solver.NumVar(goal_s, solver.infinity(), "latest")
        solver.Minimize(latest_s)
        room = {node: solver.Constraint(none, max(mib, 0)) for node, mib in self.free_mib.items()}
        time = {node: solver.Constraint(none, -busy_s) for node, busy_s in self.inbound_s.items()}
        for constraint in time.values():
            constraint.SetCoefficient(latest_s, -1)
        goes: list[dict[str, Any]] = []
        for unit in units:
            whole = solver.Constraint(1, 1)
            goes.append({})
            for option in self.problem.options[unit.name]:
                goes[-1][option.target] = share = solver.NumVar(0, 1, "")
                whole.SetCoefficient(share, 1)
                time[option.target].SetCoefficient(share, option.duration_s)
                room[option.target].SetCoefficient(share, unit.memory_mib)
        if solver.Solve() != solver.OPTIMAL:
            return None
        return [{node: share.solution_value() for node, share in shares.items()} for shares in goes]
