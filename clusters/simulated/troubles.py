"""The faults of the plan as they befall a simulated cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shunter.clusters.simulated.faults import Fault
from shunter.clusters.simulated.presence import Presence
from shunter.clusters.simulated.rules import RUNS, migration_refusal, room_mib, start_refusal
from shunter.topology.model import VolumeState

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

OF_NODES: dict[str, Callable[[Presence, str], None]] = {
    "node_down": Presence.lose,
    "node_up": Presence.bring_back,
    "node_isolated": Presence.isolate,
    "node_back": Presence.end_isolation,
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
    if fault.do in OF_NODES and fault.node:
        OF_NODES[fault.do](world.presence, fault.node)
        return
    match fault.do:
        case "migration_elsewhere" if fault.vm and fault.target:
            _migrate_elsewhere(world, fault.vm, fault.target)
        case "vm_started" if fault.vm:
            _start(world, fault.vm)
        case "vm_memory_changed" if fault.vm and fault.memory_mib:
            _change_memory(world, fault.vm, fault.memory_mib)
        case "volume_state" if fault.volume and fault.state:
            if world.now().volume_by_name[fault.volume].state != fault.state:
                world.failover.set_volume_state(fault.volume, fault.state)
        case "backup_starts" | "backup_ends":
            (_back_up_vm if fault.vm else _back_up_volume)(world, fault)


def after_flight(world: SimulatedCluster, vm: str) -> None:
    """What waited until the VM's migration was over."""
    for fault in world.postponed.pop(vm, []):
        happen(world, fault)


def _migrate_elsewhere(world: SimulatedCluster, name: str, target: str) -> None:
    """Somebody else starts a migration; the cluster obeys its rules towards them, too."""
    refusal = migration_refusal(world.now(), name, target)
    if refusal is None:
        world.take_off(world.now().vm_by_name[name], target, "elsewhere")
    else:
        world.note_refusal(name, target, refusal, "elsewhere")


def _start(world: SimulatedCluster, name: str) -> None:
    """Somebody starts a VM where it is, if it may run there."""
    vm = world.now().vm_by_name[name]
    if vm.state not in RUNS and start_refusal(world.now(), vm, vm.node) is None:
        world.hands.start(vm, vm.node, "fault")


def _change_memory(world: SimulatedCluster, name: str, memory_mib: int) -> None:
    """A VM is given more memory or less, never more than is there. While it moves, its memory stays as it is."""
    seen = world.now()
    vm = seen.vm_by_name[name]
    if name in world.flights:
        world.postponed.setdefault(name, []).append(
            Fault(do="vm_memory_changed", vm=name, memory_mib=memory_mib, at_s=world.clock.now_s())
        )
        return
    if vm.state in RUNS:
        memory_mib = min(memory_mib, vm.memory_mib + max(0, room_mib(seen, seen.node_by_name[vm.node])))
    if memory_mib != vm.memory_mib:
        world.put_vm(name, memory_mib=memory_mib, memory_maximum_mib=max(memory_mib, vm.memory_maximum_mib))
        world.witness.saw("vm_memory_changed", vm=name, memory_mib=memory_mib)


def _back_up_vm(world: SimulatedCluster, fault: Fault) -> None:
    """A backup of a VM that moves waits until the migration is over (R17)."""
    assert fault.vm is not None  # noqa: S101  the caller looked
    starts = fault.do == "backup_starts"
    vm = world.now().vm_by_name[fault.vm]
    if vm.name in world.flights:
        world.postponed.setdefault(vm.name, []).append(fault)
    elif vm.backup != starts:
        world.put_vm(vm.name, backup=starts)
        if starts:
            world.witness.saw("backup_started", vm=vm.name)
        else:
            world.witness.saw("backup_ended", vm=vm.name, outcome=fault.outcome)


def _back_up_volume(world: SimulatedCluster, fault: Fault) -> None:
    """On 2008 R2 a backup redirects a Cluster Shared Volume; one that fails leaves it so, for all nodes (R18)."""
    assert fault.volume is not None  # noqa: S101  the caller looked
    starts = fault.do == "backup_starts"
    volume = world.now().volume_by_name[fault.volume]
    if volume.backup == starts:
        return
    world.put_volume(volume.name, backup=starts)
    state: VolumeState = volume.state
    if starts:
        world.witness.saw("backup_started", volume=volume.name)
        if volume.kind == "csv" and state == "online" and world.now().windows_version == "2008R2":
            state = "redirected_backup"
    else:
        world.witness.saw("backup_ended", volume=volume.name, outcome=fault.outcome)
        if state == "redirected_backup":
            state = "online" if fault.outcome == "done" else "redirected_stuck"
    if state != volume.state:
        world.put_volume(volume.name, state=state)
        world.witness.saw("volume_state_changed", volume=volume.name, state=state, reason=fault.do)
