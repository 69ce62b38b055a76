"""What Prefect costs: the same evacuation by the engine alone and by the real flow, both in wall-clock time.

    python benchmarks/prefect_overhead.py [--vms 200] [--seed 1] [--sizes FILE]

Four of eight nodes are emptied. The cluster runs in a host process of its own, as a lab would, so much faster than
real time that the shortest migration still takes 2 s. First the engine alone moves all VMs, then a fresh host and
`evacuate_nodes`, through the configured Prefect server or an embedded one: task runs, locks, events, artifacts. Both
witness logs are rechecked and compared with the reports, move by move. Fails where anything is wrong, or where the
whole flow took more than 1.10 times as long as the engine.
"""

# ruff: noqa: PLC0415  Prefect reads its settings when it is imported
from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from instances import VM_MIB, sizes_of

from shunter.clusters.simulated.remote import RemoteCluster
from shunter.engine.audience import Nobody
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.flows.settings import prefect_at_hand
from shunter.topology.clusterfile import cluster_json, read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_log, check_report

NODES, LEAVING = 8, ("N1", "N2", "N3", "N4")
NODE_MIB = 8 * 1024 * 1024
LEAST_MIB, MOST_MIB = 8192, 16384
SHORTEST_S = 2.0
MOST = 1.10


Evacuation = Callable[[], Awaitable[Plan]]


@dataclass(frozen=True)
class Run:
    """`wall_s`: from the call to its return. `lines`: what the witness saw."""

    report: Plan
    wall_s: float
    lines: tuple[str, ...]


def main() -> int:
    options = _options()
    sizes = sizes_of(options.sizes) if options.sizes else VM_MIB
    cluster = draw(random.Random(options.seed), options.vms, [mib for mib in sizes if LEAST_MIB <= mib <= MOST_MIB])
    forecast = plan_evacuation(cluster, LEAVING)
    speed = min(move.end_s - move.start_s for move in forecast.moves) / SHORTEST_S
    print(f"{len(forecast.moves)} VMs leave {', '.join(LEAVING)}; time runs {speed:.2f} times as fast as real time")
    print(f"forecast         {forecast.makespan_s / speed:8.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder, prefect_at_hand(quiet=True) as prefect:
        file = Path(folder) / "cluster.json"
        file.write_text(cluster_json(cluster), encoding="utf-8")
        prefect.wait_until_ready()
        alone = measured(engine_alone, file, speed)
        print(f"engine alone     {alone.wall_s:8.1f} s", flush=True)
        flow = measured(through_prefect, file, speed)
    return _judge(alone, flow, speed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", type=int, default=200, help="VMs that leave (default 200, which takes 4 minutes)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=Path, help='JSON file {"vms": [{"memory_mib": …}]} to draw the VMs from')
    return parser.parse_args()


def draw(rng: random.Random, vms: int, sizes_mib: Sequence[int]) -> Cluster:
    """VMs of similar size, evenly on the nodes that are emptied, so that four migrations run at most times."""
    nodes = [{"name": f"N{i}", "memory_mib": NODE_MIB} for i in range(1, NODES + 1)]
    raw_vms = [
        {"name": f"vm-{i}", "node": LEAVING[i % len(LEAVING)], "memory_mib": rng.choice(sizes_mib)} for i in range(vms)
    ]
    return read_cluster({"name": "overhead", "nodes": nodes, "vms": raw_vms})


def measured(way: Callable[[str], Awaitable[Evacuation]], file: Path, speed: float) -> Run:
    """The evacuation done in this way, with a host of its own. What comes before it, as imports, is not counted."""
    log = file.with_name(f"{way.__name__}.jsonl")

    async def timed(address: str) -> tuple[Plan, float]:
        evacuation = await way(address)
        begun_s = time.monotonic()
        report = await evacuation()
        return report, time.monotonic() - begun_s

    with hosted(file, log, speed) as address:
        report, wall_s = asyncio.run(timed(address))
    return Run(report, wall_s, tuple(log.read_text(encoding="utf-8").splitlines()))


async def engine_alone(address: str) -> Evacuation:
    world = await RemoteCluster.connect(address)
    return partial(evacuate, world, LEAVING, holds=OwnHolds(), audience=Nobody())


async def through_prefect(address: str) -> Evacuation:
    from shunter.flows.clusters import SimulatedClusterHost
    from shunter.flows.evacuate import evacuate_nodes

    await SimulatedClusterHost(address=address).save("overhead", overwrite=True)
    return partial(evacuate_nodes, cluster="overhead", nodes=list(LEAVING))


@contextmanager
def hosted(file: Path, log: Path, speed: float) -> Iterator[str]:
    """The address of a process that simulates the cluster until the end of the block."""
    command = [sys.executable, "-m", "shunter.clusters.simulated.host", "--cluster", str(file), "--log", str(log)]
    with subprocess.Popen([*command, "--speed", str(speed)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def _judge(alone: Run, flow: Run, speed: float) -> int:
    wrong = [*_wrong_of(alone), *_wrong_of(flow)]
    shortest_s = min(move.end_s - move.start_s for move in flow.report.moves) / speed
    chain = max(sum(move.source == node for move in flow.report.moves) for node in LEAVING)
    ratio = flow.wall_s / alone.wall_s
    print(f"through Prefect  {flow.wall_s:8.1f} s   {(flow.wall_s - alone.wall_s) / chain:.3f} s more a migration")
    print(f"the shortest migration took {shortest_s:.2f} s; reports and witnesses {'differ' if wrong else 'agree'}")
    print(*wrong, sep="\n")
    print(f"{ratio:.3f} times the engine's own time, at most {MOST:.2f} is allowed")
    return 0 if alone.report.ok and flow.report.ok and not wrong and ratio <= MOST else 1


def _wrong_of(run: Run) -> list[str]:
    events = [json.loads(line) for line in run.lines]
    first_s = next(event["t_s"] for event in events if event["what"] == "migration_started")
    began_s = first_s - min(move.start_s for move in run.report.moves)
    found = (*check_log(run.lines, finished=LEAVING), *check_report(run.report, run.lines, LEAVING, began_s))
    return [str(violation) for violation in found]


if __name__ == "__main__":
    sys.exit(main())
