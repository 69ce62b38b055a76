"""What is best for a small cluster, found by trying: an opinion that shares no code with the planners.

For clusters of up to four nodes and seven VMs or so. Of the rules it uses `topology/recheck/fitness.py` alone. VMs that
do not run count only where they share a disk with one that does, and then move with it (R11); clusters where another
would matter, and such with migrations under way, are refused with a ValueError.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from typing import Literal

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.recheck.fitness import close, misfits

MOST_STATES = 40_000

Where = tuple[int, ...]
"""The index of the node of each group."""


def fewest_moves(cluster: Cluster, emptied: Collection[str] = (), *, helped: bool = True) -> int | None:
    """The fewest running VMs that must move so that the emptied nodes hold no running VM and the rest is in order.

    With `emptied` nodes, what was out of order before may stay so if nobody in it moves; with none (a repair) all must
    be in order. `helped`: VMs that need not leave may move, too. None where there is no such placement.
    """
    small = _Small(cluster, emptied)
    best: int | None = None
    for _, moves in small.placements(all_leave=True, helped=helped):
        best = moves if best is None else min(best, moves)
    return best


def most_placed(cluster: Cluster, emptied: Collection[str], *, helped: bool = True) -> int:
    """The largest number of VMs that can leave the emptied nodes together, the others staying on them.

    What is off counts where it goes along with what runs.
    """
    small = _Small(cluster, emptied)
    return max(small.placed(where) for where, _ in small.placements(all_leave=False, helped=helped))


def most_placed_live(cluster: Cluster, emptied: Collection[str]) -> int | Literal["undecided"]:
    """The same as far as live migrations get there, one at a time."""
    small = _Small(cluster, emptied)
    best, seen, left = 0, {small.start}, [small.start]
    while left:
        where = left.pop()
        if small.placed(where) > best and small.is_sound(where):
            best = small.placed(where)
        new = [after for after in small.live_steps(where) if after not in seen]
        seen.update(new)
        left += new
        if len(seen) > MOST_STATES:
            return "undecided"
    return best


def fewest_live_steps(cluster: Cluster, emptied: Collection[str] = ()) -> int | Literal["undecided"] | None:
    """The fewest live migrations, one at a time, that get there, whoever moves how often.

    A mover needs room on its target while it still has its room on the source, and never comes near to somebody that a
    rule keeps it away from unless it was near before. None where no sequence leads there.
    """
    small = _Small(cluster, emptied)
    start = tuple(group.home for group in small.groups)
    steps_to = {start: 0}
    order = count()
    queue = [(small.at_least(start), 0, next(order), start)]
    while queue:
        _, steps, _, where = heapq.heappop(queue)
        if steps > steps_to[where]:
            continue
        if small.is_goal(where):
            return steps
        if len(steps_to) > MOST_STATES:
            return "undecided"
        for after in small.live_steps(where):
            if steps + 1 < steps_to.get(after, MOST_STATES):
                steps_to[after] = steps + 1
                heapq.heappush(queue, (steps + 1 + small.at_least(after), steps + 1, next(order), after))
    return None


def is_in_order(cluster: Cluster) -> bool:
    """Whether nothing stands where it must not."""
    return fewest_moves(cluster) == 0


@dataclass(frozen=True, slots=True)
class _Group:
    """What moves as one: a running VM and what does not run but shares a disk with it."""

    vms: tuple[VirtualMachine, ...]
    mib: int
    home: int
    must: bool
    wrong: frozenset[int]
    """The nodes where it must not stand."""
    fit: tuple[frozenset[int], ...]
    """By the node that it is on: the nodes that it may go to, room and the others apart."""


class _Small:
    def __init__(self, cluster: Cluster, emptied: Collection[str]) -> None:
        if cluster.migrations:
            raise ValueError("a migration is under way: only a cluster at rest can be tried out")
        self.cluster, self.emptied = cluster, frozenset(emptied)
        self.nodes = [node.name for node in cluster.nodes]
        self.room = [node.memory_mib - node.reserved_mib for node in cluster.nodes]
        self.groups = [self._group(vm) for vm in cluster.vms if vm.state in ("running", "paused")]
        self.group_of = {vm.name: i for i, group in enumerate(self.groups) for vm in group.vms}
        self._refuse_what_would_matter()
        self.pairs = list(self._pairs())
        self.start = tuple(group.home for group in self.groups)
        self.broken_before = frozenset(pair for pair in self.pairs if self._is_broken(pair, self.start))
        self.full_before = frozenset(i for i, mib in enumerate(self._used(self.start)) if mib > self.room[i])

    def _group(self, vm: VirtualMachine) -> _Group:
        disks = {name for name in vm.volumes if self.cluster.volume_by_name[name].kind == "disk"}
        sharing = [other for other in self.cluster.vms if other is not vm and disks & set(other.volumes)]
        stuck = any(other.state in ("running", "paused") for other in sharing)
        members = (vm, *(other for other in sharing if other.state not in ("running", "paused")))
        names = range(len(self.nodes))
        return _Group(
            vms=members,
            mib=vm.memory_mib,
            home=self.nodes.index(vm.node),
            must=vm.node in self.emptied,
            wrong=frozenset(i for i in names if any(self._may_not_stand(member, i) for member in members)),
            fit=tuple(frozenset() if stuck else frozenset(self._targets(members, source)) for source in names),
        )

    def _targets(self, members: Sequence[VirtualMachine], source: int) -> Iterator[int]:
        states = {volume.name: volume.state for volume in self.cluster.volumes}
        for i, node in enumerate(self.cluster.nodes):
            if i == source or node.state != "up" or node.name in self.emptied:
                continue
            against = (
                reason for vm in members for reason in misfits(self.cluster, vm, self.nodes[source], node.name, states)
            )
            if not any(vm.backup for vm in members) and next(against, None) is None:
                yield i

    def _may_not_stand(self, vm: VirtualMachine, i: int) -> bool:
        node = self.cluster.nodes[i]
        reaching = [self.cluster.volume_by_name[name].reachable_from for name in vm.volumes]
        return (
            bool(vm.possible_owners and node.name not in vm.possible_owners)
            or not {s.casefold() for s in vm.switches} <= {s.casefold() for s in node.switches}
            or any(nodes and node.name not in nodes for nodes in reaching)
        )

    def _refuse_what_would_matter(self) -> None:
        ruled = {vm for rule in self.cluster.affinity_rules if not rule.soft for vm in rule.vms}
        for vm in self.cluster.vms:
            if vm.name in self.group_of:
                leader = self.groups[self.group_of[vm.name]].vms[0]
                if vm.node != leader.node:
                    raise ValueError(f"{vm.name} shares a disk with {leader.name} and is not on its node")
            elif vm.name in ruled or self._may_not_stand(vm, self.nodes.index(vm.node)):
                raise ValueError(f"{vm.name} is {vm.state}, and rules speak of it")

    def _pairs(self) -> Iterator[tuple[str, int, int]]:
        """Kind of a hard rule, and the two groups that it speaks of."""
        for rule in self.cluster.affinity_rules:
            if not rule.soft:
                for one, other in combinations(rule.vms, 2):
                    yield rule.kind, self.group_of[one], self.group_of[other]

    # -------------------------------------------------------------- what holds

    def _used(self, where: Where) -> list[int]:
        used = [0] * len(self.nodes)
        for i, group in zip(where, self.groups, strict=True):
            used[i] += group.mib
        return used

    def _is_broken(self, pair: tuple[str, int, int], where: Where) -> bool:
        kind, one, other = pair
        near = close(self.cluster, kind, self.nodes[where[one]], self.nodes[where[other]])
        return near is kind.startswith("different")

    def is_sound(self, where: Where) -> bool:
        """Whether everything is in order; where nodes are emptied, what nobody touched apart."""
        moved = {i for i, group in enumerate(self.groups) if where[i] != group.home}
        joined = {where[i] for i in moved}
        for node, mib in enumerate(self._used(where)):
            untouched = self.emptied and node in self.full_before and node not in joined
            if mib > self.room[node] and not untouched:
                return False
        for pair in self.pairs:
            if self._is_broken(pair, where):
                untouched = self.emptied and pair in self.broken_before and not moved & {pair[1], pair[2]}
                if not untouched:
                    return False
        return all(
            where[i] not in group.wrong or (self.emptied and where[i] == group.home)
            for i, group in enumerate(self.groups)
        )

    def placed(self, where: Where) -> int:
        """How many VMs have left the emptied nodes."""
        return sum(len(group.vms) for i, group in enumerate(self.groups) if group.must and where[i] != group.home)

    def is_goal(self, where: Where) -> bool:
        return self.at_least(where) == 0 and self.is_sound(where)

    def at_least(self, where: Where) -> int:
        """So many moves are needed at least: of whoever stands where it must not."""
        return sum(
            where[i] == group.home if group.must else not self.emptied and where[i] in group.wrong
            for i, group in enumerate(self.groups)
        )

    # -------------------------------------------------------------- what is possible

    def placements(self, *, all_leave: bool, helped: bool) -> Iterator[tuple[Where, int]]:
        """Every sound placement, with the number of those that move."""

        def extend(where: Where, used: tuple[int, ...]) -> Iterator[Where]:
            i = len(where)
            if i == len(self.groups):
                if self.is_sound(where):
                    yield where
                return
            group = self.groups[i]
            moving = group.fit[group.home] if group.must or helped else frozenset()
            staying = () if group.must and all_leave else (group.home,)
            for node in (*staying, *sorted(moving)):
                fits = used[node] + group.mib <= self.room[node]
                if fits or node == group.home:
                    yield from extend((*where, node), (*used[:node], used[node] + group.mib, *used[node + 1 :]))

        for where in extend((), (0,) * len(self.nodes)):
            yield where, sum(node != group.home for node, group in zip(where, self.groups, strict=True))

    def live_steps(self, where: Where) -> Iterator[Where]:
        used = self._used(where)
        for i, group in enumerate(self.groups):
            for node in sorted(group.fit[where[i]]):
                after = (*where[:i], node, *where[i + 1 :])
                if used[node] + group.mib <= self.room[node] and not self._comes_near(where, after, i):
                    yield after

    def _comes_near(self, where: Where, after: Where, i: int) -> bool:
        return any(
            pair[0].startswith("different")
            and i in pair[1:]
            and self._is_broken(pair, after)
            and not self._is_broken(pair, where)
            for pair in self.pairs
        )
