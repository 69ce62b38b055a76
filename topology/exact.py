"""Placement by a solver, for what the fast passes cannot decide: who can be placed at all, and with how few moves.

The model is a bin packing with conflicts, given to CP-SAT (Google OR-tools): one literal for each unit of VMs and
node, capacity less what stays (I3), hard affinity rules (I4), and the reserve. Work is limited in the solver's own
deterministic units, with one worker and a fixed seed, so that the same input gives the same answer; what was not
decided within them is called that, and never impossible.
"""

# ruff: noqa: PLC0415  (the solver takes a third of a second to import: only who needs it pays)
from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Any

from shunter.topology.capacity import available, survives_loss
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.ordering import Deadlock, deadlock, near
from shunter.topology.units import Unit

MOST_WORK = 4.0
MOST_LITERALS = 60_000
LARGE_LITERALS, LARGE_WORK = 25_000, 1.0
MOST_RECOVERY_LITERALS = 60_000
MOST_LOSSES = 2_000
MOST_ANSWERS = 25


@dataclass(frozen=True, slots=True)
class Mover:
    """A unit of VMs that may move to `options`. `must`: it must leave where it is; else it moves to make room."""

    unit: Unit
    options: tuple[str, ...]
    must: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`targets`: VM → node for every VM that moves; `left`: VMs that must move and do not; `undone`: these and, in a
    repair, whatever else stays broken.

    `proved`: no answer leaves fewer, or needs fewer moves. Not `found`: there is none that keeps the reserve
    (`proved`), or that was not decided within the limits.
    """

    found: bool
    proved: bool
    targets: Mapping[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    undone: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be placed. `emptied` nodes take nobody. `promised`: moves decided already (VM → node).

    `repair`: breaches that stand today count as left undone, instead of being nobody's business. `known`: VM → node of
    a placement to begin the search with.
    """

    cluster: Cluster
    movers: Sequence[Mover]
    emptied: Collection[str] = ()
    promised: Mapping[str, str] = field(default_factory=dict)
    reserve_nodes: int = 0
    repair: bool = False
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def literals(self) -> int:
        return sum(len(mover.options) + 1 for mover in self.movers)


def answers(question: Question) -> Iterator[Answer]:
    """The answer that leaves fewest VMs where they must not stay, and then moves fewest others; then, if asked on,
    the best of the others, but for those that no order of straight moves leads to for the same reason as to one that
    came before. The last one is not `found`.
    """
    if question.literals <= MOST_LITERALS:
        model = _Model(question)
        for _ in range(MOST_ANSWERS):
            answer = model.best()
            yield answer
            if not answer.found:
                return
            model.rule_out(answer)
            live = {vm: to for vm, to in answer.targets.items() if question.cluster.vm_by_name[vm].holds_memory}
            stuck = deadlock(question.cluster, live, question.promised)
            if stuck is not None:
                model.release(stuck, live)
    yield Answer(found=False, proved=False)


