"""An order of the nodes, one away at a time, and where each VM goes meanwhile, found by a solver: for small clusters
in which the strategies leave nodes undone. Decides whether there is any.

A step is one node's turn: whatever is on it leaves, all else stays. One literal for each VM, step and node, capacity
(I3), hard affinity rules (I4), and for a reserve where the VMs of each lost node would restart. CP-SAT (Google
OR-tools), with one worker, a fixed seed and its own deterministic units of work: the same input, the same answer.
"""

# ruff: noqa: PLC0415  (the solver takes a third of a second to import: only who needs it pays)
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

from shunter.topology.model import AffinityRule
from shunter.topology.rolling.fleet import Fleet, Phase
from shunter.topology.rolling.strategy import Errand, Strategy, close

MOST_NODES, MOST_VMS = 6, 24
MOST_WORK = 8.0


class Found(NamedTuple):
    """`strategy`: None where there is none (`proved`), or none was found within the limits."""

    strategy: Strategy | None
    proved: bool


def is_small(fleet: Fleet) -> bool:
    return len(fleet.on) <= MOST_NODES and len(fleet.vms) <= MOST_VMS


def one_at_a_time(fleet: Fleet, reserve_nodes: int) -> Found:
    """`fleet`: before anything has begun. `reserve_nodes`: 0 or 1; with more nothing is decided."""
    if reserve_nodes > 1:
        return Found(None, proved=False)
    return _Model(fleet, reserve_nodes).solved()


