"""When VMs that must leave cannot all be placed: the fewest demands that contradict each other.

Every demand (`demands.py`) is an assumption of a CP-SAT model. A set that the solver refutes is shrunk until no demand
can be left out (deletion filter; Chinneck and Dravnieks, "Locating minimal infeasible constraint sets", 1991), then,
where that is cheap, a smallest one is looked for by hitting sets (Ignatiev et al., "Smallest MUS extraction with
minimal hitting set dualization", CP 2015). Work is limited in the solver's own deterministic units; what is not decided
within them is never called a contradiction.
"""

# ruff: noqa: PLC0415  (the solver takes a third of a second to import: only who needs it pays)
from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

from shunter.topology.capacity import available
from shunter.topology.demands import Demand, Kind, Scene, demands_of, listed, sized
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.ordering import near
from shunter.topology.plan import Finding, Plan
from shunter.topology.units import units_of

MOST_LITERALS = 6_000
MOST_WORK, MOST_WORK_AT_ONCE = 1.0, 0.25
MOST_SOLUTIONS = 200
SMALL_LITERALS = 400
MOST_HITTING_SETS = 40
MOST_TOLD = 4


def contradiction(cluster: Cluster, leaving: Sequence[str], emptied: Collection[str]) -> Finding | None:
    """Why these VMs cannot all leave, whoever makes room; None where they can, or where that is not decided.

    `leaving`: where they are very many, the first of them are looked at one by one. `emptied`: the nodes that are
    emptied, which take nobody.
    """
    return _finding(cluster, first_clash(scenes_of_evacuation(cluster, leaving, emptied)))


def with_contradiction(cluster: Cluster, plan: Plan, emptied: Collection[str] = ()) -> Plan:
    """The plan; where VMs stay that should not, with a finding that names what does not go together.

    `emptied`: the nodes that an evacuation empties, as in the cluster.
    """
    if not plan.unplaced:
        return plan
    if plan.kind == "repair":
        scenes = scenes_of_repair(cluster)
    else:
        leaving = [vm.name for vm in cluster.vms if vm.node in emptied and (vm.clustered or vm.holds_memory)]
        staying = {stays.vm for stays in plan.unplaced}
        leaving.sort(key=lambda name: name not in staying)
        scenes = scenes_of_evacuation(cluster, leaving, emptied)
    found = _finding(cluster, first_clash(scenes))
    return plan if found is None else plan.model_copy(update={"findings": (*plan.findings, found)})


def first_clash(scenes: Iterable[Scene]) -> tuple[Demand, ...]:
    """Demands of which none can be left out, and that cannot all hold; empty where none are known."""
    clashing: tuple[Demand, ...] = ()
    for scene in scenes:
        if scene.literals <= MOST_LITERALS and not (clashing and scene.loose):
            with suppress(_Undecided):
                clashing = _Search(scene).run(clashing) or clashing
    return clashing


def _finding(cluster: Cluster, clashing: Sequence[Demand]) -> Finding | None:
    if not clashing:
        return None
    return Finding(
        rule=_most_telling(clashing),
        severity="info",
        subject=f"cluster {cluster.name}",
        message=f"these do not go together: {'; '.join(in_words(cluster, clashing))}",
        remedy="give up at least one of them",
    )


def _most_telling(clashing: Sequence[Demand]) -> str:
    rules = {demand.kind: demand.rule for demand in clashing}
    kinds: tuple[Kind, ...] = ("memory", "rule", "owners", "processor", "switch", "volume", "disk", "network", "care")
    return next((rules[kind] for kind in kinds if kind in rules), clashing[-1].rule)


def in_words(cluster: Cluster, clashing: Sequence[Demand]) -> Iterator[str]:
    """A sentence without full stop for each demand; where many are alike, one for all of them."""
    kinds = dict.fromkeys(demand.kind for demand in clashing)
    for kind in kinds:
        alike = [demand for demand in clashing if demand.kind == kind]
        if kind == "leave" and len(alike) > 1:
            for node in dict.fromkeys(demand.node for demand in alike):
                yield _all_leaving(cluster, [demand.vm for demand in alike if demand.node == node], node)
        elif kind == "memory" and len(alike) > MOST_TOLD:
            yield _all_memory(cluster, [demand.node for demand in alike])
        elif len(alike) > MOST_TOLD:
            yield from (demand.text for demand in alike[: MOST_TOLD - 1])
            yield f"{len(alike) - MOST_TOLD + 1} more of the kind"
        else:
            yield from (demand.text for demand in alike)


