"""What comes next in a rolling run: the one decision that the forecast and the run itself share.

Nodes take their turns in an order. Those whose turn it is, and a few ahead of them, are drained, the largest VM first,
to nodes that are done already, or that stay: so each VM moves once. Only the first nodes, the seeds, are drained while
none is done, to nodes whose turn comes late. A node that is empty leaves as soon as the reserve, the votes and those
that must not be away with it allow; until then it is itself the reserve. Continuous: nothing waits for a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from shunter.topology.model import AffinityRule, Cluster
from shunter.topology.quorum import votes_of
from shunter.topology.rolling.fleet import FINISHED, Fleet, Phase
from shunter.topology.rolling.reserve import Reserve

MOST_VMS_TRIED = 12
"""Of a node that is drained: how many sizes of VM are tried at one moment before it waits."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """`order`: of the turns. `seeds`: how many of the first are drained while no node is done. `ahead`: how many nodes
    are drained beyond those that may leave. `parallel`: how many may be away at once. `spread`: where VMs of the seeds
    go, to the nodes whose turn comes last or to those with most room.
    """

    order: tuple[str, ...]
    parallel: int
    seeds: int = 1
    ahead: int = 1
    spread: Literal["latest", "roomiest"] = "latest"


class Leave(NamedTuple):
    """The node is empty and its maintenance may begin."""

    node: str


class Start(NamedTuple):
    vm: str
    source: str
    target: str


@dataclass(slots=True)
class Deciding:
    """One run under one strategy. `not_with`: node → those that may not be away together with it."""

    fleet: Fleet
    reserve: Reserve
    strategy: Strategy
    not_with: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _seeds: set[str] = field(init=False)
    _turn: dict[str, int] = field(init=False)
    _waits: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._seeds = set(self.strategy.order[: self.strategy.seeds])
        self._turn = {node: i for i, node in enumerate(self.strategy.order)}

    def something_ended(self) -> None:
        """What had to wait may be possible now."""
        self._waits.clear()

    def next(self) -> Leave | Start | None:
        """What to do now; to be asked again once it is done. None: nothing before something ends."""
        active = self.active()
        for node in active:
            if self.fleet.is_empty(node) and node not in self._waits:
                if self._may_leave(node):
                    return Leave(node)
                self._waits.add(node)
        for node in active:
            if node in self.fleet.busy or node in self._waits or not self.fleet.on[node]:
                continue
            start = next(self._starts(node, active), None)
            if start is not None:
                return start
            self._waits.add(node)
        return None

    def unlock(self) -> str | None:
        """Nothing runs and nothing can start: let one more node be drained to nodes that are not done, the one with
        fewest VMs. None where no further one is left.
        """
        left = [node for node in self.pending() if node not in self._seeds and self.fleet.on[node]]
        node = min(left, key=lambda name: (len(self.fleet.on[name]), self._turn[name]), default=None)
        if node is not None:
            self._seeds.add(node)
            self._turn[node] = min(self._turn.values()) - 1
            self._waits.clear()
        return node

    def pending(self) -> list[str]:
        """The nodes whose turn is still to come, in its order."""
        of_order = (node for node in self._turn if self.fleet.phase[node] is Phase.PENDING)
        return sorted(of_order, key=self._turn.__getitem__)

    def active(self) -> list[str]:
        """Those of them that are being drained."""
        free = self.strategy.parallel - self.fleet.count(Phase.AWAY)
        return self.pending()[: max(free, 0) + self.strategy.ahead]

    # -------------------------------------------------------------- leaving

    def _may_leave(self, node: str) -> bool:
        away = {name for name, phase in self.fleet.phase.items() if phase is Phase.AWAY}
        if len(away) >= self.strategy.parallel:
            return False
        if away & self.not_with.get(node, frozenset()):
            return False
        if not votes_of(self.fleet.cluster, away=away | {node}).is_majority:
            return False
        return self.reserve.allows_leaving(node)

    # -------------------------------------------------------------- starting

    def _starts(self, node: str, active: list[str]) -> Iterator[Start]:
        """What the node could send now, the best first; the reserve is kept."""
        fleet = self.fleet
        finished = [name for name in fleet.taking() if fleet.phase[name] in FINISHED and name not in fleet.busy]
        drained = {*self._seeds, *(active if any(phase in FINISHED for phase in fleet.phase.values()) else ())}
        late = [
            name
            for name in fleet.taking()
            if fleet.phase[name] is Phase.PENDING and name not in drained and name not in fleet.busy
        ]
        tried: set[tuple[int, frozenset[str]]] = set()
        by_size = sorted(fleet.on[node], key=lambda vm: (-fleet.vms[vm].memory_mib, vm))
        for vm in by_size:
            alike = (fleet.vms[vm].memory_mib, fleet.fitness.of(vm))
            is_tied = vm in fleet.cluster.rules_by_vm
            if alike in tried and not is_tied:
                continue
            if len(tried) >= MOST_VMS_TRIED:
                return
            tried.add(alike)
            for target in self._targets(vm, node, finished, late, active):
                if self.reserve.allows_start(vm, target):
                    yield Start(vm, node, target)

    def _targets(self, vm: str, node: str, finished: list[str], late: list[str], active: list[str]) -> Iterator[str]:
        """The idle nodes to try for this VM: of those that are done the roomiest, then the tightest."""
        fit, mib = self.fleet.fitness.of(vm), self.room_needed_mib(vm)
        allowed = [
            name for name in finished if name in fit and self.fleet.free_mib[name] >= mib and self._fits(vm, name)
        ]
        yield from self._by_room(vm, allowed)
        if node in self._seeds or self._only_unfinished(fit, node, active):
            others = [
                name for name in late if name in fit and self.fleet.free_mib[name] >= mib and self._fits(vm, name)
            ]
            if self.strategy.spread == "roomiest":
                yield from self._by_room(vm, others)
            else:
                yield from sorted(others, key=lambda name: (*self._wishes(vm, name), -self._turn[name]))[:2]

    def _by_room(self, vm: str, nodes: list[str]) -> Iterator[str]:
        free = self.fleet.free_mib
        ordered = sorted(nodes, key=lambda name: (*self._wishes(vm, name), -free[name], name))
        yield from ordered[:1]
        if len(ordered) > 1:
            yield min(ordered, key=lambda name: (*self._wishes(vm, name), free[name], name))

    def _wishes(self, vm: str, node: str) -> tuple[int, bool]:
        machine = self.fleet.vms[vm]
        rules = self.fleet.cluster.rules_by_vm.get(vm, ())
        soft = sum(rule.soft and self._breaks(vm, node, rule) for rule in rules)
        return soft, bool(machine.preferred_owners) and node not in machine.preferred_owners

    def _only_unfinished(self, fit: frozenset[str], node: str, active: list[str]) -> bool:
        """Whether waiting for a node to be done would be in vain: all that it may go to come later."""
        phase = self.fleet.phase
        return not any(
            phase[name] in FINISHED or phase[name] is Phase.AWAY or name in active for name in fit if name != node
        )

    def room_needed_mib(self, vm: str) -> int:
        """Its own, and that of the VMs that must follow it from its node."""
        fleet = self.fleet
        together = {vm}
        for rule in fleet.cluster.rules_by_vm.get(vm, ()):
            if rule.kind == "same_node" and not rule.soft:
                together |= {name for name in rule.vms if fleet.place.get(name) == fleet.place[vm]}
        return sum(fleet.vms[name].memory_mib for name in together if name not in fleet.heading)

    def _fits(self, vm: str, node: str) -> bool:
        rules = self.fleet.cluster.rules_by_vm.get(vm, ())
        return not any(not rule.soft and self._breaks(vm, node, rule) for rule in rules)

    def _breaks(self, vm: str, node: str, rule: AffinityRule) -> bool:
        """Whether the VM would break the rule there, with the others where they are and where they go.

        Those that must be together follow one another: the first is free to choose.
        """
        fleet, here = self.fleet, self.fleet.place[vm]
        for name in rule.vms:
            if name == vm or name not in fleet.place:
                continue
            places = {fleet.place[name], fleet.heading.get(name, fleet.place[name])}
            if rule.kind.startswith("different"):
                if any(_close(fleet.cluster, rule, node, place) for place in places):
                    return True
            elif (fleet.place[name] != here or name in fleet.heading) and not _close(
                fleet.cluster, rule, node, fleet.heading.get(name, fleet.place[name])
            ):
                return True
        return False


def _close(cluster: Cluster, rule: AffinityRule, one: str, other: str) -> bool:
    if one == other or not rule.kind.endswith("fault_domain"):
        return one == other
    domain = cluster.node_by_name[one].fault_domain
    return domain is not None and domain == cluster.node_by_name[other].fault_domain
