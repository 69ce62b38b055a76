"""Other ways to maintain a whole cluster, as plans that can be replayed like ours.

One node after the other, as Cluster-Aware Updating does it, with failback to where each VM was or without. And the
reboot groups of Ganeti's `hroller`, which assumes that all VMs move back after each group; Debian has it in the package
ganeti-htools.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import hbal
from instances import Instance, Size

from shunter.topology.model import Cluster
from shunter.topology.pairing import Wanted
from shunter.topology.plan import Maintenance, Move, Plan
from shunter.topology.rolling.fleet import Fitness
from shunter.topology.timeline import schedule

PATIENCE_S = 60
GROUP, MOVE = re.compile(r"^\S+$"), re.compile(r"^\s+(\S+) (\S+)$")


class Peer:
    """Builds a plan step by step: moves that are paired as ours are, then nodes that are away together."""

    def __init__(self, cluster: Cluster, maintenance_s: float, reserve_nodes: int) -> None:
        self.cluster, self.maintenance_s, self.reserve_nodes = cluster, maintenance_s, reserve_nodes
        self.fitness = Fitness(cluster)
        self.place = {vm.name: vm.node for vm in cluster.vms}
        self.now_s = 0.0
        self.moves: list[Move] = []
        self.turns: list[Maintenance] = []

    def move(self, targets: Iterable[tuple[str, str]]) -> None:
        """All of these VMs; the next step waits for the last one."""
        wanted = []
        for name, target in targets:
            vm, source = self.cluster.vm_by_name[name], self.place[name]
            takes_s = self.fitness.duration_s(vm, source, target)
            assert takes_s is not None, f"no network between {source} and {target}"
            wanted.append(Wanted(name, source, target, takes_s))
            self.place[name] = target
        planned = schedule(wanted)
        for start_s, end_s, move in planned:
            times = {"start_s": self.now_s + start_s, "end_s": self.now_s + end_s}
            self.moves.append(
                Move(vm=move.vm, source=move.source, target=move.target, why="as its way has it", **times)
            )
        self.now_s += max((end_s for _, end_s, _ in planned), default=0.0)

    def away(self, nodes: Sequence[str]) -> None:
        end_s = self.now_s + self.maintenance_s
        for node in nodes:
            self.turns.append(Maintenance(node=node, paused_s=self.now_s, start_s=self.now_s, end_s=end_s))
        self.now_s = end_s

    def plan(self) -> Plan:
        return Plan(
            kind="rolling_maintenance",
            cluster=self.cluster.name,
            ok=True,
            reserve_nodes=self.reserve_nodes,
            moves=tuple(self.moves),
            makespan_s=self.now_s,
            maintenance=tuple(self.turns),
        )


def one_by_one(cluster: Cluster, maintenance_s: float, reserve_nodes: int, *, failback: bool) -> Plan | None:
    """Each VM to the node with most free memory. None where one finds no room."""
    peer = Peer(cluster, maintenance_s, reserve_nodes)
    free_mib = {node.name: cluster.free_mib(node.name) for node in cluster.nodes}
    for node in cluster.nodes:
        on = [vm for vm in cluster.vms if peer.place[vm.name] == node.name]
        targets = []
        for vm in sorted(on, key=lambda vm: (-vm.memory_mib, vm.name)):
            target = max((name for name in free_mib if name != node.name), key=lambda name: (free_mib[name], name))
            if free_mib[target] < vm.memory_mib:
                return None
            free_mib[target] -= vm.memory_mib
            free_mib[node.name] += vm.memory_mib
            targets.append((vm.name, target))
        peer.move(targets)
        peer.away([node.name])
        if failback:
            for name, target in targets:
                free_mib[target] += cluster.vm_by_name[name].memory_mib
                free_mib[node.name] -= cluster.vm_by_name[name].memory_mib
            peer.move((name, node.name) for name, _ in targets)
    return peer.plan()


def has_hroller() -> bool:
    return shutil.which("hroller") is not None


def hroller(cluster: Cluster, maintenance_s: float, reserve_nodes: int) -> Plan:
    """Its groups, one after the other; out, away together, and back, as its moves assume."""
    peer = Peer(cluster, maintenance_s, reserve_nodes)
    for group, moves in _groups(cluster):
        home = [(vm, peer.place[vm]) for vm, _ in moves]
        peer.move(moves)
        peer.away(group)
        peer.move(home)
    return peer.plan()


def _groups(cluster: Cluster) -> list[tuple[list[str], list[tuple[str, str]]]]:
    size = Size(len(cluster.nodes), 0, 0.0, "before")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.txt"
        file.write_text(hbal.as_text(Instance(cluster.name, size, cluster, ())), encoding="utf-8")
        command = ["hroller", f"--text-data={file}", "--force", "--no-headers", "--print-moves"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    groups: list[tuple[list[str], list[tuple[str, str]]]] = []
    for line in done.stdout.splitlines():
        if move := MOVE.match(line):
            groups[-1][1].append((move[1], move[2]))
        elif GROUP.match(line):
            groups.append((line.split(","), []))
    return groups