def _all_leaving(cluster: Cluster, vms: Sequence[str], node: str) -> str:
    of = [cluster.vm_by_name[vm] for vm in vms]
    if len(of) <= MOST_TOLD:
        return f"{listed(map(sized, of))} must leave {node}"
    needed_mib = sum(vm.memory_mib for vm in of if vm.holds_memory)
    return f"{listed(vms)} ({needed_mib} MiB together) must leave {node}"


def _all_memory(cluster: Cluster, nodes: Sequence[str]) -> str:
    room_mib = sum(cluster.node_by_name[node].for_vms_mib for node in nodes)
    free_mib = sum(max(0, cluster.free_mib(node)) for node in nodes)
    return f"{listed(nodes)} have {room_mib} MiB for VMs together ({free_mib} free now)"


# -------------------------------------------------------------- what is asked for


def scenes_of_evacuation(cluster: Cluster, leaving: Sequence[str], emptied: Collection[str]) -> Iterator[Scene]:
    """All that may be moved at all so that these VMs (by name) leave the emptied nodes, those on their way apart."""
    leaving = [name for name in leaving if name not in cluster.heading]
    must = [cluster.vm_by_name[name] for name in leaving]
    others = _others(cluster, emptied, {*leaving, *cluster.heading})
    most = MOST_LITERALS // len(cluster.nodes)
    if len(must) > most:
        yield Scene(cluster, (), loose=frozenset(vm.name for vm in (*must, *others)), emptied=tuple(emptied))
    part = Scene(cluster, tuple(must[:most]), emptied=tuple(emptied), leaving=tuple(leaving[:most]))
    yield from _part_and_whole(part, [*must[most:], *others])


def scenes_of_wish(cluster: Cluster, vms: Sequence[VirtualMachine], node: str) -> Iterator[Scene]:
    """The first of these VMs, with which the others go, on this node, whoever must make room for that."""
    others = _others(cluster, (), {*cluster.heading, *(vm.name for vm in vms)})
    return _part_and_whole(Scene(cluster, tuple(vms), wish={vms[0].name: node}), others)


def scenes_of_repair(cluster: Cluster) -> Iterator[Scene]:
    """Everything in order."""
    yield Scene(cluster, tuple(vm for vm in cluster.vms if vm.name not in cluster.heading), repair=True)


def _others(cluster: Cluster, emptied: Collection[str], settled: Collection[str]) -> list[VirtualMachine]:
    """Who could make room: what runs on the nodes that stay in service, and what goes along with that."""
    nodes = available(cluster, emptied)
    staying = [vm for node in nodes for vm in cluster.vms_by_node[node] if vm.name not in settled]
    units = [unit for unit in units_of(cluster, staying) if unit.live]
    return [vm for unit in units for vm in unit.vms]


def _part_and_whole(part: Scene, others: Sequence[VirtualMachine]) -> Iterator[Scene]:
    """First with the others as a mere sum of memory: what clashes then, clashes all the more when rules bind them."""
    if others:
        yield replace(part, loose=frozenset(vm.name for vm in others))
    yield replace(part, movers=(*part.movers, *others))


# -------------------------------------------------------------- which of it clashes


class _Undecided(Exception):
    """The limits of the search are reached."""


