"""Faults of bad days: volumes that limp, VMs that do not start, nodes that come and go, configurations that drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from shunter.clusters.simulated.draw import Draw
from shunter.clusters.simulated.faults import Fault, When

FLAPS = 3
FLAPS_EVERY_S = (60.0, 900.0)
"""Three times in an hour is what brings a node into quarantine."""


def _does_not_start(draw: Draw) -> list[Fault]:
    vm = draw.vm("running", "paused", "failed")
    if vm is None:
        return []
    times = draw.rng.choice((None, 1, 2))
    return [Fault(do="role_fails", vm=vm.name, node=draw.node(), times=times, at_s=draw.at_s())]


def _drifts(draw: Draw) -> list[Fault]:
    vm = draw.vm("running", "paused")
    return [] if vm is None else [Fault(do="configuration_changes", vm=vm.name, at_s=draw.at_s())]


def _path_lost(draw: Draw) -> list[Fault]:
    volume = draw.csv()
    if volume is None:
        return []
    node, at_s = draw.node(), draw.at_s()
    lost = Fault(do="volume_path_lost", volume=volume.name, node=node, at_s=at_s)
    if draw.rng.random() < 0.2:
        return [lost]
    return [lost, Fault(do="volume_path_back", volume=volume.name, node=node, at_s=draw.later_s(at_s))]


def _rebuilt(draw: Draw) -> list[Fault]:
    volume = draw.csv()
    if volume is None:
        return []
    duration_s = round(draw.rng.uniform(30, 60 + draw.within_s), 3)
    return [Fault(do="storage_job_starts", volume=volume.name, duration_s=duration_s, at_s=draw.at_s())]


def _volume_backed_up(draw: Draw) -> list[Fault]:
    volume, at_s = draw.csv(), draw.at_s()
    if volume is None:
        return []
    outcomes: tuple[Literal["done", "failed", "aborted"], ...] = ("done", "failed", "aborted")
    ends = Fault(do="backup_ends", volume=volume.name, outcome=draw.rng.choice(outcomes), at_s=draw.later_s(at_s))
    return [Fault(do="backup_starts", volume=volume.name, at_s=at_s), ends]


def _left_redirected(draw: Draw) -> list[Fault]:
    """By a backup that nobody sees; and perhaps the cluster will not have it otherwise, at first or ever."""
    volume = draw.csv()
    if volume is None:
        return []
    stuck = Fault(do="volume_state", volume=volume.name, state="redirected_stuck", at_s=draw.at_s())
    if draw.rng.random() < 0.6:
        return [stuck]
    lasting = draw.rng.random() < 0.3
    node = volume.owner if draw.rng.random() < 0.5 else None
    return [stuck, Fault(do="direct_io_refused", when=When(volume=volume.name), node=node, lasting=lasting)]


def _worked_on(draw: Draw) -> list[Fault]:
    """An operator redirects a volume, or has it in maintenance, for a while."""
    volume, at_s = draw.csv(), draw.at_s()
    if volume is None:
        return []
    states: tuple[Literal["redirected_by_user", "maintenance"], ...] = ("redirected_by_user", "maintenance")
    begins = Fault(do="volume_state", volume=volume.name, state=draw.rng.choice(states), at_s=at_s)
    return [begins, Fault(do="volume_state", volume=volume.name, state=volume.state, at_s=draw.later_s(at_s))]


def _fails_one_way(draw: Draw) -> list[Fault]:
    if len(draw.cluster.nodes) < 2:
        return []
    source, target = draw.rng.sample([node.name for node in draw.cluster.nodes], 2)
    fraction = round(draw.rng.random(), 3)
    return [Fault(do="migration_fails", when=When(source=source, target=target), fraction=fraction, lasting=True)]


def _flaps(draw: Draw) -> list[Fault]:
    if draw.may_go_down == 0:
        return []
    draw.may_go_down -= 1
    node, at_s = draw.node(), draw.at_s()
    faults: list[Fault] = []
    for _ in range(FLAPS):
        back_s = round(at_s + draw.rng.uniform(10, 50), 3)
        faults += [
            Fault(do="node_isolated", node=node, at_s=at_s),
            Fault(do="node_back", node=node, at_s=back_s),
        ]
        at_s = round(at_s + draw.rng.uniform(*FLAPS_EVERY_S), 3)
    if draw.rng.random() < 0.3:
        faults.append(Fault(do="quarantine_cleared", node=node, at_s=draw.later_s(at_s)))
    return faults


BAD_DAY_TROUBLES: tuple[Callable[[Draw], list[Fault]], ...] = (
    *(_does_not_start,) * 3,
    *(_drifts,) * 2,
    *(_path_lost,) * 2,
    *(_left_redirected,) * 2,
    *(_volume_backed_up,) * 2,
    _rebuilt,
    _worked_on,
    _fails_one_way,
    _flaps,
)
"""As often as one stands here, so likely is it drawn."""
