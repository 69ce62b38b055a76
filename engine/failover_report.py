"""The report of a failover: of each VM that was lost, where it runs now and who started it, or why it does not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shunter.engine.rest import Rest
from shunter.engine.starting import Start
from shunter.topology.failover_findings import no_longer_protected
from shunter.topology.loss import losses
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Finding, Move, Plan, Severity, Unplaced, Verdict
from shunter.topology.quorum import MEMBER, votes_of


@dataclass(slots=True)
class Ran:
    """A VM that is to run again, and the node on which it ran or failed. `since_s`: by the cluster's clock, when a look
    first showed it running elsewhere or anew, and `on` where.
    """

    node: str
    since_s: float | None = None
    on: str | None = None
    fell: bool = False

    def note(self, seen: VirtualMachine, now_s: float) -> None:
        if not seen.holds_memory:
            self.fell, self.since_s, self.on = True, None, None
        elif self.since_s is None and (self.fell or seen.node != self.node):
            self.since_s, self.on = now_s, seen.node


@dataclass(frozen=True, slots=True)
class Fallout:
    """What a failover has to report of. `before` the loss, `seen` at last; `made_room`: live migrations; `reasons`: why
    VMs that do not run cannot be started, by VM; `started_s`: when the run began, by the cluster's clock.
    """

    plan: Plan
    before: Cluster
    seen: Cluster
    lost: tuple[str, ...]
    ran: Mapping[str, Ran]
    starts: Sequence[Start]
    made_room: tuple[Move, ...]
    reasons: Mapping[str, Sequence[Verdict]]
    started_s: float
    interrupted: bool

    def report(self, rest: Rest, others: Sequence[Finding]) -> Plan:
        """`rest`: what was handed over besides; `others`: of volumes, and of further nodes that were lost."""
        seen, quorate = self.seen, has_quorum(self.seen)
        further = losses(seen) if quorate else ()
        findings = (
            *([] if quorate else [_no_quorum(seen)]),
            *_of_nodes(seen, self.lost),
            *others,
            *(finding for finding in self.plan.findings if finding.subject.startswith("vm ") or finding.rule == "R21"),
            *rest.findings,
            *_of_room(self.made_room),
            *no_longer_protected(seen, further),
        )
        moves = tuple(sorted(self._moves(), key=lambda move: (move.start_s, move.vm)))
        unplaced = tuple(self._unplaced())
        waiting = [stays for stays in unplaced if seen.vm_by_name[stays.vm].priority > 0]
        volumes_lie = any(seen.node_by_name[volume.owner].state not in MEMBER for volume in seen.volumes)
        errors = any(finding.severity == "error" for finding in findings)
        errors |= any(move.outcome == "lost_sight" for move in self.made_room)
        return self.plan.model_copy(
            update={
                "executed": True,
                "ok": not (waiting or volumes_lie or errors or self.interrupted),
                "findings": findings,
                "moves": moves,
                "role_moves": rest.role_moves_since(self.started_s),
                "volume_moves": rest.volume_moves_since(self.started_s),
                "unplaced": unplaced,
                "makespan_s": max((move.end_s for move in moves if move.outcome == "done"), default=0.0),
                "interrupted": self.interrupted,
                "memory": memory(self.before, seen, self.lost, 0),
                "survives_loss": further,
                "made_room": self.made_room,
            }
        )

    def _moves(self) -> Iterator[Move]:
        """Every start that we asked for, and every VM that the cluster has restarted."""
        estimate_s = {move.vm: move.end_s - move.start_s for move in self.plan.moves}
        for start in self.starts:
            yield Move(
                vm=start.vm,
                source=self.ran[start.vm].node,
                target=start.node,
                start_s=start.at_s - self.started_s,
                end_s=start.ended_s - self.started_s,
                why="started by this run: the cluster had left it failed",
                outcome=start.outcome,
                estimate_s=estimate_s.get(start.vm),
                reason=start.reason or None,
            )
        ours = {(start.vm, start.node) for start in self.starts if start.outcome == "done"}
        for name, was in self.ran.items():
            if was.since_s is None or was.on is None or (name, was.on) in ours:
                continue
            since_s = was.since_s - self.started_s
            yield Move(
                vm=name,
                source=was.node,
                target=was.on,
                start_s=since_s,
                end_s=since_s,
                why="restarted by the cluster" if was.fell else "it ran there already when this run began",
                outcome="done",
                estimate_s=estimate_s.get(name),
            )

    def _unplaced(self) -> Iterator[Unplaced]:
        seen = self.seen
        for name in self.ran:
            vm = seen.vm_by_name[name]
            hidden = vm.node in self.lost and seen.node_by_name[vm.node].state == "isolated"
            if vm.holds_memory and not hidden:
                continue
            known = () if hidden else self.reasons.get(name, ())
            own = self.ran[name].node  # a start in vain leaves it on the node that was tried last
            yield Unplaced(
                vm=name,
                node=own,
                verdicts=tuple(
                    verdict
                    for node in seen.nodes
                    if node.name != own or node.state in MEMBER
                    for verdict in [about for about in known if about.target == node.name]
                    or ([self._open(vm, node.name, hidden=hidden)] if node.name != own else [])
                ),
            )

    def _open(self, vm: VirtualMachine, target: str, *, hidden: bool) -> Verdict:
        """Nothing stands against the node; what else kept the VM from being started."""
        if hidden:
            reason = f"{vm.node} is isolated: {vm.name} may still be running there"
            remedy = f"reconnect {vm.node}, or power it off and let the cluster declare it down; then run it again"
        elif vm.state in ("off", "saved"):
            reason = f"{vm.name} is {vm.state}, not failed: somebody has stopped it"
            remedy = f"start it if it is to run (Start-ClusterGroup {vm.name})"
        elif vm.priority == 0:
            reason = f"{vm.name} has priority 0: it is not started after a failover"
            remedy = f"start it by hand where it fits (Start-ClusterGroup {vm.name})"
        elif vm.restart_pending:
            reason = f"the cluster says that it is restarting {vm.name} itself, and had not done so when this run ended"
            remedy = f"look what it waits for (Get-ClusterGroup {vm.name}, Get-ClusterResource); then run it again"
        elif not has_quorum(self.seen):
            reason, remedy = "the cluster has stopped: no majority of votes is left", "bring nodes back"
        elif self.interrupted:
            reason, remedy = "the run was stopped before it could start it", "run it again"
        else:
            reason, remedy = f"it fits there by now, and is {vm.state} still or again", "run it again"
        return Verdict(target=target, rule="I2", reason=reason, remedy=remedy)


def has_quorum(seen: Cluster) -> bool:
    """Whether the cluster runs. It counts its votes anew after each departure: where none is there, it has stopped."""
    return votes_of(seen).is_majority


def _of_nodes(seen: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    for name in lost:
        state = seen.node_by_name[name].state
        if state == "isolated":
            yield Finding(
                rule="I2",
                severity="error",
                subject=f"node {name}",
                message=f"{name} is isolated and was not declared down: its VMs may be running, and were not started "
                "elsewhere",
                remedy=f"restore its cluster network, or power {name} off; then run it again",
            )
        elif state in MEMBER:
            yield Finding(
                rule="I2",
                severity="info",
                subject=f"node {name}",
                message=f"{name} is back: it is {state}",
                remedy=f"look why it left; its VMs come back to it with shunter resume {name} --failback",
            )


def _of_room(moves: Sequence[Move]) -> Iterator[Finding]:
    severity: Severity
    for move in moves:
        way = f"{move.source} → {move.target}"
        if move.outcome == "done":
            severity, told, remedy = "info", f"it moved on live, {way}: {move.why}", "nothing"
        elif move.outcome == "lost_sight":
            severity, told = "error", f"what became of its migration {way} is unknown"
            remedy = f"look where it runs, {move.source} or {move.target}, before anything else"
        else:
            severity, told = (
                "warning",
                f"it was to move on live, {way} ({move.why}), and did not: {move.reason or move.outcome}",
            )
            remedy = "nothing; it runs on where it was"
        yield Finding(rule="I3", severity=severity, subject=f"vm {move.vm}", message=told, remedy=remedy)


def _no_quorum(seen: Cluster) -> Finding:
    there = [node.name for node in seen.nodes if node.state in MEMBER]
    return Finding(
        rule="I6",
        severity="error",
        subject=f"cluster {seen.name}",
        message=f"no majority of votes is left ({', '.join(there) or 'no node'} there): the cluster has stopped, and "
        "nothing was started",
        remedy="bring nodes back; only where they will never return, force the quorum (Start-ClusterNode -ForceQuorum)",
    )