class _Search:
    def __init__(self, scene: Scene) -> None:
        from ortools.sat.python import cp_model

        self.cp: Any = cp_model
        self.scene = scene
        self.demands = demands_of(scene)
        self.model = _Model(cp_model, scene, self.demands)
        self.number_of = {literal.index: i for i, literal in enumerate(self.model.holds)}
        self.work, self.solutions = 0.0, 0

    def run(self, known: Sequence[Demand] = ()) -> tuple[Demand, ...]:
        """`known`: demands that clash already when less is looked at. Raises _Undecided."""
        about = {demand.about for demand in known}
        asked = [i for i, demand in enumerate(self.demands) if not known or demand.about in about]
        found = self._shrunk(self._core(asked))
        if len(found) > 2 and self.scene.literals <= SMALL_LITERALS:
            with suppress(_Undecided):  # then it is one from which nothing can be left out, perhaps not the smallest
                found = self._smallest(found)
        return tuple(self.demands[i] for i in sorted(found))

    def _core(self, numbers: Iterable[int]) -> list[int]:
        """Of these demands some that cannot all hold; empty where they can."""
        self.model.cp.clear_assumptions()
        self.model.cp.add_assumptions([self.model.holds[i] for i in numbers])
        status, solver = self._solve(self.model.cp)
        if status != self.cp.INFEASIBLE:
            return []
        return sorted(self.number_of[index] for index in solver.sufficient_assumptions_for_infeasibility())

    def _shrunk(self, core: list[int]) -> list[int]:
        needed: list[int] = []
        left = list(core)
        while left:
            tried = left.pop()
            smaller = self._core([*needed, *left])
            if smaller:
                left = [i for i in left if i in smaller]
            else:
                needed.append(tried)
        return needed

    def _smallest(self, known: list[int]) -> list[int]:
        """What must be given up for the rest to hold is hit by every contradiction: try the smallest such sets."""
        corrections: list[list[int]] = []
        for _ in range(MOST_HITTING_SETS):
            chosen = self._hitting(corrections)
            if len(chosen) >= len(known):
                return known
            given_up = self._given_up(chosen)
            if given_up is None:
                return chosen
            corrections.append(given_up)
        raise _Undecided

    def _hitting(self, corrections: Sequence[Sequence[int]]) -> list[int]:
        model = self.cp.CpModel()
        takes = [model.new_bool_var("") for _ in self.demands]
        for correction in corrections:
            model.add_bool_or([takes[i] for i in correction])
        model.minimize(sum(takes))
        status, solver = self._solve(model)
        if status != self.cp.OPTIMAL:
            raise _Undecided
        return [i for i, taken in enumerate(takes) if solver.boolean_value(taken)]

    def _given_up(self, chosen: Sequence[int]) -> list[int] | None:
        """Demands that do not hold when these do, few of them; None where these cannot all hold."""
        self.model.cp.clear_assumptions()
        model = self.model.cp.clone()
        for i in chosen:
            model.add(self.model.holds[i] == 1)
        model.maximize(sum(self.model.holds))
        status, solver = self._solve(model)
        if status == self.cp.INFEASIBLE:
            return None
        return [i for i, holds in enumerate(self.model.holds) if not solver.boolean_value(holds)]

    def _solve(self, model: Any) -> tuple[Any, Any]:
        """Raises _Undecided."""
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        # sums of memory are what clashes most often, and linear relaxation sees through them; probing costs more
        solver.parameters.linearization_level = 2
        solver.parameters.cp_model_probing_level = 0
        solver.parameters.max_deterministic_time = min(MOST_WORK_AT_ONCE, max(MOST_WORK - self.work, 0.001))
        status = solver.solve(model)
        self.work += solver.response_proto.deterministic_time
        self.solutions += 1
        if status == self.cp.UNKNOWN or self.work >= MOST_WORK or self.solutions > MOST_SOLUTIONS:
            raise _Undecided
        return status, solver


