"""Plans for cases that others collected, beside what trying everything found for them.

    python benchmarks/outside_cases.py --placement FILE --evacuate FILE

`--placement`: scenarios of nodes, VMs and rules (`together`, `separate`, `pin`) with the fewest moves that an oracle
found (`min_moves`, null where no placement exists) and the fewest live steps (`min_live_steps`, null where no order is
valid live). Nodes in maintenance are evacuated, any other scenario is repaired, with no reserve. `--evacuate`: runs of
other cluster software; asked are the checks in which a VM left its node live because the node was evacuated.

Every plan is rechecked step by step. Exit code 1 on any difference. What is not asked is printed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.repair import plan_repair

MIB_A_GB = 1024
KINDS = {"together": "same_node", "separate": "different_node"}
ROOMY_MIB = 256 * 1024
USUAL_MIB = 1024

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One case. `differs`: in what the plan is not what was expected; empty where it is."""

    case: str
    asked: str
    expected: str
    found: str
    differs: str = ""
    not_asked: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--placement", type=Path, metavar="FILE", help="scenarios with an oracle's fewest moves")
    parser.add_argument("--evacuate", type=Path, metavar="FILE", help="runs of other cluster software")
    arguments = parser.parse_args()
    if arguments.placement is None and arguments.evacuate is None:
        parser.error("give --placement FILE, --evacuate FILE or both")
    rows: list[Row] = []
    if arguments.placement:
        rows += [placement_row(scenario) for scenario in json.loads(arguments.placement.read_text())["scenarios"]]
    if arguments.evacuate:
        for case in json.loads(arguments.evacuate.read_text())["cases"]:
            rows += evacuation_rows(case)
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
    found = _found(plan)
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


def _found(plan: Plan) -> str:
    no_order = any("no order" in finding.message for finding in plan.findings)
    if not plan.unplaced:
        return f"{len(plan.moves)} moves" if plan.ok else "not ok, and nobody is unplaced"
    return "no order" if no_order else "no placement"


# -------------------------------------------------------------- evacuations


def evacuation_rows(case: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each time that a node of the case was evacuated."""
    asked = [check for check in case["checks"] if check["why"] == "evacuate" and check["live"]]
    if not asked:
        whys = sorted({check["why"] + ("" if check["live"] else ", restarted") for check in case["checks"]})
        reason = f"no VM leaves live for an evacuation ({'; '.join(whys) or 'no checks'})"
        yield Row(case["id"], "", "", "", not_asked=reason)

    def when(check: Mapping[str, Any]) -> tuple[int, str]:
        return check["t_first"], check["from"]

    for (at_s, source), group in groupby(sorted(asked, key=when), key=when):
        yield _evacuation_row(case, at_s, source, list(group))


def _evacuation_row(case: Mapping[str, Any], at_s: int, source: str, checks: list[Raw]) -> Row:
    of = evacuation_cluster(case, at_s, source)
    plan = plan_evacuation(of, [source], 0)
    ends = {move.vm: move.target for move in plan.moves}
    differs = [str(violation) for violation in check_plan(of, plan, [source])]
    differs += [
        f"{check['vm']} ends on {ends.get(check['vm'], source)}, not on one of {check['allowed']}"
        for check in checks
        if ends.get(check["vm"]) not in check["allowed"]
    ]
    differs += [f"{vm} is moved, and was not" for vm in ends if vm not in {check["vm"] for check in checks}]
    expected = f"{len(checks)} moves"
    return Row(case["id"], f"evacuate {source}", expected, _found(plan), "; ".join(differs))


def evacuation_cluster(case: Mapping[str, Any], at_s: int, source: str) -> Cluster:
    """The cluster as it stood when the first VM left. Sizes are given only now and then; else there is room."""
    place = dict(case["placement_before_first_event"])
    for check in case["checks"]:
        if check["t_done"] <= at_s and check["ok"] and (check["t_first"], check["from"]) != (at_s, source):
            place[check["vm"]] = check["observed_to"]
    state = _node_states(case, at_s)
    return read_cluster(
        {
            "name": "outside",
            "nodes": [
                {"name": name, "memory_mib": ROOMY_MIB, "state": "up" if name == source else state[name]}
                for name in case["nodes"]
            ],
            "vms": [
                {
                    "name": name,
                    "node": place[name],
                    "memory_mib": case["static_stats"].get(name, {}).get("maxmem", USUAL_MIB << 20) >> 20,
                    "state": "running" if vm.get("state") in ("enabled", "started") else "off",
                }
                for name, vm in case["vms"].items()
            ],
        }
    )


def _node_states(case: Mapping[str, Any], at_s: int) -> dict[str, str]:
    """A node that is put into maintenance while it is lost comes back up."""
    state = dict.fromkeys(case["nodes"], "up")
    for event in case["events"]:
        node = event.get("node")
        if event["t"] > at_s or node is None:
            continue
        if event["event"] in ("node_lost", "shutdown"):
            state[node] = "down"
        elif event["event"] in ("node_on", "maintenance_off"):
            state[node] = "up"
        elif event["event"] == "maintenance_on" and state[node] == "up":
            state[node] = "paused"
    return state


# -------------------------------------------------------------- what is printed


def show(rows: list[Row]) -> None:
    asked = [row for row in rows if row.asked]
    heads = ("case", "asked", "expected", "planned")
    table = [heads, *((row.case, row.asked, row.expected, row.found) for row in asked)]
    widths = [max(len(line[i]) for line in table) for i in range(len(heads))]
    for line, row in zip(table, [None, *asked], strict=True):
        verdict = "" if row is None else f"DIFFERS: {row.differs}" if row.differs else "as expected"
        print("  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=True)), verdict]).rstrip())
    for title, some in (
        ("\nNot asked:", [row for row in rows if not row.asked]),
        ("\nAsked without the wish:", [row for row in asked if row.not_asked]),
    ):
        if some:
            print(title)
        for row in some:
            print(f"  {row.case}: {row.not_asked}")


if __name__ == "__main__":
    sys.exit(main())
