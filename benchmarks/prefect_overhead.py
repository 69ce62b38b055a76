"""What Prefect costs: one node evacuated by the real flow in real time, against the forecast and against virtual time.

    python benchmarks/prefect_overhead.py [--vms 8] [--speed 1] [--seed 1] [--sizes FILE]

A cluster of eight nodes runs in a host process of its own, as a lab would; `evacuate_nodes` evacuates N1 through the
configured Prefect server, or an embedded one. All moves leave one node, one after the other, so what the run takes
longer than forecast, divided by the moves, is the overhead of a migration: task run, locks, events, looks. The witness
log of the host is rechecked and compared with the report, move by move. Exit code 1 if anything is wrong.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import async_solipsism
from evacuation import VM_MIB, sizes_of

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.audience import Nobody
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.flows.settings import prefect_at_hand
from shunter.topology.clusterfile import cluster_json, read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_log, check_report

NODES = 8


def main() -> int:
    options = _options()
    sizes = sizes_of(options.sizes) if options.sizes else VM_MIB
    cluster = draw(random.Random(options.seed), options.vms, sizes)
    forecast = plan_evacuation(cluster, ["N1"])
    virtual = in_virtual_time(cluster)
    print(f"{len(forecast.moves)} VMs of {sum(vm.memory_mib for vm in cluster.vms_by_node['N1'])} MiB leave N1")
    print(f"forecast             {forecast.makespan_s:8.2f} s")
    print(f"in virtual time      {virtual.makespan_s:8.2f} s   {virtual.makespan_s / forecast.makespan_s - 1:+.3%}")
    if abs(virtual.makespan_s / forecast.makespan_s - 1) > 0.01:
        return 1
    with tempfile.TemporaryDirectory() as folder, prefect_at_hand(quiet=True) as prefect:
        file, log = Path(folder) / "cluster.json", Path(folder) / "witness.jsonl"
        file.write_text(cluster_json(cluster), encoding="utf-8")
        with hosted(file, log, options.speed) as address:
            prefect.wait_until_ready()
            report = asyncio.run(through_prefect(address))
        lines = log.read_text(encoding="utf-8").splitlines()
    return _judge(forecast, report, lines, options.speed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", type=int, default=8, help="VMs on N1 (default 8)")
    parser.add_argument("--speed", type=float, default=1.0, help="of the simulated cluster (default 1: real time)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=Path, help='JSON file {"vms": [{"memory_mib": …}]} to draw the VMs from')
    return parser.parse_args()


def draw(rng: random.Random, vms_a_node: int, sizes_mib: Sequence[int]) -> Cluster:
    nodes = [{"name": f"N{i}", "memory_mib": 512 * 1024} for i in range(1, NODES + 1)]
    vms = [
        {"name": f"vm-{i}-{j}", "node": f"N{i}", "memory_mib": rng.choice(sizes_mib)}
        for i in range(1, NODES + 1)
        for j in range(vms_a_node)
    ]
    return read_cluster({"name": "overhead", "nodes": nodes, "vms": vms})


def in_virtual_time(cluster: Cluster) -> Plan:
    async def night() -> Plan:
        world = SimulatedCluster(cluster, clock=Clock())
        return await evacuate(world, ["N1"], holds=OwnHolds(), audience=Nobody())

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(night())


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


async def through_prefect(address: str) -> Plan:
    from shunter.flows.clusters import SimulatedClusterHost
    from shunter.flows.evacuate import evacuate_nodes

    await SimulatedClusterHost(address=address).save("overhead", overwrite=True)
    return await evacuate_nodes(cluster="overhead", nodes=["N1"])


def _judge(forecast: Plan, report: Plan, lines: list[str], speed: float) -> int:
    more_s = (report.makespan_s - forecast.makespan_s) / speed
    events = [json.loads(line) for line in lines]
    first_s = next(event["t_s"] for event in events if event["what"] == "migration_started")
    started_at_s = first_s - min(move.start_s for move in report.moves)
    wrong = [*check_log(lines, finished=["N1"]), *check_report(report, lines, ["N1"], started_at_s=started_at_s)]
    print(f"through Prefect      {report.makespan_s:8.2f} s   at {speed:g} times real time")
    print(f"overhead             {more_s / len(report.moves):8.2f} s a migration, of real time")
    print(f"report and witness   {'agree' if not wrong else 'differ'} in {len(report.moves)} moves")
    print(*wrong, sep="\n")
    return 0 if report.ok and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
