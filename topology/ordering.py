"""In which order moves can be made live: the moving VM counts at both ends, and every hard rule holds at every step.

Only moves among nodes that stay in service can be in each other's way; who merely leaves a node that is being emptied
for a node with room for all comers needs no order at all. Where it matters, orders are searched depth first; a set of
moves that turned out to be a dead end is entered only once. From an order follows who waits for whom: as little as
keeps every parallel run of the moves as valid as the order itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.eligibility import disks_of
from shunter.topology.model import AffinityRule, Cluster

MOST_STEPS = 4_000


@dataclass(frozen=True, slots=True)
class Order:
    """`steps`: the VMs in a valid order, or None; then `decided` tells whether there is none or none was found.

    `after`: VM → the VMs whose moves must be over before its own may start.
    """

    steps: tuple[str, ...] | None
    after: Mapping[str, frozenset[str]] = field(default_factory=dict)
    decided: bool = True


def order_of(cluster: Cluster, moves: Mapping[str, str], promised: Mapping[str, str] | None = None) -> Order:
    """An order for these live moves (VM → target), each made once, straight to its target.

    `promised`: moves decided elsewhere; they take their room on the target and give none back on the source.
    """
    state = _State(cluster, moves, promised or {})
    steps = list(state.make_harmless(moves))
    rest = [vm for vm in sorted(moves) if vm not in state.made]
    search = _Search(state, rest)
    found = search.run()
    if found is None:
        return Order(None, decided=search.steps <= MOST_STEPS)
    steps += found
    return Order(tuple(steps), waits(cluster, moves, steps, promised or {}))


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Moves of which none can be the first to be made, unless VMs that are not of them leave its target before.

    `lacking_mib`: VM → what must leave its target; not told of those that wait for another of `vms` in any case.
    """

    vms: tuple[str, ...]
    lacking_mib: Mapping[str, int]


def deadlock(cluster: Cluster, moves: Mapping[str, str], promised: Mapping[str, str] | None = None) -> Deadlock | None:
    """What is left of these live moves (VM → target) when all that can be made are; None where that is no deadlock."""
    state = _State(cluster, moves, promised or {})
    left = sorted(moves)
    while (vm := next((vm for vm in left if state.is_possible(vm)), None)) is not None:
        state.make(vm)
        left.remove(vm)
    free_mib = room_mib(cluster, promised or {})
    lacking_mib = {
        vm: cluster.vm_by_name[vm].memory_mib - free_mib[moves[vm]] for vm in left if not state.is_too_close(vm)
    }
    stuck = left and all(mib > 0 for mib in lacking_mib.values())
    return Deadlock(tuple(left), lacking_mib) if stuck else None


def order_of_roles(cluster: Cluster, targets: Mapping[str, str]) -> tuple[str, ...] | None:
    """An order for VMs that do not run (VM → target): who is kept apart from one comes only when that one has left.

    They hold no memory, so that what can be done now can never be in the way later. None: there is no such order.
    """
    place = {vm: cluster.vm_by_name[vm].node for vm in targets}
    left, order = list(targets), list[str]()
    while left:
        vm = next((vm for vm in left if not _meets(cluster, vm, targets[vm], place)), None)
        if vm is None:
            return None
        left.remove(vm)
        order.append(vm)
        place[vm] = targets[vm]
    return tuple(order)


def _meets(cluster: Cluster, vm: str, target: str, place: Mapping[str, str]) -> bool:
    return any(
        near(cluster, rule, target, there) and not near(cluster, rule, place[vm], there)
        for rule in hard_apart(cluster, vm)
        for other in rule.vms
        if other != vm
        for there in (place.get(other) or cluster.vm_by_name[other].node,)
    )


