"""What is possible at all, found by models that share nothing with the planner: bounds, and who can be emptied.

CP-SAT (Google OR-tools) with one worker and its work limited in deterministic units: the same answer every time. What
it does not decide within them is `open`, never `impossible`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Literal

from instances import Instance
from ortools.sat.python import cp_model

from shunter.topology.model import VirtualMachine

BOUND_WORK = 2.0
ROOM_WORK = 10.0
MOST_LITERALS = 150_000
ROOMY_NODES = (8, 16, 32)

Answer = Literal["possible", "impossible", "open"]


def bound_s(instance: Instance, takes_s: Mapping[str, float]) -> float:
    """What no targets and no order can beat: the source with most to send, all work spread evenly, the longest move."""
    sent_s: defaultdict[str, float] = defaultdict(float)
    for vm in instance.leavers:
        sent_s[vm.node] += takes_s[vm.name]
    longest_s = max(takes_s[vm.name] for vm in instance.leavers)
    return max(*sent_s.values(), sum(sent_s.values()) / len(instance.staying), longest_s)


def bound_with_memory_s(instance: Instance, takes_s: Mapping[str, float]) -> float:
    """The same, where besides no target may be filled over its memory while nobody makes room."""
    plain_s = bound_s(instance, takes_s)
    model: Any = cp_model.CpModel()
    latest_ms = model.new_int_var(int(1000 * plain_s), int(1000 * sum(takes_s.values())) + 1, "latest")
    goes = _goes(model, instance.leavers, instance.staying)
    for node in instance.staying:
        model.add(sum(int(1000 * takes_s[vm.name]) * goes[vm.name, node] for vm in instance.leavers) <= latest_ms)
        model.add(_used_mib(goes, instance.leavers, node) <= instance.cluster.free_mib(node))
    model.minimize(latest_ms)
    solver = _solver(BOUND_WORK)
    solver.parameters.relative_gap_limit = 0.001
    found = solver.solve(model)
    return (
        max(plain_s, solver.best_objective_bound / 1000) if found in (cp_model.OPTIMAL, cp_model.FEASIBLE) else plain_s
    )


def without_others(instance: Instance) -> Answer:
    """Whether the nodes can be emptied with nobody else moving. Then every order is valid, as targets only fill."""
    model: Any = cp_model.CpModel()
    goes = _goes(model, instance.leavers, instance.staying)
    for node in instance.staying:
        model.add(_used_mib(goes, instance.leavers, node) <= instance.cluster.free_mib(node))
    return _answer(_solver(ROOM_WORK), model)


def with_others(instance: Instance) -> Answer:
    """Whether the nodes can be emptied when others make room: some placement of all VMs, reached by moves that are
    valid one after the other, the moving VM counted at both ends. First with helpers from the roomiest nodes.
    """
    cluster, staying = instance.cluster, instance.staying
    if sum(vm.memory_mib for vm in cluster.vms) > sum(cluster.node_by_name[node].for_vms_mib for node in staying):
        return "impossible"
    by_room = sorted(staying, key=lambda node: -cluster.free_mib(node))
    for count in (*(count for count in ROOMY_NODES if count < len(staying)), len(staying)):
        among = by_room[:count]
        movers = [*instance.leavers, *(vm for vm in cluster.vms if vm.node in among)]
        if len(movers) * count > MOST_LITERALS:
            return "open"
        found, ends = _placement(instance, movers, among)
        if found == "possible" and _in_some_order(instance, ends):
            return "possible"
        if found == "impossible" and count == len(staying):
            return "impossible"
    return "open"


def _placement(
    instance: Instance, movers: Collection[VirtualMachine], among: Collection[str]
) -> tuple[Answer, dict[str, str]]:
    """VM → node, with as few VMs as possible moving that need not."""
    model: Any = cp_model.CpModel()
    goes = _goes(model, movers, among)
    for node in among:
        model.add(_used_mib(goes, movers, node) <= instance.cluster.node_by_name[node].for_vms_mib)
    model.minimize(sum(1 - goes[vm.name, vm.node] for vm in movers if vm.node in among))
    for vm in movers:
        if vm.node in among:
            model.add_hint(goes[vm.name, vm.node], 1)
    solver = _solver(ROOM_WORK)
    found = _answer(solver, model)
    if found != "possible":
        return found, {}
    return found, {vm: node for (vm, node), literal in goes.items() if solver.boolean_value(literal)}


def _in_some_order(instance: Instance, ends: Mapping[str, str]) -> bool:
    """Whether always starting some move that has room leads to the end."""
    cluster = instance.cluster
    free_mib = {node.name: cluster.free_mib(node.name) for node in cluster.nodes}
    left = [vm for vm in cluster.vms if ends.get(vm.name, vm.node) != vm.node]
    while left:
        now = [vm for vm in left if vm.memory_mib <= free_mib[ends[vm.name]]]
        if not now:
            return False
        # those that free room where room is needed go first, the leavers last
        vm = min(now, key=lambda vm: (vm.node in instance.leaving, -vm.memory_mib))
        free_mib[ends[vm.name]] -= vm.memory_mib
        free_mib[vm.node] += vm.memory_mib
        left.remove(vm)
    return True


def _goes(model: Any, vms: Collection[VirtualMachine], nodes: Collection[str]) -> dict[tuple[str, str], Any]:
    goes = {(vm.name, node): model.new_bool_var(f"{vm.name} → {node}") for vm in vms for node in nodes}
    for vm in vms:
        model.add_exactly_one(goes[vm.name, node] for node in nodes)
    return goes


def _used_mib(goes: Mapping[tuple[str, str], Any], vms: Collection[VirtualMachine], node: str) -> Any:
    return sum(vm.memory_mib * goes[vm.name, node] for vm in vms)


def _solver(work: float) -> Any:
    solver: Any = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = work
    return solver


def _answer(solver: Any, model: Any) -> Answer:
    found = solver.solve(model)
    if found in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return "possible"
    return "impossible" if found == cp_model.INFEASIBLE else "open"
