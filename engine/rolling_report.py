"""What a rolling run leaves behind: which node went when and how it ended, what moved, what stays and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from shunter.clusters.port import MigrationRecord
from shunter.engine import report
from shunter.engine.rest import Rest
from shunter.topology.memory import memory
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Maintenance, Plan, RoleMove, Unplaced, Untouched, Verdict, VolumeMove
from shunter.topology.quorum import members, votes_of
from shunter.topology.requirements.differing import listed
from shunter.topology.rolling.hindrances import no_room

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling
    from shunter.engine.turn import Turn


def rolling_report(run: Rolling, seen: Cluster, log: Sequence[MigrationRecord]) -> Plan:
    """`seen`: a look after the run; `log`: the cluster's own."""
    moves = report.moves(run.crew.errands, log, run.plan, run.started_s)
    followers = Rest(run.cluster, run.lives, (), 0, {}, {})
    followers.note_followers(run.crew.errands, seen, moves, run.started_s)
    rests = [followers, *(turn.rest for turn in run.turns.all)]
    role_moves = sorted(_role_moves(rests, run.started_s), key=lambda move: move.start_s)
    volume_moves = sorted(_volume_moves(rests, run.started_s), key=lambda move: move.start_s)
    maintenance = tuple(_maintenance(run))
    untouched = (*_untouched_as_planned(run), *_untouched(run, seen, maintenance))
    unplaced = tuple(_unplaced(run, seen, {each.node for each in untouched}))
    findings = (
        *run.care.findings(run.plan.findings, seen),
        *run.lives.incidents.findings(seen, run.started_s),
        *(finding for rest in rests for finding in rest.findings),
        *_of_failures(run, seen),
        *_of_pauses(run, seen),
        *_of_cluster(run, seen),
        *run.first.findings(),
        *run.patience.warnings,
        *(left := run.going_back.findings(seen)),
    )
    in_doubt = any(move.outcome == "lost_sight" for move in moves)
    errors = any(finding.severity == "error" for finding in findings)
    return run.plan.model_copy(
        update={
            "executed": True,
            "ok": not (untouched or unplaced or run.turns.failed or left or in_doubt or errors or run.control.asked),
            "findings": findings,
            "moves": moves,
            "role_moves": tuple(role_moves),
            "volume_moves": tuple(volume_moves),
            "unplaced": unplaced,
            "maintenance": maintenance,
            "untouched": untouched,
            "makespan_s": max([0.0, *(move.end_s for move in moves), *(turn.end_s for turn in maintenance)]),
            "interrupted": run.control.asked,
            "degraded_backups": tuple(run.care.backups.degraded),
            "memory": memory(run.before, seen, (), run.plan.reserve_nodes),
        }
    )


def _role_moves(rests: Sequence[Rest], started_s: float) -> Iterator[RoleMove]:
    for rest in rests:
        yield from rest.role_moves_since(started_s)


def _volume_moves(rests: Sequence[Rest], started_s: float) -> Iterator[VolumeMove]:
    for rest in rests:
        yield from rest.volume_moves_since(started_s)


def _maintenance(run: Rolling) -> Iterator[Maintenance]:
    """One for each node whose maintenance began: from the first try to the end of the last."""
    tries: dict[str, list[Turn]] = {}
    for turn in run.turns.all:
        if turn.started_s is not None:
            tries.setdefault(turn.node, []).append(turn)
    for node, turns in sorted(tries.items(), key=lambda item: (item[1][0].started_s, item[0])):
        first, last = turns[0], turns[-1]
        assert first.started_s is not None  # noqa: S101  see above
        assert last.ended_s is not None, node  # noqa: S101  every turn has ended by now
        paused_s = first.paused_s if first.paused_s is not None else first.started_s
        yield Maintenance(
            node=node,
            paused_s=paused_s - run.started_s,
            start_s=first.started_s - run.started_s,
            end_s=last.ended_s - run.started_s,
            outcome="done" if last.ended == "done" else "failed",
            reason=last.why or None,
        )


def _untouched_as_planned(run: Rolling) -> Iterator[Untouched]:
    """Those of the plan, but for nodes that waited for a backup: of them the run knows more."""
    yield from (each for each in run.plan.untouched if each.node not in run.wanted)


def _untouched(run: Rolling, seen: Cluster, maintenance: Sequence[Maintenance]) -> Iterator[Untouched]:
    begun = {turn.node for turn in maintenance}
    failed, refused = run.turns.failed, run.turns.refused
    for node in run.wanted:
        if node in begun:
            continue
        if node in run.control.skipped:
            yield Untouched(node=node, reason=f"{node} was skipped on request", remedy="maintain it in another run")
        elif node in failed:
            yield Untouched(node=node, reason=failed[node], remedy="mend that, then maintain it in another run")
        elif node in refused:
            yield Untouched(node=node, reason=refused[node], remedy="see to that, then maintain it in another run")
        else:
            yield Untouched(node=node, reason=why_not(run, seen, node), remedy=_first_of_all(run, seen))


def _first_of_all(run: Rolling, seen: Cluster) -> str:
    """What to do before the nodes that are left can have their turn."""
    again = "run it again: it goes on from where the cluster stands"
    there = {node.name for node in members(seen)}
    lost = [node.name for node in members(run.before) if node.name not in there]
    if run.control.asked or not lost:
        return again
    return f"bring {listed(lost)} back ({', '.join(f'shunter resume {name}' for name in lost)}), then {again}"