class _State:
    """Where every VM is after the moves made so far, what is free, and which moves are possible now."""

    def __init__(self, cluster: Cluster, moves: Mapping[str, str], promised: Mapping[str, str]) -> None:
        self.cluster, self.moves = cluster, moves
        self.free_mib = room_mib(cluster, promised)
        self.made: set[str] = set()
        self.riders = {vm: riders(cluster, vm) for vm in moves}
        self.place = {name: cluster.vm_by_name[vm].node for vm in moves for name in (vm, *self.riders[vm])}
        self.promised = promised

    def is_possible(self, vm: str) -> bool:
        target = self.moves[vm]
        return self.cluster.vm_by_name[vm].memory_mib <= self.free_mib[target] and not self.is_too_close(vm)

    def make(self, vm: str) -> None:
        source, target, mib = self._ends(vm)
        self.free_mib[target] -= mib
        self.free_mib[source] += mib
        self.place |= dict.fromkeys((vm, *self.riders[vm]), target)
        self.made.add(vm)

    def undo(self, vm: str) -> None:
        source, target, mib = self._ends(vm)
        self.free_mib[target] += mib
        self.free_mib[source] -= mib
        self.place |= dict.fromkeys((vm, *self.riders[vm]), source)
        self.made.discard(vm)

    def _ends(self, vm: str) -> tuple[str, str, int]:
        machine = self.cluster.vm_by_name[vm]
        return machine.node, self.moves[vm], machine.memory_mib

    def is_too_close(self, vm: str) -> bool:
        source, target, _ = self._ends(vm)
        return any(
            near(self.cluster, rule, target, place) and not near(self.cluster, rule, source, place)
            for mover in (vm, *self.riders[vm])
            for rule in hard_apart(self.cluster, mover)
            for other in rule.vms
            if other != mover
            for place in self._places(other)
        )

    def _places(self, vm: str) -> Collection[str]:
        now = self.place.get(vm) or self.cluster.vm_by_name[vm].node
        going = self.promised.get(vm) or self.cluster.heading.get(vm)
        return (now,) if going is None else (now, going)

    def _is_kept_apart(self, vm: str) -> bool:
        return any(True for mover in (vm, *self.riders[vm]) for _ in hard_apart(self.cluster, mover))

    def make_harmless(self, moves: Iterable[str]) -> Iterator[str]:
        """Make, as long as there are any, moves that nobody can mind: their targets have room for all who come."""
        left = sorted(moves)
        while True:
            coming_mib: dict[str, int] = {}
            for vm in left:
                _, target, mib = self._ends(vm)
                coming_mib[target] = coming_mib.get(target, 0) + mib
            harmless = [
                vm
                for vm in left
                if coming_mib[self.moves[vm]] <= self.free_mib[self.moves[vm]] and not self._is_kept_apart(vm)
            ]
            if not harmless:
                return
            for vm in harmless:
                self.make(vm)
                yield vm
            left = [vm for vm in left if vm not in self.made]


class _Search:
    def __init__(self, state: _State, moves: Sequence[str]) -> None:
        self.state, self.moves = state, moves
        self.dead: set[frozenset[str]] = set()
        self.steps = 0

    def run(self) -> list[str] | None:
        """Depth first, with a stack of what is still to be tried at each depth."""
        if not self.moves:
            return []
        chosen: list[str] = []
        untried = [self._candidates(frozenset())]
        while untried:
            vm = next(untried[-1], None)
            if vm is None:
                untried.pop()
                self.dead.add(frozenset(chosen))
                if chosen:
                    self.state.undo(chosen.pop())
                continue
            self.steps += 1
            if self.steps > MOST_STEPS:
                return None
            self.state.make(vm)
            chosen.append(vm)
            made = frozenset(chosen)
            if len(made) == len(self.moves):
                return chosen
            if made in self.dead:
                self.state.undo(chosen.pop())
            else:
                untried.append(self._candidates(made))
        return None

    def _candidates(self, made: frozenset[str]) -> Iterator[str]:
        """What can be made now; first who leaves the node that lacks most for those who want to come there."""
        left = [vm for vm in self.moves if vm not in made]
        lacking: dict[str, int] = {}
        for vm in left:
            machine = self.state.cluster.vm_by_name[vm]
            lacking[self.state.moves[vm]] = lacking.get(self.state.moves[vm], 0) + machine.memory_mib
        for node in lacking:
            lacking[node] -= self.state.free_mib[node]

        def urgency(vm: str) -> tuple[int, int, str]:
            machine = self.state.cluster.vm_by_name[vm]
            return (lacking[self.state.moves[vm]] - lacking.get(machine.node, -(2**40)), -machine.memory_mib, vm)

        return iter([vm for vm in sorted(left, key=urgency) if self.state.is_possible(vm)])


