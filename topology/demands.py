"""What must hold of a placement, demand by demand and in an administrator's words; `contradiction.py` says which clash.

Demands on a VM and a node are the verdicts of `eligibility.py`, put together by what one would change to lift them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from shunter.topology.eligibility import FITNESS, STANDING, Check, Question, disks_of
from shunter.topology.model import AffinityRule, Cluster, Node, VirtualMachine
from shunter.topology.ordering import riders
from shunter.topology.plan import Verdict

Kind = Literal[
    "leave", "wish", "node", "owners", "processor", "switch", "volume", "disk", "network", "backup", "care",
    "together", "memory", "rule",
]  # fmt: skip
MOST_NAMED = 6

_KINDS: Mapping[str, Kind] = {
    "I4": "owners", "R13": "processor", "R20": "switch", "R08": "volume", "R11": "disk", "R07": "network",
    "R17": "backup", "R01": "care",
}  # fmt: skip
"""Of a verdict about a VM and a node, by its rule."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that must hold. `forbids`: the (VM, node) that it excludes; memory and rules forbid combinations.

    `vm`, `node`, `thing` (a switch, volume, disk or rule): what it is about, empty where it is about none; `other`: of
    VMs that go together, the one that is followed.
    """

    kind: Kind
    rule: str
    text: str
    vm: str = ""
    node: str = ""
    thing: str = ""
    other: str = ""
    forbids: frozenset[tuple[str, str]] = frozenset()

    @property
    def about(self) -> tuple[str, ...]:
        """What tells it from the others."""
        return (self.kind, self.vm, self.node, self.thing, self.other)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked for. `movers` are decided one by one; all others stand still, or are `loose`: they may be anywhere
    as far as the sum of memory goes.

    `leaving`: VMs that must not stay; `wish`: VM → node where it is to be.
    `repair`: what is out of order today must be mended, instead of being nobody's business.
    """

    cluster: Cluster
    movers: tuple[VirtualMachine, ...]
    loose: frozenset[str] = frozenset()
    emptied: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    wish: Mapping[str, str] = field(default_factory=dict)
    repair: bool = False

    @property
    def literals(self) -> int:
        return len(self.movers) * len(self.cluster.nodes)


def demands_of(scene: Scene) -> tuple[Demand, ...]:
    """All of them, in an order that depends on the cluster file alone."""
    nodes = [node.name for node in scene.cluster.nodes]
    gathered = _Gathered(scene)
    for vm in scene.movers:
        gathered.ask(vm)
    for name in sorted(scene.loose)[:1]:
        gathered.ask_about_nodes(scene.cluster.vm_by_name[name])
    return (*_asked_for(scene, nodes), *gathered.demands(), *_disks(scene), *_memory(scene), *_rules(scene))


def _asked_for(scene: Scene, nodes: Sequence[str]) -> Iterator[Demand]:
    by_name = {vm.name: vm for vm in scene.movers}
    along = {rider for name in scene.leaving if by_name[name].holds_memory for rider in riders(scene.cluster, name)}
    for name in (name for name in scene.leaving if name not in along):
        vm = by_name[name]
        text = f"{sized(vm)} must leave {vm.node}"
        yield Demand("leave", "R16", text, vm=name, node=vm.node, forbids=frozenset({(name, vm.node)}))
    for name, target in scene.wish.items():
        elsewhere = frozenset((name, node) for node in nodes if node != target)
        yield Demand("wish", "R01", f"{sized(by_name[name])} is to be on {target}", name, target, forbids=elsewhere)


def sized(vm: VirtualMachine) -> str:
    """Its name, and the memory that it holds."""
    return f"{vm.name} ({vm.memory_mib} MiB)" if vm.holds_memory else vm.name


