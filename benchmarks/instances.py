"""Clusters of many sizes and fills, and which of their nodes are to be emptied: drawn from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster, VirtualMachine

GIB = 1024
RESERVED_MIB = 4 * GIB
NODES = (4, 6, 8, 12, 16, 24, 32, 48, 64)
FILLS = (0.4, 0.6, 0.75, 0.85, 0.9, 0.95, 0.97)
NODE_MIB = ((256 * GIB,), (512 * GIB,), (1024 * GIB,), (256 * GIB, 512 * GIB))
VM_MIB = (
    *(100, 180, 300, 512, 768, 1024, 1024, 1536, 2048, 2048, 3072, 4096, 4096, 4096, 6144, 6144),
    *(8192, 8192, 8192, 10240, 12288, 16384, 16384, 16384, 20480, 24576, 32768, 32768, 40960, 49152),
)
DIRTY_MIB_PER_S = (0, 5, 10, 20, 20, 50, 100, 200)
MOST_MISSES = 12
MOST_AFTER = 0.99

Filled = Literal["before", "after"]


@dataclass(frozen=True)
class Size:
    """`fill`: of all nodes `before`, or of those that stay once the others have been left (`after`)."""

    nodes: int
    leaving: int
    fill: float
    filled: Filled

    @property
    def share(self) -> str:
        if self.leaving == 1:
            return "one"
        if 2 * self.leaving > self.nodes:
            return "more"
        return "half" if 2 * self.leaving == self.nodes else "quarter"


@dataclass(frozen=True)
class Instance:
    name: str
    size: Size
    cluster: Cluster
    leaving: tuple[str, ...]

    @property
    def leavers(self) -> tuple[VirtualMachine, ...]:
        return tuple(vm for vm in self.cluster.vms if vm.node in self.leaving)

    @property
    def staying(self) -> tuple[str, ...]:
        """The nodes that stay in service."""
        return tuple(node.name for node in self.cluster.nodes if node.name not in self.leaving)


def sizes(most_nodes: int = NODES[-1]) -> Iterator[Size]:
    """The grid; filled so before, as far as what stays is not filled to more than 99 % then."""
    for nodes in NODES:
        if nodes > most_nodes:
            return
        for leaving in sorted({1, nodes // 4, nodes // 2, nodes // 2 + 1, 3 * nodes // 4}):
            for fill in FILLS:
                yield Size(nodes, leaving, fill, "after")
                if fill * nodes <= MOST_AFTER * (nodes - leaving):
                    yield Size(nodes, leaving, fill, "before")


def sizes_of(path: Path) -> tuple[int, ...]:
    return tuple(int(vm["memory_mib"]) for vm in json.loads(path.read_text(encoding="utf-8"))["vms"])


def named(size: Size, seed: int) -> str:
    return f"{size.nodes} nodes, {size.leaving} leave, {size.fill:.0%} {size.filled}, seed {seed}"


def draw(size: Size, seed: int, vm_mib: Sequence[int]) -> Instance:
    """An instance of this size from which something leaves. The same size and seed draw the same."""
    name = named(size, seed)
    rng = random.Random(name)
    kinds = rng.choice(NODE_MIB)
    room_mib = {f"N{i}": kinds[i % len(kinds)] - RESERVED_MIB for i in range(1, size.nodes + 1)}
    leaving = tuple(rng.sample(sorted(room_mib), k=size.leaving))
    all_mib = sum(room_mib.values())
    stays_mib = all_mib - sum(room_mib[node] for node in leaving)
    fill = size.fill * stays_mib / all_mib if size.filled == "after" else size.fill
    vms: list[dict[str, object]] = []
    for node, mib in room_mib.items():
        for memory_mib in filling(fill * mib, vm_mib, rng):
            vm = {"name": f"vm-{len(vms) + 1}", "node": node, "memory_mib": memory_mib}
            vms.append({**vm, "dirty_mib_per_s": rng.choice(DIRTY_MIB_PER_S)})
    nodes = [
        {"name": node, "memory_mib": mib + RESERVED_MIB, "reserved_mib": RESERVED_MIB} for node, mib in room_mib.items()
    ]
    return Instance(name, size, read_cluster({"name": name, "nodes": nodes, "vms": vms}), leaving)


def filling(room_mib: float, vm_mib: Sequence[int], rng: random.Random) -> Iterator[int]:
    """Sizes that fill the room closely; at least one."""
    misses, first = 0, True
    while misses < MOST_MISSES:
        memory_mib = max(64, round(rng.choice(vm_mib) * rng.uniform(0.9, 1.1)))
        if memory_mib > room_mib:
            misses += 1
            continue
        room_mib -= memory_mib
        first = False
        yield memory_mib
    if first:
        yield 64
