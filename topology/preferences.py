"""In which order units are placed, and which node each prefers: the strategies of a joint placement."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from shunter.topology.model import VirtualMachine
from shunter.topology.units import Unit


@dataclass(frozen=True, slots=True)
class Option:
    """One node that a unit may go to. `duration_s`: of its live migrations, one after the other."""

    target: str
    duration_s: float
    soft_breaks: int
    preferred: bool


class Scene(Protocol):
    """What is known before anybody is placed. `free_mib`: of each of the `nodes`; `options`: of each unit, by its name;
    `least_s`: of each unit the shortest duration; `outbound_s`: of each source what it has to send at least.
    """

    nodes: tuple[str, ...]
    free_mib: dict[str, int]
    options: dict[str, tuple[Option, ...]]
    least_s: dict[str, float]
    outbound_s: dict[str, float]


class Loads:
    """What a placement in the making has taken so far."""

    def __init__(self, scene: Scene) -> None:
        self.free_mib = dict(scene.free_mib)
        self.inbound_s = dict.fromkeys(scene.nodes, 0.0)
        self.roles = dict.fromkeys(scene.nodes, 0)
        self.outbound_s = dict(scene.outbound_s)
        self.least_s = scene.least_s

    def outbound_with(self, unit: Unit, option: Option) -> float:
        """What the unit's source would have to send if it went there."""
        source = unit.vms[0].node
        return self.outbound_s.get(source, 0.0) + option.duration_s - self.least_s[unit.name]

    def give_way(self, vm: VirtualMachine, target: str) -> None:
        """A VM that stays in service moves on to another node."""
        if vm.holds_memory and target != vm.node:
            self.free_mib[target] -= vm.memory_mib
            if vm.node in self.free_mib:
                self.free_mib[vm.node] += vm.memory_mib

    def take(self, unit: Unit, option: Option) -> None:
        self.free_mib[option.target] -= unit.memory_mib
        self.inbound_s[option.target] += option.duration_s
        self.roles[option.target] += len(unit.vms) - len(unit.live)
        source = unit.vms[0].node
        if source in self.outbound_s:
            self.outbound_s[source] += option.duration_s - self.least_s[unit.name]


Order = Callable[[Scene, Unit], tuple[float, ...]]
Prefer = Callable[[Loads, Unit, Option], tuple[float, ...]]


def longest_first(scene: Scene, unit: Unit) -> tuple[float, ...]:
    """By the shortest of its durations (LPT, Graham 1969)."""
    return (-min((o.duration_s for o in scene.options[unit.name]), default=0.0),)


def has_room(unit: Unit, free_mib: int) -> bool:
    """What is off needs none, and may go to a node whose VMs have outgrown it as well."""
    return not unit.memory_mib or unit.memory_mib <= free_mib


def _busiest_source_first(scene: Scene, unit: Unit) -> tuple[float, ...]:
    return (-scene.outbound_s.get(unit.vms[0].node, 0.0), *longest_first(scene, unit))


def _largest_first(_: Scene, unit: Unit) -> tuple[float, ...]:
    return (-unit.memory_mib,)


def _smallest_first(_: Scene, unit: Unit) -> tuple[float, ...]:
    return (unit.memory_mib,)


def _pickiest_first(scene: Scene, unit: Unit) -> tuple[float, ...]:
    roomy = sum(has_room(unit, scene.free_mib[option.target]) for option in scene.options[unit.name])
    return (roomy, -unit.memory_mib)


def ends_first(loads: Loads, unit: Unit, option: Option) -> tuple[float, ...]:
    """Where it adds least to what bounds the makespan."""
    inbound_s = round(loads.inbound_s[option.target] + option.duration_s, 6)
    return (
        option.soft_breaks,
        max(inbound_s, round(loads.outbound_with(unit, option), 6)),
        not option.preferred,
        inbound_s,
        loads.roles[option.target],
        -loads.free_mib[option.target],
    )


REFUGES = (1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Shares of the nodes that are filled last, so that the VMs of a node that is lost find large gaps there (I3)."""


def spares(refuges: Collection[str], loads: Loads, unit: Unit, option: Option) -> tuple[float, ...]:
    """As `ends_first`, but some nodes last."""
    return (option.soft_breaks, option.target in refuges, *ends_first(loads, unit, option))


def _tightest(loads: Loads, _: Unit, option: Option) -> tuple[float, ...]:
    return (option.soft_breaks, not option.preferred, loads.free_mib[option.target])


def roomiest(loads: Loads, _: Unit, option: Option) -> tuple[float, ...]:
    """Where most is free."""
    return (option.soft_breaks, not option.preferred, -loads.free_mib[option.target])


STRATEGIES: tuple[tuple[Order, Prefer], ...] = (
    (longest_first, ends_first),
    (_busiest_source_first, ends_first),
    (_pickiest_first, ends_first),
    (_largest_first, roomiest),
    (_largest_first, _tightest),
    (_pickiest_first, _tightest),
    (_smallest_first, _tightest),
)