class _Model:
    """`cp`: the solver's model. `holds`: for each demand a literal; where it is true, the demand holds."""

    def __init__(self, cp_model: Any, scene: Scene, demands: Sequence[Demand]) -> None:
        self.cp: Any = cp_model.CpModel()
        self.scene, self.cluster = scene, scene.cluster
        self.nodes = [node.name for node in self.cluster.nodes]
        self.on: dict[str, dict[str, Any]] = {}
        for vm in scene.movers:
            self.on[vm.name] = {node: self.cp.new_bool_var(f"{vm.name} on {node}") for node in self.nodes}
            self.cp.add_exactly_one(self.on[vm.name].values())
        self.holds = [self.cp.new_bool_var(demand.text) for demand in demands]
        self.loose_mib = self._loose()
        movable = [*scene.movers, *(self.cluster.vm_by_name[name] for name in scene.loose)]
        self.movable_mib = sum(vm.memory_mib for vm in movable if vm.holds_memory)
        for demand, holds in zip(demands, self.holds, strict=True):
            for name, node in sorted(demand.forbids):
                self.cp.add_implication(holds, self.on[name][node].negated())
            self._combinations(demand, holds)

    def _combinations(self, demand: Demand, holds: Any) -> None:
        match demand.kind:
            case "node":
                self.cp.add(self.loose_mib[demand.node] == 0).only_enforce_if(holds) if self.scene.loose else None
            case "together":
                for node in self.nodes:
                    self._equal(self.on[demand.vm][node], self.on[demand.other][node], [holds])
            case "memory":
                self._memory(demand.node, holds)
            case "rule":
                rule = next(rule for rule in self.cluster.affinity_rules if rule.name == demand.thing)
                (self._keep_apart if rule.kind.startswith("different") else self._keep_together)(rule, holds)
            case _:
                pass

    def _add(self, holding: Any, given: Sequence[Any]) -> None:
        """A constraint, or what is known of it already."""
        if not isinstance(holding, bool):
            self.cp.add(holding).only_enforce_if(given)
        elif not holding:
            self.cp.add_bool_or([literal.negated() for literal in given])

    def _equal(self, one: Any, other: Any, given: Sequence[Any]) -> None:
        self._add(one == other, given)

    # -------------------------------------------------------------- room (I3)

    def _loose(self) -> Mapping[str, Any]:
        """Memory, node by node, of the VMs that may be anywhere."""
        of = [self.cluster.vm_by_name[name] for name in sorted(self.scene.loose)]
        in_all_mib = sum(vm.memory_mib for vm in of if vm.holds_memory)
        if not in_all_mib:
            return dict.fromkeys(self.nodes, 0)
        loose = {node: self.cp.new_int_var(0, in_all_mib, f"others on {node}") for node in self.nodes}
        self.cp.add(sum(loose.values()) == in_all_mib)
        return loose

    def _memory(self, node: str, holds: Any) -> None:
        """A node that is too full today may stay so where nobody comes, repairs apart."""
        fixed_mib = self.cluster.used_mib[node] - sum(
            vm.memory_mib
            for vm in self.cluster.vms_by_node[node]
            if vm.holds_memory and (vm.name in self.on or vm.name in self.scene.loose)
        )
        sizes = {vm.name: vm.memory_mib for vm in self.scene.movers if vm.holds_memory}
        used = fixed_mib + self.loose_mib[node] + sum(mib * self.on[name][node] for name, mib in sizes.items())
        room_mib = self.cluster.node_by_name[node].for_vms_mib
        full_today = self.cluster.free_mib(node) < 0 and not self.scene.repair
        # not enforced by the literal but lifted: so the sum over all nodes, which often decides, is seen at once
        limit_mib = self.cluster.used_mib[node] if full_today else room_mib
        most_mib = max(0, fixed_mib) + self.movable_mib
        if not isinstance(used, int):
            self.cp.add(used <= limit_mib + max(0, most_mib - limit_mib) * holds.negated())
        else:
            self._add(used <= limit_mib, [holds])
        for vm in self.scene.movers if full_today else ():
            if vm.node != node:
                self._add(used <= room_mib, [holds, self.on[vm.name][node]])

    # -------------------------------------------------------------- affinity (I4)

    def _domains(self, rule: AffinityRule) -> list[list[str]]:
        """Nodes that are one in the eyes of the rule."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            same = next((first for first in found if near(self.cluster, rule, first, node)), node)
            found.setdefault(same, []).append(node)
        return list(found.values())

    def _members(self, rule: AffinityRule) -> list[str]:
        return [vm for vm in rule.vms if vm not in self.scene.loose]

    def _inside(self, vm: str, domain: Sequence[str]) -> Any:
        """Whether the VM is there at the end; one that is on its way is at both ends."""
        if vm in self.on:
            return sum(self.on[vm][node] for node in domain)
        places = (self.cluster.vm_by_name[vm].node, self.cluster.heading.get(vm))
        return int(any(node in domain for node in places))

    def _keep_apart(self, rule: AffinityRule, holds: Any) -> None:
        members = self._members(rule)
        for domain in self._domains(rule):
            inside = {vm: self._inside(vm, domain) for vm in members}
            today = {vm for vm in members if self.cluster.vm_by_name[vm].node in domain}
            for one, other in combinations(members, 2):
                if self.scene.repair or not {one, other} <= today:
                    both = inside[one] + inside[other]
                    if not isinstance(both, int) or self.scene.repair:
                        self._add(both <= 1, [holds])

    def _keep_together(self, rule: AffinityRule, holds: Any) -> None:
        """Together already: it stays so. Not yet: whoever of them moves comes together with all the others."""
        home = {vm: self.cluster.vm_by_name[vm].node for vm in rule.vms}
        first, *others = self._members(rule)
        given = [holds]
        if not self.scene.repair and not all(near(self.cluster, rule, home[first], home[vm]) for vm in rule.vms):
            given.append(self.cp.new_bool_var(f"{rule.name} is asked for"))
            for name in (first, *others):
                if name in self.on:
                    self.cp.add_bool_or([holds.negated(), self.on[name][home[name]], given[1]])
        for domain in self._domains(rule):
            for other in others:
                self._equal(self._inside(first, domain), self._inside(other, domain), given)
