"""What begins now in a rolling run, as a fresh look at the cluster allows: which VM starts, which node leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shunter.topology.model import Cluster
from shunter.topology.quorum import MEMBER
from shunter.topology.rolling.fleet import Fleet, Phase
from shunter.topology.rolling.policy import not_together, partners_of
from shunter.topology.rolling.reserve import Reserve
from shunter.topology.rolling.strategy import Deciding, Leave, Start

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

DECIDE_AGAIN_S = 300.0


class Beginning:
    """Of one run. `is_thorough`: the next node that leaves may be one without which only a long search finds that the
    reserve is kept.
    """

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._not_together: Mapping[str, frozenset[str]] = not_together(run.before, run.policy)
        self._partners: Mapping[str, frozenset[str]] = partners_of(run.before, run.policy)
        self._reserve: Reserve | None = None
        self.is_thorough = False
        self._decided: tuple[frozenset[str], object, float] = (frozenset(), None, 0.0)

    # -------------------------------------------------------------- what stands against it

    def why_nothing_begins(self, seen: Cluster) -> str:
        """Empty where something may begin."""
        run = self._run
        if run.control.asked:
            return "the run was asked to stop"
        if run.control.held:
            return "the operator holds the run"
        if run.is_budget_spent:
            return f"{', '.join(run.turns.failed)} failed, and no more may fail"
        if not any(node.state in MEMBER for node in seen.nodes):
            return "no node is a member: the cluster has lost its quorum"
        return run.care.why_nothing_moves(seen)

    def held_back(self, seen: Cluster, node: str) -> str:
        """Why the maintenance of a node must not begin although it was its turn; empty where it may."""
        if node in self._run.control.skipped:
            return f"{node} was skipped on request"
        if seen.storage_jobs:
            return f"storage is being rebuilt ({', '.join(job.name for job in seen.storage_jobs)})"
        return self.why_nothing_begins(seen)

    def is_kept(self, seen: Cluster, node: str) -> bool:
        """By partners that were lost, or by a volume whose backup would break if its owner changed."""
        return bool(self.partners_lost(seen, node) or self._run.awaited.keep_volume_of(seen, node))

    def partners_lost(self, seen: Cluster, node: str) -> list[str]:
        """Of those that must not be away together with it, the ones that were lost since the run was planned."""
        lost = {name for name in self._partners[node] if seen.node_by_name[name].state not in ("up", "paused")}
        return sorted(lost - self._run.turns.nodes_away())

    # -------------------------------------------------------------- beginning

    async def begin(self, seen: Cluster) -> None:
        """Let everything begin that may."""
        run = self._run
        run.replanning.is_due |= run.awaited.join(seen)
        self._refuse_late()
        if not self._is_something_free(seen):
            return
        fleet = run.standing.fleet(seen)
        run.turns.try_again(seen)
        if await run.making_room.is_under_way(seen, fleet):
            return
        if not run.turns.pending() and not run.turns.nodes_away():
            await run.going_back.begin(seen, fleet)
            return
        run.replanning.where_due(seen)
        await self._carry_out(seen, fleet, self.deciding(fleet))
        self._decided = frozenset(run.crew.busy(seen)), self._decided[1], self._decided[2]

    def deciding(self, fleet: Fleet) -> Deciding:
        """A node that is to be tried later, or that is kept by something, does not leave now."""
        run = self._run
        for name, phase in tuple(fleet.phase.items()):
            if phase is not Phase.PENDING or fleet.on[name]:
                continue
            if run.turns.is_put_off(name) or self.is_kept(fleet.cluster, name):
                fleet.phase[name] = Phase.OUT
        self._reserve = Reserve(fleet, run.plan.reserve_nodes, self._reserve)
        awaited = run.first.awaited()
        return Deciding(fleet, self._reserve, run.strategy, self._not_together, awaited, self.is_thorough)

    async def _carry_out(self, seen: Cluster, fleet: Fleet, deciding: Deciding) -> None:
        run = self._run
        while (action := deciding.next()) is not None:
            if isinstance(action, Leave):
                self.is_thorough = False
                fleet.leave(action.node)
                if not seen.storage_jobs and await run.turns.may_leave(action.node):
                    run.turns.begin(seen, action.node, [*deciding.pending()[:1], *deciding.active()])
            elif await run.turns.may_leave(action.source):
                start = run.replanning.as_planned(action, fleet, deciding)
                fleet.begin(start.vm, start.target)
                await self._send(seen, start, fleet)
            else:
                fleet.phase[action.source] = Phase.STAYING
            if run.control.asked or run.control.held:
                break

    async def _send(self, seen: Cluster, action: Start, fleet: Fleet) -> None:
        """What must be together follows, what does not run when its node's turn comes."""
        together = {action.vm: action.target}
        for rule in seen.rules_by_vm.get(action.vm, ()):
            if rule.kind.startswith("same") and not rule.soft:
                here = (name for name in rule.vms if seen.vm_by_name[name].node == action.source)
                together |= {name: action.target for name in here if name not in fleet.heading}
        away = tuple(turn.node for turn in self._run.turns.away)
        await self._run.crew.send(seen, action.vm, action.target, away, together)

    def _is_something_free(self, seen: Cluster) -> bool:
        """Whether anything may be possible that was not when it was decided last: while no node became free, none
        stands otherwise, and no VM needs more or less or may be moved again, hardly anything is; it is decided again
        after a while all the same.
        """
        run = self._run
        busy = frozenset(run.crew.busy(seen))
        now_s = run.cluster.clock.now_s()
        away = run.turns.nodes_away()
        there = [node.state for node in seen.nodes if node.name not in away]
        turns = run.turns.pending(), away, [*run.turns.put_off_s()]
        held = [vm.name for vm in seen.under_backup], sum(seen.held_mib.values()), run.crew.forbidden()
        standing = there, turns, seen.volumes, bool(seen.storage_jobs), held
        last_busy, last_standing, decided_s = self._decided
        if run.is_idle or not busy >= last_busy or standing != last_standing or now_s >= decided_s + DECIDE_AGAIN_S:
            self._decided = busy, standing, now_s
            return True
        self._decided = busy, standing, decided_s
        return False

    def _refuse_late(self) -> None:
        """No node is begun that would not be back in time."""
        run = self._run
        begun_s = run.cluster.clock.now_s() - run.counts_from_s
        limits = [run.policy.window_s, run.budget.stop_after_s]
        window_s = min((limit for limit in limits if limit is not None), default=None)
        if window_s is None or begun_s + run.policy.maintenance_s <= window_s:
            return
        for node in run.turns.pending():
            run.turns.refused[node] = f"{node} would not be back within the window of {window_s:g} s"
