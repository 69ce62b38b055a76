"""May this VM go to that node now: every reason against it with what would have to change, and how others could help.

What a fresh plan would say (`planning.plan_migration`) and what only a person who asks wants to know: whether room can
be made by moving others, what contradicts that, and what the move would cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from shunter.topology.breaches import breaches
from shunter.topology.capacity import available, survives_loss
from shunter.topology.contradiction import first_clash, in_words, scenes_of_wish
from shunter.topology.eligibility import FitNodes, Question, breaks, verdicts
from shunter.topology.estimate import estimate
from shunter.topology.exact import MOST_LITERALS, Mover
from shunter.topology.exact import Question as Placing
from shunter.topology.model import Cluster, Value, VirtualMachine
from shunter.topology.ordering import riders
from shunter.topology.plan import Finding, Severity, Verdict
from shunter.topology.requirements import OF_EVERY_RUN, findings
from shunter.topology.units import Unit, units_at_home
from shunter.topology.ways import solutions

FEW_LITERALS, FEW_ANSWERS = 5_000, 4

Said = tuple[str, Severity, str, str]
"""Rule, severity, message and remedy of a finding."""

NO_ORDER: Said = (
    "I3",
    "info",
    "it would fit if others changed places with it, but no order was found in which these moves can be made live",
    "free memory on one node for the time of the moves (a moving VM needs its memory on both nodes)",
)
NO_HELP: Said = ("I3", "info", "moving others does not help: no placement of all has it there", "free memory there")
UNDECIDED: Said = (
    "I3",
    "info",
    "whether others could make way for it was not decided within the limits of the search",
    "free memory there, or move some of its VMs by hand",
)


class Reason(Value):
    """One thing that stands against the move, and what would have to change."""

    rule: str
    reason: str
    remedy: str


class Step(Value):
    """A live migration, mostly of another VM."""

    vm: str
    source: str
    target: str


class Answer(Value):
    """`ok`: yes, it may go there now, or is there. `message`: the answer in one sentence.

    `first`: live migrations after which the answer would be yes, in this order. `contradiction`: demands
    that do not go together, where not even that would help. `duration_s` and `downtime_ms` are the estimate.
    """

    kind: Literal["why"] = "why"
    cluster: str
    vm: str
    node: str
    ok: bool
    message: str
    verdicts: tuple[Reason, ...] = ()
    first: tuple[Step, ...] = ()
    contradiction: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    duration_s: float | None = None
    downtime_ms: int | None = None

    def to_json(self, indent: int | None = 2) -> str:
        return self.model_dump_json(indent=indent, exclude_none=True)


def why(cluster: Cluster, vm_name: str, node_name: str) -> Answer:
    """Whether this VM may go to that node, names in any case. Raises RequestError for unknown names."""
    vm, node = cluster.find_vm(vm_name), cluster.find_node(node_name).name
    if node == cluster.heading.get(vm.name):
        message = f"{vm.name} is on its way from {vm.node} to {node} at this moment."
        return Answer(cluster=cluster.name, vm=vm.name, node=node, ok=True, message=message)
    if node == vm.node:
        return _there_already(cluster, vm)
    return _Asked(cluster, vm, node).answer()


def _there_already(cluster: Cluster, vm: VirtualMachine) -> Answer:
    heading = cluster.heading.get(vm.name)
    message = f"{vm.name} is on {vm.node} already" + (f", on its way to {heading}." if heading else ".")
    wrong = tuple(
        _about(vm, breach.rule, "warning", breach.message, "see shunter plan repair")
        for breach in breaches(cluster)
        if vm.name in breach.vms
    )
    return Answer(cluster=cluster.name, vm=vm.name, node=vm.node, ok=True, message=message, findings=wrong)


def _about(vm: VirtualMachine, rule: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=f"vm {vm.name}", message=message, remedy=remedy)


class _Asked:
    def __init__(self, cluster: Cluster, vm: VirtualMachine, node: str) -> None:
        self.cluster, self.vm, self.node = cluster, vm, node
        self.along = tuple(cluster.vm_by_name[name] for name in riders(cluster, vm.name)) if vm.holds_memory else ()

    def answer(self) -> Answer:
        against = list(self._against())
        missing_mib = self.vm.memory_mib - self.cluster.free_mib(self.node) if self.vm.holds_memory else 0
        first: tuple[Step, ...] = ()
        clashing: tuple[str, ...] = ()
        known = list(self._to_know())
        if (missing_mib > 0 or against) and self._others_could_help():
            room = _Room(self.cluster, self.vm, self.node)
            first = room.steps()
            if not first:
                clash = first_clash(scenes_of_wish(self.cluster, (self.vm, *self.along), self.node))
                clashing = tuple(in_words(self.cluster, clash))
            if room.said and not first and not clashing:
                known.append(_about(self.vm, *room.said))
        elif not against and self.vm.holds_memory:
            known += [*self._slow(), *self._reserve()]
        if missing_mib > 0:
            against.append(self._no_room(missing_mib, first))
        expected = estimate(self.cluster, self.vm, self.node) if self.vm.holds_memory else None
        return Answer(
            cluster=self.cluster.name,
            vm=self.vm.name,
            node=self.node,
            ok=not against,
            message=self._in_a_sentence(against, first),
            verdicts=tuple(dict.fromkeys(against)),
            first=first,
            contradiction=clashing,
            findings=tuple(known),
            duration_s=None if expected is None else round(expected.duration_s, 3),
            downtime_ms=None if expected is None else round(1000 * expected.downtime_s),
        )

    def _in_a_sentence(self, against: Sequence[Reason], first: Sequence[Step]) -> str:
        vm, node = self.vm, self.node
        if not against:
            how = "" if vm.holds_memory else f" It is {vm.state}: it is handed over without a live migration."
            return f"Yes: {vm.name} may go from {vm.node} to {node}.{how}"
        if first:
            others = "once others have moved" if len(first) > 1 else f"once {first[0].vm} is on {first[0].target}"
            return f"No, not as things are: {vm.name} may go from {vm.node} to {node} {others}."
        return f"No: {vm.name} may not go from {vm.node} to {node} now."

    # -------------------------------------------------------------- what stands against it

    def _against(self) -> Iterator[Reason]:
        """Room apart."""
        all_go = {vm.name: self.node for vm in (self.vm, *self.along)}
        for verdict in verdicts(self.cluster, self.vm, self.node, promised=all_go):
            yield _reason(verdict)
        for rider in self.along:
            for verdict in verdicts(self.cluster, rider, self.node, promised=all_go):
                yield _reason(verdict, f"{rider.name} must come along (they share a disk): ")
        if self.vm.holds_memory:
            yield from self._source()
            yield from self._under_way()
            for found in findings(self.cluster, OF_EVERY_RUN):
                if found.severity == "error":
                    yield Reason(rule=found.rule, reason=f"{found.subject}: {found.message}", remedy=found.remedy)

    def _source(self) -> Iterator[Reason]:
        source = self.cluster.node_by_name[self.vm.node]
        if source.state not in ("up", "paused"):
            reason = f"{self.vm.name} is on {source.name}, which is {source.state}: nothing can be moved live from it"
            yield Reason(rule="R01", reason=reason, remedy=f"bring {source.name} back first")

    def _under_way(self) -> Iterator[Reason]:
        """A node takes part in one live migration at a time (R15)."""
        for migration in self.cluster.migrations:
            way = f"{migration.source} → {migration.target}"
            if migration.vm == self.vm.name:
                reason = f"{self.vm.name} is being moved {way} at this moment"
                yield Reason(rule="R15", reason=reason, remedy="wait until that is over, or cancel it; then ask again")
                continue
            busy = [node for node in (self.vm.node, self.node) if node in (migration.source, migration.target)]
            if busy:
                takes = "takes" if len(busy) == 1 else "take"
                reason = f"{' and '.join(busy)} {takes} part in the migration of {migration.vm} ({way}) at this moment"
                yield Reason(rule="R15", reason=reason, remedy="wait until it is over; a run waits by itself")

    def _no_room(self, missing_mib: int, first: Sequence[Step]) -> Reason:
        vm, node = self.vm, self.cluster.node_by_name[self.node]
        reason = f"{vm.name} needs {vm.memory_mib} MiB, {self.cluster.free_mib(node.name)} MiB are free on {node.name}"
        remedy = f"free {missing_mib} MiB more on {node.name}"
        if node.for_vms_mib < vm.memory_mib:
            remedy = f"choose another node: {node.name} has {node.for_vms_mib} MiB for VMs in all"
        elif first:
            remedy += f": {', then '.join(f'shunter migrate {step.vm} {step.target}' for step in first)}"
        return Reason(rule="I3", reason=reason, remedy=remedy)

    def _others_could_help(self) -> bool:
        """Whether nothing stands against it but where others are."""
        fit = FitNodes(self.cluster, (self.node,))
        may_go = all(fit.of(vm) for vm in (self.vm, *self.along)) and self.vm.name not in self.cluster.heading
        return self.vm.holds_memory and may_go and self.cluster.node_by_name[self.vm.node].state in ("up", "paused")

    # -------------------------------------------------------------- what else there is to know

    def _to_know(self) -> Iterator[Finding]:
        vm, node = self.vm, self.node
        for found in findings(self.cluster, OF_EVERY_RUN):
            if found.severity != "error" and found.subject in {f"vm {each.name}" for each in (vm, *self.along)}:
                yield found
        if not vm.holds_memory:
            yield from self._if_started()
        asked = Question(self.cluster, vm, self.cluster.node_by_name[node])
        for rule in (rule for rule in self.cluster.rules_by_vm.get(vm.name, ()) if rule.soft):
            if broken := breaks(asked, rule):
                message = f"soft rule {rule.name} ({rule.kind.replace('_', ' ')}) would be broken: {broken}"
                yield _about(vm, "I4", "warning", message, f"nothing, or change rule {rule.name}")
        if vm.preferred_owners and node not in vm.preferred_owners:
            message = f"{node} is not one of its preferred owners ({', '.join(vm.preferred_owners)})"
            yield _about(vm, "I4", "info", message, f"nothing, or add {node} to its preferred owners")

    def _if_started(self) -> Iterator[Finding]:
        free_mib = self.cluster.free_mib(self.node)
        if self.vm.restart_mib > free_mib:
            message = f"it could not start there now: it needs {self.vm.restart_mib} MiB, {free_mib} MiB are free"
            remedy = f"free {self.vm.restart_mib - free_mib} MiB on {self.node} before it starts"
            yield _about(self.vm, "I3", "warning", message, remedy)

    def _slow(self) -> Iterator[Finding]:
        expected = estimate(self.cluster, self.vm, self.node)
        if expected is not None and not expected.converges:
            message = (
                f"{self.vm.name} writes memory at {self.vm.dirty_mib_per_s:g} MiB/s, the link copies "
                f"{expected.rate_mib_per_s:.0f} MiB/s: it would stand still for about {expected.downtime_s:.0f} s"
            )
            remedy = "move it in a quieter hour, or over a faster live-migration network"
            yield _about(self.vm, "R12", "warning", message, remedy)

    def _reserve(self) -> Iterator[Finding]:
        """Where the loss of a node is covered today and would not be with the VM there, or on its way there."""
        if len(available(self.cluster)) < 2 or not survives_loss(self.cluster, 1).ok:
            return
        there = {self.vm.name: self.node}
        lost = [survives_loss(self.cluster, 1, placed=there), survives_loss(self.cluster, 1, moving=there)]
        failed = next((survival for survival in lost if survival.ok is False), None)
        if failed is not None:
            message = f"no room would be kept for the loss of another node: {failed.why()}"
            remedy = f"choose a node with more room, or free memory on {self.node}"
            yield _about(self.vm, "I3", "warning", message, remedy)


def _reason(verdict: Verdict, whose: str = "") -> Reason:
    return Reason(rule=verdict.rule, reason=whose + verdict.reason, remedy=verdict.remedy)


class _Room:
    """Whether the VM could go there if others moved, rules and memory counted exactly at every step.

    `said`: what is known where they do not help.
    """

    def __init__(self, cluster: Cluster, vm: VirtualMachine, node: str) -> None:
        self.cluster, self.vm, self.node = cluster, vm, node
        self.fit = FitNodes(cluster, available(cluster))
        self.said = UNDECIDED

    def steps(self) -> tuple[Step, ...]:
        """The moves, as few as possible; none where that is impossible, or was not decided."""
        units = self._units()
        ours = next(unit for unit in units if self.vm in unit.vms)
        if self.node not in self._options(ours):
            self.said = NO_HELP
            return ()
        wanted = Mover(ours, (self.node,), must=True)
        others = [Mover(unit, self._options(unit), must=False) for unit in units if unit is not ours and unit.live]
        others = [mover for mover in others if mover.options]
        for movers in self._helpers(others):
            many = _literals(movers) > FEW_LITERALS
            for answer, way in islice(
                solutions(Placing(self.cluster, [wanted, *movers])), FEW_ANSWERS if many else None
            ):
                if way is not None and not answer.left:
                    return self._as_steps(way.steps)
                if answer.left or not answer.found:
                    impossible = bool(answer.left) and answer.proved and _literals(movers) == _literals(others)
                    self.said = NO_HELP if impossible and self.said == UNDECIDED else self.said
                    break
                self.said = NO_ORDER
        return ()

    def _units(self) -> list[Unit]:
        """What moves as one; what should be together and is scattered, node by node."""
        vms = [vm for vm in self.cluster.vms if vm.clustered and vm.name not in self.cluster.heading]
        return units_at_home(self.cluster, vms)

    def _options(self, unit: Unit) -> tuple[str, ...]:
        fit = [self.fit.of(vm) for vm in unit.vms]
        return tuple(node for node in fit[0] if all(node in nodes for nodes in fit[1:]))

    def _helpers(self, others: Sequence[Mover]) -> Iterator[list[Mover]]:
        """All of them; of many first those on the node itself that need not wait until the VM has gone, then, if the
        solver can take them, all.
        """
        literals = _literals(others)
        if literals > FEW_LITERALS:
            on_it = (mover for mover in others if mover.unit.vms[0].node == self.node)
            yield [replace(mover, options=tuple(self._open_to(mover))) for mover in on_it]
        if literals < MOST_LITERALS:
            yield list(others)

    def _open_to(self, mover: Mover) -> Iterator[str]:
        for node in mover.options:
            if node != self.vm.node or self.cluster.free_mib(node) >= mover.unit.memory_mib:
                yield node

    def _as_steps(self, steps: Iterable[tuple[str, str]]) -> tuple[Step, ...]:
        """All but the one that was asked about."""
        at = {vm.name: vm.node for vm in self.cluster.vms}
        found = []
        for vm, node in steps:
            if (vm, node) != (self.vm.name, self.node):
                found.append(Step(vm=vm, source=at[vm], target=node))
            at[vm] = node
        return tuple(found)


def _literals(movers: Iterable[Mover]) -> int:
    return sum(len(mover.options) + 1 for mover in movers)
