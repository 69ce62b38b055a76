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
            movable = _movable(seen, name)
            ready = [vm for vm in movable if migration_refusal(seen, vm.name, name) is None]
            left_s = until_s - world.clock.now_s()
            if ready:
                fullest = ready[0].node
                vm = chance.choice([vm for vm in ready if vm.node == fullest])
                async for _ in world.take_off(vm, name, "elsewhere").follow():
                    pass
                return True
            if not movable or left_s <= 0:
                return False
            await world.wait_for_change(seen, left_s)


def _movable(seen: Cluster, target: str) -> list[VirtualMachine]:
    """VMs that would level their node and the target, and against which nothing lasting stands; fullest nodes first."""
    to = seen.node_by_name[target]
    if to.state != "up":
        return []
    movable: list[VirtualMachine] = []
    sources = [node for node in seen.nodes if node.state == "up" and node.name != target]
    for source in sorted(sources, key=lambda node: (-_load(seen, node), node.name)):
        for vm in seen.vms_by_node[source.name]:
            if vm.state in RUNS and _load(seen, to, vm.memory_mib) <= _load(seen, source, -vm.memory_mib):
                refusal = migration_refusal(seen, vm.name, target)
                if refusal is None or refusal.busy:
                    movable.append(vm)
    return movable


def _load(seen: Cluster, node: Node, more_mib: int = 0) -> float:
    """The share of the node's memory for VMs that is in use."""
    return 1.0 - (room_mib(seen, node) - more_mib) / (node.memory_mib - node.reserved_mib)
