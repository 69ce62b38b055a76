"""What the commands cost that need no Prefect server: CPU of the whole process, on 16 nodes with 300 VMs.

    python benchmarks/without_server.py [--runs 3] [--only TEXT]

The cluster is filled to 60 %; each command reads its file, in a process of its own. The CPU (user and system, of the
process and those that it starts) is the least of so many runs, after one that is not counted, in which Python compiles
what it imports, as an installation does. It says besides whether Prefect was imported and what processes were started.

Fails where Prefect is imported, a process is started, or a command takes more than a second. What plans, simulates or
rehearses a whole rolling run has work of its own beyond that: its limits are those of `rolling.py --cpu` and
`rehearsal.py`, and here its CPU is only shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instances import VM_MIB
from rolling import of_so_many

NODES, VMS = 16, 300
MOST_S = 1.0
COMMANDS = (
    "check",
    "status",
    "watch --once",
    "why vm-1 N3",
    "plan evacuate N1",
    "plan failover N1",
    "plan repair",
    "plan resume N1",
    "simulate evacuate N1",
    "simulate failover N1",
    "simulate repair",
    "simulate resume N1",
    "simulate watch",
)
WITH_WORK_OF_THEIR_OWN = ("plan maintain", "simulate maintain", "rehearse maintain --nights 1")
OBSERVED = """
import atexit, json, sys
started = []

def note(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"):
        started.append(event)

def tell():
    with open(told, "w", encoding="utf-8") as file:
        json.dump({"prefect": "prefect" in sys.modules, "started": len(started)}, file)

told = sys.argv.pop(1)
sys.addaudithook(note)
atexit.register(tell)
from shunter.commands.main import main
main()
"""
"""The command line, which leaves in the file named first what it imported and started."""


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    exit_code: int
    imports_prefect: bool
    processes: int

    def wrong(self, most_s: float | None) -> list[str]:
        return [
            *(["IMPORTS PREFECT"] if self.imports_prefect else []),
            *(["STARTS A PROCESS"] if self.processes else []),
            *([f"ENDS WITH {self.exit_code}"] if self.exit_code not in (0, 1) else []),
            *([f"OVER {most_s:g} s"] if most_s is not None and self.cpu_s > most_s else []),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each command (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only commands that contain this")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: must be at least 1")
    commands = [(command, MOST_S) for command in COMMANDS] + [(command, None) for command in WITH_WORK_OF_THEIR_OWN]
    amiss = 0
    with tempfile.TemporaryDirectory(prefix="shunter-without-server-") as folder:
        cluster = Path(folder, "cluster.json")
        cluster.write_text(of_so_many(NODES, VMS, VM_MIB).model_dump_json(), encoding="utf-8")
        print(f"{'':28} {'CPU s':>5}  Prefect  processes")
        for command, most_s in commands:
            if options.only in command:
                cost = measure([*command.split(), "--cluster", str(cluster)], Path(folder), options.runs)
                wrong = cost.wrong(most_s)
                amiss += bool(wrong)
                prefect = "yes" if cost.imports_prefect else "no"
                print(
                    f"{command:28} {cost.cpu_s:5.2f}  {prefect:7} {cost.processes:10}  {', '.join(wrong)}", flush=True
                )
    print(f"{amiss} not as they should be" if amiss else "every one within its limits")
    return 1 if amiss else 0


def measure(arguments: Sequence[str], folder: Path, runs: int) -> Cost:
    """The cheapest of so many runs, after one that is not counted."""
    once(arguments, folder)
    return min((once(arguments, folder) for _ in range(runs)), key=lambda cost: cost.cpu_s)


def once(arguments: Sequence[str], folder: Path) -> Cost:
    told = folder / "told.json"
    left_out = ("PYTHONDONTWRITEBYTECODE", "PREFECT_API_URL")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    process = subprocess.Popen(
        [sys.executable, "-c", OBSERVED, str(told), *arguments],
        env=environment | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    observed = json.loads(told.read_text(encoding="utf-8"))
    return Cost(used.ru_utime + used.ru_stime, process.returncode, observed["prefect"], observed["started"])


if __name__ == "__main__":
    sys.exit(main())