class _Gathered:
    """Verdicts on VMs and nodes, put together by what one would change."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.cluster = scene, scene.cluster
        self.found: dict[tuple[Kind, str, str], tuple[Verdict, set[tuple[str, str]]]] = {}

    def ask(self, vm: VirtualMachine) -> None:
        for node in self.cluster.nodes:
            home = node.name == vm.node
            for check in (STANDING if self.scene.repair else ()) if home else FITNESS:
                verdict = next(check(self._question(vm, node)), None)
                if verdict is not None:
                    self._keep(check, vm, node, verdict)

    def ask_about_nodes(self, vm: VirtualMachine) -> None:
        """What holds for this VM as for any other that may be anywhere."""
        for node in self.cluster.nodes:
            for check in FITNESS:
                verdict = next(check(self._question(vm, node)), None)
                if verdict is not None and FITNESS[check](self.cluster, vm) is None:
                    self.found.setdefault(("node", "", node.name), (verdict, set()))

    def _keep(self, check: Check, vm: VirtualMachine, node: Node, verdict: Verdict) -> None:
        """What no VM has any part in is about the node, and holds for all alike."""
        if FITNESS[check](self.cluster, vm) is None:
            self._add(("node", "", node.name), verdict, vm, node)
            return
        kind = _KINDS[verdict.rule]
        if kind == "network":
            self._add((kind, "", f"{vm.node} {node.name}"), verdict, vm, node)
            return
        field_of = {"switch": "switches", "volume": "volumes"}.get(kind)
        for thing in getattr(vm, field_of) if field_of else ("",):
            alone = vm.model_copy(update={field_of: (thing,)}) if field_of else vm
            if not field_of or next(check(self._question(alone, node)), None):
                self._add((kind, vm.name, thing), verdict, vm, node)

    def _question(self, vm: VirtualMachine, node: Node) -> Question:
        return Question(self.cluster, vm, node, self.scene.emptied)

    def _add(self, key: tuple[Kind, str, str], verdict: Verdict, vm: VirtualMachine, node: Node) -> None:
        self.found.setdefault(key, (verdict, set()))[1].add((vm.name, node.name))

    def demands(self) -> Iterator[Demand]:
        for (kind, vm, thing), (verdict, forbids) in self.found.items():
            text = _in_words(self.cluster, kind, self.cluster.vm_by_name.get(vm), thing) or verdict.reason
            node = verdict.target if kind == "node" else ""
            text = self._emptied(node) or text
            yield Demand(kind, verdict.rule, text, vm, node, "" if node else thing, forbids=frozenset(forbids))

    def _emptied(self, node: str) -> str:
        """Where not all that must leave is looked at one by one, how much it is."""
        on_it = self.cluster.vms_by_node[node] if node in self.scene.emptied else ()
        mib = sum(vm.memory_mib for vm in on_it if vm.holds_memory and vm.name in self.scene.loose)
        more = " more" if any(vm.node == node for vm in self.scene.movers) else ""
        return f"{node} is being emptied of {mib} MiB{more}" if mib else ""


def _in_words(cluster: Cluster, kind: Kind, vm: VirtualMachine | None, thing: str) -> str:
    """Of a demand that holds for several nodes; empty where the verdict on one of them says it already."""
    return _WORDS[kind](cluster, vm, thing) if vm is not None and kind in _WORDS else ""


def _owners(_: Cluster, vm: VirtualMachine, __: str) -> str:
    return f"{vm.name} may run on {listed(vm.possible_owners)} alone (possible owners)"


def _processor(cluster: Cluster, vm: VirtualMachine, _: str) -> str:
    processor = cluster.node_by_name[vm.node].processor
    if processor is not None and vm.processor_compatibility:
        return f"{vm.name} cannot leave processors of {processor.manufacturer}"
    return f"{vm.name} cannot leave processor {processor} (its compatibility mode is off)"


def _switch(cluster: Cluster, vm: VirtualMachine, switch: str) -> str:
    has = [node.name for node in cluster.nodes if switch.casefold() in {name.casefold() for name in node.switches}]
    return f'{vm.name} needs virtual switch "{switch}" ({_who(has, "has", "have")} it)'


def _volume(cluster: Cluster, vm: VirtualMachine, name: str) -> str:
    volume = cluster.volume_by_name[name]
    if volume.state in ("offline", "failed"):
        return f"{vm.name} needs volume {name}, which is {volume.state}"
    return f"{vm.name} needs volume {name} ({_who(volume.reachable_from, 'reaches', 'reach')} it)"


def _backup(_: Cluster, vm: VirtualMachine, __: str) -> str:
    return f"a backup of {vm.name} is under way"


_WORDS: Mapping[Kind, Callable[[Cluster, VirtualMachine, str], str]] = {
    "owners": _owners,
    "processor": _processor,
    "switch": _switch,
    "volume": _volume,
    "backup": _backup,
}


def _who(nodes: Sequence[str], one: str, several: str) -> str:
    if len(nodes) < 2:
        return f"{nodes[0] if nodes else 'no node'} {one}"
    return f"{listed(nodes)} {several}"


def _disks(scene: Scene) -> Iterator[Demand]:
    """Who shares a disk on one node goes together (R11); two that run cannot go at all, which is a verdict."""
    movers = {vm.name: vm for vm in scene.movers}
    disks = dict.fromkeys(disk for vm in scene.movers for disk in disks_of(scene.cluster, vm))
    for disk in disks:
        on_it = [vm for vm in scene.cluster.vms_by_disk[disk] if vm.name in movers]
        for one, other in combinations(on_it, 2):
            leader, rider = (one, other) if one.holds_memory else (other, one)
            if one.node == other.node and not rider.holds_memory:
                text = f"{rider.name} goes where {leader.name} goes (disk {disk})"
                yield Demand("together", "R11", text, vm=rider.name, thing=disk, other=leader.name)


def _memory(scene: Scene) -> Iterator[Demand]:
    for node in scene.cluster.nodes:
        free_mib = scene.cluster.free_mib(node.name)
        now = f"{free_mib} free now" if free_mib >= 0 else f"short of {-free_mib} now"
        yield Demand("memory", "I3", f"{node.name} has {node.for_vms_mib} MiB for VMs ({now})", node=node.name)


def _rules(scene: Scene) -> Iterator[Demand]:
    movers = {vm.name for vm in scene.movers}
    for rule in scene.cluster.affinity_rules:
        if not rule.soft and not movers.isdisjoint(rule.vms):
            yield Demand("rule", "I4", f"rule {rule.name} keeps {listed(rule.vms)} {_how(rule)}", thing=rule.name)


def _how(rule: AffinityRule) -> str:
    return {
        "different_node": "apart",
        "same_node": "on one node",
        "different_fault_domain": "in different fault domains",
        "same_fault_domain": "in one fault domain",
    }[rule.kind]


def listed(names: Iterable[str]) -> str:
    """ "N1, N2 and N3"; of many some and how many more."""
    known = list(names)
    if len(known) > MOST_NAMED:
        return f"{', '.join(known[: MOST_NAMED - 1])} and {len(known) - MOST_NAMED + 1} more"
    return " and ".join(filter(None, [", ".join(known[:-1]), *known[-1:]]))
