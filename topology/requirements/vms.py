"""VMs: who is not cared for, who stands where it must not, who can go nowhere (R01, R19, I4). VM by VM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from shunter.topology.capacity import available
from shunter.topology.eligibility import LASTING, STANDING, FitNodes, Question, running_companions, verdicts
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.ordering import near
from shunter.topology.plan import Finding, Severity, Verdict
from shunter.topology.requirements.differing import listed


def cared_for(cluster: Cluster) -> Iterator[Finding]:
    for vm in cluster.vms:
        if not vm.clustered:
            holds = "it cannot move, holds up its node, and dies with it" if vm.holds_memory else f"it is {vm.state}"
            yield _about(
                vm,
                "R01",
                "warning" if vm.holds_memory else "info",
                f"{vm.name} on {vm.node} is not in the cluster's care: {holds}",
                f"add it to the cluster (Add-ClusterVirtualMachineRole -VMName {vm.name})",
            )
        elif vm.state == "failed":
            remedy = f"find out why, then start it (Start-ClusterGroup {vm.name})"
            yield _about(vm, "I2", "warning", f"{vm.name} is failed on {vm.node}", remedy)


def configurations(cluster: Cluster) -> Iterator[Finding]:
    for vm in cluster.vms:
        if vm.clustered and not vm.configuration_in_cluster_is_current:
            yield _about(
                vm,
                "R19",
                "warning",
                f"{vm.name} was changed outside cluster tools: a failover may fail, or start it with old settings",
                f'Update-ClusterVirtualMachineConfiguration -Name "Virtual Machine Configuration {vm.name}"',
            )


def standing_wrong(cluster: Cluster) -> Iterator[Finding]:
    """VMs on a node where a rule forbids them, whoever else is there."""
    for vm in cluster.vms:
        here = Question(cluster, vm, cluster.node_by_name[vm.node])
        for verdict in (verdict for check in STANDING for verdict in check(here) if vm.clustered):
            remedy = f"{verdict.remedy}, or move the VM to another node"
            yield _about(vm, verdict.rule, "warning", f"{vm.name} stands on {vm.node}: {verdict.reason}", remedy)


def broken_rules(cluster: Cluster) -> Iterator[Finding]:
    """Affinity rules that do not hold now, among the VMs that run."""
    for rule in cluster.affinity_rules:
        running = [vm for name in rule.vms if (vm := cluster.vm_by_name[name]).holds_memory]
        if wrong := _breach(cluster, rule, running):
            yield Finding(
                rule="I4",
                severity="info" if rule.soft else "warning",
                subject=f"rule {rule.name}",
                message=f"rule {rule.name} ({rule.kind.replace('_', ' ')}) does not hold: {wrong}",
                remedy=f"move one of them, or change rule {rule.name}",
            )


def _breach(cluster: Cluster, rule: AffinityRule, running: list[VirtualMachine]) -> str:
    if rule.kind.startswith("different"):
        close = [(a, b) for a, b in combinations(running, 2) if near(cluster, rule, a.node, b.node)]
        together = list(dict.fromkeys(vm.name for pair in close for vm in pair))
    else:
        apart = any(not near(cluster, rule, running[0].node, vm.node) for vm in running[1:])
        together = [vm.name for vm in running] if apart else []
    on = {vm.name: vm.node for vm in running}
    return ", ".join(f"{name} is on {on[name]}" for name in together)


# ---------------------------------------------------------------- nowhere to go


def nowhere_to_go(cluster: Cluster) -> Iterator[Finding]:
    """VMs that no other node can take, however much room there is.

    Where no other node is up at all, that is one finding for the cluster; two running VMs on one disk are another.
    """
    up = available(cluster)
    lasting = FitNodes(cluster, up, checks=LASTING)
    for vm in cluster.vms:
        others_up = len(up) - (vm.node in up)
        if not vm.clustered or not others_up or (vm.holds_memory and running_companions(cluster, vm)):
            continue
        fit = lasting.of(vm)
        if vm.name in cluster.rules_by_vm:
            fit = tuple(node for node in fit if not _reasons(cluster, vm, node))
        if not fit:
            yield _stuck(cluster, vm)


def _reasons(cluster: Cluster, vm: VirtualMachine, node: str) -> list[Verdict]:
    """Those that last; who must stay with it and is on the same node goes along."""
    along = {
        other: node
        for rule in cluster.rules_by_vm.get(vm.name, ())
        if rule.kind.startswith("same")
        for other in rule.vms
        if cluster.vm_by_name[other].node == vm.node
    }
    return [verdict for verdict in verdicts(cluster, vm, node, promised=along) if verdict.rule != "R17"]


def _stuck(cluster: Cluster, vm: VirtualMachine) -> Finding:
    """Why not, with the nodes of which the same is true named together; what to do for the node that lacks least."""
    against = {node.name: _reasons(cluster, vm, node.name) for node in cluster.nodes if node.name != vm.node}
    alike: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in (verdict for reasons in against.values() for verdict in reasons):
        alike.setdefault((verdict.rule, _of_a_node(verdict.reason, verdict.target)), []).append(verdict)
    nearest = min(against.values(), key=len)
    return _about(
        vm,
        max(alike, key=lambda key: len(alike[key]))[0],
        "warning",
        f"no other node can take {vm.name}: {'; '.join(_said(*key, found) for key, found in alike.items())}",
        "; and ".join(verdict.remedy for verdict in nearest),
    )


def _said(rule: str, reason: str, found: list[Verdict]) -> str:
    if len(found) == 1:
        reason = found[0].reason
        where = "" if _of_a_node(reason, found[0].target) != reason else f"{found[0].target}: "
    else:
        where = f"{listed([verdict.target for verdict in found])}: "
    return f"{where}{reason} ({rule})"


def _of_a_node(reason: str, node: str) -> str:
    """The reason as it reads for any node of which it is true."""
    return re.sub(rf"(?<![\w-]){re.escape(node)}(?![\w-])", "the node", reason)


def _about(vm: VirtualMachine, rule: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=f"vm {vm.name}", message=message, remedy=remedy)
