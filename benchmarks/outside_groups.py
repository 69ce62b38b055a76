"""Rolling runs for clusters that others collected, beside the groups and the emptiable nodes that were found for them.

    python benchmarks/outside_groups.py FILE

FILE holds clusters whose instances have a copy on a second node, and what tools that restart nodes in groups said of
them. Asked are: whether each node said to be emptiable is emptied; whether a rolling run takes all nodes through, with
no two away at once that hold copies of each other; whether nodes said to form one group are away at once. Every plan is
rechecked. Exit code 1 on any difference. What is not asked is printed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from outside_rows import Row, show

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Maintenance, Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.rolling import RollingPolicy, plan_rolling

HYPERVISOR, ALLOWED = "hv:", "htools:allowmigration:"
NOT_ASKED = {
    "group_sizes": "groups of a fixed size, or of stopped instances: here nodes leave one by one, as soon as they can",
    "error": "instances without a copy are skipped: live, every VM on shared storage can leave its node",
    "groups": "the instances of these nodes are stopped meanwhile; here they run on, and need a node that is there",
    "primaries": "balancing: nobody is moved who stands well",
    "instances_that_fit": "how many new instances fit is no question of maintenance",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE")
    given = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    rows = [row for name, raw in given["clusters"].items() for row in rows_of_cluster(name, raw)]
    rows += [row_of_case(case, given["clusters"][case["cluster"]]) for case in given["cases"]]
    show(rows)
    asked = [row for row in rows if row.asked]
    differing = sum(bool(row.differs) for row in asked)
    print(f"\n{len(asked)} asked, {differing} differ, {len(rows) - len(asked)} not asked")
    return 1 if differing or not asked else 0


def rows_of_cluster(name: str, raw: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each node that is said to be emptiable or not, and one for a rolling run of all."""
    of = cluster_of(raw)
    for node, is_emptiable in raw["check"].get("evacuable", {}).items():
        plan = plan_evacuation(of, [node], 0)
        expected, found = ("emptied" if yes else "not emptied" for yes in (is_emptiable, plan.ok))
        differs = [str(violation) for violation in check_plan(of, plan, [node])]
        differs += [f"expected {expected}"] if found != expected else []
        yield Row(name, f"evacuate {node}", expected, found, "; ".join(differs))
    yield _rolling_row(name, raw, [node.name for node in of.nodes])


def _rolling_row(case: str, raw: Mapping[str, Any], nodes: list[str], together: bool = False) -> Row:
    of = cluster_of(raw)
    copies = [tuple(edge) for edge in raw["check"]["online_edges"]]
    plan = plan_rolling(of, nodes, RollingPolicy(maintenance_s=600.0, apart=tuple(copies)))
    differs = [str(violation) for violation in check_plan(of, plan, nodes)]
    differs += [f"{untouched.node} has no turn: {untouched.reason}" for untouched in plan.untouched]
    turns = {turn.node: turn for turn in plan.maintenance}
    differs += [
        f"{one} and {other} hold copies of each other and are away at once"
        for one, other in copies
        if one in turns and other in turns and _overlap(turns[one], turns[other])
    ]
    at_once = all(_overlap(turns[one], turns[other]) for one, other in combinations(turns, 2))
    if together and not at_once:
        differs.append("they are not all away at one instant")
    expected = "all at once" if together else f"{len(nodes)} turns"
    found = "all at once" if together and at_once else f"{len(plan.maintenance)} turns"
    return Row(
        case, f"maintain {len(nodes)} of {len(of.nodes)}", expected, found, "; ".join(differs), _rounds(plan, raw)
    )


def _rounds(plan: Plan, raw: Mapping[str, Any]) -> str:
    """Fewer rounds than colours would put two that hold copies of each other into one."""
    starts = [turn.start_s for turn in plan.maintenance]
    away = max((sum(turn.start_s <= at < turn.end_s for turn in plan.maintenance) for at in starts), default=0)
    return f"{raw['check']['online_chromatic']} groups at least by copies; up to {away} away at once"


def _overlap(one: Maintenance, other: Maintenance) -> bool:
    return one.start_s < other.end_s and other.start_s < one.end_s


def row_of_case(case: Mapping[str, Any], raw: Mapping[str, Any]) -> Row:
    name = f"{case['tool']} {case['cluster']} {' '.join(case['options'])}".rstrip()
    for group in case["expected"].get("group_sets", ()):
        return _rolling_row(name, raw, group, together=True)
    reason = next(reason for key, reason in NOT_ASKED.items() if key in case["expected"])
    return Row(name, "", "", "", not_asked=reason)


def cluster_of(raw: Mapping[str, Any]) -> Cluster:
    """Memory and tags of hypervisors, between which instances move only where that is allowed."""
    nodes = {node["name"]: node for node in raw["nodes"]}
    return read_cluster(
        {
            "name": "outside",
            "nodes": [
                {"name": name, "memory_mib": node["mem"], "reserved_mib": node["mem_host"]}
                for name, node in nodes.items()
            ],
            "vms": [
                {
                    "name": f"{instance['name']}-{i}",
                    "node": instance["primary"],
                    "memory_mib": instance["mem"],
                    "state": "running" if instance["status"] == "running" else "off",
                    "possible_owners": _owners(raw, instance["primary"]),
                }
                for i, instance in enumerate(raw["instances"])
            ],
        }
    )


def _owners(raw: Mapping[str, Any], primary: str) -> list[str]:
    """[] where hypervisors say nothing."""
    if not any(tag == "htools:migration:hv" for tag in raw["cluster_tags"]):
        return []
    tags = {node["name"]: {tag for tag in node["tags"] if tag.startswith(HYPERVISOR)} for node in raw["nodes"]}
    allowed = [tag.removeprefix(ALLOWED).split("::") for tag in raw["cluster_tags"] if tag.startswith(ALLOWED)]
    return [
        name
        for name, its in tags.items()
        if its == tags[primary] or any({old} == tags[primary] and {new} == its for old, new in allowed)
    ]


if __name__ == "__main__":
    sys.exit(main())