def why_not(run: Rolling, seen: Cluster, node: str) -> str:
    """Why the turn of a node has not come."""
    if run.control.asked:
        return f"the run was stopped before the turn of {node}"
    if run.is_budget_spent:
        failed = ", ".join(run.turns.failed)
        return f"{failed} failed, and no more nodes may fail (failure budget {run.budget.failed_nodes})"
    state = seen.node_by_name[node].state
    if state not in ("up", "paused"):
        return f"{node} is {state}: nothing can be moved from it until it is back"
    if any(vm.holds_memory for vm in seen.vms_by_node[node]):
        return f"{node} could not be emptied: {_in_the_way(run, seen, node)}"
    return f"{node} is empty and could not leave: {_in_the_way(run, seen, node)}"


def _in_the_way(run: Rolling, seen: Cluster, node: str) -> str:
    given_up = sorted(run.crew.given_up() & {vm.name for vm in seen.vms_by_node[node]})
    if given_up:
        return f"{', '.join(given_up)} failed to move again and again"
    moving = sorted(run.crew.in_hand() & {vm.name for vm in seen.vms_by_node[node]})
    if moving:
        return f"sight of {', '.join(moving)} was lost in the middle of a migration"
    held = run.awaited.why_not(seen, node)
    if held:
        return held
    lost = run.beginning.partners_lost(seen, node)
    if lost:
        return f"it must not be away together with {', '.join(lost)}, lost during the run"
    if seen.storage_jobs:
        return f"storage is being rebuilt ({', '.join(job.name for job in seen.storage_jobs)})"
    return str(run.crew.denied()) or _no_room(seen, node, run.plan.reserve_nodes)


def _no_room(seen: Cluster, node: str, reserve_nodes: int) -> str:
    if not votes_of(seen, away={node}).is_majority:
        return "without it the cluster would have no majority of votes (I6)"
    if any(vm.holds_memory for vm in seen.vms_by_node[node]) or not reserve_nodes:
        kept = f"with a reserve of {reserve_nodes}" if reserve_nodes else "on the other nodes"
        return f"its VMs found no room {kept}"
    whose = "any one node" if reserve_nodes == 1 else f"any {reserve_nodes} nodes"
    return f"without it there would not be room for the VMs of {whose} that may be lost"


def _unplaced(run: Rolling, seen: Cluster, untouched: Collection[str]) -> Iterator[Unplaced]:
    """VMs that kept a node from its turn; not where it was simply not reached."""
    reached = not (run.control.asked or run.turns.failed)
    crowded = [n for n in run.wanted if n in untouched and n not in run.control.skipped and n not in run.turns.refused]
    kept = f"reserve {run.plan.reserve_nodes}" if run.plan.reserve_nodes else "no reserve is kept"
    planned = {unplaced.vm for unplaced in run.plan.unplaced}
    hindered = {each.node for each in _untouched_as_planned(run)}
    denied = report.why_denied(run.crew.denied())
    for node in dict.fromkeys([*(crowded if reached else ()), *sorted(hindered)]):
        for vm in seen.vms_by_node[node]:
            if node not in hindered and vm.holds_memory and denied is not None:
                verdicts = (Verdict(target=n.name, **denied._asdict()) for n in seen.nodes if n.name != vm.node)
                yield Unplaced(vm=vm.name, node=vm.node, verdicts=tuple(verdicts))
            elif (node in hindered and vm.name in planned) or (node not in hindered and vm.holds_memory):
                yield no_room(seen, vm, kept)


def _of_failures(run: Rolling, seen: Cluster) -> Iterator[Finding]:
    for node, why in run.turns.failed.items():
        state = seen.node_by_name[node].state
        yield Finding(
            rule="I5",
            severity="error",
            subject=f"node {node}",
            message=f"the maintenance of {node} failed, and it is {state} now: {why}",
            remedy=f"look at {node}; once it is well, {_resuming(node)}",
        )


def _of_pauses(run: Rolling, seen: Cluster) -> Iterator[Finding]:
    """Nodes that we paused and that do not take VMs yet, besides those that failed in their maintenance."""
    for node in run.pausing.ours:
        state = seen.node_by_name[node].state
        if state == "up" or node in run.turns.failed:
            continue
        paused = "is still paused" if state == "paused" else f"is {state}, and will perhaps come back paused"
        yield Finding(
            rule="I8",
            severity="warning",
            subject=f"node {node}",
            message=f"{node} was paused by us and {paused}",
            remedy=_resuming(node),
        )


def _resuming(node: str) -> str:
    return f"shunter resume {node} brings it back, or by hand: Resume-ClusterNode {node} -Failback NoFailback"


def _of_cluster(run: Rolling, seen: Cluster) -> Iterator[Finding]:
    subject = f"cluster {seen.name}"
    if run.trouble:
        remedy = "mend the hook, then run it again: it goes on from where the cluster stands"
        yield Finding(rule="R16", severity="error", subject=subject, message=run.trouble, remedy=remedy)
    if not members(seen):
        yield Finding(
            rule="I6",
            severity="error",
            subject=subject,
            message="no node is a member any more: the cluster has lost its quorum, and nothing more was done",
            remedy="bring nodes back until a majority of the votes is there, then run it again",
        )
