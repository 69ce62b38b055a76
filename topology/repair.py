"""The fewest live moves that bring a cluster in order whose VMs stand where a rule or a lack of memory forbids it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from shunter.topology.breaches import Breach, breaches
from shunter.topology.capacity import available, survives_loss
from shunter.topology.choosing import Choice, ReserveNodes, check_reserve, no_reserve, refusal
from shunter.topology.detours import Way
from shunter.topology.eligibility import FitNodes, verdicts
from shunter.topology.exact import Mover, Question
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Placement
from shunter.topology.plan import Finding, Plan, Unplaced, Verdict
from shunter.topology.planning import plan_volume_moves, role_moves_of, scheduled
from shunter.topology.reasons import Tried
from shunter.topology.reserve import first_failure
from shunter.topology.timeline import fixed_pairs_bound_s
from shunter.topology.units import units_at_home
from shunter.topology.ways import solutions


def plan_repair(cluster: Cluster, reserve_nodes: ReserveNodes = "auto") -> Plan:
    """The fewest moves after which nothing stands where it must not; what cannot be mended, and why not.

    Raises RequestError for a senseless reserve.
    """
    check_reserve(reserve_nodes)
    choice = choose_repair(cluster, reserve_nodes)
    placement = choice.placement
    moves = scheduled(cluster, placement)
    makespan_s = max((move.end_s for move in moves), default=0.0)
    volume_moves, _ = plan_volume_moves(cluster, (), placement.ends, moves, makespan_s)
    unplaced = tuple(
        Unplaced(vm=name, node=cluster.vm_by_name[name].node, verdicts=reasons)
        for name, reasons in placement.unplaced.items()
    )
    return Plan(
        kind="repair",
        cluster=cluster.name,
        ok=not unplaced and all(finding.severity != "error" for finding in choice.findings),
        reserve_nodes=choice.reserve_nodes,
        findings=choice.findings,
        moves=moves,
        role_moves=role_moves_of(cluster, placement, moves, makespan_s),
        volume_moves=volume_moves,
        unplaced=unplaced,
        makespan_s=makespan_s,
        lower_bound_s=fixed_pairs_bound_s(moves),
        memory=memory(cluster, cluster.with_vms_on(placement.ends), (), choice.reserve_nodes),
    )


def choose_repair(
    cluster: Cluster,
    reserve_nodes: ReserveNodes,
    *,
    promised: Mapping[str, str] | None = None,
    tried: Tried | None = None,
) -> Choice:
    """Targets for the VMs that must move, and for those that make room for them.

    `promised`: moves decided already (VM → node); `tried`: verdicts learnt by trying, by (VM, node).
    """
    repair = _Repair(cluster, dict(promised or {}), dict(tried or {}))
    levels: tuple[int, ...] = (0,)
    lowered = ""
    if reserve_nodes == "auto":
        now = survives_loss(cluster, 1)
        levels, lowered = ((1, 0), "") if now.ok else ((0,), "now already, " + now.why())
    elif reserve_nodes:
        levels = (reserve_nodes, 0)
    placement, kept = repair.choose(levels)
    said: list[Finding] = []
    if reserve_nodes == "auto":
        said += [no_reserve(cluster, lowered or repair.why_not_kept)] if not kept else []
    elif kept < reserve_nodes:
        said.append(refusal(cluster, reserve_nodes, repair.why_not_kept))
    wanted = kept if reserve_nodes == "auto" else reserve_nodes
    return Choice(placement, wanted, (*said, *repair.findings(placement)))


@dataclass(slots=True)
class _Repair:
    cluster: Cluster
    promised: dict[str, str]
    tried: Tried
    why_not_kept: str = ""
    no_order: bool = False
    undecided: bool = False
    standing: tuple[Breach, ...] = field(init=False)
    movers: list[Mover] = field(init=False)

    def __post_init__(self) -> None:
        self.standing = breaches(self.cluster)
        misplaced = {vm for breach in self.standing if breach.misplaced for vm in breach.vms}
        fit = FitNodes(self.cluster, available(self.cluster))
        in_hand = self.promised.keys() | self.cluster.heading.keys()
        vms = [vm for vm in self.cluster.vms if vm.clustered and vm.name not in in_hand]
        self.movers = []
        for unit in units_at_home(self.cluster, vms):
            nodes = [node for node in fit.of(unit.vms[0]) if all(node in fit.of(vm) for vm in unit.vms)]
            options = tuple(n for n in nodes if not any((vm.name, n) in self.tried for vm in unit.vms))
            self.movers.append(Mover(unit, options, must=any(vm.name in misplaced for vm in unit.vms)))

    def choose(self, levels: Sequence[int]) -> tuple[Placement, int]:
        """With the first reserve that a complete repair keeps; else what mends most."""
        best: tuple[Placement, int] | None = None
        for reserve in levels:
            for placement in self._candidates(reserve):
                fails = first_failure(self.cluster, reserve, placement, promised=self.promised)
                if fails is not None:
                    self.why_not_kept = self.why_not_kept or fails.why()
                    continue
                if not placement.unplaced:
                    return placement, reserve
                if best is None or len(placement.unplaced) < len(best[0].unplaced):
                    best = placement, reserve
                break
        return best or (self._placement(Way({}, {}, (), ())), levels[-1])

    def _candidates(self, reserve: int) -> Iterator[Placement]:
        if not self.standing:
            yield Placement()
            return
        question = Question(self.cluster, self.movers, (), self.promised, reserve, repair=True)
        for answer, way in solutions(question):
            self.undecided |= not answer.proved
            if not answer.found:
                self.why_not_kept = self.why_not_kept or "no placement that mends as much leaves room for it"
                return
            self.no_order |= way is None
            if way is not None:
                yield self._placement(way)

    # -------------------------------------------------------------- what it amounts to

    def _placement(self, way: Way) -> Placement:
        placement = Placement(targets=dict(way.targets), after=way.after, onward=way.onward)
        stands = self.cluster.with_vms_on(placement.ends)
        left = breaches(stands)
        for name in placement.ends:
            ended = next((breach for breach in self.standing if name in breach.vms and breach not in left), None)
            node = self.cluster.vm_by_name[name].node
            placement.why[name] = f"{ended.rule}: {ended.message}" if ended else f"makes room on {node}"
        for breach in left:
            for name in _who_must(stands, breach, placement.ends.keys()):
                placement.unplaced.setdefault(name, self._reasons(stands, stands.vm_by_name[name]))
        return placement

    def _reasons(self, stands: Cluster, vm: VirtualMachine) -> tuple[Verdict, ...]:
        found: list[Verdict] = []
        for node in (node.name for node in stands.nodes if node.name != vm.node):
            against = list(verdicts(stands, vm, node))
            if (vm.name, node) in self.tried:
                against.append(self.tried[vm.name, node])
            free_mib = stands.free_mib(node)
            if vm.holds_memory and free_mib < vm.memory_mib:
                reason = f"{vm.name} needs {vm.memory_mib} MiB, {free_mib} MiB are free on {node}"
                remedy = f"free {vm.memory_mib - free_mib} MiB more on {node}"
                against.append(Verdict(target=node, rule="I3", reason=reason, remedy=remedy))
            found += against or [self._no_way(vm, node)]
        return tuple(found)

    def _no_way(self, vm: VirtualMachine, node: str) -> Verdict:
        if self.no_order:
            reason = f"no order of live moves gets {vm.name} to {node}: a moving VM needs its memory on both nodes"
            remedy = "free memory on one node for the time of the moves, or stop a VM that may stop"
        elif self.undecided:
            reason = "whether it helps was not decided within the limits of the search"
            remedy = f"move {vm.name} by itself (shunter migrate {vm.name} {node}), then repair again"
        else:
            reason, remedy = f"with {vm.name} on {node} no more is in order than now", "change what contradicts it"
        return Verdict(target=node, rule="I3" if self.no_order else "I4", reason=reason, remedy=remedy)

    def findings(self, placement: Placement) -> tuple[Finding, ...]:
        """What stands wrong today, and what is known about mending it."""
        found = [
            Finding(
                rule=breach.rule,
                severity="warning" if set(breach.vms) & placement.unplaced.keys() else "info",
                subject=breach.subject,
                message=breach.message,
                remedy="see what stays and why"
                if set(breach.vms) & placement.unplaced.keys()
                else "this repair ends it",
            )
            for breach in self.standing
        ]
        subject = f"cluster {self.cluster.name}"
        if placement.unplaced and self.no_order:
            message = "more could be mended, but no order was found in which the moves can be made live"
            remedy = "free memory on one node for the time of the moves (a moving VM needs its memory on both nodes)"
            found.append(Finding(rule="I3", severity="warning", subject=subject, message=message, remedy=remedy))
        elif placement.unplaced and self.undecided:
            message = "whether more could be mended was not decided within the limits of the search"
            remedy = "free memory, or loosen a rule"
            found.append(Finding(rule="I3", severity="warning", subject=subject, message=message, remedy=remedy))
        return tuple(found)


def _who_must(cluster: Cluster, breach: Breach, moved: Collection[str]) -> Collection[str]:
    """Of a breach that stays: whom to name, of those that stay, too; of a node too full, few and small ones."""
    staying = [vm for vm in breach.vms if vm not in moved]
    if breach.rule != "I3":
        return staying[-1:]
    node = cluster.vm_by_name[staying[0]].node if staying else ""
    short_mib = -cluster.free_mib(node) if staying else 0
    by_size = sorted((cluster.vm_by_name[vm] for vm in staying), key=lambda vm: (vm.memory_mib, vm.name))
    enough = next((vm for vm in by_size if vm.memory_mib >= short_mib), None)
    if enough is not None:
        return (enough.name,)
    most = accumulate((vm.memory_mib for vm in reversed(by_size)), initial=0)
    return [vm.name for vm, freed_mib in zip(reversed(by_size), most, strict=False) if freed_mib < short_mib]
