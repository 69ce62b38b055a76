"""What befalls a simulated cluster: faults of the plan, and what the cluster does by itself when a node is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.clusters.port import Refused
from shunter.clusters.simulated.faults import Fault
from shunter.clusters.simulated.rules import migration_refusal, placement_refusal, room_mib
from shunter.topology.model import VirtualMachine

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

RESTART_AFTER_S = 30.0


def note(world: SimulatedCluster, fault: Fault) -> None:
    world.witness.saw("fault_injected", **fault.model_dump(mode="json", exclude_defaults=True))


async def at_its_time(world: SimulatedCluster, fault: Fault) -> None:
    """Wait for the fault's time, then let it happen."""
    assert fault.at_s is not None  # noqa: S101  the caller chose those that have a time
    await world.clock.sleep(fault.at_s - world.clock.now_s())
    note(world, fault)
    match fault.do:
        case "node_down" if fault.node:
            lose_node(world, fault.node)
        case "node_up" if fault.node:
            bring_back(world, fault.node)
        case "migration_elsewhere" if fault.vm and fault.target:
            migrate_elsewhere(world, fault.vm, fault.target)
        case "vm_started" if fault.vm:
            start_vm(world, fault.vm)
        case "vm_memory_changed" if fault.vm and fault.memory_mib:
            change_memory(world, fault.vm, fault.memory_mib)
        case "volume_state" if fault.volume and fault.state:
            world.put_volume(fault.volume, state=fault.state)
            world.witness.saw("volume_state_changed", volume=fault.volume, state=fault.state, reason="fault")
        case "backup_starts" | "backup_ends":
            backup(world, fault)


def lose_node(world: SimulatedCluster, name: str) -> None:
    """The node stops: what ran there is lost, its migrations end, its volumes get another owner."""
    if world.now().node_by_name[name].state == "down":
        return
    world.put_node(name, state="down", paused_by=None)
    world.witness.saw("node_down", node=name, by="fault")
    for vm in world.now().vms_by_node[name]:
        if vm.holds_memory:
            world.put_vm(vm.name, state="failed")
            world.witness.saw("vm_crashed", vm=vm.name, node=name, by="fault")
            world.crashed.append(vm.name)
    for flight in list(world.flights.values()):
        if flight.source == name:
            flight.end("source_lost")
        elif flight.target == name:
            flight.end("target_lost")
    rehome_volumes(world)
    seen = world.now()
    votes = sum(node.votes for node in seen.nodes)
    alive = sum(node.votes for node in seen.nodes if node.state in ("up", "paused"))
    if 2 * (alive + seen.witness) <= votes + seen.witness:
        world.witness.saw("quorum_lost", votes=alive + int(seen.witness), of=votes + int(seen.witness))
    world.in_background(_restart_later(world))


def rehome_volumes(world: SimulatedCluster) -> None:
    """Volumes whose owner is down go to a node that is a member and reaches them, else they are offline."""
    seen = world.now()
    members = [node.name for node in seen.nodes if node.state in ("up", "paused")]
    for volume in seen.volumes:
        if volume.owner in members:
            continue
        reaching = [name for name in members if not volume.reachable_from or name in volume.reachable_from]
        if reaching:
            world.own(volume.name, min(reaching, key=lambda name: (seen.node_by_name[name].state != "up", name)))
        elif volume.state != "offline":
            world.put_volume(volume.name, state="offline")
            world.witness.saw("volume_state_changed", volume=volume.name, state="offline", reason="no owner")


async def _restart_later(world: SimulatedCluster) -> None:
    await world.clock.sleep(RESTART_AFTER_S)
    restart_crashed(world)


def restart_crashed(world: SimulatedCluster) -> None:
    """The cluster starts what a lost node ran, most important first, where it fits; what fits nowhere waits."""
    waiting = [world.now().vm_by_name[name] for name in world.crashed]
    for vm in sorted(waiting, key=lambda vm: (-vm.priority, vm.name)):
        if vm.state != "failed":
            world.crashed.remove(vm.name)
            continue
        target = _refuge(world, vm) if vm.clustered and vm.priority > 0 else None
        if target is None:
            continue
        world.crashed.remove(vm.name)
        world.put_vm(vm.name, state="running", node=target)
        world.witness.saw("vm_started", vm=vm.name, node=target, by="cluster", memory_mib=vm.memory_mib)


def _refuge(world: SimulatedCluster, vm: VirtualMachine) -> str | None:
    seen = world.now()
    fitting = [
        (-room_mib(seen, node), node.name)
        for node in seen.nodes
        if node.state == "up"
        and room_mib(seen, node) >= vm.restart_mib
        and placement_refusal(seen, vm, node.name) is None
    ]
    return min(fitting)[1] if fitting else None


def bring_back(world: SimulatedCluster, name: str) -> None:
    if world.now().node_by_name[name].state != "down":
        return
    world.put_node(name, state="up", paused_by=None)
    world.witness.saw("node_up", node=name, by="fault")
    for volume in world.now().volumes:
        if volume.state == "offline" and (not volume.reachable_from or name in volume.reachable_from):
            world.put_volume(volume.name, state="online")
            world.witness.saw("volume_state_changed", volume=volume.name, state="online", reason="owner is back")
            world.own(volume.name, name)
    restart_crashed(world)


def migrate_elsewhere(world: SimulatedCluster, vm: str, target: str) -> None:
    """Somebody else starts a migration; the cluster obeys its rules towards them, too."""
    refusal = migration_refusal(world.now(), world.now().vm_by_name[vm], target)
    source = world.now().vm_by_name[vm].node
    if refusal is None:
        try:
            world.take_off(world.now().vm_by_name[vm], target, "elsewhere")
        except Refused as error:
            refusal = error
    if refusal is not None:
        world.witness.saw("migration_refused", vm=vm, source=source, target=target, reason=str(refusal))


def start_vm(world: SimulatedCluster, name: str) -> None:
    """Somebody starts a VM that is off, where it is, if there is room."""
    seen = world.now()
    vm = seen.vm_by_name[name]
    node = seen.node_by_name[vm.node]
    if vm.state in ("off", "saved") and node.state in ("up", "paused") and room_mib(seen, node) >= vm.memory_mib:
        world.put_vm(name, state="running")
        world.witness.saw("vm_started", vm=name, node=vm.node, by="elsewhere", memory_mib=vm.memory_mib)


def change_memory(world: SimulatedCluster, name: str, memory_mib: int) -> None:
    """Dynamic memory gives a VM more or less: never more than is there, and not while the VM is moving."""
    seen = world.now()
    vm = seen.vm_by_name[name]
    more = memory_mib - vm.memory_mib
    if not vm.holds_memory or name in world.flights or more > room_mib(seen, seen.node_by_name[vm.node]):
        return
    world.put_vm(name, memory_mib=memory_mib, memory_maximum_mib=max(memory_mib, vm.memory_maximum_mib))
    world.witness.saw("vm_memory_changed", vm=name, memory_mib=memory_mib)
    restart_crashed(world)


def backup(world: SimulatedCluster, fault: Fault) -> None:
    starts = fault.do == "backup_starts"
    what = "backup_started" if starts else "backup_ended"
    outcome = {} if starts else {"outcome": fault.outcome}
    if fault.vm:
        if starts and fault.vm in world.flights:
            return
        world.put_vm(fault.vm, backup=starts)
        world.witness.saw(what, vm=fault.vm, **outcome)
    elif fault.volume:
        world.put_volume(fault.volume, backup=starts)
        world.witness.saw(what, volume=fault.volume, **outcome)
