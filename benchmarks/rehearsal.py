"""How many nights a rehearsal of a large cluster spends in a minute, on all cores.

    python benchmarks/rehearsal.py [--nights 40] [--at-least 200]

16 nodes × 300 VMs, filled to 60 %, 30 minutes of maintenance a node, some faults, noise of 30 %; the forecast is
not counted. Fails where it is fewer nights a minute than asked for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time

from instances import VM_MIB
from rolling import of_so_many

from shunter.commands.rehearsing import Script, search_garbage_seldom
from shunter.commands.rolling import Asked
from shunter.topology.rolling import forecast

NODES, VMS = 16, 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--at-least", type=float, default=200.0, help="nights a minute (default 200)")
    options = parser.parse_args()
    script = _script()
    with multiprocessing.Pool(initializer=search_garbage_seldom) as pool:  # as a rehearsal's own
        pool.map(script.spend, range(multiprocessing.cpu_count()), chunksize=1)  # what is imported late is there now
        begun_s = time.monotonic()
        spent = pool.map(script.spend, range(options.nights), chunksize=1)
        took_s = time.monotonic() - begun_s
    a_minute = 60 * len(spent) / took_s
    print(f"{len(spent)} nights of {NODES} nodes and {VMS} VMs in {took_s:.1f} s: {a_minute:.0f} a minute")
    return 1 if a_minute < options.at_least else 0


def _script() -> Script:
    cluster = of_so_many(NODES, VMS, VM_MIB)
    asked = Asked(
        nodes=(),
        maintenance_s=1800.0,
        parallel=None,
        reserve_nodes="auto",
        prefer="time",
        window_s=None,
        failback="none",
        first=None,
        apart=None,
        one_fault_domain=False,
    )
    return Script(cluster, asked, "some", 0.3, forecast(cluster, asked.nodes, asked.policy))


if __name__ == "__main__":
    sys.exit(main())
