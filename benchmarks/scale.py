"""What planning and checking the largest clusters cost, each in a process of its own: CPU, and memory at its peak.

    python benchmarks/scale.py

64 nodes with 8,000 VMs, of which 8 are emptied; 1,000 nodes with 20,000 VMs, 20 emptied, which only the planner takes,
as no Windows version allows such clusters (R06); the failover of one node and of 8 (`loss`), with what is protected
afterwards; a pre-flight check with the loss of every node in turn. The nodes are filled so before, or, where it says
so, what stays is filled so afterwards. Fails where one is over its limit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from instances import VM_MIB

from shunter.topology.clusterfile import read_cluster
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import check
from shunter.topology.recheck import check_plan

RESERVED_MIB = 4096
MOST_MIB = 500

Done = TypeVar("Done")


@dataclass(frozen=True)
class Case:
    what: Literal["plan", "loss", "check"]
    nodes: int
    vms: int
    emptied: int
    fill: float
    filled: Literal["before", "after"]
    most_s: float


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    peak_mib: float
    outcome: str


CASES = (
    Case("plan", 64, 8_000, 8, 0.50, "before", 2.0),
    Case("plan", 64, 8_000, 8, 0.85, "before", 2.0),
    Case("plan", 64, 8_000, 8, 0.97, "after", 2.0),
    Case("plan", 1_000, 20_000, 20, 0.50, "before", 10.0),
    Case("plan", 1_000, 20_000, 20, 0.85, "before", 10.0),
    Case("plan", 1_000, 20_000, 20, 0.97, "after", 10.0),
    Case("loss", 64, 8_000, 1, 0.50, "before", 3.0),
    Case("loss", 64, 8_000, 1, 0.85, "before", 3.0),
    Case("loss", 64, 8_000, 1, 0.97, "before", 3.0),
    Case("loss", 64, 8_000, 1, 0.985, "after", 3.0),
    Case("loss", 64, 8_000, 8, 0.97, "before", 10.0),
    Case("check", 64, 8_000, 0, 0.50, "before", 20.0),
    Case("check", 64, 8_000, 0, 0.85, "before", 20.0),
    Case("check", 64, 8_000, 0, 0.97, "before", 20.0),
)


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{'':5} {'nodes':>5} {'VMs':>6} {'emptied':>7} {'filled':>11} {'CPU s':>6} {'limit':>5} {'peak MiB':>8}")
    too_much = 0
    for case in CASES:
        cost = _in_its_own_process(case)
        is_too_much = cost.cpu_s > case.most_s or cost.peak_mib > MOST_MIB
        too_much += is_too_much
        print(
            f"{case.what:5} {case.nodes:5} {case.vms:6} {case.emptied:7} {case.fill:4.0%} {case.filled:>6}"
            f" {cost.cpu_s:6.2f} {case.most_s:5.0f} {cost.peak_mib:8.0f}  {cost.outcome}"
            f"{'  OVER ITS LIMIT' if is_too_much else ''}",
            flush=True,
        )
    print(f"every one under {MOST_MIB} MiB and within its limit" if not too_much else f"{too_much} over their limit")
    return 1 if too_much else 0


def _in_its_own_process(case: Case) -> Cost:
    """Started afresh, so that its peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, [case])


def measure(case: Case) -> Cost:
    cluster = draw(case)
    emptied = [f"N{i}" for i in range(1, case.emptied + 1)]
    if case.what == "plan":
        plan, cpu_s, peak_mib = _timed(partial(plan_evacuation, cluster, emptied))
        wrong = check_plan(cluster, plan, emptied)
        assert not wrong, wrong
        over = plan.makespan_s / plan.lower_bound_s
        return Cost(cpu_s, peak_mib, f"{len(plan.moves)} moves, {len(plan.unplaced)} stay, {over:.3f} of the bound")
    if case.what == "loss":
        plan, cpu_s, peak_mib = _timed(partial(plan_failover, cluster, emptied))
        wrong = check_plan(cluster, plan, emptied)
        assert not wrong, wrong
        covered = f"{sum(loss.ok is True for loss in plan.survives_loss)} of {len(plan.survives_loss)} covered"
        return Cost(cpu_s, peak_mib, f"{len(plan.moves)} restart, {len(plan.unplaced)} do not, then {covered}")
    report, cpu_s, peak_mib = _timed(partial(check, cluster))
    losses = sum(finding.rule == "I3" for finding in report.findings)
    return Cost(cpu_s, peak_mib, f"{len(report.findings)} findings, {losses} of memory")


def _timed(work: Callable[[], Done]) -> tuple[Done, float, float]:
    begun_s = time.process_time()
    result = work()
    cpu_s = time.process_time() - begun_s
    return result, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(case: Case) -> Cluster:
    """Nodes that are alike, and as much memory as fills them so with VMs of many sizes."""
    rng = random.Random(repr(case))
    sizes_mib = [rng.choice(VM_MIB) for _ in range(case.vms)]
    stay = case.nodes - case.emptied if case.filled == "after" else case.nodes
    node_mib = max(round(sum(sizes_mib) / (case.fill * stay)), 2 * max(sizes_mib)) + RESERVED_MIB
    nodes = [{"name": f"N{i}", "memory_mib": node_mib, "reserved_mib": RESERVED_MIB} for i in range(1, case.nodes + 1)]
    free_mib = [node_mib - RESERVED_MIB] * case.nodes
    vms = []
    for number, memory_mib in enumerate(sorted(sizes_mib, reverse=True), start=1):
        at = max(rng.sample(range(case.nodes), k=4), key=lambda i: free_mib[i])
        free_mib[at] -= memory_mib
        vms.append({"name": f"vm-{number}", "node": f"N{at + 1}", "memory_mib": memory_mib})
    return read_cluster({"name": "scale", "nodes": nodes, "vms": vms})


if __name__ == "__main__":
    sys.exit(main())
