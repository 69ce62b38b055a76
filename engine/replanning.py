"""The order of nodes and how many go at once, planned anew while a rolling run is under way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shunter.engine.turn import Turn
from shunter.topology.model import Cluster
from shunter.topology.quorum import members
from shunter.topology.rolling.fleet import FINISHED, Fleet
from shunter.topology.rolling.planning import Planner
from shunter.topology.rolling.strategy import Deciding, Start

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

PLAN_AGAIN_S = 120.0
MOST_COURSES = 4
"""Where nothing goes on as planned. While the run goes on, the first is taken: over 288 nights with faults more of them
ended no earlier.
"""
LATE_FACTOR, LATE_S = 1.25, 60.0
"""A node is late when it is away for longer than its maintenance takes, by so much."""


class Replanning:
    """Of one run: whenever VMs came or went, nodes were lost or came back, one is late or has failed, or nothing can
    begin any more. What is under way goes on. `is_due`: at the next opportunity.
    """

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._planned_for, self._planned_s = self._world(run.before), run.started_s
        self._stuck_as: object = None
        self.is_due = False
        self._legs = {(move.vm, move.source): move.target for move in reversed(run.plan.moves)}

    def late_s(self, turn: Turn) -> float:
        """From when on the node of this turn is late."""
        if turn.started_s is None:
            return float("inf")
        return turn.started_s + LATE_FACTOR * self._run.policy.maintenance_s + LATE_S

    def where_due(self, seen: Cluster) -> None:
        now_s = self._run.cluster.clock.now_s()
        changed = self._world(seen) != self._planned_for and now_s >= self._planned_s + PLAN_AGAIN_S
        if changed or self.is_due:
            self._plan(seen, most_courses=1)

    def is_there_another_way(self, seen: Cluster) -> bool:
        """Nothing is under way and nothing can begin: a node leaves without which a long search finds the reserve kept;
        or else one more is drained to nodes that are not done yet; or else all is planned anew, once between two nodes
        that leave, unless VMs or nodes came or went; or else VMs make room. Whether that changed anything.

        Where what keeps a node that is to go first may pass, nothing of that: it is waited for.
        """
        run = self._run
        if not run.turns.pending() or seen.migrations or seen.storage_jobs or run.crew.asked_again_in_s():
            return False
        fleet = run.standing.fleet(seen)
        deciding = run.beginning.deciding(fleet)
        first = deciding.to_go_first()
        if first is not None and run.first.is_kept(seen, fleet, first):
            return run.first.gives_way(seen, first)
        if deciding.search_longer():
            run.beginning.is_thorough = True
            return True
        node = deciding.unlock(first)
        if node is not None:
            others = tuple(name for name in run.strategy.order if name != node)
            run.strategy = replace(run.strategy, order=(node, *others), seeds=run.strategy.seeds + 1)
            return True
        stuck_as = self._world(seen), len(run.turns.all)
        if stuck_as != self._stuck_as:
            self._stuck_as = stuck_as
            if self._plan(seen, most_courses=MOST_COURSES):
                return True
        return run.making_room.is_there_a_way(seen) or (first is not None and run.first.go_on_without(seen, first))

    def _world(self, seen: Cluster) -> object:
        """What the order was planned for: the VMs that run, and the nodes that are there, or away and not late."""
        now_s = self._run.cluster.clock.now_s()
        expected = {turn.node for turn in self._run.turns.away if now_s < self.late_s(turn)}
        there = {node.name for node in members(seen)}
        return self._run.standing.running(seen), frozenset(there | expected)

    def _plan(self, seen: Cluster, *, most_courses: int) -> bool:
        """Whether there was a way for any node that is left."""
        run = self._run
        self._planned_for, self._planned_s = self._world(seen), run.cluster.clock.now_s()
        self.is_due = False
        left = [node for node in run.turns.pending() if node not in run.awaited.nodes]
        if not left:
            return False
        reserve_nodes = run.plan.reserve_nodes
        first = tuple(name for name in run.first.names if name in left)
        policy = run.policy.model_copy(update={"reserve_nodes": reserve_nodes, "window_s": None, "order": first})
        course = Planner(seen, tuple(left), policy).best(reserve_nodes, most_courses=most_courses)
        if {node.name for node in members(seen)}.isdisjoint(set(left).difference(course.undone)):
            return False
        run.strategy = run.awaited.last_in(course.strategy)
        for name in first:
            if name not in course.strategy.first:
                run.first.let_go[name] = f"{name} finds room only after others have left"
        self._legs = {(leg.vm, leg.source): leg.target for leg in course.legs}
        return True

    def as_planned(self, start: Start, fleet: Fleet, deciding: Deciding) -> Start:
        """From the same node, what the plan sends to a node that is idle now, the largest first: where all end up then
        is what the plan found room for. Where there is nothing of the kind, or the one that would start follows another
        that it must be with, `start` itself.
        """
        if deciding.must_follow(start.vm):
            return start
        source, drained = start.source, set(deciding.active())
        for vm in sorted(fleet.on[source], key=fleet.by_size.__getitem__):
            target = self._legs.get((vm, source))
            if target is None or target in fleet.busy or vm in fleet.heading or vm in fleet.cluster.rules_by_vm:
                continue
            is_open = target in fleet.taking() and (fleet.phase[target] in FINISHED or target not in drained)
            planned = Start(vm, source, target)
            if planned == start:
                break
            if is_open and target in fleet.fitness.of(vm) and deciding.reserve.allows_start(vm, target):
                return planned
        return start
