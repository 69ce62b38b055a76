"""What a seed stands for: a procedure on a small hosted cluster, and one disturbance of what is around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from building import node, vm

from disturbed.outcome import Twin, twin_of
from shunter.topology.clusterfile import read_cluster

Procedure = Literal["evacuation", "rolling", "failover"]
Raw = dict[str, Any]

UNDISTURBED = "undisturbed"
DISTURBANCES = (
    "run killed, started again",
    "server killed, back after 5 s",
    "server killed, back after 60 s",
    "server killed, back after 200 s",
    "server stands still for 15 s at the start",
    "server stands still for 15 s",
    "server stands still for 70 s at the start",
    "server stands still for 70 s",
    "SIGTERM",
    "SIGHUP",
    "SIGINT",
    "SIGTERM twice",
    "SIGHUP twice",
    "SIGINT, then SIGTERM",
    "disk of the witness log full",
    "disk of --html full",
    "disk of the run's folder full",
    "standard output on a full disk",
    "standard output closed",
    "standard error closed",
)
WAYS: tuple[tuple[Procedure, float], ...] = (
    ("evacuation", 1.0),
    ("evacuation", 20.0),
    ("rolling", 1.0),
    ("rolling", 20.0),
    ("failover", 1.0),
    ("failover", 20.0),
)
ROUND = len(DISTURBANCES) * len(WAYS)
"""So many seeds in a row, from 0 on, hold each disturbance of each procedure at each speed once; as many seeds as there
are ways, which follow them, disturb nothing."""

WANTED_S = {1.0: (20.0, 60.0), 20.0: (7.0, 20.0)}
"""What an undisturbed run should take in real time, by speed."""
LINK_MBPS = {1.0: 10_000, 20.0: 1_000}
MOST_DRAWS = 400
LATEST_MOMENT = 0.7
"""A disturbance comes while at least this share of what happens in an undisturbed run is still to come, less 1."""
START_S = 3.0


@dataclass(frozen=True)
class Case:
    """`moment`: after this share of the undisturbed run's events, and `delay_s` of real time, the disturbance comes;
    None: `delay_s` after the run's process is started. `again_s`: from a first signal to a second one.
    """

    seed: int
    procedure: Procedure
    speed: float
    disturbance: str
    cluster: Raw
    nodes: tuple[str, ...]
    maintenance_s: float
    moment: float | None
    delay_s: float
    again_s: float

    @property
    def name(self) -> str:
        name: str = self.cluster["name"]
        return name

    @property
    def is_signal(self) -> bool:
        return self.disturbance.startswith("SIG")

    @property
    def command(self) -> list[str]:
        """Of the run, without options for output."""
        if self.procedure == "rolling":
            return ["maintain", "--cluster", self.name, "--maintenance-s", f"{self.maintenance_s:g}"]
        return [{"evacuation": "evacuate"}.get(self.procedure, "failover"), *self.nodes, "--cluster", self.name]

    @cached_property
    def twin(self) -> Twin:
        """The same run undisturbed: by the engine, in virtual time."""
        return twin_of(self.procedure, read_cluster(self.cluster), self.nodes, self.maintenance_s)


def kind_of(seed: int) -> tuple[Procedure, float, str]:
    """Procedure, speed and disturbance of this seed."""
    number = seed % (ROUND + len(WAYS))
    if number >= ROUND:
        return (*WAYS[number - ROUND], UNDISTURBED)
    kind, turn = number % len(DISTURBANCES), number // len(DISTURBANCES)
    return (*WAYS[(kind + turn) % len(WAYS)], DISTURBANCES[kind])


def draw(seed: int) -> Case:
    """The case of this seed."""
    return drawn(seed, *kind_of(seed))


def drawn(seed: int, procedure: Procedure, speed: float, disturbance: str) -> Case:
    """This disturbance of this procedure; the seed draws the cluster and the moment."""
    rng = random.Random(f"surroundings/{seed}")
    at_start = disturbance.endswith("at the start") or (disturbance.startswith("SIG") and rng.random() < 0.15)
    moment = None if at_start else rng.uniform(0.0, LATEST_MOMENT)
    delay_s = rng.uniform(0.0, START_S if at_start else 1.5)
    again_s = rng.uniform(0.3, 4.0)
    least_s, most_s = WANTED_S[speed]
    for _ in range(MOST_DRAWS):
        cluster, nodes, maintenance_s = DRAWN[procedure](rng, speed)
        cluster["name"] = f"disturbed-{seed}"
        case = Case(seed, procedure, speed, disturbance, cluster, nodes, maintenance_s, moment, delay_s, again_s)
        if least_s <= case.twin.takes_s / speed <= most_s:
            return case
    raise AssertionError(f"seed {seed}: no cluster whose {procedure} takes {least_s:g} to {most_s:g} s")


def _cluster(nodes: list[Raw], vms: list[Raw], speed: float, **fields: Any) -> Raw:
    network = {"name": "LM", "roles": ["live_migration"], "link_mbps": LINK_MBPS[speed]}
    return {"name": "drawn", "nodes": nodes, "vms": vms, "networks": [network], **fields}


def _evacuation(rng: random.Random, speed: float) -> tuple[Raw, tuple[str, ...], float]:
    """Two of the nodes are emptied; then and now somebody cannot leave."""
    names = [f"N{i}" for i in range(1, rng.randint(4, 6) + 1)]
    leaving = tuple(rng.sample(names, 2))
    sizes_mib = (1024, 2048, 4096) if speed == 1.0 else (2048, 4096, 8192)
    vms = [
        vm(f"{name.lower()}-{i}", on=name, memory_mib=rng.choice(sizes_mib))
        for name in names
        for i in range(rng.randint(3, 6) if name in leaving else rng.randint(0, 2))
    ]
    vms.append(vm("off-1", on=leaving[0], state="off"))
    if rng.random() < 0.3:
        vms.append(vm("bound-1", on=leaving[0], possible_owners=[leaving[0]]))
    volumes = [{"name": "CSV1", "owner": rng.choice(leaving)}]
    return _cluster([node(name) for name in names], vms, speed, volumes=volumes), leaving, 0.0


def _rolling(rng: random.Random, speed: float) -> tuple[Raw, tuple[str, ...], float]:
    """All nodes are emptied, rebooted and brought back."""
    names = [f"N{i}" for i in range(1, rng.randint(4, 5) + 1)]
    sizes_mib = (1024, 2048) if speed == 1.0 else (1024, 2048, 4096)
    vms = [
        vm(f"vm-{i}", on=names[i % len(names)], memory_mib=rng.choice(sizes_mib))
        for i in range(rng.randint(6, 2 * len(names)))
    ]
    vms.append(vm("off-1", on=rng.choice(names), state="off"))
    volumes = [{"name": "CSV1", "owner": rng.choice(names)}]
    return _cluster([node(name) for name in names], vms, speed, volumes=volumes), (), 6.0 if speed == 1.0 else 40.0


def _failover(rng: random.Random, speed: float) -> tuple[Raw, tuple[str, ...], float]:
    """N1 is lost. The cluster restarts some of its VMs, has given others up, and for a large one room must be made."""
    names = [f"N{i}" for i in range(1, rng.randint(4, 5) + 1)]
    vms = [vm(f"stay-{name.lower()}-{mib}", on=name, memory_mib=mib) for name in names[1:] for mib in (24576, 8192)]
    for i in range(rng.randint(3, 6)):
        pending = rng.random() < 0.5
        vms.append(vm(f"lost-{i}", memory_mib=rng.choice((1024, 2048)), state="failed", restart_pending=pending))
    large_mib = [rng.choice((36864, 40960)) for _ in range(rng.randint(1, 2))]
    vms += [vm(f"large-{i}", memory_mib=mib, state="failed", priority=1000) for i, mib in enumerate(large_mib)]
    vms.append(vm("off-1", state="off"))
    nodes = [node("N1", state="down"), *(node(name) for name in names[1:])]
    return _cluster(nodes, vms, speed, volumes=[{"name": "CSV1", "owner": "N1"}]), ("N1",), 0.0


DRAWN: dict[Procedure, Callable[[random.Random, float], tuple[Raw, tuple[str, ...], float]]] = {
    "evacuation": _evacuation,
    "rolling": _rolling,
    "failover": _failover,
}
