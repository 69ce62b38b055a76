"""The cluster's own balancer (AutoBalancerMode): it gives VMs to a node that has come back, and asks nobody."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import RUNS, migration_refusal, room_mib
from shunter.topology.model import Cluster, Node, VirtualMachine

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

BEGINS_WITHIN_S = (60.0, 120.0)
MOVES = (2, 4)
GIVES_UP_AFTER_S = 1800.0


class Balancer:
    """Moves a few VMs, one after the other, from the fullest nodes; never from or to a paused one.

    A move leaves its target no fuller than its source. Whether nodes are full at all, as a real balancer asks, does not
    matter here.
    """

    def __init__(self, world: SimulatedCluster, *, seed: int, is_on: bool) -> None:
        self._world, self._seed, self._is_on = world, seed, is_on
        self._times: dict[str, int] = {}
        self._at_work: set[str] = set()

    def node_takes_vms(self, name: str) -> None:
        """The node has joined or was resumed."""
        if self._is_on and name not in self._at_work:
            self._at_work.add(name)
            self._world.in_background(self._fill(name))

    async def _fill(self, name: str) -> None:
        time = self._times[name] = self._times.get(name, 0) + 1
        chance = random.Random(f"{self._seed}/balance/{name}/{time}")
        await self._world.clock.sleep(chance.uniform(*BEGINS_WITHIN_S))
        until_s = self._world.clock.now_s() + GIVES_UP_AFTER_S
        for _ in range(chance.randint(*MOVES)):
            if not await self._move_one(name, until_s, chance):
                break
        self._at_work.discard(name)

    async def _move_one(self, name: str, until_s: float, chance: random.Random) -> bool:
        """Whether a VM was moved; waits for nodes that take part in another migration."""
        world = self._world
        while True:
            seen = world.now()
            ready, later = _movable(seen, name)
            left_s = until_s - world.clock.now_s()
            if ready:
                async for _ in world.take_off(chance.choice(ready), name, "elsewhere").follow():
                    pass
                return True
            if not later or left_s <= 0:
                return False
            await world.wait_for_change(seen, left_s)


def _movable(seen: Cluster, target: str) -> tuple[list[VirtualMachine], bool]:
    """The VMs of the fullest node that has any which may move now and would level their node and the target; and
    whether some may once their node, or the target, is in no other migration.
    """
    to = seen.node_by_name[target]
    if to.state != "up":
        return [], False
    busy = {node for move in seen.migrations for node in (move.source, move.target)}
    free_mib, later = room_mib(seen, to), False
    sources = [node for node in seen.nodes if node.state == "up" and node.name != target]
    lefts_mib = {node.name: room_mib(seen, node) for node in sources}
    for source in sorted(sources, key=lambda node: (-_load(node, lefts_mib[node.name]), node.name)):
        left_mib = lefts_mib[source.name]
        levelling = (
            vm
            for vm in seen.vms_by_node[source.name]
            if vm.state in RUNS and _load(to, free_mib - vm.memory_mib) <= _load(source, left_mib + vm.memory_mib)
        )
        if target in busy or source.name in busy:
            later = later or any(levelling)
            if later and target in busy:
                break
        elif ready := [vm for vm in levelling if migration_refusal(seen, vm.name, target) is None]:
            return ready, later
    return [], later


def _load(node: Node, free_mib: int) -> float:
    """The share of the node's memory for VMs that is in use when so much is free."""
    return 1.0 - free_mib / (node.memory_mib - node.reserved_mib)
