"""Restarting VMs with a solver, for what the greedy packings cannot decide.

VMs that are alike (same memory, priority, refuges and preferences, no rule) are counted, not told apart: the model then
is small, and proofs that there is no packing are quick. The highest priority is served first, then the next with what
is left.
"""

# ruff: noqa: PLC0415  (the solver takes a third of a second to import: only who needs it pays)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shunter.topology.loss.packing import Counts, Packing, everybody, unit_mib, usable_mib
from shunter.topology.loss.problem import Problem, Restart


@dataclass(frozen=True, slots=True)
class Answer:
    """`refuge`: who restarts where in the best packing found, `left`: who does not. `at_most`: what none can beat."""

    refuge: Mapping[str, str]
    left: tuple[str, ...]
    counts: Counts
    at_most: Counts


def solve(problem: Problem, known: Packing, work: float, *, heeding: bool = False) -> Answer:
    """The best packing found with this much work, in the solver's deterministic units. `known`: one to begin with.

    `heeding`: of the best packings one with as many VMs as possible where their owners prefer them.
    """
    return _Model(problem, known).best(work, heeding=heeding)


class _Model:
    def __init__(self, problem: Problem, known: Packing) -> None:
        from ortools.sat.python import cp_model

        self.cp: Any = cp_model
        self.problem, self.known = problem, known
        self.model: Any = cp_model.CpModel()
        self.unit = unit_mib(problem.restarts)
        self.usable = usable_mib(problem)
        self.alike = _alike(problem)
        self.on = [self._counts_on(group) for group in self.alike]
        self._room()
        self._joints()

    def _counts_on(self, group: Sequence[Restart]) -> dict[str, Any]:
        """How many of the group restart on each refuge."""
        one = group[0]
        most = {node: min(len(group), self.usable[node] // one.mib) for node in one.fit}
        found = {node: self.model.new_int_var(0, count, "") for node, count in most.items() if count}
        if found:
            self.model.add(sum(found.values()) <= len(group))
        for node, count in found.items():
            self.model.add_hint(count, sum(self.known.refuge.get(restart.vm) == node for restart in group))
        return found

    def _room(self) -> None:
        needed: dict[str, list[Any]] = {}
        for group, on in zip(self.alike, self.on, strict=True):
            for node, count in on.items():
                needed.setdefault(node, []).append(group[0].mib // self.unit * count)
        for node, terms in needed.items():
            self.model.add(sum(terms) <= self.usable[node] // self.unit)

    def _joints(self) -> None:
        """VMs under a rule are groups of one: their counts are 0 or 1."""
        single = {group[0].vm: on for group, on in zip(self.alike, self.on, strict=True) if len(group) == 1}
        for joint in self.problem.joints:
            inside: dict[str, list[Any]] = {}
            for vm in sorted(joint.vms):
                for node, count in single[vm].items():
                    inside.setdefault(joint.domain[node], []).append(count)
            if joint.apart:
                for counts in inside.values():
                    self.model.add(sum(counts) <= 1)
                continue
            chosen = {domain: self.model.new_bool_var("") for domain in inside}
            self.model.add_at_most_one(chosen.values())
            for domain, counts in inside.items():
                for count in counts:
                    self.model.add(count <= chosen[domain])

    def best(self, work: float, *, heeding: bool) -> Answer:
        """Priority after priority. What is not proved within the work is bounded by all there are."""
        wanted = everybody(self.problem)
        found: Mapping[str, str] = self.known.refuge
        counts, at_most = self.known.counts, list(wanted)
        for i, priority in enumerate(self.problem.priorities):
            placed = sum(
                sum(on.values()) for group, on in zip(self.alike, self.on, strict=True) if group[0].priority == priority
            )
            if isinstance(placed, int):
                at_most[i] = 0
                continue
            self.model.maximize(placed)
            solver, status = self._run(work)
            work -= solver.response_proto.deterministic_time
            if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
                break
            better = self._restarted(solver)
            if (now := self._counted(better)) > counts:
                found, counts = better, now
            at_most[i] = min(wanted[i], int(solver.best_objective_bound + 1e-6))
            if status != self.cp.OPTIMAL or work <= 0:
                break
            self.model.add(placed == now[i])
        else:
            found = self._heeded(found, counts, work) if heeding else found
        left = tuple(restart.vm for restart in self.problem.restarts if restart.vm not in found)
        return Answer(found, left, counts, tuple(at_most))

    def _heeded(self, found: Mapping[str, str], counts: Counts, work: float) -> Mapping[str, str]:
        """As many VMs where they are preferred as can be, while as many restart."""
        wished = [
            on[node] for group, on in zip(self.alike, self.on, strict=True) for node in group[0].preferred if node in on
        ]
        if not wished or work <= 0:
            return found
        self.model.maximize(sum(wished))
        solver, status = self._run(work)
        if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return found
        better = self._restarted(solver)
        return better if self._counted(better) == counts and self._wished(better) > self._wished(found) else found

    def _wished(self, found: Mapping[str, str]) -> int:
        return sum(found.get(restart.vm) in restart.preferred for restart in self.problem.restarts)

    def _run(self, work: float) -> tuple[Any, Any]:
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = max(work, 1e-3)
        return solver, solver.solve(self.model)

    def _restarted(self, solver: Any) -> dict[str, str]:
        """VM → refuge. VMs that are alike may stand for each other: the first ones restart."""
        found: dict[str, str] = {}
        for group, on in zip(self.alike, self.on, strict=True):
            places = [node for node, var in on.items() for _ in range(solver.value(var))]
            found.update((restart.vm, node) for restart, node in zip(group, places, strict=False))
        return found

    def _counted(self, found: Mapping[str, str]) -> Counts:
        priorities = [restart.priority for restart in self.problem.restarts if restart.vm in found]
        return tuple(priorities.count(priority) for priority in self.problem.priorities)


def _alike(problem: Problem) -> list[list[Restart]]:
    groups: dict[object, list[Restart]] = {}
    for restart in problem.restarts:
        traits = (restart.mib, restart.priority, restart.fit, restart.preferred)
        groups.setdefault(restart.vm if restart.vm in problem.joints_of else traits, []).append(restart)
    return list(groups.values())
