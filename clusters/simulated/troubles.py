"""The faults of the plan as they befall a simulated cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from shunter.clusters.simulated import backups
from shunter.clusters.simulated.faults import Fault
from shunter.clusters.simulated.presence import Presence
from shunter.clusters.simulated.rules import RUNS, migration_refusal, room_mib, start_refusal

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

OF_NODES: dict[str, Callable[[Presence, str], None]] = {
    "node_down": Presence.lose,
    "node_up": Presence.bring_back,
    "node_isolated": Presence.isolate,
    "node_back": Presence.end_isolation,
    "node_quarantined": Presence.quarantine,
    "quarantine_cleared": Presence.end_quarantine,
}


async def at_its_time(world: SimulatedCluster, fault: Fault) -> None:
    """Wait for the fault's time, then let it happen."""
    assert fault.at_s is not None  # noqa: S101  the caller chose those that have a time
    await world.clock.sleep(fault.at_s - world.clock.now_s())
    note(world, fault)
    happen(world, fault)


def note(world: SimulatedCluster, fault: Fault) -> None:
    world.witness.saw("fault_injected", **fault.told())


def happen(world: SimulatedCluster, fault: Fault) -> None:
    """What nothing can be done about, such as starting a VM that runs, passes without effect."""
    if fault.do in OF_NODES:
        OF_NODES[fault.do](world.presence, _named(fault, "node"))
    elif fault.do in OF_VOLUMES:
        OF_VOLUMES[fault.do](world, _named(fault, "volume"), fault)
    elif fault.do in OF_VMS:
        OF_VMS[fault.do](world, _named(fault, "vm"), fault)
    elif fault.do == "backup_starts":
        _back_up(world, fault)
    elif fault.do == "backup_ends":
        _end_backup(world, fault)


def _named(fault: Fault, field: Literal["vm", "node", "target", "volume"]) -> str:
    """What the fault must name; a plan that does not was refused."""
    name = getattr(fault, field)
    assert isinstance(name, str)  # noqa: S101  the plan was read strictly
    return name


def after_flight(world: SimulatedCluster, vm: str) -> None:
    """What waited until the VM's migration was over."""
    for fault in world.postponed.pop(vm, []):
        happen(world, fault)


def _migrate_elsewhere(world: SimulatedCluster, name: str, fault: Fault) -> None:
    """Somebody else starts a migration; the cluster obeys its rules towards them, too."""
    target = _named(fault, "target")
    refusal = migration_refusal(world.now(), name, target)
    if refusal is None:
        world.take_off(world.now().vm_by_name[name], target, "elsewhere")
    else:
        world.note_refusal(name, target, refusal, "elsewhere")


def _start(world: SimulatedCluster, name: str, fault: Fault) -> None:  # noqa: ARG001  all take the fault
    """Somebody starts a VM where it is, if it may run there."""
    vm = world.now().vm_by_name[name]
    if vm.state not in RUNS and start_refusal(world.now(), vm, vm.node) is None:
        world.starts.start(vm, vm.node, "fault")


def _change_memory(world: SimulatedCluster, name: str, fault: Fault) -> None:
    """A VM is given more memory or less, never more than is there. While it moves, its memory stays as it is."""
    seen = world.now()
    vm = seen.vm_by_name[name]
    memory_mib = fault.memory_mib or vm.memory_mib
    if name in world.flights:
        world.postponed.setdefault(name, []).append(fault)
        return
    if vm.state in RUNS:
        memory_mib = min(memory_mib, vm.memory_mib + max(0, room_mib(seen, seen.node_by_name[vm.node])))
    if memory_mib != vm.memory_mib:
        world.put_vm(name, memory_mib=memory_mib, memory_maximum_mib=max(memory_mib, vm.memory_maximum_mib))
        world.witness.saw("vm_memory_changed", vm=name, memory_mib=memory_mib)


def _back_up(world: SimulatedCluster, fault: Fault) -> None:
    if fault.vm is not None:
        backups.begin_of_vm(world, fault.vm)
    else:
        backups.begin_of_volume(world, _named(fault, "volume"))


def _end_backup(world: SimulatedCluster, fault: Fault) -> None:
    """The backup of a VM that moves waits for the migration, and does not end before (R17)."""
    if fault.vm is None:
        backups.end_of_volume(world, _named(fault, "volume"), fault.outcome)
    elif fault.vm in world.flights:
        world.postponed.setdefault(fault.vm, []).append(fault)
    else:
        backups.end_of_vm(world, fault.vm, fault.outcome)


def _change_configuration(world: SimulatedCluster, name: str, fault: Fault) -> None:  # noqa: ARG001  as above
    """Somebody changes the VM with Hyper-V's own tools, and the cluster does not learn of it (R19)."""
    if world.now().vm_by_name[name].configuration_in_cluster_is_current:
        world.put_vm(name, configuration_in_cluster_is_current=False)
        world.witness.saw("configuration_changed", vm=name)


def _fail_on_node(world: SimulatedCluster, name: str, fault: Fault) -> None:
    world.starts.will_fail(name, _named(fault, "node"), fault.times)


def _set_volume_state(world: SimulatedCluster, name: str, fault: Fault) -> None:
    if fault.state is not None and world.now().volume_by_name[name].state != fault.state:
        world.volumes.set_state(name, fault.state)


def _lose_path(world: SimulatedCluster, name: str, fault: Fault) -> None:
    world.volumes.lose_path(name, _named(fault, "node"))


def _regain_path(world: SimulatedCluster, name: str, fault: Fault) -> None:
    world.volumes.regain_path(name, _named(fault, "node"))


def _begin_storage_job(world: SimulatedCluster, name: str, fault: Fault) -> None:
    world.storage_jobs.begin(name, fault.duration_s)


def _end_storage_job(world: SimulatedCluster, name: str, fault: Fault) -> None:  # noqa: ARG001  as above
    world.storage_jobs.end(name)


OF_VMS: dict[str, Callable[[SimulatedCluster, str, Fault], None]] = {
    "migration_elsewhere": _migrate_elsewhere,
    "vm_started": _start,
    "vm_memory_changed": _change_memory,
    "configuration_changes": _change_configuration,
    "role_fails": _fail_on_node,
}

OF_VOLUMES: dict[str, Callable[[SimulatedCluster, str, Fault], None]] = {
    "volume_state": _set_volume_state,
    "volume_path_lost": _lose_path,
    "volume_path_back": _regain_path,
    "storage_job_starts": _begin_storage_job,
    "storage_job_ends": _end_storage_job,
}