@dataclass(slots=True)
class _Model:
    """`leaves`: literals by step and node; `at`: by VM, step and node."""

    fleet: Fleet
    reserve_nodes: int
    model: Any = field(init=False)
    pending: Sequence[str] = field(init=False)
    taking: Sequence[str] = field(init=False)
    leaves: dict[tuple[int, str], Any] = field(default_factory=dict)
    at: dict[tuple[str, int, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from ortools.sat.python import cp_model

        fleet = self.fleet
        self.model = cp_model.CpModel()
        self.pending = [node for node, phase in fleet.phase.items() if phase is Phase.PENDING]
        self.taking = fleet.taking()
        for step in self._steps():
            for node in self.pending:
                self.leaves[step, node] = self.model.new_bool_var("")
            self.model.add_exactly_one(self.leaves[step, node] for node in self.pending)
        for node in self.pending:
            self.model.add_exactly_one(self.leaves[step, node] for step in self._steps())
        for vm in fleet.vms:
            self._place(vm)
        for step in self._steps():
            self._keep_room(step)
            self._keep_rules(step)
            if self.reserve_nodes:
                self._keep_reserve(step)

    def solved(self) -> Found:
        from ortools.sat.python import cp_model

        self.model.minimize(sum(self._moves()))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_deterministic_time = MOST_WORK
        status = solver.solve(self.model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Found(None, proved=status == cp_model.INFEASIBLE)
        return Found(self._strategy(solver.boolean_value), proved=True)

    def _strategy(self, is_so: Any) -> Strategy:
        order = tuple(next(node for node in self.pending if is_so(self.leaves[step, node])) for step in self._steps())
        place = dict(self.fleet.place)
        errands = []
        for step, node in zip(self._steps(), order, strict=True):
            for vm, here in place.items():
                if here == node:
                    place[vm] = next(to for to in self._nodes_of(vm) if is_so(self.at[vm, step, to]))
                    errands.append(Errand(vm, node, place[vm]))
        return Strategy(order, 1, seeds=0, ahead=0, errands=tuple(errands))

    def _steps(self) -> range:
        return range(1, len(self.pending) + 1)

    def _nodes_of(self, vm: str) -> list[str]:
        """Where it may be at any time: where it stands, and where it fits."""
        here, fit = self.fleet.place[vm], self.fleet.fitness.of(vm)
        return [node for node in self.fleet.on if node == here or (node in fit and node in self.taking)]

    # -------------------------------------------------------------- what must hold

    def _place(self, vm: str) -> None:
        """It is in one place at each step, and moves only where its node leaves."""
        nodes, here = self._nodes_of(vm), self.fleet.place[vm]
        for node in nodes:
            self.at[vm, 0, node] = self.model.new_constant(int(node == here))
        for step in self._steps():
            for node in nodes:
                self.at[vm, step, node] = self.model.new_bool_var("")
            self.model.add_exactly_one(self.at[vm, step, node] for node in nodes)
            for node in nodes:
                before, now = self.at[vm, step - 1, node], self.at[vm, step, node]
                if node in self.pending:
                    self.model.add_implication(self.leaves[step, node], now.negated())
                    self.model.add_bool_or(before.negated(), self.leaves[step, node], now)
                else:
                    self.model.add_implication(before, now)

    def _moves(self) -> Iterator[Any]:
        for vm in self.fleet.vms:
            for step in self._steps():
                for node in self._nodes_of(vm):
                    if node in self.pending:
                        goes = self.model.new_bool_var("")
                        self.model.add_bool_or(
                            self.at[vm, step - 1, node].negated(), self.leaves[step, node].negated(), goes
                        )
                        yield goes

    def _keep_room(self, step: int) -> None:
        for node, room_mib in self._rooms().items():
            self.model.add(self._load(step, node) <= room_mib)

    def _rooms(self) -> Mapping[str, int]:
        """MiB for VMs; a node that is too full already takes nothing more."""
        fleet = self.fleet
        held = {node: sum(fleet.vms[vm].memory_mib for vm in fleet.on[node]) for node in fleet.on}
        return {node: held[node] + max(0, fleet.free_mib[node]) for node in fleet.on}

    def _load(self, step: int, node: str) -> Any:
        vms = self.fleet.vms
        return sum(vms[vm].memory_mib * self.at[vm, step, node] for vm in vms if (vm, step, node) in self.at)

    def _keep_rules(self, step: int) -> None:
        """Those that hold today, among VMs that run; the others are judged when the course is forecast."""
        for rule in self.fleet.cluster.affinity_rules:
            for one, other in combinations([vm for vm in rule.vms if vm in self.fleet.place], 2):
                if not rule.soft and self._holds(rule, self.fleet.place[one], self.fleet.place[other]):
                    self._keep_rule(rule, one, other, step)

    def _holds(self, rule: AffinityRule, here: str, there: str) -> bool:
        return close(self.fleet.cluster, rule, here, there) is not rule.kind.startswith("different")

    def _keep_rule(self, rule: AffinityRule, one: str, other: str, step: int) -> None:
        for here in self._nodes_of(one):
            wrong = [there for there in self._nodes_of(other) if not self._holds(rule, here, there)]
            for there in wrong:
                self.model.add_bool_or(self.at[one, step, here].negated(), self.at[other, step, there].negated())

    def _keep_reserve(self, step: int) -> None:
        """The VMs of any node that is there restart on the others."""
        fleet, rooms = self.fleet, self._rooms()
        for lost in self.taking:
            restarts: dict[str, list[tuple[int, Any]]] = {node: [] for node in self.taking}
            for vm, restart_mib in fleet.restart_mib.items():
                if (vm, step, lost) not in self.at or not restart_mib:
                    continue
                refuges = []
                for refuge in (node for node in self.taking if node != lost):
                    there = self.model.new_bool_var("")
                    if refuge in self.pending:
                        self.model.add_implication(self.leaves[step, refuge], there.negated())
                    restarts[refuge].append((restart_mib, there))
                    refuges.append(there)
                self.model.add_bool_or(self.at[vm, step, lost].negated(), *refuges)
            for refuge, needs in restarts.items():
                if needs:
                    needed = sum(mib * there for mib, there in needs)
                    self.model.add(self._load(step, refuge) + needed <= rooms[refuge])
