"""Judges what we did in a witness log when something was wrong: VMs that we started, direct I/O that we restored."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.recheck.fitness import misfits, running_on_its_disks, too_close
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.world import Event, World

OUT_OF_SIGHT = ("isolated", "joining")


def judge_mending(world: World, event: Event, at_s: float) -> Iterator[Violation]:
    """What is wrong with this event if it was our doing. To be asked before it is applied."""
    if event.get("by") != "us":
        return
    if event["what"] == "vm_started":
        yield from _start(world, event, at_s)
    elif event["what"] == "volume_state_changed":
        yield from _direct_io(world, event, at_s)


def _start(world: World, event: Event, at_s: float) -> Iterator[Violation]:
    """That it runs already, or the node is down, is judged whoever starts it."""
    name, target = event["vm"], event["node"]
    vm, node = world.vms[name], world.cluster.node_by_name[target]
    last, state = vm.node, world.node_state[target]
    if last != target and world.node_state[last] in OUT_OF_SIGHT:
        message = f"we start it on {target}; it may run on {last}, which is {world.node_state[last]}"
        yield Violation(at_s, "I2", name, message)
    if state not in ("up", "down"):
        yield Violation(at_s, "I8" if state == "paused" else "R01", name, f"we start it on {target}, which is {state}")
    needs_mib, used_mib = event["memory_mib"], world.used_mib(target)
    if not world.runs(name) and used_mib + needs_mib > node.for_vms_mib:
        message = f"{used_mib} of {node.for_vms_mib} MiB are in use; {name} starts with {needs_mib} MiB"
        yield Violation(at_s, "I3", target, message)
    for rule, message in misfits(world.cluster, vm, last, target, world.volume_state):
        yield Violation(at_s, rule, name, message)
    running = {other for other in world.vms if world.runs(other)}
    others = running_on_its_disks(world.cluster, vm, {other for other in running if world.vms[other].node != target})
    if others:
        yield Violation(at_s, "R11", name, f"shares a disk with {', '.join(others)}, running elsewhere")
    places = {other: nodes for other, nodes in world.places().items() if other in running}
    for message in too_close(world.cluster, name, last, target, places):
        yield Violation(at_s, "I4", name, message)


def _direct_io(world: World, event: Event, at_s: float) -> Iterator[Violation]:
    name, state = event["volume"], world.volume_state[event["volume"]]
    if name in world.volumes_in_backup:
        yield Violation(at_s, "R18", name, "we restore its direct I/O while a backup of it is under way")
    if state not in ("redirected_stuck", "redirected_backup"):
        yield Violation(
            at_s, "R18", name, f"we make it {event['state']}; it is {state}, not left redirected by a backup"
        )
