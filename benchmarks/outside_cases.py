"""Plans for cases that others collected, beside what trying everything found for them.

    python benchmarks/outside_cases.py --placement FILE --evacuate FILE --capacity FILE

`--placement`: scenarios of nodes, VMs and rules (`together`, `separate`, `pin`) with the fewest moves that an oracle
found (`min_moves`, null where no placement exists) and the fewest live steps (`min_live_steps`, null where no order is
valid live). Nodes in maintenance are evacuated, any other scenario is repaired, with no reserve. `--evacuate`: runs of
other cluster software; asked are evacuations in which VMs left their node live, losses of nodes (`plan failover`), and
returns of nodes to which VMs went back. `--capacity`: whether hosts may be lost, whether a VM may be admitted, how a
host whose VMs form groups is emptied, how many losses the votes allow.

Every plan is rechecked step by step. Exit code 1 on any difference. What is not asked is printed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from outside_capacity import capacity_rows
from outside_rows import Row, found_in, show
from outside_runs import KINDS, rows_of_run

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.repair import plan_repair

MIB_A_GB = 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--placement", type=Path, metavar="FILE", help="scenarios with an oracle's fewest moves")
    parser.add_argument("--evacuate", type=Path, metavar="FILE", help="runs of other cluster software")
    parser.add_argument("--capacity", type=Path, metavar="FILE", help="questions of capacity, with their answers")
    arguments = parser.parse_args()
    if not (arguments.placement or arguments.evacuate or arguments.capacity):
        parser.error("give --placement FILE, --evacuate FILE or --capacity FILE")
    rows: list[Row] = []
    if arguments.placement:
        rows += [placement_row(scenario) for scenario in json.loads(arguments.placement.read_text())["scenarios"]]
    if arguments.evacuate:
        for case in json.loads(arguments.evacuate.read_text())["cases"]:
            rows += rows_of_run(case)
    if arguments.capacity:
        for case in json.loads(arguments.capacity.read_text())["cases"]:
            rows += capacity_rows(case)
    show(rows)
    asked = [row for row in rows if row.asked]
    differing = sum(bool(row.differs) for row in asked)
    print(f"\n{len(asked)} asked, {differing} differ, {len(rows) - len(asked)} not asked")
    return 1 if differing or not asked else 0


# -------------------------------------------------------------- placement


def placement_row(scenario: Mapping[str, Any]) -> Row:
    """The plan of a scenario beside the oracle's figures."""
    local = sorted(name for name, vm in scenario["vms"].items() if vm["disks_gb"])
    if local:
        reason = f"local disks ({', '.join(local)}): the VMs of a failover cluster are on shared storage (R01, R08)"
        return Row(scenario["id"], "", "", "", not_asked=reason)
    of = placement_cluster(scenario)
    emptied = [name for name, node in scenario["nodes"].items() if node["maintenance"]]
    emptied += [name for name in [scenario["evacuate"]] if name and name not in emptied]
    plan = plan_evacuation(of, emptied, 0) if emptied else plan_repair(of, 0)
    moves, steps = scenario["oracle"]["min_moves"], scenario["oracle"].get("min_live_steps")
    if moves is None:
        expected = "no placement"
    elif steps is None:
        expected = "no order"
    else:
        expected = f"{steps if isinstance(steps, int) else moves} moves"
    found = found_in(plan)
    differs = [str(violation) for violation in check_plan(of, plan, emptied)]
    differs += [] if found == expected else [f"expected {expected}"]
    asked = f"evacuate {' '.join(emptied)}" if emptied else "repair"
    return Row(scenario["id"], asked, expected, found, "; ".join(differs), "; ".join(_wishes(scenario)))


def placement_cluster(scenario: Mapping[str, Any]) -> Cluster:
    """The scenario as a cluster file: memory, reserves, pins and rules. Containers are treated as VMs."""
    rules = [rule for rule in scenario["rules"] if rule["kind"] != "pin"]
    return read_cluster(
        {
            "name": "outside",
            "nodes": [
                {"name": name, "memory_mib": _mib(node["mem_gb"]), "reserved_mib": _mib(node["reserve_mem_gb"])}
                for name, node in scenario["nodes"].items()
            ],
            "vms": [
                {
                    "name": name,
                    "node": vm["node"],
                    "memory_mib": _mib(vm["mem_gb"]),
                    "possible_owners": _pins(scenario, name, hard=True),
                    "preferred_owners": _pins(scenario, name, hard=False),
                }
                for name, vm in scenario["vms"].items()
            ],
            "affinity_rules": [
                {"name": f"rule-{i}", "kind": KINDS[rule["kind"]], "vms": rule["vms"], "soft": not rule["hard"]}
                for i, rule in enumerate(rules)
            ],
        }
    )


def _mib(gb: float) -> int:
    return round(gb * MIB_A_GB)


def _pins(scenario: Mapping[str, Any], vm: str, *, hard: bool) -> list[str]:
    pins = [rule for rule in scenario["rules"] if rule["kind"] == "pin" and rule["hard"] is hard and vm in rule["vms"]]
    return [name for name in scenario["nodes"] if pins and all(name in pin["nodes"] for pin in pins)]


def _wishes(scenario: Mapping[str, Any]) -> Iterator[str]:
    if scenario["expect"].get("spread_improved") or scenario["balance_by"] != "memory":
        yield f"balancing by {scenario['balance_by']}: nobody is moved who stands well"
    for name, node in scenario["nodes"].items():
        cpus = sum(vm["cpu"] for vm in scenario["vms"].values() if vm["node"] == name)
        if node["reserve_cpu"] or cpus > node["cpu"] * scenario["limits"]["cpu_overcommit"]:
            yield f"CPU overcommitment on {name}: processors are shared, memory is not"


if __name__ == "__main__":
    sys.exit(main())
