"""Which VMs go back where when a node takes VMs again: by their preferred owners, or to where they were before.

Nobody must move here: what cannot be moved live, with every rule and the reserve kept at every instant, stays where it
is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shunter.topology.eligibility import FITNESS, WHEREVER, FitNodes, Question, verdicts
from shunter.topology.going_back import in_order, keeping_rules, ordered_back
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.names import key_of
from shunter.topology.ordering import riders, room_mib
from shunter.topology.placement import Placement
from shunter.topology.plan import Verdict
from shunter.topology.reasons import Tried
from shunter.topology.requirements.differing import listed
from shunter.topology.reserve import first_failure

FailbackPolicy = Literal["none", "preferred", "as-before"]

MOST_SECOND_CHANCES = 16
"""VMs that were left out are tried once more, beside what was chosen."""


@dataclass(frozen=True, slots=True)
class Before:
    """Where VMs were before a run emptied a node, as that run recorded it. `homes`: VM → node. `told`: which run and
    when, for people. `ours`: it paused the node.
    """

    homes: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    ours: bool = False


def homes_given(cluster: Cluster, homes: Mapping[str, str]) -> dict[str, str]:
    """VM → node as somebody wrote them, spelled as in the cluster; VMs that are not there are left out. Raises
    RequestError (unknown node).
    """
    names = {key_of(vm.name): vm.name for vm in cluster.vms}
    known = {vm: node for vm, node in homes.items() if key_of(vm) in names}
    return {names[key_of(vm)]: cluster.find_node(node).name for vm, node in known.items()}


def home_of(
    cluster: Cluster, vm: VirtualMachine, node: str, failback: FailbackPolicy, homes: Mapping[str, str]
) -> str | None:
    """Where the policy wants this VM once `node` takes VMs; None: where it is. `cluster`: with the node taking VMs.

    `preferred`: on this node, if it is the first of the VM's preferred owners that is up. `as-before`: at home.
    """
    match failback:
        case "none":
            return None
        case "preferred":
            up = (owner for owner in vm.preferred_owners if cluster.node_by_name[owner].state == "up")
            return node if next(up, None) == node else None
        case "as-before":
            home = homes.get(vm.name)
            return home if home in cluster.node_by_name else None


def wanted_homes(cluster: Cluster, node: str, failback: FailbackPolicy, homes: Mapping[str, str]) -> dict[str, str]:
    """VM → node for all that the policy wants moved live, whether that can be or not.

    What is not in the cluster's care, or being moved by somebody now, is left to them.
    """
    wanted: dict[str, str] = {}
    for vm in cluster.vms:
        home = home_of(cluster, vm, node, failback, homes)
        movable = vm.holds_memory and vm.clustered and vm.name not in cluster.heading
        if home is not None and home != vm.node and movable:
            wanted[vm.name] = home
    return wanted


def choose_homes(
    cluster: Cluster,
    homes: Mapping[str, str],
    reserve_nodes: int,
    *,
    promised: Mapping[str, str] | None = None,
    tried: Tried | None = None,
) -> Placement:
    """As many of these moves (VM → node) as can be made live with the reserve kept at every instant. What cannot, stays
    and is unplaced, with verdicts on the node that it was to go to, and on no other.

    `promised`: moves decided already (VM → node); `tried`: verdicts learnt by trying, by (VM, node).
    """
    return _Chooser(cluster, homes, reserve_nodes, promised or {}, tried or {}).choose()


@dataclass(slots=True)
class _Chooser:
    cluster: Cluster
    homes: Mapping[str, str]
    reserve_nodes: int
    promised: Mapping[str, str]
    tried: Tried

    def choose(self) -> Placement:
        against = {name: self._against(name, home) for name, home in self.homes.items()}
        open_ = {name: home for name, home in self.homes.items() if not against[name]}
        chosen = ordered_back(self.cluster, open_, self.reserve_nodes, self.promised) or Placement()
        chosen = self._with_second_chances(chosen, open_)
        for name, home in self.homes.items():
            if name in chosen.targets:
                chosen.why[name] = f"back to {home}"
            else:
                chosen.unplaced[name] = against[name] or self._why_not(chosen, name, home)
        return chosen

    def _against(self, name: str, home: str) -> tuple[Verdict, ...]:
        """What stands against the VM there, whoever else moves; of what comes along with it, too (R11)."""
        asked = Question(self.cluster, self.cluster.vm_by_name[name], self.cluster.node_by_name[home])
        found = [verdict for check in FITNESS for verdict in check(asked)]
        if (name, home) in self.tried:
            found.append(self.tried[name, home])
        coming = FitNodes(self.cluster, [home], checks=WHEREVER)
        for rider in riders(self.cluster, name):
            if not coming.of(self.cluster.vm_by_name[rider]):
                reason = f"{rider} must come along (they share a disk), and may not be there"
                remedy = f"see why (shunter why {rider} {home}), or give it a disk of its own"
                found.append(asked.no("R11", reason, remedy))
        return tuple(found)

    def _with_second_chances(self, chosen: Placement, homes: Mapping[str, str]) -> Placement:
        """The largest was left out first: perhaps it was another that stood in the way."""
        left = [name for name in homes if name not in chosen.targets]
        for name in sorted(left, key=lambda name: (self.cluster.vm_by_name[name].memory_mib, name))[
            :MOST_SECOND_CHANCES
        ]:
            chosen = self._kept({**chosen.targets, name: homes[name]}) or chosen
        return chosen

    def _kept(self, targets: Mapping[str, str]) -> Placement | None:
        """All of these with every rule and the reserve kept, if that can be."""
        if keeping_rules(self.cluster, targets, self.promised) != targets:
            return None
        placement = in_order(self.cluster, targets, self.promised)
        if placement is None or first_failure(self.cluster, self.reserve_nodes, placement, promised=self.promised):
            return None
        return placement

    def _why_not(self, chosen: Placement, name: str, home: str) -> tuple[Verdict, ...]:
        """What stands against this VM beside those that go back."""

        def no(rule: str, reason: str, remedy: str) -> tuple[Verdict, ...]:
            return (Verdict(target=home, rule=rule, reason=reason, remedy=remedy),)

        cluster, vm = self.cluster, self.cluster.vm_by_name[name]
        targets = {**chosen.targets, name: home}
        if keeping_rules(cluster, targets, self.promised) != targets:
            stands = cluster.with_vms_on(chosen.targets)
            named = verdicts(stands, vm, home, promised=self.promised)
            remedy = f"see which (shunter why {name} {home}), or change the rule"
            return named or no("I4", f"with {name} on {home} an affinity rule would be broken", remedy)
        free_mib = room_mib(cluster.with_vms_on(chosen.targets), self.promised)[home]
        if vm.memory_mib > free_mib:
            reason = f"{name} needs {vm.memory_mib} MiB, {free_mib} MiB are free on {home} once the others are there"
            return no("I3", reason, f"free {vm.memory_mib - free_mib} MiB more on {home}")
        placement = in_order(cluster, targets, self.promised)
        if placement is None:
            reason = f"no order of live moves gets {name} to {home}: a moving VM needs its memory on both nodes"
            return no("I3", reason, "free memory on one node for the time of the moves, or leave it where it is")
        fails = first_failure(cluster, self.reserve_nodes, placement, promised=self.promised)
        if fails is None:
            remedy = f"move it by itself (shunter migrate {name} {home})"
            return no("I3", f"it was not tried beside {listed(sorted(chosen.targets))}", remedy)
        reason = f"with it on {home} the loss of another node would not be covered: {fails.why()}"
        return no("I3", reason, "free memory, lower the reserve (--reserve-nodes 0), or leave it where it is")
