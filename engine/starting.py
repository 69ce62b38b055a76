"""Starting VMs that run nowhere: each after a fresh look, one at a time on a node, the most important first (I2).

A VM is started only where it cannot be running: the cluster itself says that it failed and that nobody is restarting
it, and the node it was on is not one that the others merely lost sight of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.followers import Followers, followers
from shunter.engine.lives import Lives
from shunter.engine.looking import look, until_change, within_deadline
from shunter.engine.stop import Stop
from shunter.statemachines.vm import STATES, VM, Event, State
from shunter.topology.model import Cluster
from shunter.topology.plan import Outcome, Verdict

SURE_AFTER_S = 10.0
"""An order whose answer was lost may still be on its way to the cluster for so long."""


@dataclass(frozen=True, slots=True)
class Start:
    """A start that the cluster was asked for. `at_s`, `ended_s`: by its clock; `came_along`: on a shared disk (R11)."""

    vm: str
    node: str
    at_s: float
    ended_s: float
    outcome: Outcome
    reason: str = ""
    came_along: Followers = field(default_factory=Followers)


@dataclass(slots=True, eq=False)
class Starting:
    """`starts`: in order of their end; `tried`: what a start that came to nothing teaches, by (VM, node)."""

    cluster: ClusterPort
    lives: Lives
    stop: Stop
    starts: list[Start] = field(default_factory=list)
    tried: dict[tuple[str, str], Verdict] = field(default_factory=dict)

    async def start(self, targets: Mapping[str, str]) -> None:
        """Start these VMs (name → node, the most important first), on each node one after the other."""
        queues: dict[str, list[str]] = {}
        for vm, node in targets.items():
            queues.setdefault(node, []).append(vm)
        async with asyncio.TaskGroup() as nodes:
            for node, vms in queues.items():
                nodes.create_task(self._start_on(node, vms))

    async def _start_on(self, node: str, vms: list[str]) -> None:
        for vm in vms:
            if self.stop.asked:
                return
            await self._start_one(vm, node)

    async def _start_one(self, vm: str, node: str) -> None:
        life, clock = self.lives.vms[vm], self.cluster.clock
        seen = await look(self.cluster)
        if life.state is not State.FAILED or not may_be_started(seen, vm):
            return  # the cluster was faster, or nobody knows whether it runs
        at_s, reason = clock.now_s(), ""
        outcome: Outcome = "done"
        self.lives.step(VM, life, Event.START, f"on {node}")
        try:
            async with within_deadline(clock, STATES[State.STARTING]):
                await self.cluster.start_vm(vm, node)
        except OutcomeUnknown as error:
            reason = str(error)
            self.lives.step(VM, life, Event.ANSWER_LOST, reason)
            await self._look_until_sure(vm)
        except Refused as error:
            outcome, reason = "refused", str(error)
        except Failed as error:
            outcome, reason = "failed", str(error)
        after = await look(self.cluster)
        now = after.vm_by_name[vm]
        self.lives.observe_vm(now, life, "" if now.holds_memory else reason)
        if now.holds_memory and now.node == node:
            outcome = "done"
        elif outcome == "done":
            outcome, reason = "failed", reason or f"it is {now.state} on {now.node} after its start"
        if outcome != "done":
            self.tried[vm, node] = _lesson(vm, node, outcome, reason)
        along = followers(seen, after, vm, node) if now.node == node else Followers()  # it may have come, and not up
        self.starts.append(Start(vm, node, at_s, clock.now_s(), outcome, reason, along))

    async def _look_until_sure(self, vm: str) -> None:
        """Until the VM runs, or for so long that the lost order cannot be on its way any more."""
        clock = self.cluster.clock
        sure_s = clock.now_s() + SURE_AFTER_S
        while (left_s := sure_s - clock.now_s()) > 0:
            seen = await look(self.cluster)
            if seen.vm_by_name[vm].holds_memory:
                return
            await until_change(self.cluster, seen, left_s)


def may_be_started(seen: Cluster, name: str) -> bool:
    """Whether the cluster itself says that this VM runs nowhere and is not about to. Of an isolated node it cannot know
    that.
    """
    vm = seen.vm_by_name[name]
    given_up = vm.state == "failed" and not vm.restart_pending
    under_way = any(migration.vm == name for migration in seen.migrations)
    return given_up and not under_way and seen.node_by_name[vm.node].state != "isolated"


def _lesson(vm: str, node: str, outcome: str, reason: str) -> Verdict:
    return Verdict(
        target=node,
        rule="I2",
        reason=f"the start was refused: {reason}" if outcome == "refused" else f"it did not start there: {reason}",
        remedy=f"look into the event logs of {node}, then Start-VM {vm}",
    )