class _Model:
    def __init__(self, question: Question) -> None:
        from ortools.sat.python import cp_model

        self.cp: Any = cp_model
        self.ask, self.cluster = question, question.cluster
        self.model: Any = cp_model.CpModel()
        self.mover_of = {vm.name: mover for mover in question.movers for vm in mover.unit.vms}
        self.nodes = [node.name for node in self.cluster.nodes]
        self.goes: dict[str, dict[str, Any]] = {}
        self.stays: dict[str, Any] = {}
        self.undone: list[Any] = []
        self.scenarios: set[tuple[str, ...]] = set()
        for mover in question.movers:
            self._choose_one(mover)
        self.used = self._used()
        self._capacity()
        for rule in self.cluster.affinity_rules:
            if not rule.soft and any(vm in self.mover_of or question.repair for vm in rule.vms):
                self._keep_apart(rule) if rule.kind.startswith("different") else self._keep_together(rule)
        if question.reserve_nodes:
            self._reserve_in_sum()

    # -------------------------------------------------------------- what is decided

    def _choose_one(self, mover: Mover) -> None:
        name = mover.unit.name
        self.goes[name] = {node: self.model.new_bool_var(f"{name} → {node}") for node in mover.options}
        self.stays[name] = self.model.new_bool_var(f"{name} stays")
        self.model.add_exactly_one([self.stays[name], *self.goes[name].values()])
        if mover.must:
            self.undone += [self.stays[name]] * len(mover.unit.vms)

    def _on(self, vm: str, node: str) -> Any:
        """Literal or 0/1: whether the VM counts on the node at the end."""
        machine = self.cluster.vm_by_name[vm]
        mover = self.mover_of.get(vm)
        if mover is None:
            going = self.ask.promised.get(vm) or self.cluster.heading.get(vm)
            return int(node in (machine.node, going))
        name = mover.unit.name
        if node == machine.node:
            return self.stays[name] + self.goes[name].get(node, 0)
        return self.goes[name].get(node, 0)

    # -------------------------------------------------------------- room (I3)

    def _used(self) -> dict[str, Any]:
        """MiB used on each node: by what cannot move, by what is on its way, and by what the model puts there."""
        fixed = dict(self.cluster.used_mib)
        terms: dict[str, list[Any]] = {node: [] for node in self.nodes}
        for vm, target in self.ask.promised.items():
            machine = self.cluster.vm_by_name[vm]
            if machine.holds_memory and target not in (machine.node, self.cluster.heading.get(vm)):
                fixed[target] += machine.memory_mib
        for mover in self.ask.movers:
            for machine in mover.unit.live:
                fixed[machine.node] -= machine.memory_mib
                terms[machine.node].append(machine.memory_mib * self.stays[mover.unit.name])
            for node, literal in self.goes[mover.unit.name].items():
                if mover.unit.memory_mib:
                    terms[node].append(mover.unit.memory_mib * literal)
        return {node: fixed[node] + sum(terms[node]) for node in self.nodes}

    def _capacity(self) -> None:
        """Nobody comes to a node that is too full; in a repair it must not stay so either, if that can be had."""
        for node in self.cluster.nodes:
            if node.name in self.ask.emptied:
                continue
            fits = self.used[node.name] <= node.for_vms_mib
            if self.cluster.used_mib[node.name] <= node.for_vms_mib:
                self.model.add(fits)
                continue
            too_full = self.model.new_bool_var(f"{node.name} stays too full")
            self.model.add(fits).only_enforce_if(too_full.negated())
            for goes in self.goes.values():
                if node.name in goes:
                    self.model.add_implication(goes[node.name], too_full.negated())
            if self.ask.repair:
                self.undone.append(too_full)

    # -------------------------------------------------------------- affinity (I4)

    def _domains(self, rule: AffinityRule) -> list[list[str]]:
        """Nodes that are one in the eyes of the rule."""
        found: list[list[str]] = []
        for node in self.nodes:
            same = next((d for d in found if near(self.cluster, rule, d[0], node)), None)
            if same is None:
                found.append([node])
            else:
                same.append(node)
        return found

    def _keep_apart(self, rule: AffinityRule) -> None:
        movable = [vm for vm in rule.vms if vm in self.mover_of]
        for domain in self._domains(rule):
            inside = {vm: sum(self._on(vm, node) for node in domain) for vm in rule.vms}
            today = {vm for vm in rule.vms if self.cluster.vm_by_name[vm].node in domain}
            if len(today) <= 1:
                fixed = max((inside[vm] for vm in rule.vms if vm not in self.mover_of), default=0)
                self.model.add(sum(inside[vm] for vm in movable) <= 1 - min(fixed, 1))
                continue
            for one, other in combinations(rule.vms, 2):
                if {one, other} <= today:
                    self._apart_if_moved(rule, one, other, inside)
                else:
                    self._not_both(inside[one], inside[other])

    def _apart_if_moved(self, rule: AffinityRule, one: str, other: str, inside: Mapping[str, Any]) -> None:
        """Too near each other today: they may stay so, but nobody moves to where it is too near still."""
        breach = self.model.new_bool_var(f"{rule.name}: {one} and {other} stay together")
        self.model.add(inside[one] + inside[other] <= 1 + breach)
        for vm in (one, other):
            if vm in self.mover_of:
                self.model.add_implication(breach, self.stays[self.mover_of[vm].unit.name])
        if self.ask.repair:
            self.undone.append(breach)

    def _not_both(self, one: Any, other: Any) -> None:
        if not (isinstance(one, int) and isinstance(other, int)):
            self.model.add(one + other <= 1)

    def _keep_together(self, rule: AffinityRule) -> None:
        """Together already: it stays so. Not yet: whoever of them moves comes together with all the others."""
        first, *others = rule.vms
        holds = all(near(self.cluster, rule, self._home(first), self._home(other)) for other in others)
        together = None if holds else self.model.new_bool_var(f"{rule.name} holds")
        for vm in rule.vms if together is not None else ():
            if vm in self.mover_of:
                self.model.add_implication(self.stays[self.mover_of[vm].unit.name].negated(), together)
        for domain in self._domains(rule):
            for other in others:
                one_side = sum(self._on(first, node) for node in domain)
                other_side = sum(self._on(other, node) for node in domain)
                equal = one_side == other_side
                if isinstance(equal, bool):
                    if not equal:
                        self.model.add_bool_or([together.negated()] if together is not None else [])
                elif together is None:
                    self.model.add(equal)
                else:
                    self.model.add(equal).only_enforce_if(together)
        if self.ask.repair and together is not None:
            self.undone.append(together.negated())

    def _home(self, vm: str) -> str:
        return self.ask.promised.get(vm) or self.cluster.vm_by_name[vm].node

    # -------------------------------------------------------------- reserve (I3)

    def _counted(self) -> tuple[str, ...]:
        return available(self.cluster, self.ask.emptied)

    def _losses(self) -> Iterable[tuple[str, ...]]:
        nodes = self._counted()
        count = min(self.ask.reserve_nodes, len(nodes))
        return combinations(nodes, count) if comb(len(nodes), count) <= MOST_LOSSES else ()

    def _restarting(self, lost: Collection[str]) -> list[tuple[VirtualMachine, Any]]:
        """(VM, literal or 1) for every VM that would have to restart if these nodes were lost."""
        found = []
        for vm in self.cluster.vms:
            if vm.holds_memory and vm.priority > 0 and (vm.name in self.mover_of or vm.node in lost):
                here = sum(self._on(vm.name, node) for node in lost if vm.name in self.mover_of or node == vm.node)
                found.append((vm, here))
        return [(vm, here) for vm, here in found if not (isinstance(here, int) and here == 0)]

    def _reserve_in_sum(self) -> None:
        """What is needed for the reserve whatever the packing: what is free elsewhere covers what a loss asks for."""
        nodes = self._counted()
        capacity = {node: self.cluster.node_by_name[node].for_vms_mib for node in nodes}
        for lost in self._losses():
            needed = sum(vm.restart_mib * here for vm, here in self._restarting(lost))
            self.model.add(needed <= sum(capacity[n] - self.used[n] for n in nodes if n not in lost))

    def _reserve_for(self, lost: tuple[str, ...]) -> bool:
        """Ask that the VMs of these nodes pack into the others; False where that is too much to ask."""
        refuges = [node for node in self._counted() if node not in lost]
        restarting = self._restarting(lost)
        if lost in self.scenarios or len(restarting) * len(refuges) > MOST_RECOVERY_LITERALS:
            return False
        self.scenarios.add(lost)
        back: dict[str, list[Any]] = {node: [] for node in refuges}
        for vm, here in restarting:
            choices = [self.model.new_bool_var(f"{vm.name} restarts on {node}") for node in refuges]
            self.model.add(sum(choices) >= here)
            for node, literal in zip(refuges, choices, strict=True):
                back[node].append(vm.restart_mib * literal)
        for node in refuges:
            room = self.cluster.node_by_name[node].for_vms_mib - self.used[node]
            self.model.add(sum(back[node]) <= room)
        return True

    # -------------------------------------------------------------- solving

    def best(self) -> Answer:
        while True:
            answer = self._best_in_sum()
            if not (answer.found and self.ask.reserve_nodes):
                return answer
            placed = {**self.ask.promised, **answer.targets}
            survival = survives_loss(self.cluster, self.ask.reserve_nodes, placed=placed, emptied=self.ask.emptied)
            if survival.ok:
                return answer
            if not self._reserve_for(survival.lost):
                return Answer(found=False, proved=False)

    def _best_in_sum(self) -> Answer:
        """First leave as little undone as can be, then move as few as that allows."""
        undone, moved = sum(self.undone), self._moved()
        solver, proved = self._solve(self.model, undone, hint=self.ask.known)
        if solver is None:
            return Answer(found=False, proved=proved)
        if not isinstance(moved, int):
            fewest = self.model.clone()
            if self.undone:
                fewest.add(undone <= round(solver.value(undone)))
            again, proved_again = self._solve(fewest, moved, hint=self._read(solver, proved=proved).targets)
            solver, proved = again or solver, proved and proved_again
        return self._read(solver, proved=proved)

    def _moved(self) -> Any:
        """How many VMs move that need not; of equally many, those with little memory are better."""
        optional = [mover for mover in self.ask.movers if not mover.must]
        total_mib = sum(mover.unit.memory_mib for mover in optional) + 1
        weights = [1000 * len(m.unit.vms) + 999 * m.unit.memory_mib // total_mib for m in optional]
        return sum(w * self.stays[m.unit.name].negated() for w, m in zip(weights, optional, strict=True))

    def _solve(self, model: Any, objective: Any, hint: Mapping[str, str] | None = None) -> tuple[Any, bool]:
        """(solver with its answer or None, whether that is proved). `hint`: VM → node to begin with."""
        if not isinstance(objective, int):
            model.minimize(objective)
        if hint:
            model.clear_hints()
            for name, goes in self.goes.items():
                model.add_hint(self.stays[name], name not in hint)
                for node, literal in goes.items():
                    model.add_hint(literal, hint.get(name) == node)
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = LARGE_WORK if self.ask.literals > LARGE_LITERALS else MOST_WORK
        status = solver.solve(model)
        if status in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return solver, status == self.cp.OPTIMAL
        return None, status == self.cp.INFEASIBLE

    def _read(self, solver: Any, *, proved: bool) -> Answer:
        targets: dict[str, str] = {}
        left: list[str] = []
        for mover in self.ask.movers:
            goes = self.goes[mover.unit.name]
            target = next((node for node, literal in goes.items() if solver.boolean_value(literal)), None)
            if target is not None:
                targets |= {vm.name: target for vm in mover.unit.vms}
            elif mover.must:
                left += [vm.name for vm in mover.unit.vms]
        undone = sum(solver.boolean_value(literal) for literal in self.undone)
        return Answer(found=True, proved=proved, targets=targets, left=tuple(left), undone=undone)

    def rule_out(self, answer: Answer) -> None:
        """Never this answer again."""
        chosen = [
            goes[answer.targets[name]] if name in answer.targets else self.stays[name]
            for name, goes in self.goes.items()
        ]
        self.model.add_bool_or([literal.negated() for literal in chosen])

    def release(self, stuck: Deadlock, targets: Mapping[str, str]) -> None:
        """Not all of these moves together, unless others leave that let one of them begin."""
        units = {self.mover_of[vm].unit.name for vm in stuck.vms}
        ways_out = [self.goes[self.mover_of[vm].unit.name][targets[vm]].negated() for vm in stuck.vms]
        for vm, lacking_mib in stuck.lacking_mib.items():
            leaving_mib = sum(
                mover.unit.memory_mib * self.stays[mover.unit.name].negated()
                for mover in self.ask.movers
                if mover.unit.vms[0].node == targets[vm] and mover.unit.name not in units
            )
            begins = self.model.new_bool_var(f"{vm} can be the first of the stuck")
            self.model.add(leaving_mib >= lacking_mib * begins)
            ways_out.append(begins)
        self.model.add_bool_or(ways_out)
