"""Failover: what the cluster does for lost nodes is watched; what it leaves lying is started, and the result is looked
at.

The cluster restarts roles by itself, so the run first waits for it as long as it gets on. A node that is isolated is
not lost: its VMs may run on, and nothing of it is started before the cluster has declared it down. Where no majority is
left, nothing is done but told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from operator import gt

from shunter.clusters.port import ClusterPort, Unreachable
from shunter.engine.audience import Audience, Waiting
from shunter.engine.care import Care
from shunter.engine.crew import Crew
from shunter.engine.failover_report import Fallout, Ran, has_quorum
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.looking import change_or_stop, look
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.rest import Rest
from shunter.engine.room_to_start import MakesRoom
from shunter.engine.starting import Starting, may_be_started
from shunter.engine.stop import Stop
from shunter.topology.failover import lost_nodes, plan_failover, plan_starts
from shunter.topology.failover_findings import lacking_room
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Finding, Plan
from shunter.topology.planning import plan_role_moves, plan_volume_moves
from shunter.topology.precautions import Precautions
from shunter.topology.quorum import MEMBER
from shunter.topology.restarting import Restarts, choose_restarts

QUIET_S = 180.0
"""So long the cluster may take over the next of what it says it is restarting (a resource's PendingTimeout)."""
BEGINS_WITHIN_S = 30.0
"""So long a cluster may say that it is restarting nothing, and begin all the same: it has just lost the node, forms
anew without it, and gives its volumes to other owners."""
ISOLATED_PATIENCE_S = 600.0
"""An isolated node is declared down after four minutes by default (ResiliencyDefaultPeriod)."""
AGAIN_AFTER_S = 60.0
MOST_ROUNDS = 20
ISOLATED = "is isolated; nothing of it is started before the cluster declares it down"
BY_CLUSTER = "waits to be restarted by the cluster"
GIVEN_UP = "is not being restarted by the cluster; this run starts it if that stays so"
NO_PLACE = "has no place as things are"


async def fail_over(
    cluster: ClusterPort,
    nodes: Sequence[str],
    *,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    stop: Stop | None = None,
    before: Cluster | None = None,
) -> Plan:
    """See to it that everything that ran on these lost nodes and can run elsewhere does; return the report, or the plan
    itself (`executed` false) when a finding forbids the run: a node that is no longer lost, a quorum that is.

    Where memory is there and in too small pieces, others make room: `start` carries out their live migrations.
    `before`: a snapshot from before the loss, which knows what ran there; without it, what failed since is taken.
    `stop` asks the run to end early. Raises RequestError (unknown node): nothing was touched; and Unreachable.
    """
    seen = await cluster.look()
    lost = lost_nodes(seen, nodes)
    plan = failover_of(seen, lost)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors:
        return plan
    run = _Failover(cluster, plan, lost, holds, audience, start, stop or Stop(), seen, before or seen)
    return await run.carry_out(started_s)


def failover_of(seen: Cluster, nodes: Sequence[str]) -> Plan:
    """What the run sets out to do. Of a node that is there only what failed on it is started; an error where that is
    nothing: what runs there must not be started elsewhere.
    """
    there = [name for name in nodes if seen.node_by_name[name].state in MEMBER]
    idle = [name for name in there if not any(vm.state == "failed" and vm.clustered for vm in seen.vms_by_node[name])]
    if not there:
        return plan_failover(seen, nodes)
    gone = [name for name in nodes if name not in there]
    plan = plan_starts(seen, there)
    if gone:
        of_gone = plan_failover(seen, gone)
        fields = ("moves", "unplaced", "findings", "role_moves", "volume_moves")
        both = {field: (*getattr(of_gone, field), *getattr(plan, field)) for field in fields}
        plan = of_gone.model_copy(update={**both, "ok": of_gone.ok and plan.ok})
    errors = tuple(
        Finding(
            rule="I2",
            severity="error",
            subject=f"node {name}",
            message=f"{name} is {seen.node_by_name[name].state}: its VMs run there, and none is started elsewhere",
            remedy=f"evacuate it (shunter evacuate {name}); if it is dead, wait until the cluster has declared it down",
        )
        for name in idle
    )
    return plan.model_copy(update={"findings": (*errors, *plan.findings), "ok": plan.ok and not errors})


@dataclass(slots=True, eq=False)
class _Failover:
    cluster: ClusterPort
    plan: Plan
    lost: tuple[str, ...]
    holds: Holds
    audience: Audience
    start: StartMigration
    stop: Stop
    seen_first: Cluster
    before: Cluster
    lives: Lives = field(init=False)
    starting: Starting = field(init=False)
    care: Care = field(init=False)
    rest: Rest = field(init=False)
    room: MakesRoom = field(init=False)
    ran: dict[str, Ran] = field(default_factory=dict)
    """What is to run again: VMs of the lost nodes, and those that failed elsewhere."""

    def __post_init__(self) -> None:
        self.lives = Lives(self.seen_first, (), self.cluster.clock, self.audience)
        self.starting = Starting(self.cluster, self.lives, self.stop)
        self.care = Care(Precautions(), self.cluster, self.lives)
        self.rest = Rest(self.cluster, self.lives, self.lost, 0, {}, {}, self.care)
        crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start)
        self.room = MakesRoom(crew, self.stop)
        for vm in self.before.vms:
            was_lost = vm.holds_memory and self.seen_first.node_by_name[vm.node].state not in MEMBER
            if vm.node in self.lost and vm.clustered and (was_lost or vm.state == "failed"):
                self._take_in(self.seen_first.vm_by_name.get(vm.name), vm.node)

    def _take_in(self, vm: VirtualMachine | None, node: str) -> None:
        if vm is not None and vm.name not in self.ran:
            self.ran[vm.name] = Ran(node)
            self.lives.take_in(vm)

    async def carry_out(self, started_s: float) -> Plan:
        try:
            await self._watch_cluster()
            await self._start_what_is_left()
            await self._make_room()
            if self.starting.tried and not self.stop.asked:
                await self._wait_for_better_times()
                await self._start_what_is_left()
                await self._make_room()
            await self._give_owners()
            seen = self._noted(await look(self.cluster))
        except Unreachable as error:
            started = ", ".join(f"{start.vm} on {start.node}" for start in self.starting.starts) or "nothing"
            moved = "; ".join(errand.label for errand in self.room.crew.errands) or "nothing"
            message = (
                f"{error}. Until then this run had started {started} and moved {moved}: look at these VMs, then run it "
                "again"
            )
            raise Unreachable(message) from error
        self.audience.waiting(())
        return await self._report(seen, started_s)

    # ------------------------------------------------------------------ the cluster's own work

    async def _watch_cluster(self) -> None:
        """Until the cluster has restarted everything, or gets on no more, and knows which nodes live."""
        clock = self.cluster.clock
        isolated_until_s = clock.now_s() + ISOLATED_PATIENCE_S
        since_s, furthest = 0.0, [-inf] * 4
        while True:
            seen, now_s = self._noted(await look(self.cluster)), clock.now_s()
            if self.stop.asked or not has_quorum(seen):
                return
            isolated = [name for name in self.lost if seen.node_by_name[name].state == "isolated"]
            down, pending = self._down(seen), self._pending(seen)
            moving = [move.vm for move in seen.migrations if {move.source, move.target}.intersection(self.lost)]
            again = sum(ran.since_s is not None for ran in self.ran.values())
            this_far = [len(self.ran), again, -len(pending), -len(isolated)]
            if any(map(gt, this_far, furthest)):
                since_s, furthest = now_s, [*map(max, this_far, furthest)]
            settled_s = max(since_s + BEGINS_WITHIN_S, isolated_until_s if isolated else 0.0)
            waits = [Waiting(name, ISOLATED, isolated_until_s) for name in isolated]
            waits += [Waiting(name, BY_CLUSTER, since_s + QUIET_S) for name in pending]
            waits += [Waiting(name, GIVEN_UP, settled_s) for name in down if name not in pending]
            waits += [Waiting(name, "its migration is still under way", since_s + QUIET_S) for name in moving]
            until_s = max((wait.until_s for wait in waits), default=now_s)
            if until_s <= now_s:
                return
            self.audience.waiting(tuple(waits))
            await change_or_stop(self.cluster, seen, until_s - now_s, self.stop)

    async def _let_cluster_restart(self) -> None:
        """What it has begun itself: it tries those that wait whenever something changes."""
        until_s = self.cluster.clock.now_s() + QUIET_S
        while not self.stop.asked and (left_s := until_s - self.cluster.clock.now_s()) > 0:
            seen = self._noted(await look(self.cluster))
            pending = self._pending(seen)
            if not pending:
                return
            self.audience.waiting(tuple(Waiting(name, BY_CLUSTER, until_s) for name in pending))
            await change_or_stop(self.cluster, seen, left_s, self.stop)

    def _down(self, seen: Cluster) -> list[str]:
        """What is to run again and does not. Nobody restarts a VM of priority 0."""
        vms = (seen.vm_by_name[name] for name in self.ran)
        return [vm.name for vm in vms if vm.state == "failed" and vm.priority > 0]

    def _pending(self, seen: Cluster) -> list[str]:
        return [name for name in self.ran if seen.vm_by_name[name].restart_pending]

    def _noted(self, seen: Cluster) -> Cluster:
        """Remember what failed, and since when what had failed runs again."""
        for vm in seen.vms:
            if vm.state == "failed" and vm.clustered:
                self._take_in(vm, vm.node)
        self.lives.observe(seen)
        now_s = self.cluster.clock.now_s()
        for name, ran in self.ran.items():
            ran.note(seen.vm_by_name[name], now_s)
        return seen

    # ------------------------------------------------------------------ what it leaves

    async def _start_what_is_left(self) -> None:
        """Start whatever fits somewhere, what does not come up on one node on another, each there once."""
        for _ in range(MOST_ROUNDS):
            await self._let_cluster_restart()
            if not await self._start_once():
                break

    async def _wait_for_better_times(self) -> None:
        """What did not come up anywhere is tried once more everywhere."""
        self.starting.tried.clear()
        until_s = self.cluster.clock.now_s() + AGAIN_AFTER_S
        seen = await look(self.cluster)
        down = self._down(seen)
        self.audience.waiting(tuple(Waiting(name, "is tried once more", until_s) for name in down))
        if down:
            await change_or_stop(self.cluster, seen, AGAIN_AFTER_S, self.stop)

    async def _start_once(self) -> bool:
        """Whether anything was tried."""
        seen = self._noted(await look(self.cluster))
        if self.stop.asked or not has_quorum(seen):
            return False
        choice = self._choice(seen)
        waits = [Waiting(name, "waits for its turn to be started", inf) for name in choice.targets]
        waits += [Waiting(name, NO_PLACE, inf) for name in choice.unplaced]
        self.audience.waiting(tuple(waits))
        tried = len(self.starting.starts)
        await self.starting.start(choice.targets)
        started = self.starting.starts[tried:]
        for start in started:
            self.rest.note(start.came_along, seen.vm_by_name[start.vm].node, start.node, start.at_s)
        return bool(started)

    def _choice(self, seen: Cluster) -> Restarts:
        """Where what does not run, and may, would be started now."""
        left = [seen.vm_by_name[name] for name in self.ran if may_be_started(seen, name)]
        return choose_restarts(seen, [vm for vm in left if vm.priority > 0], tried=self.starting.tried)

    async def _make_room(self) -> None:
        """As long as somebody waits for room alone, and others could move on for it."""
        for _ in range(MOST_ROUNDS):
            seen = self._noted(await look(self.cluster))
            if self.stop.asked or not has_quorum(seen):
                return
            waiting = [seen.vm_by_name[name] for name in lacking_room(self._choice(seen).unplaced)]
            if not await self.room.make(seen, waiting, self.starting.tried):
                return
            await self._start_what_is_left()

    async def _give_owners(self) -> None:
        """Volumes and roles that the cluster has left with a node that is not there (I7)."""
        seen = await self.care.attend(await look(self.cluster))
        gone = [node.name for node in seen.nodes if node.state in ("down", "quarantined")]
        if self.stop.asked or not gone or not has_quorum(seen):
            return
        staying = {vm.name: vm.node for vm in seen.vms if vm.node not in gone}
        volumes, stuck = plan_volume_moves(seen, gone, staying, (), 0.0)
        for volume in volumes:
            await self.rest.move_volume(volume)
        self.rest.findings += stuck
        for role in plan_role_moves(seen, gone, 0.0):
            await self.rest.move_role(role)

    # ------------------------------------------------------------------ the end

    async def _report(self, seen: Cluster, started_s: float) -> Plan:
        made_room = await self.room.moves(self.plan, started_s)
        self.rest.note_followers(self.room.crew.errands, seen, made_room, started_s)
        fallout = Fallout(
            plan=self.plan,
            before=self.before,
            seen=seen,
            lost=self.lost,
            ran=self.ran,
            starts=self.starting.starts,
            made_room=made_room,
            reasons=self._choice(seen).unplaced,
            started_s=started_s,
            interrupted=self.stop.asked,
        )
        return fallout.report(
            self.rest, [*self.care.direct_io.findings(seen), *self.lives.incidents.findings(seen, started_s)]
        )
