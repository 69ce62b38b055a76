"""Nodes that were lost while a run went on, and what became of the VMs on them: what an incident report tells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from shunter.topology.changes import changed
from shunter.topology.model import Cluster, NodeState
from shunter.topology.plan import Finding
from shunter.topology.quorum import MEMBER
from shunter.topology.requirements.differing import listed

LOST: frozenset[NodeState] = frozenset({"down", "isolated", "quarantined"})


@dataclass(frozen=True, slots=True)
class Loss:
    """`at_s`: of the look that showed it, by the cluster's clock. `ran`: VMs in the cluster's care that ran there."""

    node: str
    state: NodeState
    at_s: float
    ran: tuple[str, ...]


@dataclass(slots=True)
class Incidents:
    """Of one run, in order of time; of a node that is lost again and again the first loss."""

    losses: dict[str, Loss] = field(default_factory=dict)

    def note(self, before: Cluster, seen: Cluster, at_s: float, expected: Collection[str]) -> None:
        """What changed between two looks. `expected`: nodes that are away on purpose."""
        for old, new in changed(before.nodes, seen.nodes) or ():
            if old.state in MEMBER and new.state in LOST and new.name not in expected:
                ran = tuple(vm.name for vm in before.vms_by_node[old.name] if vm.holds_memory and vm.clustered)
                self.losses.setdefault(old.name, Loss(old.name, new.state, at_s, ran))

    def lying(self, seen: Cluster) -> list[str]:
        """The VMs that ran on lost nodes and that the cluster should have restarted by now."""
        ran = (seen.vm_by_name[name] for loss in self.losses.values() for name in loss.ran)
        return [vm.name for vm in ran if vm.state == "failed" and vm.priority > 0]

    def findings(self, seen: Cluster, started_s: float) -> list[Finding]:
        """One for each node. `seen`: the last look; `started_s`: when the run began."""
        return [_told(loss, seen, loss.at_s - started_s) for loss in self.losses.values()]


def _told(loss: Loss, seen: Cluster, after_s: float) -> Finding:
    went = {"isolated": "was isolated", "quarantined": "was quarantined"}.get(loss.state, "was lost")
    state = seen.node_by_name[loss.node].state
    now = "is back since" if state in MEMBER else f"is {state} still" if state == loss.state else f"is {state} now"
    dead = [name for name in loss.ran if not seen.vm_by_name[name].holds_memory]
    return Finding(
        rule="I2",
        severity="warning",
        subject=f"node {loss.node}",
        message=f"{loss.node} {went} {after_s:.0f} s into the run and {now}; {_of_vms(loss, seen, dead)}",
        remedy=f"shunter failover {loss.node} starts what fits, and says what does not and why"
        if dead
        else f"look why it left (Get-ClusterLog); shunter resume {loss.node} proves that it is sound again",
    )


def _of_vms(loss: Loss, seen: Cluster, dead: list[str]) -> str:
    if not loss.ran:
        return "nothing ran on it"
    where = sorted({seen.vm_by_name[name].node for name in loss.ran if name not in dead})
    if not dead:
        return f"{'its VM runs' if len(loss.ran) == 1 else f'all of its {len(loss.ran)} VMs run'} on {listed(where)}"
    if len(dead) == len(loss.ran):
        return f"{listed(dead)}, which ran on it, {'does' if len(dead) == 1 else 'do'} not run"
    return f"of its {len(loss.ran)} VMs {len(loss.ran) - len(dead)} run on {listed(where)}, not: {listed(dead)}"
