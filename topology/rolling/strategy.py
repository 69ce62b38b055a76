"""What comes next in a rolling run: the one decision that the forecast and the run itself share.

Nodes take their turns in an order. Those whose turn it is, and a few ahead of them, are drained, the largest VM first,
to nodes that are done already, or that stay: so each VM moves once. Only the first nodes, the seeds, are drained while
none is done, to nodes whose turn comes late. A node that is empty leaves as soon as the reserve, the votes and those
that must not be away with it allow; until then it is itself the reserve. Continuous: nothing waits for a group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from shunter.topology.model import AffinityRule, Cluster
from shunter.topology.quorum import votes_of
from shunter.topology.rolling.fleet import FINISHED, Fleet, Phase
from shunter.topology.rolling.reserve import Reserve

MOST_VMS_TRIED = 12
"""Of a node that is drained: how many sizes of VM are tried at one moment before it waits."""


class Errand(NamedTuple):
    """A VM goes to this node when that one is drained."""

    vm: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """`order`: of the turns. `seeds`: how many of the first are drained while no node is done. `ahead`: how many nodes
    are drained beyond those that may leave. `parallel`: how many may be away at once. `spread`: where VMs of the seeds
    go, to the nodes whose turn comes last or to those with most room. `away_mib`: how much memory may be away at once,
    which limits what is drained where nodes differ in size; None: as much as the reserve allows. `first`: nodes that
    leave before all others, in this order, whatever is empty already; not those that could not leave in the forecast.
    `errands`: where VMs go when their node is drained, if they can; all others, and these otherwise, go by the rules.
    """

    order: tuple[str, ...]
    parallel: int
    seeds: int = 1
    ahead: int = 1
    spread: Literal["latest", "roomiest"] = "latest"
    away_mib: int | None = None
    first: tuple[str, ...] = ()
    errands: tuple[Errand, ...] = ()


class Leave(NamedTuple):
    """The node is empty and its maintenance may begin."""

    node: str


class Start(NamedTuple):
    vm: str
    source: str
    target: str


class _Idle(NamedTuple):
    """Nodes that could receive now: those that are done or stay, the roomiest first; those whose turn comes late."""

    finished: list[str]
    late: list[str]


@dataclass(slots=True)
class Deciding:
    """One run under one strategy. `not_with`: node → those that may not be away together with it. `awaited`: of the
    nodes that leave before all others those that all others wait for, whatever keeps them. `thorough`: whether nodes
    may leave without which only a long search finds that the reserve is kept.
    """

    fleet: Fleet
    reserve: Reserve
    strategy: Strategy
    not_with: Mapping[str, frozenset[str]] = field(default_factory=dict)
    awaited: Collection[str] = ()
    thorough: bool = False
    first: list[str] = field(init=False)
    _seeds: set[str] = field(init=False)
    _turn: dict[str, int] = field(init=False)
    _waits: set[str] = field(default_factory=set)
    _rank: Mapping[str, int] = field(init=False)
    _errands: Mapping[tuple[str, str], str] = field(init=False)

    def __post_init__(self) -> None:
        self.first = list(self.strategy.first)
        self._seeds = set(self.strategy.order[: self.strategy.seeds])
        self._turn = {node: i for i, node in enumerate(self.strategy.order)}
        self._rank = self.fleet.by_size
        self._errands = {(errand.vm, errand.source): errand.target for errand in self.strategy.errands}

    def something_ended(self) -> None:
        """What had to wait may be possible now."""
        self._waits.clear()
        self.thorough = False

    def next(self) -> Leave | Start | None:
        """What to do now; to be asked again once it is done. None: nothing before something ends."""
        active = self.active()
        for node in active:
            if self.fleet.is_empty(node) and node not in self._waits:
                if self._may_leave(node):
                    return Leave(node)
                self._waits.add(node)
        idle: _Idle | None = None
        for node in active:
            if node in self.fleet.busy or node in self._waits or not self.fleet.on[node]:
                continue
            idle = idle or self._idle(active)
            start = next(self._starts(node, idle, active), None)
            if start is not None:
                return start
            self._waits.add(node)
        return None

    def search_longer(self) -> bool:
        """Nothing runs and nothing can start: let a node leave without which the reserve is kept all the same, if a
        long search finds that. Whether one can now.
        """
        if self.thorough:
            return False
        self.thorough = True
        able = [node for node in self.active() if self.fleet.is_empty(node) and self._may_leave(node)]
        self._waits.difference_update(able)
        return bool(able)

    def unlock(self, only: str | None = None) -> str | None:
        """Nothing runs and nothing can start: let one more node be drained to nodes that are not done, the one with
        fewest VMs, or `only` this one. None where no further one is left that could leave if it were empty.
        """
        cluster, on = self.fleet.cluster, self.fleet.on
        left = [
            node
            for node in (self.pending() if only is None else [only])
            if node not in self._seeds and on[node] and votes_of(cluster, away={node}).is_majority
        ]
        node = min(left, key=lambda name: (len(self.fleet.on[name]), self._turn[name]), default=None)
        if node is not None:
            self._seeds.add(node)
            self._turn[node] = min(self._turn.values()) - 1
            self._waits.clear()
        return node

    def release(self) -> str | None:
        """Nothing else helps: the node that was to go next keeps the others waiting no longer. None where none did."""
        waiting = self._waiting_first()
        if not waiting:
            return None
        self.first.remove(waiting[0])
        self._waits.clear()
        return waiting[0]

    def pending(self) -> list[str]:
        """The nodes whose turn is still to come, in its order."""
        first = [node for node in self._waiting_first() if self.fleet.phase[node] is Phase.PENDING]
        of_order = [node for node in self._turn if self.fleet.phase[node] is Phase.PENDING and node not in first]
        return [*first, *sorted(of_order, key=self._turn.__getitem__)]

    def may_be_next(self) -> list[str]:
        """Those of them that need wait for no other: the first of those that leave before all others, or all."""
        return self._waiting_first()[:1] or self.pending()

    def to_go_first(self) -> str | None:
        """The node before which no other may leave, if there is one."""
        return next(iter(self._waiting_first()), None)

    def _waiting_first(self) -> list[str]:
        """Of the nodes that leave before all others those that have not left, and whose VMs can go elsewhere, or that
        are awaited all the same.
        """
        fleet = self.fleet
        return [
            node
            for node in self.first
            if node in self.awaited
            or (
                fleet.phase[node] is Phase.PENDING
                and all(vm in fleet.heading or fleet.fitness.of(vm) - {node} for vm in fleet.on[node])
            )
        ]

    def active(self) -> list[str]:
        """Those of them that are being drained."""
        free = max(0, self.strategy.parallel - self.fleet.count(Phase.AWAY))
        pending = self.pending()
        if self.strategy.away_mib is not None:
            free = min(free, self._next_within(self.strategy.away_mib, pending))
        drained = pending[: free + self.strategy.ahead]
        # what is drained so that a node can leave may itself have to wait for that node
        return [*drained, *(node for node in pending if node in self._seeds and node not in drained and self.first)]

    def _next_within(self, away_mib: int, pending: Sequence[str]) -> int:
        """How many of those whose turn comes next may join those that are away."""
        nodes = self.fleet.cluster.node_by_name
        free_mib = away_mib - sum(
            nodes[name].for_vms_mib for name, phase in self.fleet.phase.items() if phase is Phase.AWAY
        )
        for i, name in enumerate(pending):
            free_mib -= nodes[name].for_vms_mib
            if free_mib < 0:
                return i
        return len(pending)

    # -------------------------------------------------------------- leaving

    def _may_leave(self, node: str) -> bool:
        away = {name for name, phase in self.fleet.phase.items() if phase is Phase.AWAY}
        if len(away) >= self.strategy.parallel or node not in (self._waiting_first() or [node])[:1]:
            return False
        if away & self.not_with.get(node, frozenset()):
            return False
        if not votes_of(self.fleet.cluster, away=away | {node}).is_majority:
            return False
        return self.reserve.allows_leaving(node, thorough=self.thorough)

    # -------------------------------------------------------------- starting

    def _idle(self, active: Sequence[str]) -> _Idle:
        fleet = self.fleet
        free, phase = fleet.free_mib, fleet.phase
        there = fleet.taking()
        is_any_done = any(phase[name] in FINISHED for name in there)
        drained = {*self._seeds, *(active if is_any_done else ())}
        idle = [name for name in there if name not in fleet.busy]
        finished = sorted([name for name in idle if phase[name] in FINISHED], key=lambda name: (-free[name], name))
        late = [name for name in idle if phase[name] is Phase.PENDING and name not in drained]
        if self.strategy.spread == "roomiest":
            late.sort(key=lambda name: (-free[name], name))
        else:
            late.sort(key=lambda name: -self._turn[name])
        return _Idle(finished, late)

    def _starts(self, node: str, idle: _Idle, active: Sequence[str]) -> Iterator[Start]:
        """What the node could send now, the best first; the reserve is kept."""
        fleet = self.fleet
        is_seed = node in self._seeds
        roomiest_mib = max(
            fleet.free_mib[idle.finished[0]] if idle.finished else 0,
            max((fleet.free_mib[name] for name in idle.late), default=0),
        )
        tried: set[tuple[int, frozenset[str], str | None]] = set()
        by_size = sorted(fleet.on[node], key=self._rank.__getitem__)
        if fleet.cluster.rules_by_vm:
            # whoever must follow another has one place to go to, and goes before anybody else takes it
            by_size.sort(key=lambda vm: not self.must_follow(vm))
        for vm in by_size:
            mib = fleet.vms[vm].memory_mib
            if mib > roomiest_mib:
                continue
            alike = (mib, fleet.fitness.of(vm), self._errands.get((vm, node)))
            is_tied = vm in fleet.cluster.rules_by_vm
            if alike in tried and not is_tied:
                continue
            if len(tried) >= MOST_VMS_TRIED:
                return
            tried.add(alike)
            for target in self._targets(vm, node, idle, active, is_seed=is_seed):
                if self.reserve.allows_start(vm, target):
                    yield Start(vm, node, target)

    def _targets(self, vm: str, node: str, idle: _Idle, active: Sequence[str], *, is_seed: bool) -> Iterator[str]:
        """The idle nodes to try for this VM: of those that are done the roomiest, then the tightest."""
        fit, mib = self.fleet.fitness.of(vm), self.room_needed_mib(vm)
        wanted = self._errands.get((vm, node))
        if wanted is not None and wanted in self.fleet.taking() and self._takes(wanted, vm, mib, fit):
            if wanted not in self.fleet.busy:
                yield wanted
            return
        yield from self._by_room(vm, [name for name in idle.finished if self._takes(name, vm, mib, fit)])
        if idle.late and (is_seed or self._only_unfinished(fit, node, active)):
            late = [name for name in idle.late if self._takes(name, vm, mib, fit)]
            if self.strategy.spread == "roomiest":
                yield from self._by_room(vm, late)
            else:
                yield from sorted(late, key=lambda name: self._wishes(vm, name))[:2]

    def _takes(self, node: str, vm: str, mib: int, fit: frozenset[str]) -> bool:
        room = self.fleet.free_mib[node] >= mib
        return room and node in fit and node != self.fleet.place[vm] and self._fits(vm, node)

    def _by_room(self, vm: str, nodes: Sequence[str]) -> Iterator[str]:
        """`nodes`: the roomiest first."""
        if not nodes:
            return
        if not self._has_wishes(vm):
            yield nodes[0]
            if len(nodes) > 1:
                yield nodes[-1]
            return
        ordered = sorted(nodes, key=lambda name: self._wishes(vm, name))
        yield ordered[0]
        if len(ordered) > 1:
            best = self._wishes(vm, ordered[0])
            yield [name for name in ordered if self._wishes(vm, name) == best][-1]

    def _has_wishes(self, vm: str) -> bool:
        return bool(self.fleet.vms[vm].preferred_owners) or vm in self.fleet.cluster.rules_by_vm

    def _wishes(self, vm: str, node: str) -> tuple[int, bool]:
        machine = self.fleet.vms[vm]
        rules = self.fleet.cluster.rules_by_vm.get(vm, ())
        soft = sum(rule.soft and self._breaks(vm, node, rule) for rule in rules)
        return soft, bool(machine.preferred_owners) and node not in machine.preferred_owners

    def _only_unfinished(self, fit: frozenset[str], node: str, active: Sequence[str]) -> bool:
        """Whether waiting for a node to be done would be in vain: all that it may go to come later."""
        phase = self.fleet.phase
        return not any(
            phase[name] in FINISHED or phase[name] is Phase.AWAY or name in active for name in fit if name != node
        )

    def must_follow(self, vm: str) -> bool:
        """Whether one that the VM must be with has left its node."""
        fleet, here = self.fleet, self.fleet.place[vm]
        return any(
            name in fleet.place and fleet.heading.get(name, fleet.place[name]) != here
            for rule in self._rules_together(vm)
            for name in rule.vms
        )

    def room_needed_mib(self, vm: str) -> int:
        """Its own, and that of the VMs that must follow it from its node."""
        fleet = self.fleet
        if vm not in fleet.cluster.rules_by_vm:
            return fleet.vms[vm].memory_mib
        return sum(fleet.vms[name].memory_mib for name in self._together(vm) if name not in fleet.heading)

    def _together(self, vm: str) -> set[str]:
        """The VM, and those on its node that must end where it does."""
        fleet, here = self.fleet, self.fleet.place[vm]
        found, new = {vm}, [vm]
        while new:
            rules = (rule for rule in self._rules_together(new.pop()) if rule.kind == "same_node")
            added = {name for rule in rules for name in rule.vms if fleet.place.get(name) == here} - found
            found |= added
            new += added
        return found

    def _rules_together(self, vm: str) -> Iterator[AffinityRule]:
        rules = self.fleet.cluster.rules_by_vm.get(vm, ())
        return (rule for rule in rules if rule.kind.startswith("same") and not rule.soft)

    def _fits(self, vm: str, node: str) -> bool:
        """Whether rules allow it there, and allow those that must follow it there to come, too."""
        if vm not in self.fleet.cluster.rules_by_vm:
            return True
        fleet, together = self.fleet, self._together(vm)
        if any(name not in fleet.heading and node not in fleet.fitness.of(name) for name in together):
            return False
        return all(self._keeps_rules(name, node) for name in together) and self._can_be_joined(vm, node)

    def _keeps_rules(self, vm: str, node: str) -> bool:
        rules = self.fleet.cluster.rules_by_vm.get(vm, ())
        return not any(not rule.soft and self._breaks(vm, node, rule) for rule in rules)

    def _can_be_joined(self, vm: str, node: str) -> bool:
        """Whether those that must be in one fault domain with it may be somewhere in that of the node."""
        fleet = self.fleet
        return all(
            any(close(fleet.cluster, rule, node, other) for other in fleet.fitness.of(name))
            for rule in self._rules_together(vm)
            if rule.kind == "same_fault_domain"
            for name in rule.vms
            if name not in fleet.heading and fleet.place.get(name) == fleet.place[vm]
        )

    def _breaks(self, vm: str, node: str, rule: AffinityRule) -> bool:
        """Whether the VM would break the rule there, with the others where they are and where they go.

        Those that must be together follow one another: the first is free to choose.
        """
        fleet, here = self.fleet, self.fleet.place[vm]
        for name in rule.vms:
            place = fleet.place.get(name, fleet.resting.get(name, fleet.fixed.get(name)))
            if name == vm or place is None:
                continue
            ends_on = fleet.heading.get(name, place)
            if name in fleet.fixed and not rule.kind.startswith("different"):
                if not close(fleet.cluster, rule, node, place):
                    return True
            elif rule.kind.startswith("different"):
                if any(
                    close(fleet.cluster, rule, node, at) for at in {place, ends_on, fleet.settling.get(name, place)}
                ):
                    return True
            elif (place != here or ends_on != place) and not close(fleet.cluster, rule, node, ends_on):
                return True
        return False


def close(cluster: Cluster, rule: AffinityRule, one: str, other: str) -> bool:
    """Whether the rule takes these nodes for one place."""
    if one == other or not rule.kind.endswith("fault_domain"):
        return one == other
    domain = cluster.node_by_name[one].fault_domain
    return domain is not None and domain == cluster.node_by_name[other].fault_domain
