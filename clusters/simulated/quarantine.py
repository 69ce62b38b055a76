"""Nodes of a simulated cluster that leave again and again are kept out for a while (2016 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import RUNS, migration_refusal

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

TIMES = 3
"""So often may a node leave unasked (QuarantineThreshold) …"""
WITHIN_S = 3600.0
"""… within this time."""
LASTS_S = 7200.0
"""QuarantineDuration."""
WITHOUT = ("2008R2", "2012", "2012R2")


class Quarantine:
    """Says which nodes may not join although they are back, and empties them.

    At most a quarter of the nodes is kept out at a time, of a small cluster one node.
    """

    def __init__(self, world: SimulatedCluster) -> None:
        self._world = world
        self._left_s: dict[str, list[float]] = {}
        self._until_s: dict[str, float] = {}

    def has_left(self, name: str) -> None:
        """The node was lost or isolated."""
        self._left_s.setdefault(name, []).append(self._world.clock.now_s())

    def until_s(self, name: str) -> float | None:
        """Until when the node, which is back, is kept out; None: it may join."""
        now_s = self._world.clock.now_s()
        if self._until_s.get(name, 0.0) > now_s:
            return self._until_s[name]
        kept_out = sum(node.state == "quarantined" and node.name != name for node in self._world.now().nodes)
        most = max(1, len(self._world.now().nodes) // 4)
        left_s = self._left_s.get(name, [])
        too_often = len(left_s) >= TIMES and left_s[-1] - left_s[-TIMES] <= WITHIN_S
        if self._world.now().windows_version in WITHOUT or not too_often or kept_out >= most:
            return None
        return self.impose(name)

    def impose(self, name: str) -> float:
        """Keep the node out from now on; returns until when."""
        self._left_s[name] = []
        self._until_s[name] = self._world.clock.now_s() + LASTS_S
        return self._until_s[name]

    def lift(self, name: str) -> None:
        self._until_s.pop(name, None)

    async def drain(self, name: str) -> None:
        """The VMs that run on the node leave it live, one after the other, as far as they find room."""
        world = self._world
        while (seen := world.now()).node_by_name[name].state == "quarantined":
            running = [vm for vm in seen.vms_by_node[name] if vm.state in RUNS and vm.clustered]
            if not running:
                return
            ways = [
                (vm, node.name)
                for vm in sorted(running, key=lambda vm: (-vm.priority, vm.name))
                for node in seen.nodes
                if migration_refusal(seen, vm.name, node.name) is None
            ]
            if ways:
                async for _ in world.take_off(*ways[0], "elsewhere").follow():
                    pass
            else:
                await world.wait_for_change(seen, LASTS_S)
