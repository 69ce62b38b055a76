"""Draws a fault plan from a seed: the same cluster, seed and amount give the same faults."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from shunter.clusters.simulated.copying import course
from shunter.clusters.simulated.draw import ISOLATED_FOR_S, Draw
from shunter.clusters.simulated.faults import Fault, When
from shunter.clusters.simulated.rules import MEMBER
from shunter.clusters.simulated.troubled import BAD_DAY_TROUBLES
from shunter.topology.model import Cluster, VirtualMachine

SHORTEST_S = 30.0


def draw_faults(
    cluster: Cluster,
    seed: int,
    amount: Literal["none", "some", "many"],
    *,
    rolling_s: float | None = None,
    bad_days: bool = False,
) -> tuple[Fault, ...]:
    """Nothing; one to four troubles; or five to about thirty, in the time that emptying the fullest node takes.

    `rolling_s`: in that time instead, and among them what can become of a reboot, and nodes that are isolated.
    `bad_days`: besides nodes that are lost, volumes that limp, VMs that do not start, configurations that drift
    (`troubled.py`).
    So many nodes go down or are isolated that a majority of them survives: of `some`, one at most. Reboots that go
    wrong come besides: whoever reboots nodes counts votes before.
    """
    if amount == "none":
        return ()
    of = f"{seed}/{amount}/{cluster.name}{'' if rolling_s is None else '/rolling'}{'/bad days' if bad_days else ''}"
    draw = Draw(cluster, random.Random(of), _evacuation_s(cluster) if rolling_s is None else rolling_s)
    there = sum(node.state in MEMBER for node in cluster.nodes)
    draw.may_go_down = max(0, there - len(cluster.nodes) // 2 - 1)
    if amount == "some":
        draw.may_go_down = min(1, draw.may_go_down)
    most = min(30, 8 + len(cluster.vms) // 4)
    troubles = draw.rng.randint(1, 4) if amount == "some" else draw.rng.randint(5, most)
    kinds = TROUBLES if rolling_s is None else (*TROUBLES, *ROLLING_TROUBLES)
    if bad_days:
        kinds = (*kinds, *BAD_DAY_TROUBLES, *(_node_down,) * 2, *(_isolated,) * 2)
    faults: list[Fault] = []
    for _ in range(troubles):
        faults += draw.rng.choice(kinds)(draw)
    return tuple(faults)


def _evacuation_s(cluster: Cluster) -> float:
    """How long the fullest node's VMs take, one after the other."""

    def one_s(vm: VirtualMachine) -> float:
        target = next((node for node in cluster.nodes if node.name != vm.node), None)
        way = course(cluster, vm, target, 1.0) if target is not None else None
        return way.preparing_s + way.copying_s + way.switching_s + way.settling_s if way is not None else 0.0

    emptied_s = (sum(one_s(vm) for vm in vms if vm.holds_memory) for vms in cluster.vms_by_node.values())
    return max(SHORTEST_S, *emptied_s)


def _fails(draw: Draw) -> list[Fault]:
    return [Fault(do="migration_fails", when=draw.migration(), fraction=round(draw.rng.random(), 3))]


def _slow(draw: Draw) -> list[Fault]:
    return [Fault(do="migration_slow", when=draw.migration(), factor=round(draw.rng.uniform(1.5, 20), 3))]


def _answer_lost(draw: Draw) -> list[Fault]:
    return [Fault(do="answer_lost", when=draw.migration(), moved=draw.rng.random() < 0.5)]


def _answer_about_node_lost(draw: Draw) -> list[Fault]:
    return [Fault(do="answer_lost", when=When(node=draw.node()), moved=draw.rng.random() < 0.5)]


def _answer_about_volume_lost(draw: Draw) -> list[Fault]:
    if not draw.cluster.volumes:
        return _answer_about_node_lost(draw)
    when = When(volume=draw.rng.choice(draw.cluster.volumes).name)
    return [Fault(do="answer_lost", when=when, moved=draw.rng.random() < 0.5)]


def _node_down(draw: Draw) -> list[Fault]:
    if draw.may_go_down == 0:
        return []
    draw.may_go_down -= 1
    node, at_s = draw.node(), draw.at_s()
    down = Fault(do="node_down", node=node, at_s=at_s)
    return [down, Fault(do="node_up", node=node, at_s=draw.later_s(at_s))] if draw.rng.random() < 0.7 else [down]


