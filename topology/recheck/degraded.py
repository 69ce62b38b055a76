"""Backups that a migration of ours degraded (R17), as the witness log tells it, and whether a report names them."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.plan import Plan
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.world import Event, World


class Degraded:
    """`vms`: those that arrived elsewhere, moved by us, after a backup of them had been under way meanwhile.
    `backed_up`: VMs and volumes of which a backup was under way at any time.
    """

    def __init__(self, world: World) -> None:
        self.vms: dict[str, float] = {}
        self.backed_up = {vm.name for vm in world.cluster.vms if vm.backup}
        self.backed_up |= {volume.name for volume in world.cluster.volumes if volume.backup}
        self._overlapping: set[str] = set()

    def note(self, world: World, event: Event, at_s: float) -> None:
        """`world`: before the event. Raises KeyError."""
        match event["what"]:
            case "migration_started" if event["by"] == "us":
                self._overlapping.discard(event["vm"])
                if world.vms[event["vm"]].backup:
                    self._overlapping.add(event["vm"])
            case "backup_started":
                name = event.get("vm") or event["volume"]
                self.backed_up.add(name)
                flight = world.flights.get(name)
                if flight is not None and flight.by == "us":
                    self._overlapping.add(name)
            case "migration_ended" if event["by"] == "us" and event["outcome"] == "done":
                if event["vm"] in self._overlapping:
                    self.vms[event["vm"]] = at_s


def degraded_as_told(report: Plan, degraded: Degraded, world: World) -> Iterator[Violation]:
    """No degraded backup passes in silence, and none is made up."""
    arrived = {move.vm for move in report.moves if move.outcome == "done"}
    for name, at_s in degraded.vms.items():
        if name in arrived and name not in report.degraded_backups:
            yield Violation(at_s, "R17", name, "its backup was degraded when we moved it; the report does not say so")
    for name in report.degraded_backups:
        if name not in arrived or not degraded.backed_up & {name, *world.vms[name].volumes}:
            yield Violation(
                0.0, "R17", name, "the report calls its backup degraded; no backup of it met a move of ours"
            )


def is_said_beforehand(plan: Plan, vm: str) -> bool:
    """Whether a plan that moves the VM during its backup says so."""
    return any(
        (finding.rule, finding.severity, finding.subject) == ("R17", "warning", f"vm {vm}") for finding in plan.findings
    )
