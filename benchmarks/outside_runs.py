"""Runs of other cluster software: where VMs went when a node was evacuated, was lost, or came back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from outside_rows import Row, found_in

from shunter.topology.clusterfile import read_cluster
from shunter.topology.failover import plan_failover
from shunter.topology.homes import Before
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.resuming import plan_resume

ROOMY_MIB = 256 * 1024
USUAL_MIB = 1024
KINDS = {"together": "same_node", "separate": "different_node"}

Raw = dict[str, Any]


def rows_of_run(case: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each time that a node of the case was evacuated, was lost, or VMs went back to it."""
    yield from evacuation_rows(case)
    yield from failover_rows(case)
    yield from failback_rows(case)


def _together(checks: list[Raw]) -> Iterator[tuple[int, str, list[Raw]]]:
    """Those of one node at one time."""

    def when(check: Mapping[str, Any]) -> tuple[int, str]:
        return check["t_first"], check["from"]

    for (at_s, source), group in groupby(sorted(checks, key=when), key=when):
        yield at_s, source, list(group)


# -------------------------------------------------------------- evacuations


def evacuation_rows(case: Mapping[str, Any]) -> Iterator[Row]:
    asked = [check for check in case["checks"] if check["why"] == "evacuate" and check["live"]]
    restarted = [check for check in case["checks"] if check["why"] == "evacuate" and not check["live"]]
    if restarted:
        reason = f"{len(restarted)} VMs are stopped and started for an evacuation; here none is: they move live (I2)"
        yield Row(case["id"], "", "", "", not_asked=reason)
    for at_s, source, checks in _together(asked):
        of = cluster_of_run(case, at_s, source)
        plan = plan_evacuation(of, [source], 0)
        ends = {move.vm: move.target for move in plan.moves}
        expected = f"{len(checks)} moves"
        yield Row(case["id"], f"evacuate {source}", expected, found_in(plan), _differs(of, plan, checks, ends))


def _differs(of: Cluster, plan: Plan, checks: list[Raw], ends: Mapping[str, str]) -> str:
    source = checks[0]["from"]
    differs = [str(violation) for violation in check_plan(of, plan, [source])]
    differs += [
        f"{check['vm']} ends on {ends.get(check['vm'], source)}, not on one of {check['allowed']}"
        for check in checks
        if ends.get(check["vm"]) not in check["allowed"]
    ]
    differs += [f"{vm} is moved, and was not" for vm in ends if vm not in {check["vm"] for check in checks}]
    return "; ".join(differs)


# -------------------------------------------------------------- losses


def failover_rows(case: Mapping[str, Any]) -> Iterator[Row]:
    """What restarted after a node was lost; who found no place there must find none here."""
    asked = [check for check in case["checks"] if check["why"] == "failover"]
    for at_s, source, checks in _together(asked):
        of = cluster_of_run(case, at_s, source)
        plan = plan_failover(of, [source])
        ends = {move.vm: move.target for move in plan.moves} | {
            move.name: move.target for move in plan.role_moves if move.name in of.vm_by_name
        }
        left = [stays.vm for stays in plan.unplaced]
        waiting = [vm for vm in case["unplaced_at_end"] if of.vm_by_name[vm].node == source]
        differs = [_differs(of, plan, checks, ends)]
        if sorted(left) != sorted(waiting):
            differs.append(f"{left} do not restart, {waiting} did not")
        expected = f"{len(checks)} restart, {len(waiting)} wait"
        found = f"{len(ends)} restart, {len(left)} wait"
        yield Row(case["id"], f"failover {source}", expected, found, "; ".join(filter(None, differs)))
    if case["fence_before_restart"]:
        reason = "that a lost node is declared down before anything restarts is no question of a plan"
        yield Row(case["id"], "", "", "", not_asked=reason)


# -------------------------------------------------------------- returns


def failback_rows(case: Mapping[str, Any]) -> Iterator[Row]:
    """VMs that went back when the maintenance of their node ended: here if wanted, to where each was before, wherever
    somebody has moved it meanwhile.
    """
    for at_s, source, checks in _together([check for check in case["checks"] if check["why"] == "failback"]):
        ended = [e["node"] for e in case["events"] if e["event"] == "maintenance_off" and e["t"] <= at_s]
        of = cluster_of_run(case, at_s, source, paused=ended[-1])
        homes = {check["vm"]: ended[-1] for check in checks}
        plan = plan_resume(of, ended[-1], "as-before", Before(homes=homes, ours=True), reserve_nodes=0)
        ends = {move.vm: move.target for move in plan.moves}
        differs = "; ".join(
            f"{check['vm']} goes to {ends.get(check['vm'])}, not to {check['observed_to']}"
            for check in checks
            if ends.get(check["vm"]) != check["observed_to"]
        )
        expected, asked = f"{len(checks)} moves", f"resume {ended[-1]} --failback as-before"
        yield Row(case["id"], asked, expected, found_in(plan), differs)


# -------------------------------------------------------------- the cluster at that time


def cluster_of_run(case: Mapping[str, Any], at_s: int, source: str, paused: str | None = None) -> Cluster:
    """The cluster as it stood when the first VM left. Sizes are given only now and then; else there is room."""
    place = dict(case["placement_before_first_event"])
    for check in case["checks"]:
        if check["t_done"] <= at_s and check["ok"] and (check["t_first"], check["from"]) != (at_s, source):
            place[check["vm"]] = check["observed_to"]
    state = _node_states(case, at_s) | {source: "up"} | ({paused: "paused"} if paused else {})
    return read_cluster(
        {
            "name": "outside",
            "nodes": [{"name": name, "memory_mib": ROOMY_MIB, "state": state[name]} for name in case["nodes"]],
            "vms": [
                {
                    "name": name,
                    "node": place[name],
                    "memory_mib": case["static_stats"].get(name, {}).get("maxmem", USUAL_MIB << 20) >> 20,
                    "state": "running" if vm.get("state") in ("enabled", "started") else "off",
                    "possible_owners": _owners(case, name, strict=True),
                    "preferred_owners": _owners(case, name, strict=False),
                }
                for name, vm in case["vms"].items()
            ],
            "affinity_rules": [
                {"name": rule["id"], "kind": KINDS[rule["kind"]], "vms": rule["services"], "soft": not rule["strict"]}
                for rule in case["rules"]
                if rule["kind"] in KINDS
            ],
        }
    )


def _owners(case: Mapping[str, Any], vm: str, *, strict: bool) -> list[str]:
    """The nodes that its rules name, the most wished first; none where no rule does."""
    rules = [
        rule
        for rule in case["rules"]
        if rule["kind"] == "node-affinity" and rule["strict"] is strict and vm in rule["services"]
    ]
    return sorted(rules[0]["nodes"], key=lambda node: -rules[0]["nodes"][node]) if rules else []


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
