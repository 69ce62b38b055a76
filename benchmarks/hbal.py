"""Ganeti's balancer `hbal` on the same instances: which moves it orders, in which job sets, in its evacuation mode.

Job sets are executed one after the other, the jobs of a set side by side, so that a set lasts as long as its longest
move. Debian has it in the package ganeti-htools.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from instances import Instance

PATIENCE_S = 60
MOST_WORK = 600_000
COMMAND = (
    *("hbal", "--evac-mode", "--ignore-dynu", "--ignore-soft-errors", "--no-disk-moves"),
    *("--min-gain=0", "--min-gain-limit=0", "--print-commands"),
)
ANY_VM = "|4096,1,1,1,1,1|1,1,1,0,0,0;100000000,64,100000,16,8,64|ext|1000.0|1000.0"
JOB_SET, MIGRATE = re.compile(r"echo jobset \d+"), re.compile(r"gnt-instance migrate .*-n (\S+) (\S+)")


@dataclass(frozen=True)
class Balanced:
    """`job_sets`: (VM, target) of each move. `left`: VMs that stay on nodes that should be empty."""

    job_sets: tuple[tuple[tuple[str, str], ...], ...]
    left: int
    cpu_s: float

    @property
    def moves(self) -> list[tuple[str, str]]:
        return [move for jobs in self.job_sets for move in jobs]

    def makespan_s(self, takes_s: Mapping[str, float]) -> float:
        return sum(max(takes_s[vm] for vm, _ in jobs) for jobs in self.job_sets)


def is_installed() -> bool:
    return shutil.which("hbal") is not None


def is_worth_while(instance: Instance) -> bool:
    """Whether it ends within seconds: it weighs every leaver against every target at each step."""
    return len(instance.leavers) * len(instance.staying) * len(instance.cluster.vms) <= MOST_WORK


def balance(instance: Instance) -> Balanced:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.txt"
        file.write_text(as_text(instance), encoding="utf-8")
        before_s = _children_s()
        command = [*COMMAND, f"--text-data={file}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        cpu_s = _children_s() - before_s
    job_sets: list[list[tuple[str, str]]] = []
    for line in done.stdout.splitlines():
        if JOB_SET.search(line):
            job_sets.append([])
        elif move := MIGRATE.search(line):
            job_sets[-1].append((move[2], move[1]))
    ends = dict(move for jobs in job_sets for move in jobs)
    left = sum(ends.get(vm.name, vm.node) in instance.leaving for vm in instance.leavers)
    return Balanced(tuple(map(tuple, job_sets)), left, cpu_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def as_text(instance: Instance) -> str:
    """The text format of htools(1): groups, nodes, instances, tags, policies. Nodes to be emptied are offline."""
    cluster = instance.cluster
    nodes = [
        f"{n.name}|{n.memory_mib}|{n.reserved_mib}|{cluster.free_mib(n.name)}|1000000000|1000000000|64"
        f"|{'Y' if n.name in instance.leaving else 'N'}|g|1||N|0|0|1.0"
        for n in cluster.nodes
    ]
    vms = [f"{vm.name}|{vm.memory_mib}|1|1|running|Y|{vm.node}||ext||1|1|N" for vm in cluster.vms]
    return "\n".join(("group|g|preferred||", "", *nodes, "", *vms, "", "", ANY_VM, ""))
