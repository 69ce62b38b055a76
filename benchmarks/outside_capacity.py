"""Questions of capacity that others answered: may hosts be lost, may a VM be admitted, how are groups spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from outside_rows import Row

from shunter.topology.capacity import survives_loss
from shunter.topology.clusterfile import read_cluster
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.restarting import choose_restarts

Raw = dict[str, Any]


def capacity_rows(case: Mapping[str, Any]) -> Iterator[Row]:
    match case["kind"]:
        case "survive_n_host_failures":
            yield _survive(case)
        case "admit_vm_keeping_n1":
            yield _admit(case)
        case "evacuate_anti_affinity_group" | "evacuate_host_soft_anti_affinity":
            yield from _evacuate(case)
        case "max_host_failures_tolerated_empty_pool":
            yield _tolerated(case)
        case kind:
            yield Row(case["id"], "", "", "", not_asked=f"no question of this kind is known here: {kind}")


def _survive(case: Mapping[str, Any]) -> Row:
    """By the check that plans keep their reserve with, and by the plan of each loss."""
    of, lost_nodes = cluster_of(case), case["n"]
    reserve = survives_loss(of, lost_nodes).ok
    plans = []
    differs = []
    for lost in combinations([node.name for node in of.nodes], lost_nodes):
        plans.append(plan_failover(of, lost))
        differs += [str(violation) for violation in check_plan(of, plans[-1], lost)]
    planned = all(not plan.unplaced for plan in plans)
    expected = case["expected"]["plan_exists"]
    differs += [f"the reserve says {reserve}, the failovers {planned}"] if {reserve, planned} != {expected} else []
    return Row(case["id"], f"lose any {lost_nodes}", _yes(expected), _yes(planned), "; ".join(differs))


def _admit(case: Mapping[str, Any]) -> Row:
    """A VM is admitted where some node takes it so that the reserve is kept as before."""
    new = case["new_vm"]
    outcomes = {"accepted": True, "refused_would_break_plan": False}
    expected = outcomes.get(case["expected"]["outcome"])
    before = survives_loss(cluster_of(case), case["n"]).ok
    if expected is None or before is not case["exact"]["plan_before"]:
        return Row(case["id"], "admit", str(case["expected"]), f"plan before: {before}", "another question")
    first = next(iter(case["hosts"]))
    waiting = {"name": new["name"], "node": first, "memory_mib": new["memory_gib"] * 1024, "state": "off"}
    of = cluster_of(case, waiting)
    starts = choose_restarts(of, [of.vm_by_name[new["name"]]]).targets
    running = cluster_of(case, waiting | {"state": "running"})
    started = [(node, running.with_vms_on({new["name"]: node})) for node in case["hosts"]]
    keeps = any(there.free_mib(node) >= 0 and survives_loss(there, case["n"]).ok for node, there in started)
    found = bool(starts) and keeps
    exact = case["exact"]["some_start_place_keeps_plan"]
    differs = "" if found is expected is exact else f"expected {expected}, exactly {exact}"
    return Row(case["id"], f"admit {new['name']}", _yes(expected), _yes(found), differs)


def _evacuate(case: Mapping[str, Any]) -> Iterator[Row]:
    """Members of a group rather on different nodes: a soft rule for each pair. Compared is how evenly they stand;
    on which of two equal nodes a VM ends says nothing.
    """
    of, source = cluster_of(case), case["evacuate"]
    plan = plan_evacuation(of, [source], 0)
    wrong = "; ".join(str(violation) for violation in check_plan(of, plan, [source]))
    expected = case["expected"].get("plan", case["expected"].get("spread_evenly"))
    if expected is None:
        found = "some stay" if plan.unplaced else "all leave"
        wrong += "" if plan.unplaced else "expected that one fits nowhere"
        yield Row(case["id"], f"evacuate {source}", "one fits nowhere", found, wrong)
    else:
        wanted, spread = _spread(case, expected), _spread(case, {move.vm: move.target for move in plan.moves})
        wrong += "" if spread == wanted and not plan.unplaced else "not as even"
        yield Row(case["id"], f"evacuate {source}", f"spread {wanted}", f"spread {spread}", wrong)
    if case["expected"].get("at_least_two_hosts_per_group"):
        reason = "at least two hosts for a group, whatever the rest: here soft rules ask for as many nodes as there are"
        yield Row(case["id"], "", "", "", not_asked=reason)


def _spread(case: Mapping[str, Any], target: Mapping[str, str]) -> dict[str, list[int]]:
    """Group → how many of its VMs are on a node, node by node, the most first."""
    group = {vm["name"]: vm["group"] for host in case["hosts"].values() for vm in host["vms"] if vm["group"]}
    on: dict[str, Counter[str]] = {}
    for name, node in target.items():
        if name in group:
            on.setdefault(group[name], Counter())[node] += 1
    return {name: sorted(counts.values(), reverse=True) for name, counts in on.items()}


def _tolerated(case: Mapping[str, Any]) -> Row:
    """How many hosts may be lost at once by votes alone; their clusters have no witness."""
    names = [f"host-{i}" for i in range(case["hosts"])]
    voting = set(names[: case["cluster_members"]])
    nodes = [{"name": name, "memory_mib": 1024, "votes": int(name in voting)} for name in names]
    of = read_cluster({"name": "outside", "witness": False, "nodes": nodes})
    tolerated = 0
    while tolerated < len(names) and not _may_end(plan_failover(of, names[: tolerated + 1])):
        tolerated += 1
    differs = "" if tolerated == case["expected"] else "differs"
    return Row(case["id"], "lose as many as can be", str(case["expected"]), str(tolerated), differs)


def _may_end(plan: Plan) -> bool:
    return any(finding.rule == "I6" and "are left" in finding.message for finding in plan.findings)


def cluster_of(case: Mapping[str, Any], *more: Raw) -> Cluster:
    vms = [
        {"name": vm["name"], "node": name, "memory_mib": vm["memory_gib"] * 1024}
        for name, host in case["hosts"].items()
        for vm in host["vms"]
    ]
    groups: dict[str, list[str]] = {}
    for host in case["hosts"].values():
        for vm in host["vms"]:
            if vm["group"]:
                groups.setdefault(vm["group"], []).append(vm["name"])
    pairs = [pair for names in groups.values() for pair in combinations(names, 2)]
    return read_cluster(
        {
            "name": "outside",
            "nodes": [
                {"name": name, "memory_mib": int(host["memory_gib"]) * 1024, "reserved_mib": 0}
                for name, host in case["hosts"].items()
            ],
            "vms": [*vms, *more],
            "affinity_rules": [
                {"name": f"apart-{i}", "kind": "different_node", "vms": list(pair), "soft": True}
                for i, pair in enumerate(pairs)
            ],
        }
    )


def _yes(answer: bool | None) -> str:
    return "yes" if answer else "no"
