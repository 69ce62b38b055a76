"""A node's return read again: the cluster that its moves happen in, and whether a report of it agrees with the end."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck.claims import RULE
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.world import World


def once_resumed(cluster: Cluster, plan: Plan) -> Cluster:
    """The cluster as it is when the first VM goes back: the plan's node takes VMs, if it was paused."""
    nodes = tuple(
        node.model_copy(update={"state": "up", "paused_by": None})
        if node.name == plan.node and node.state == "paused"
        else node
        for node in cluster.nodes
    )
    return cluster.with_nodes(nodes)


def reasons_of_stayers(cluster: Cluster, plan: Plan) -> Iterator[Violation]:
    """A VM that is not taken back has at least one verdict, complete, and all are about one node, another than its own.

    It is not asked whether it could go anywhere else: nobody wants it there.
    """
    for stays in plan.unplaced:
        is_on = cluster.vm_by_name[stays.vm].node
        if stays.node != is_on:
            yield Violation(0.0, "I2", stays.vm, f"it is on {is_on}, not on {stays.node}")
        about = {verdict.target for verdict in stays.verdicts}
        if len(about) != 1 or is_on in about or not about <= cluster.node_by_name.keys():
            yield Violation(0.0, "I2", stays.vm, f"its verdicts are about {', '.join(sorted(about)) or 'no node'}")
        for verdict in stays.verdicts:
            if not RULE.fullmatch(verdict.rule) or not verdict.reason or not verdict.remedy:
                message = f"the verdict on {verdict.target} lacks rule, reason or remedy"
                yield Violation(0.0, "I2", stays.vm, message)


def came_back(report: Plan, world: World, end_s: float) -> Iterator[Violation]:
    """Whether the world at the end bears out what the report of a resume says of its node and of those that went."""
    if not report.executed:
        return
    state = world.node_state.get(report.node or "", "unknown")
    if report.ok and state != "up":
        yield Violation(end_s, "report", str(report.node), f"the report calls itself ok, and the node is {state}")
    if report.ok and report.unplaced:
        yield Violation(end_s, "report", report.cluster, "the report calls itself ok though VMs stay")
    told_of = {finding.subject.removeprefix("vm ") for finding in report.findings}
    for name, target in {move.vm: move.target for move in report.moves if move.outcome == "done"}.items():
        is_on = world.vms[name].node
        if is_on != target and name not in told_of and name not in world.flights:
            message = f"was taken to {target} and is on {is_on}; the report does not say why"
            yield Violation(end_s, "report", name, message)
