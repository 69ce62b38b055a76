"""What is left after nodes are lost, and who may restart where in it, read afresh from the rules.

Room (I3), owners and affinity (I4), storage (R08), disks (R11) and switches (R20); a cold start is free of R13. Shares
no code with the planners.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.recheck.fitness import Reason, close, misfits

RUNS = ("running", "paused")


@dataclass(slots=True)
class Left:
    """The cluster without the `lost` nodes. `stays`: VM → node of what runs on, `also`: where those of them that
    migrate count, too; `room_mib`: of each node that takes VMs.
    """

    cluster: Cluster
    lost: frozenset[str]
    stays: dict[str, str] = field(init=False)
    also: dict[str, str] = field(init=False)
    room_mib: dict[str, int] = field(init=False)
    volume_state: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.stays = {vm.name: vm.node for vm in self.cluster.vms if vm.state in RUNS and vm.node not in self.lost}
        self.also = {
            m.vm: m.target for m in self.cluster.migrations if m.vm in self.stays and m.target not in self.lost
        }
        self.volume_state = {volume.name: volume.state for volume in self.cluster.volumes}
        self.room_mib = {
            node.name: node.memory_mib - node.reserved_mib
            for node in self.cluster.nodes
            if node.state == "up" and node.name not in self.lost
        }
        memory_mib = {vm.name: vm.memory_mib for vm in self.cluster.vms}
        for name, node in self.stays.items():
            for place in {node, self.also.get(name, node)} & self.room_mib.keys():
                self.room_mib[place] -= memory_mib[name]

    def must_restart(self) -> list[VirtualMachine]:
        """What ran or had failed there, in the cluster's care and of a priority above 0."""
        return [
            vm
            for vm in self.cluster.vms
            if vm.node in self.lost and vm.clustered and vm.priority > 0 and vm.state in (*RUNS, "failed")
        ]

    def against(self, vm: VirtualMachine, node: str, placed: Mapping[str, str]) -> Iterator[Reason]:
        """What forbids the restart of this VM on the node beside those `placed` (VM → node) already; room apart."""
        if node not in self.room_mib:
            state = self.cluster.node_by_name[node].state
            yield "R01", f"{node} is {'lost' if node in self.lost else state}"
        cold = vm.model_copy(update={"state": "failed"})
        yield from misfits(self.cluster, cold, vm.node, node, self.volume_state)
        for other, on in self._on_its_disks(vm, placed):
            if on != node:
                yield "R11", f"shares a disk with {other}, which runs on {on}"
        for rule in self.cluster.affinity_rules:
            if not rule.soft and vm.name in rule.vms:
                yield from self._of_rule(rule, vm.name, node, placed)

    def _on_its_disks(self, vm: VirtualMachine, placed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        disks = {name for name in vm.volumes if self.cluster.volume_by_name[name].kind == "disk"}
        for other in self.cluster.vms if disks else ():
            place = placed.get(other.name, self.stays.get(other.name))
            if other.name != vm.name and place is not None and disks & set(other.volumes):
                yield other.name, place

    def _of_rule(self, rule: AffinityRule, vm: str, node: str, placed: Mapping[str, str]) -> Iterator[Reason]:
        others = [name for name in rule.vms if name != vm]
        if rule.kind in ("different_node", "different_fault_domain"):
            for name in others:
                places = [placed.get(name), self.stays.get(name), self.also.get(name)]
                if any(place is not None and close(self.cluster, rule.kind, place, node) for place in places):
                    yield "I4", f"rule {rule.name}: {name} is near"
            return
        stay = [self.stays[name] for name in others if name in self.stays]
        if any(not close(self.cluster, rule.kind, stay[0], place) for place in stay[1:]):
            stay = []  # they are apart already, and nobody can be with all of them
        for place in [*stay, *(placed[name] for name in others if name in placed)]:
            if not close(self.cluster, rule.kind, place, node):
                yield "I4", f"rule {rule.name}: another of its VMs is on {place}"
                return


def majority(cluster: Cluster, lost: Collection[str]) -> bool | None:
    """Whether more than half of the votes are left when these nodes are lost at once; None: it depends on whose vote
    does not count, where the cluster leaves one out to keep their number odd.
    """
    there = [node for node in cluster.nodes if node.state in ("up", "paused")]
    staying = [node for node in there if node.name not in lost]
    if not staying:
        return False
    witness = 1 if cluster.witness else 0
    voters, left = sum(node.votes for node in there), sum(node.votes for node in staying)
    match cluster.windows_version:
        case "2008R2":
            return 2 * (left + witness) > sum(node.votes for node in cluster.nodes) + witness
        case _ if not left:
            return False  # the witness alone is no cluster
        case "2012":
            return 2 * (left + witness) > voters + witness
        case _ if voters % 2 or witness:
            tie = 0 if voters % 2 else witness
            return 2 * (left + tie) > voters + tie
    # one of the voters does not count: one that stays, or one that is lost
    outcomes = {2 * (left - 1) > voters - 1}
    if voters > left:
        outcomes.add(2 * left > voters - 1)
    return outcomes.pop() if len(outcomes) == 1 else None
