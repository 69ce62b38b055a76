"""When no order of straight moves is valid live: the fewest steps that get there all the same, some VM making a detour.

Two VMs that must change places with no room for a third need a node to step aside to; a best-first search (A*, with
the number of VMs that are not yet where they belong as its admissible estimate) finds the shortest such sequence.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from shunter.topology.eligibility import BETWEEN, FitNodes
from shunter.topology.model import Cluster
from shunter.topology.ordering import hard_apart, near, order_of, order_of_roles, riders, room_mib, waits

MOST_STATES = 20_000
MOST_VMS = 40

Step = tuple[str, str]
"""A VM, and the node that it goes to."""


@dataclass(frozen=True, slots=True)
class Way:
    """How all VMs get where they belong, every step valid live.

    `targets`: VM → node of the moves that come first, each VM once; `after`: who of them waits for whom. `onward`: the
    steps that follow one by one, of VMs that make a detour or must wait for one. `steps`: all of them in order.
    """

    targets: Mapping[str, str]
    after: Mapping[str, frozenset[str]]
    onward: tuple[Step, ...]
    steps: tuple[Step, ...]


def straight_way(cluster: Cluster, targets: Mapping[str, str], promised: Mapping[str, str] | None = None) -> Way | None:
    """A way to these targets (VM → node) on which every VM moves once. None: none was found.

    `promised`: moves decided elsewhere (VM → node); they hold their room on both nodes.
    """
    live = {vm: to for vm, to in targets.items() if cluster.vm_by_name[vm].holds_memory}
    order = order_of(cluster, live, promised)
    if order.steps is None or not _roles_can_follow(cluster, targets):
        return None
    return Way(targets, order.after, (), tuple((vm, live[vm]) for vm in order.steps))


def way_with_detours(
    cluster: Cluster,
    targets: Mapping[str, str],
    options: Mapping[str, tuple[str, ...]],
    promised: Mapping[str, str] | None = None,
) -> Way | None:
    """The shortest way to these targets, whoever must make a detour. None: none was found.

    `options`: the nodes that each VM that may be moved at all may go to; those not in `targets` end where they are.
    """
    live = {vm: to for vm, to in targets.items() if cluster.vm_by_name[vm].holds_memory}
    if len(live) > MOST_VMS or not _roles_can_follow(cluster, targets):
        return None
    steps = _Search(cluster, _movable(cluster, live, options), live, options, promised or {}).run()
    if steps is None:
        return None
    straight = dict(_until_one_returns(steps))
    after = waits(cluster, straight, list(straight), promised or {})
    off = {vm: to for vm, to in targets.items() if vm not in live}
    return Way(straight | off, after, steps[len(straight) :], steps)


def _roles_can_follow(cluster: Cluster, targets: Mapping[str, str]) -> bool:
    """Whether what does not run can go, once all that runs is where it belongs."""
    live = {vm: to for vm, to in targets.items() if cluster.vm_by_name[vm].holds_memory}
    along = {rider: to for vm, to in live.items() for rider in riders(cluster, vm)}
    off = {vm: to for vm, to in targets.items() if vm not in live and vm not in along}
    return order_of_roles(cluster.with_vms_on(live | along), off) is not None if off else True


def _until_one_returns(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps up to the first of a VM that has moved already."""
    seen: set[str] = set()
    for vm, node in steps:
        if vm in seen:
            return
        seen.add(vm)
        yield vm, node


def _movable(cluster: Cluster, targets: Mapping[str, str], options: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Those that must move first, then those that are in their way."""
    nodes = {node for vm, target in targets.items() for node in (cluster.vm_by_name[vm].node, target)}
    in_the_way = [vm for vm in options if vm not in targets and options[vm] and cluster.vm_by_name[vm].node in nodes]
    return (*targets, *in_the_way[: max(MOST_VMS - len(targets), 0)])


class _Search:
    def __init__(
        self,
        cluster: Cluster,
        vms: tuple[str, ...],
        targets: Mapping[str, str],
        options: Mapping[str, tuple[str, ...]],
        promised: Mapping[str, str],
    ) -> None:
        self.cluster, self.vms, self.options, self.promised = cluster, vms, options, promised
        self.start = tuple(cluster.vm_by_name[vm].node for vm in vms)
        self.goal = tuple(targets.get(vm, home) for vm, home in zip(vms, self.start, strict=True))
        self.mib = [cluster.vm_by_name[vm].memory_mib for vm in vms]
        self.free_mib = room_mib(cluster, promised)
        self.riders = [riders(cluster, vm) for vm in vms]
        self.between = FitNodes(cluster, [node.name for node in cluster.nodes], checks=BETWEEN)
        self.index = {name: i for i, vm in enumerate(vms) for name in (vm, *self.riders[i])}

    def run(self) -> tuple[Step, ...] | None:
        came_from: dict[tuple[str, ...], tuple[tuple[str, ...], Step] | None] = {self.start: None}
        order = count()
        queue = [(self._to_do(self.start), 0, next(order), self.start)]
        while queue:
            _, steps, _, state = heapq.heappop(queue)
            if state == self.goal:
                return self._path(came_from, state)
            for step, after in self._steps(state):
                if after not in came_from:
                    came_from[after] = (state, step)
                    heapq.heappush(queue, (steps + 1 + self._to_do(after), steps + 1, next(order), after))
            if len(came_from) > MOST_STATES:
                return None
        return None

    def _to_do(self, state: tuple[str, ...]) -> int:
        return sum(here != there for here, there in zip(state, self.goal, strict=True))

    def _path(
        self, came_from: Mapping[tuple[str, ...], tuple[tuple[str, ...], Step] | None], state: tuple[str, ...]
    ) -> tuple[Step, ...]:
        steps = []
        while (before := came_from[state]) is not None:
            state, step = before
            steps.append(step)
        return tuple(reversed(steps))

    def _steps(self, state: tuple[str, ...]) -> Iterator[tuple[Step, tuple[str, ...]]]:
        free = dict(self.free_mib)
        for i, node in enumerate(state):
            free[self.start[i]] += self.mib[i]
            free[node] -= self.mib[i]
        for i, vm in enumerate(self.vms):
            for node in dict.fromkeys((self.goal[i], *self.options.get(vm, ()))):
                if node == state[i] or self.mib[i] > free[node] or not self._leads_to(i, state[i], node):
                    continue
                if not self._too_close(vm, node, state):
                    yield (vm, node), (*state[:i], node, *state[i + 1 :])

    def _leads_to(self, i: int, here: str, node: str) -> bool:
        """The options say where it may go from where it began."""
        movers = (self.cluster.vm_by_name[name] for name in (self.vms[i], *self.riders[i]))
        return here == self.start[i] or all(
            node in self.between.of(vm.model_copy(update={"node": here})) for vm in movers
        )

    def _too_close(self, vm: str, node: str, state: tuple[str, ...]) -> bool:
        here = state[self.index[vm]]
        return any(
            near(self.cluster, rule, node, place) and not near(self.cluster, rule, here, place)
            for mover in (vm, *self.riders[self.index[vm]])
            for rule in hard_apart(self.cluster, mover)
            for other in rule.vms
            if other != mover
            for place in self._places(other, state)
        )

    def _places(self, vm: str, state: tuple[str, ...]) -> tuple[str, ...]:
        now = state[self.index[vm]] if vm in self.index else self.cluster.vm_by_name[vm].node
        going = self.promised.get(vm) or self.cluster.heading.get(vm)
        return (now,) if going is None else (now, going)