def _migration_elsewhere(draw: Draw) -> list[Fault]:
    vm = draw.vm("running", "paused")
    others = [node.name for node in draw.cluster.nodes if vm is not None and node.name != vm.node]
    if vm is None or not others:
        return []
    return [Fault(do="migration_elsewhere", vm=vm.name, target=draw.rng.choice(others), at_s=draw.at_s())]


def _fills_up(draw: Draw) -> list[Fault]:
    """A VM that is off is started, or one that runs takes more memory, or gives some back."""
    off = draw.vm("off", "saved")
    if off is not None and draw.rng.random() < 0.5:
        return [Fault(do="vm_started", vm=off.name, at_s=draw.at_s())]
    vm = draw.vm("running")
    if vm is None:
        return []
    memory_mib = max(1, min(2**31, int(vm.memory_mib * draw.rng.choice((0.5, 1.5, 3.0, 10.0)))))
    return [Fault(do="vm_memory_changed", vm=vm.name, memory_mib=memory_mib, at_s=draw.at_s())]


def _backup(draw: Draw) -> list[Fault]:
    vm, at_s = draw.vm("running"), draw.at_s()
    if vm is None:
        return []
    outcome: Literal["done", "failed"] = "done" if draw.rng.random() < 0.8 else "failed"
    ends = Fault(do="backup_ends", vm=vm.name, outcome=outcome, at_s=draw.later_s(at_s))
    return [Fault(do="backup_starts", vm=vm.name, at_s=at_s), ends]


def _volume_goes(draw: Draw) -> list[Fault]:
    if not draw.cluster.volumes:
        return []
    volume, at_s = draw.rng.choice(draw.cluster.volumes), draw.at_s()
    gone = Fault(do="volume_state", volume=volume.name, state="offline", at_s=at_s)
    return [gone, Fault(do="volume_state", volume=volume.name, state=volume.state, at_s=draw.later_s(at_s))]


def _isolated(draw: Draw) -> list[Fault]:
    if draw.may_go_down == 0:
        return []
    draw.may_go_down -= 1
    node, at_s = draw.node(), draw.at_s()
    isolated = Fault(do="node_isolated", node=node, at_s=at_s)
    if draw.rng.random() < 0.15:
        return [isolated]
    back_s = round(at_s + draw.rng.uniform(*ISOLATED_FOR_S), 3)
    return [isolated, Fault(do="node_back", node=node, at_s=back_s)]


def _reboot_slow(draw: Draw) -> list[Fault]:
    return [Fault(do="reboot_slow", when=When(node=draw.node()), factor=round(draw.rng.uniform(1.1, 5), 3))]


def _reboot_fails(draw: Draw) -> list[Fault]:
    """Perhaps somebody starts the node later, if it is down then: nobody knows when it will be rebooted."""
    node = draw.node()
    back = [Fault(do="node_up", node=node, at_s=draw.at_s()) for _ in range(draw.rng.choice((0, 1, 2)))]
    return [Fault(do="reboot_fails", when=When(node=node)), *back]


def _reboot_isolated(draw: Draw) -> list[Fault]:
    node = draw.node()
    back = [Fault(do="node_back", node=node, at_s=draw.at_s()) for _ in range(draw.rng.choice((0, 3, 3, 4)))]
    return [Fault(do="reboot_isolated", when=When(node=node)), *back]


TROUBLES: tuple[Callable[[Draw], list[Fault]], ...] = (
    *(_fails,) * 3,
    *(_answer_lost,) * 3,
    *(_migration_elsewhere,) * 2,
    *(_fills_up,) * 2,
    *(_node_down,) * 2,
    _slow,
    _answer_about_node_lost,
    _answer_about_volume_lost,
    _backup,
    _volume_goes,
)
"""As often as one stands here, so likely is it drawn."""

ROLLING_TROUBLES: tuple[Callable[[Draw], list[Fault]], ...] = (
    *(_reboot_slow,) * 3,
    *(_reboot_fails,) * 2,
    *(_reboot_isolated,) * 2,
    *(_isolated,) * 2,
)