def waits(
    cluster: Cluster, moves: Mapping[str, str], steps: Sequence[str], promised: Mapping[str, str]
) -> dict[str, frozenset[str]]:
    """Who waits for whom, so that the moves may overlap and still find their room and keep their rules.

    Room: if every comer waits for as many of those who leave the node before it (in the order) as all comers up to it
    need together, then whatever subset of them has started, the room is there. Rules: who comes near to a place waits
    until the other has left it.
    """
    free_mib = room_mib(cluster, promised)
    needed_mib: dict[str, int] = {}
    left: dict[str, list[str]] = {}
    left_before: dict[str, dict[str, str]] = {}
    after: dict[str, frozenset[str]] = {}
    for vm in steps:
        machine, target = cluster.vm_by_name[vm], moves[vm]
        needed_mib[target] = needed_mib.get(target, 0) + machine.memory_mib
        waits = set(_enough(cluster, left.get(target, ()), needed_mib[target] - free_mib[target]))
        for mover in (vm, *riders(cluster, vm)):
            for rule in hard_apart(cluster, mover):
                for other in rule.vms:
                    was_on = cluster.vm_by_name[other].node
                    leader = left_before.get(was_on, {}).get(other)
                    if leader not in (None, vm) and near(cluster, rule, target, was_on):
                        waits.add(str(leader))
        if waits:
            after[vm] = frozenset(waits)
        left.setdefault(machine.node, []).append(vm)
        left_before.setdefault(machine.node, {}).update(dict.fromkeys((vm, *riders(cluster, vm)), vm))
    return after


def _enough(cluster: Cluster, leaving: Sequence[str], needed_mib: int) -> Iterator[str]:
    for vm in leaving:
        if needed_mib <= 0:
            return
        needed_mib -= cluster.vm_by_name[vm].memory_mib
        yield vm


def room_mib(cluster: Cluster, promised: Mapping[str, str]) -> dict[str, int]:
    """What is free on each node once the promised moves have arrived, nothing given back where they come from."""
    free = {node.name: cluster.free_mib(node.name) for node in cluster.nodes}
    for vm, target in promised.items():
        mover = cluster.vm_by_name[vm]
        if mover.holds_memory and target not in (mover.node, cluster.heading.get(vm)):
            free[target] -= mover.memory_mib
    return free


def riders(cluster: Cluster, vm: str) -> tuple[str, ...]:
    """The VMs that do not run and come along when this one moves, because they share a disk with it (R11)."""
    machine = cluster.vm_by_name[vm]
    return tuple(
        other.name
        for disk in disks_of(cluster, machine)
        for other in cluster.vms_by_disk[disk]
        if other.node == machine.node and not other.holds_memory and other.name != vm
    )


def hard_apart(cluster: Cluster, vm: str) -> Iterator[AffinityRule]:
    """The hard rules that keep this VM away from others."""
    return (r for r in cluster.rules_by_vm.get(vm, ()) if not r.soft and r.kind.startswith("different"))


def near(cluster: Cluster, rule: AffinityRule, one: str, other: str) -> bool:
    """Whether two nodes are one in the eyes of the rule: the same node or, where it is about them, fault domain."""
    if one == other or not rule.kind.endswith("fault_domain"):
        return one == other
    domain = cluster.node_by_name[one].fault_domain
    return domain is not None and domain == cluster.node_by_name[other].fault_domain
