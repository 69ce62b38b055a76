"""Where VMs that do not run are started, all decided together, the most important first (I3, I4, R08, R11, R20)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from shunter.topology.loss.packing import Packing
from shunter.topology.loss.placing import place
from shunter.topology.loss.problem import Losses, Restart
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Verdict
from shunter.topology.reasons import Tried
from shunter.topology.starting import StartReasons

NOTHING_TRIED: Tried = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Restarts:
    """`targets`: VM → node, in the order in which to start them; `why`: of each of them, why there. `unplaced`: every
    reason why the others cannot be started. `fewest`: it is proved that no fewer are left, of no lower priority.
    `room_mib`: what is free on each node that takes VMs once all are started.
    """

    targets: dict[str, str]
    why: dict[str, str]
    unplaced: dict[str, tuple[Verdict, ...]]
    fewest: bool
    room_mib: dict[str, int]


def choose_restarts(
    cluster: Cluster, vms: Sequence[VirtualMachine], *, tried: Mapping[tuple[str, str], Verdict] = NOTHING_TRIED
) -> Restarts:
    """Where these VMs, none of which runs, are started. `tried`: what a start in vain has shown, by (VM, node).

    The node that a VM is on counts like any other if it is up. As few as possible are left, of the lowest priority, and
    of those as few as possible are not where their owner prefers. An unplaced VM has at least one verdict for each
    other node, and for its own where that is up. Raises ValueError for a VM that runs: it must never be started twice.
    """
    for vm in vms:
        if vm.holds_memory:
            raise ValueError(f"{vm.name} is {vm.state} on {vm.node}: it must not be started a second time")
    return restarts_after(cluster, vms, (), tried)


def restarts_after(
    cluster: Cluster, vms: Sequence[VirtualMachine], gone: Collection[str], tried: Tried = NOTHING_TRIED
) -> Restarts:
    """The same after the loss of the nodes that are `gone`, with what ran there among the VMs."""
    problem = Losses(cluster).restarting(vms, gone, tried.keys())
    packing, proved = place(problem)
    room_mib = dict(problem.room_mib)
    for restart in problem.restarts:
        if restart.vm in packing.refuge:
            room_mib[packing.refuge[restart.vm]] -= restart.mib
    order = sorted(problem.restarts, key=lambda restart: (-restart.priority, restart.vm))
    targets = {restart.vm: packing.refuge[restart.vm] for restart in order if restart.vm in packing.refuge}
    starting = {vm.name for vm in vms}
    reasons = StartReasons(cluster, gone, starting, targets, problem.room_mib, tried)
    return Restarts(
        targets=targets,
        why={restart.vm: _why(restart, packing, room_mib) for restart in order if restart.vm in targets},
        unplaced={
            restart.vm: reasons.against(cluster.vm_by_name[restart.vm])
            for restart in order
            if restart.vm not in targets
        },
        fewest=proved,
        room_mib=room_mib,
    )


def _why(restart: Restart, packing: Packing, room_mib: Mapping[str, int]) -> str:
    node = packing.refuge[restart.vm]
    if len(restart.fit) == 1:
        choice = "the only node that it may go to"
    elif node in restart.preferred:
        choice = f"a preferred owner, of {len(restart.fit)} nodes it may go to"
    else:
        choice = f"of {len(restart.fit)} nodes it may go to"
    return f"{choice}; {room_mib[node]} MiB stay free there"
