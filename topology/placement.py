"""Targets for all VMs that must leave, jointly, so that the evacuation ends early and everything fits (I3, I4).

The longest move first, each to the node where it adds least to what bounds the makespan (LPT, Graham 1969). Where
that leaves somebody without room, tighter packings are tried, and the one that places most is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush

from shunter.topology.capacity import available
from shunter.topology.detours import Way
from shunter.topology.eligibility import FitNodes, Question, breaks
from shunter.topology.estimate import estimate
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.pairing import Wanted
from shunter.topology.plan import Verdict
from shunter.topology.preferences import (
    REFUGES,
    STRATEGIES,
    Loads,
    Option,
    Order,
    Prefer,
    ends_first,
    has_room,
    longest_first,
    roomiest,
    spares,
)
from shunter.topology.reasons import Reasons, Tried
from shunter.topology.timeline import lower_bound_s, schedule
from shunter.topology.units import Unit, must_be_near_others, torn_by, units_of


@dataclass(slots=True)
class Placement:
    """`targets`: VM → node. `unplaced`: VM → every reason against every other node, once they were asked for.

    `makespan_s`: when the last live migration ends, by the forecast; `least_bound_s`: what no targets could beat.
    `after`: VM → the VMs whose moves make room for its own and must be over first. `onward`: moves (VM, node) that
    follow one by one when all these are over, of VMs that had to make a detour or to wait for one. `order`: VM → its
    rank in an order of starting that ends earlier than following the work that is left; empty where none does.
    """

    targets: dict[str, str] = field(default_factory=dict)
    unplaced: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    makespan_s: float = 0.0
    least_bound_s: float = 0.0
    why: dict[str, str] = field(default_factory=dict)
    after: Mapping[str, frozenset[str]] = field(default_factory=dict)
    onward: tuple[tuple[str, str], ...] = ()
    order: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_perfect(self) -> bool:
        """All are placed, and nothing could end sooner."""
        return not self.unplaced and self.makespan_s <= self.least_bound_s * (1 + 1e-9)

    @property
    def ends(self) -> dict[str, str]:
        """VM → the node where it ends up, of all that move."""
        return self.targets | dict(self.onward)


def place(
    cluster: Cluster,
    leaving: Sequence[VirtualMachine],
    emptied: Collection[str],
    *,
    promised: Mapping[str, str] | None = None,
    tried: Tried | None = None,
) -> Iterator[Placement]:
    """Targets for the leaving VMs: several candidates, best first (most VMs placed, then the earliest end).

    Where the first strategy places all and nothing could end sooner, the others are tried only if somebody asks on.

    `promised`: VM → node of moves that are decided already; they take their room. `tried`: verdicts learnt by trying,
    by (VM, node); such a node is not an option.
    """
    problem = Problem(cluster, leaving, emptied, promised, tried)
    return map(problem.with_reasons, problem.candidates())


def wanted_move(cluster: Cluster, vm: str, target: str, after: Collection[str] = (), rank: int | None = None) -> Wanted:
    """The live migration of a VM to a node that it may go to, with its estimated duration."""
    expected = estimate(cluster, cluster.vm_by_name[vm], target)
    assert expected is not None, f"{vm} → {target} was placed without a network"  # noqa: S101
    return Wanted(vm, cluster.vm_by_name[vm].node, target, expected.duration_s, frozenset(after), rank)


class Problem:
    """Who must leave, where each may go, and what is free there."""

    def __init__(
        self,
        cluster: Cluster,
        leaving: Sequence[VirtualMachine],
        emptied: Collection[str],
        promised: Mapping[str, str] | None = None,
        tried: Tried | None = None,
    ) -> None:
        self.cluster, self.emptied, self.tried = cluster, frozenset(emptied), dict(tried or {})
        self.promised = promised = dict(promised or {})
        self.units = units = units_of(cluster, leaving)
        self.nodes = available(cluster, emptied)
        self._fit = FitNodes(cluster, self.nodes, self.emptied)
        self.free_mib = {name: cluster.free_mib(name) for name in self.nodes}
        for vm, target in promised.items():
            mover = cluster.vm_by_name[vm]
            counted = (mover.node, cluster.heading.get(vm))
            if target in self.free_mib and mover.holds_memory and target not in counted:
                self.free_mib[target] -= mover.memory_mib
        self.ruled = {unit.name: self.is_ruled(unit) for unit in units}
        self.options = {unit.name: tuple(self._options(unit, promised)) for unit in units}

        self.least_s = {
            name: min((option.duration_s for option in options), default=0.0) for name, options in self.options.items()
        }
        self.outbound_s: dict[str, float] = {}
        for unit in units:
            if unit.live:
                source = unit.live[0].node
                self.outbound_s[source] = self.outbound_s.get(source, 0.0) + self.least_s[unit.name]

    def is_ruled(self, unit: Unit) -> bool:
        """Whether affinity rules make its options depend on where the others go."""
        return any(vm.name in self.cluster.rules_by_vm for vm in unit.vms)

    def fit_nodes(self, unit: Unit) -> list[str]:
        """The nodes that all VMs of the unit may go to, room and the VMs of other units apart."""
        if torn_by(self.cluster, unit):
            return []
        fit = [self._fit.of(vm) for vm in unit.vms]
        if len(fit) == 1 and not self.tried:
            return list(fit[0])
        return [
            node
            for node in fit[0]
            if all(node in others for others in fit[1:]) and not any((vm.name, node) in self.tried for vm in unit.vms)
        ]

    def _options(self, unit: Unit, promised: Mapping[str, str]) -> Iterator[Option]:
        """What it may choose from, given where others go; `promised` matters only to VMs with affinity rules."""
        ruled = self.ruled[unit.name]
        for node in self.fit_nodes(unit):
            if not ruled or not self._breaks_hard(unit, node, promised):
                yield Option(
                    target=node,
                    duration_s=self.takes_s(unit, node),
                    soft_breaks=self._breaks(unit, node, promised, soft=True) if ruled else 0,
                    preferred=all(not vm.preferred_owners or node in vm.preferred_owners for vm in unit.vms),
                )

    def takes_s(self, unit: Unit, node: str) -> float:
        """Its live migrations to the node, one after the other."""
        expected = (estimate(self.cluster, vm, node) for vm in unit.live)
        return sum(each.duration_s for each in expected if each)

    def _breaks_hard(self, unit: Unit, node: str, promised: Mapping[str, str]) -> bool:
        return self._breaks(unit, node, promised, soft=False) > 0

    def _breaks(self, unit: Unit, node: str, promised: Mapping[str, str], *, soft: bool) -> int:
        target = self.cluster.node_by_name[node]
        return sum(
            bool(breaks(Question(self.cluster, vm, target, self.emptied, promised), rule))
            for vm in unit.vms
            for rule in self.cluster.rules_by_vm.get(vm.name, ())
            if rule.soft is soft
        )

    def candidates(self) -> Iterator[Placement]:
        """What the strategies make of it, best first; see `place`."""
        first = self.solve(*STRATEGIES[0])
        candidates = [] if first.is_perfect else [first]
        if first.is_perfect:
            yield first
        for placement in self._others():
            if first.is_perfect and placement.is_perfect:
                yield placement
            else:
                candidates.append(placement)
        yield from sorted(candidates, key=lambda placement: (len(placement.unplaced), round(placement.makespan_s, 6)))

    def _others(self) -> Iterator[Placement]:
        going = self.as_they_go()
        if not any(must_be_near_others(self.cluster, name) for name in going.unplaced):
            yield going
        by_room = sorted(self.nodes, key=lambda node: (-self.free_mib[node], node))
        for share in REFUGES:
            if share * len(self.nodes) >= 1:
                refuges = frozenset(by_room[: round(share * len(self.nodes))])
                yield self.solve(longest_first, partial(spares, refuges))
        for order, prefer in STRATEGIES[1:]:
            yield self.solve(order, prefer)

    def settled(self, ends: Mapping[str, str], way: Way) -> Placement:
        """The placement that ends so (VM → node), which may include VMs that only make room for others."""
        state = Loads(self)
        placement = Placement(targets=dict(way.targets), after=way.after, onward=way.onward)
        ours = {vm.name for unit in self.units for vm in unit.vms}
        for name in (name for name in placement.ends if name not in ours):
            state.give_way(self.cluster.vm_by_name[name], ends.get(name, self.cluster.vm_by_name[name].node))
            placement.why[name] = f"makes room on {self.cluster.vm_by_name[name].node}"
        for unit in (unit for unit in self.units if unit.name in ends):
            target = ends[unit.name]
            duration_s = self.takes_s(unit, target)
            fitting = sum(has_room(unit, state.free_mib[node]) for node in self.fit_nodes(unit))
            option = Option(target, duration_s, soft_breaks=0, preferred=False)
            self._take(unit, option, max(fitting, 1), state, placement)
        placement.unplaced = {vm.name: () for unit in self.units if unit.name not in ends for vm in unit.vms}
        placement.targets = dict(way.targets)
        return self._measured(placement)

    def _take(self, unit: Unit, option: Option, fitting: int, state: Loads, placement: Placement) -> None:
        state.take(unit, option)
        placement.why.update((vm.name, _why(unit, option, fitting, state)) for vm in unit.vms)
        placement.targets.update((vm.name, option.target) for vm in unit.vms)

    def as_they_go(self) -> Placement:
        """Targets chosen while the moves are made, so that no target that has room waits for its next VM: always the
        largest VM of the idle source with most left, to the idle node with most room.
        """
        state, placement, promised = Loads(self), Placement(), dict(self.promised)
        queues: dict[str, list[Unit]] = {}
        for unit in sorted(self.units, key=lambda unit: (*longest_first(self, unit), unit.name)):
            if unit.live:
                queues.setdefault(unit.live[0].node, []).append(unit)
        left_s = dict(self.outbound_s)
        idle, now_s = {*self.nodes, *queues}, 0.0
        ends: list[tuple[float, str, str]] = []
        while True:
            sources = sorted((s for s in queues if s in idle), key=lambda source: (-left_s[source], source))
            candidates = (unit for source in sources for unit in queues[source])
            put = partial(self._put, prefer=roomiest, state=state, placement=placement, promised=promised, among=idle)
            begun = next((unit for unit in candidates if put(unit)), None)
            if begun is not None:
                source, target = begun.live[0].node, placement.targets[begun.name]
                queues[source].remove(begun)
                left_s[source] -= self.least_s[begun.name]
                idle -= {source, target}
                heappush(ends, (now_s + self.takes_s(begun, target), source, target))
            elif ends:
                now_s, *nodes = heappop(ends)
                idle.update(nodes)
            else:
                break
        order = {vm: rank for rank, vm in enumerate(placement.targets)}
        rest = [unit for unit in self.units if unit.name not in placement.targets]
        missed = [unit for unit in rest if not self._put(unit, ends_first, state, placement, promised)]
        placement.unplaced = {vm.name: () for unit in missed for vm in unit.vms}
        return self._measured(placement, order)

    def _measured(self, placement: Placement, order: Mapping[str, int] | None = None) -> Placement:
        """`order`: of starting, tried besides following the work that is left."""
        placement.makespan_s = self._makespan_s(placement)
        if order:
            unordered_s, placement.order = placement.makespan_s, order
            placement.makespan_s = self._makespan_s(placement)
            if placement.makespan_s >= unordered_s:
                placement.makespan_s, placement.order = unordered_s, {}
        placement.least_bound_s = self._least_bound_s(placement)
        return placement

    def with_reasons(self, placement: Placement) -> Placement:
        """The same, with every reason against every other node for each VM that found no place."""
        free_mib = dict(self.free_mib)
        for name, end in placement.ends.items():
            vm = self.cluster.vm_by_name[name]
            for node, mib in ((end, -vm.memory_mib), (vm.node, vm.memory_mib)):
                if vm.holds_memory and node in free_mib:
                    free_mib[node] += mib
        promised = self.promised | placement.ends
        for name in placement.unplaced:
            if must_be_near_others(self.cluster, name):
                promised[name] = self._stays_on(name)
        because = Reasons(self.cluster, self.emptied, self.tried, free_mib, promised)
        placement.unplaced = {
            vm.name: tuple(because.against(unit, vm))
            for unit in self.units
            for vm in unit.vms
            if vm.name in placement.unplaced
        }
        return placement

    def solve(self, order: Order, prefer: Prefer) -> Placement:
        """Place unit after unit; where one stays that must not be left alone, place those that belong to it anew."""
        staying: dict[str, str] = {}
        while True:
            placement = self._solve(order, prefer, staying)
            missed = {
                name: self._stays_on(name)
                for name in placement.unplaced
                if name not in staying and must_be_near_others(self.cluster, name)
            }
            if not missed:
                return placement
            staying |= missed

    def _stays_on(self, vm: str) -> str:
        """Where a VM ends that is not placed: where it is, or where somebody else moves it at this moment."""
        return self.cluster.heading.get(vm, self.cluster.vm_by_name[vm].node)

    def _solve(self, order: Order, prefer: Prefer, staying: Mapping[str, str]) -> Placement:
        state = Loads(self)
        placement = Placement()
        promised = self.promised | dict(staying)
        stays = [unit for unit in self.units if any(vm.name in staying for vm in unit.vms)]
        moves = [unit for unit in self.units if unit not in stays]
        in_order = sorted(moves, key=lambda unit: (*order(self, unit), unit.name))
        # those that stay for the sake of others come last: perhaps some of them need not
        left = [unit for unit in (*in_order, *stays) if not self._put(unit, prefer, state, placement, promised)]
        placement.unplaced = {vm.name: () for unit in left for vm in unit.vms}
        return self._measured(placement)

    def _put(
        self,
        unit: Unit,
        prefer: Prefer,
        state: Loads,
        placement: Placement,
        promised: dict[str, str],
        *,
        among: Collection[str] | None = None,
    ) -> bool:
        """Place one unit, if some node (of those given) takes it; none is moved again."""
        options: Iterable[Option] = self.options[unit.name]
        if self.ruled[unit.name]:
            options = list(self._options(unit, _without(promised, unit)))
        fitting = [option for option in options if has_room(unit, state.free_mib[option.target])]
        now = fitting if among is None else [option for option in fitting if option.target in among]
        if not now:
            return False
        best = min(now, key=lambda option: (*prefer(state, unit, option), option.target))
        self._take(unit, best, len(fitting), state, placement)
        promised.update((vm.name, best.target) for vm in unit.vms)
        return True

    def _makespan_s(self, placement: Placement) -> float:
        moves = (
            wanted_move(self.cluster, vm, target, placement.after.get(vm, ()), placement.order.get(vm))
            for vm, target in placement.targets.items()
            if self.cluster.vm_by_name[vm].holds_memory
        )
        return max((end_s for _, end_s, _ in schedule(moves)), default=0.0)

    def _least_bound_s(self, placement: Placement) -> float:
        """Each unit takes its shortest duration, and all its options are possible targets."""
        placed = [
            unit for unit in self.units if unit.live and unit.name in placement.targets and self.options[unit.name]
        ]
        possible = {option.target for unit in placed for option in self.options[unit.name]}
        shortest = [
            (unit.live[0].node, min(option.duration_s for option in self.options[unit.name])) for unit in placed
        ]
        return lower_bound_s(shortest, len(possible))


def _without(promised: Mapping[str, str], unit: Unit) -> dict[str, str]:
    own = {vm.name for vm in unit.vms}
    return {name: node for name, node in promised.items() if name not in own}


def _why(unit: Unit, option: Option, fitting: int, state: Loads) -> str:
    if fitting == 1:
        choice = "the only node with room that it may go to"
    elif option.preferred and any(vm.preferred_owners for vm in unit.vms):
        choice = f"a preferred owner, of {fitting} nodes it may go to"
    else:
        choice = f"of {fitting} nodes it may go to"
    return f"{choice}; {state.free_mib[option.target]} MiB stay free there"
