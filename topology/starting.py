"""Why a VM that does not run cannot be started on a node: every reason, once the others are started (I3, I4, R08, R11).

Like `reasons.py`, for cold starts: these are free of R13 and need what a restart needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from shunter.topology.eligibility import RESTART, RESUME, Question, disks_of
from shunter.topology.model import AffinityRule, Cluster, Node, VirtualMachine
from shunter.topology.plan import Verdict
from shunter.topology.reasons import Tried
from shunter.topology.requirements.differing import listed

MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class StartReasons:
    """`gone`: nodes that are lost. `starting`: the VMs in question, `targets`: where those go that can be started.
    `room_mib`: what each node that takes VMs has free before.
    """

    cluster: Cluster
    gone: Collection[str]
    starting: Collection[str]
    targets: Mapping[str, str]
    room_mib: Mapping[str, int]
    tried: Tried = field(default_factory=dict)

    def against(self, vm: VirtualMachine) -> tuple[Verdict, ...]:
        """At least one verdict for each node other than its own, and for its own where that takes VMs."""
        nodes = [node for node in self.cluster.nodes if node.name != vm.node or node.name in self.room_mib]
        return tuple(verdict for node in nodes for verdict in self._on(vm, node))

    def _on(self, vm: VirtualMachine, node: Node) -> list[Verdict]:
        if node.name in self.gone:
            return [_no(node, "R01", f"{node.name} is lost, too", "bring one of the lost nodes back")]
        ask = Question(self.cluster, vm, node)
        checks = RESUME if vm.state == "saved" else RESTART
        found = [verdict for check in checks for verdict in check(ask)]
        found += self._disks(vm, node)
        for rule in self.cluster.rules_by_vm.get(vm.name, ()):
            found += [] if rule.soft else self._rule(vm, node, rule)
        found += [self.tried[vm.name, node.name]] if (vm.name, node.name) in self.tried else []
        found += self._room(vm, node)
        return found or [
            _no(
                node,
                "I3",
                f"no way to start {vm.name} on {node.name} together with the others was found",
                "start it by itself, or bring one of the lost nodes back",
            )
        ]

    # -------------------------------------------------------------- who is where

    def _runs_on(self, vm: VirtualMachine) -> str | None:
        """Where it keeps running; None for what is lost, does not run or is to be started."""
        stays = vm.holds_memory and vm.node not in self.gone and vm.name not in self.starting
        return vm.node if stays else None

    def _places(self, vm: VirtualMachine) -> tuple[str, ...]:
        """Where it is or will be: both ends while it moves."""
        if (on := self._runs_on(vm)) is None:
            return (self.targets[vm.name],) if vm.name in self.targets else ()
        going = self.cluster.heading.get(vm.name)
        return (on,) if going is None or going in self.gone else (on, going)

    # -------------------------------------------------------------- reasons

    def _disks(self, vm: VirtualMachine, node: Node) -> Iterator[Verdict]:
        for disk in disks_of(self.cluster, vm):
            for other in self.cluster.vms_by_disk[disk]:
                place = self._runs_on(other) or self.targets.get(other.name)
                if other.name != vm.name and place not in (None, node.name):
                    yield _no(
                        node,
                        "R11",
                        f"disk {disk} is in use by {other.name} on {place}: one disk has one owner",
                        f"put the VMs on a Cluster Shared Volume or on a LUN each, or stop {other.name}",
                    )

    def _rule(self, vm: VirtualMachine, node: Node, rule: AffinityRule) -> Iterator[Verdict]:
        apart = rule.kind.startswith("different")
        others = [self.cluster.vm_by_name[name] for name in rule.vms if name != vm.name]
        running = [on for other in others if (on := self._runs_on(other)) is not None]
        torn = any(not self._near(rule, running[0], on) for on in running[1:])
        for other in others:
            if not apart and torn and self._runs_on(other):
                continue  # they are apart already: nobody can be with all of them
            places = self._places(other) if apart else self._places(other)[:1]
            place = next((place for place in places if self._near(rule, place, node.name) is apart), None)
            if place is not None:
                yield _no(
                    node,
                    "I4",
                    f"rule {rule.name} ({rule.kind.replace('_', ' ')}): {other.name} is then on {place}",
                    f"change rule {rule.name}, or start {vm.name} when {other.name} may go elsewhere",
                )
                return

    def _near(self, rule: AffinityRule, one: str, other: str) -> bool:
        here, there = (self.cluster.node_by_name[name].fault_domain for name in (one, other))
        return one == other or (rule.kind.endswith("fault_domain") and here is not None and here == there)

    def _room(self, vm: VirtualMachine, node: Node) -> Iterator[Verdict]:
        before_mib, needed_mib = self.room_mib.get(node.name), vm.restart_mib
        if before_mib is None:
            return
        taken = [self.cluster.vm_by_name[name] for name, target in self.targets.items() if target == node.name]
        left_mib = before_mib - sum(other.restart_mib for other in taken)
        if left_mib >= needed_mib:
            return
        needs = f"{vm.name} needs {needed_mib} MiB to start"
        if before_mib < needed_mib:
            reason, short_mib = f"{needs}, {before_mib} MiB are free on {node.name}", needed_mib - before_mib
        else:
            first = [other.name for other in taken if other.priority > vm.priority]
            why = (
                f"{listed(first, MOST_NAMED)} of higher priority {'go' if len(first) > 1 else 'goes'} first"
                if first
                else f"so that as many as can be start ({listed([o.name for o in taken], MOST_NAMED)})"
            )
            reason, short_mib = f"{needs}, {left_mib} MiB are left on {node.name}: {why}", needed_mib - left_mib
        yield _no(node, "I3", reason, f"free {short_mib} MiB more on {node.name}")


def _no(node: Node, rule: str, reason: str, remedy: str) -> Verdict:
    return Verdict(target=node.name, rule=rule, reason=reason, remedy=remedy)
