"""The demands that are said not to go together, beside what trying everything finds (I3, I4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest
from brute_force import fewest_moves
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st
from smallclusters import Drawn, small_clusters

from shunter.topology import contradiction as module
from shunter.topology.contradiction import (
    contradiction,
    first_clash,
    scenes_of_evacuation,
    scenes_of_repair,
    scenes_of_wish,
    with_contradiction,
)
from shunter.topology.demands import Demand
from shunter.topology.model import AffinityRule, Cluster, Node, VirtualMachine
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck.fitness import close
from shunter.topology.repair import plan_repair

Where = Mapping[str, str]


class Tried:
    """What the demands mean, and whether any placement of all VMs meets them: nothing but trying.

    `repair`: where a VM must not be, it must not stay either.
    """

    def __init__(self, of: Cluster, *, repair: bool = False) -> None:
        self.of, self.repair = of, repair
        self.home = {v.name: v.node for v in of.vms}

    def can_all_hold(self, demands: Sequence[Demand]) -> bool:
        about_one = [d for d in demands if d.kind not in ("memory", "rule", "together")]
        about_many = [d for d in demands if d.kind in ("memory", "rule", "together")]
        free = [
            [n.name for n in self.of.nodes if all(self._allows(d, v.name, n.name) for d in about_one)]
            for v in self.of.vms
        ]
        return any(
            all(self._holds(d, dict(zip(self.home, where, strict=True))) for d in about_many)
            for where in product(*free)
        )

    def _allows(self, d: Demand, name: str, there: str) -> bool:
        v, n = self.of.vm_by_name[name], self.of.node_by_name[there]
        if d.kind == "node":
            return there != d.node or v.node == there
        if d.vm != name:
            return True
        stands = there == v.node
        means = {
            "leave": not stands,
            "wish": there == d.node,
            "owners": there in v.possible_owners or (stands and not self.repair),
            "switch": d.thing in n.switches or (stands and not self.repair),
            "processor": stands or self._same_kind(v, n),
            "disk": stands,
        }
        return means[d.kind]

    def _same_kind(self, v: VirtualMachine, n: Node) -> bool:
        here, there = self.of.node_by_name[v.node].processor, n.processor
        assert here is not None
        assert there is not None
        return here == there or (here.manufacturer == there.manufacturer and v.processor_compatibility)

    def _holds(self, d: Demand, where: Where) -> bool:
        match d.kind:
            case "memory":
                n = self.of.node_by_name[d.node]
                on_it = [self.of.vm_by_name[name] for name, there in where.items() if there == d.node]
                return sum(v.memory_mib for v in on_it if v.holds_memory) <= n.memory_mib - n.reserved_mib
            case "together":
                return where[d.vm] == where[d.other]
            case _:
                rule = next(rule for rule in self.of.affinity_rules if rule.name == d.thing)
                return all(self._pair(rule, where[one], where[other]) for one, other in combinations(rule.vms, 2))

    def _pair(self, rule: AffinityRule, one: str, other: str) -> bool:
        return close(self.of, rule.kind, one, other) is rule.kind.startswith("same")


def assert_irreducible(tried: Tried, clashing: Sequence[Demand]) -> None:
    assert not tried.can_all_hold(clashing)
    for left_out in clashing:
        assert tried.can_all_hold([demand for demand in clashing if demand is not left_out]), left_out


@given(drawn=small_clusters(most_vms=5), emptied=st.sets(st.integers(0, 3), min_size=1, max_size=2))
@settings(deadline=None, max_examples=150)
def test_what_is_said_of_an_evacuation_is_contradictory_and_all_of_it_is_needed(
    drawn: Drawn, emptied: set[int]
) -> None:
    of = drawn.cluster(sound=True)
    nodes = sorted({f"N{i % len(of.nodes) + 1}" for i in emptied})
    clashing = first_clash(scenes_of_evacuation(of, [v.name for v in of.vms if v.node in nodes], nodes))
    assert bool(clashing) is (fewest_moves(of, nodes) is None)
    if clashing:
        assert_irreducible(Tried(of), clashing)


@given(drawn=small_clusters(most_vms=5))
@settings(deadline=None, max_examples=150)
def test_what_is_said_of_a_repair_is_contradictory_and_all_of_it_is_needed(drawn: Drawn) -> None:
    of = drawn.cluster(sound=False)
    clashing = first_clash(scenes_of_repair(of))
    assert bool(clashing) is (fewest_moves(of) is None)
    if clashing:
        assert_irreducible(Tried(of, repair=True), clashing)


@given(drawn=small_clusters(most_vms=5), who=st.integers(0, 4), where=st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_what_is_said_of_one_vm_and_one_node_is_contradictory_and_all_of_it_is_needed(
    drawn: Drawn, who: int, where: int
) -> None:
    of = drawn.cluster(sound=True)
    wanted = of.vms[who % len(of.vms)] if of.vms else None
    if wanted is None or not wanted.holds_memory:
        return
    riders = [v for v in of.vms if not v.holds_memory and set(v.volumes) & set(wanted.volumes)]
    clashing = first_clash(scenes_of_wish(of, [wanted, *riders], f"N{where % len(of.nodes) + 1}"))
    if clashing:
        assert_irreducible(Tried(of), clashing)


@given(drawn=small_clusters(most_vms=4, most_nodes=3), emptied=st.integers(0, 2))
@settings(deadline=None, max_examples=40)
def test_no_smaller_set_of_demands_is_contradictory(drawn: Drawn, emptied: int) -> None:
    of = drawn.cluster(sound=True)
    nodes = [f"N{emptied % len(of.nodes) + 1}"]
    scene = list(scenes_of_evacuation(of, [v.name for v in of.vms if v.node in nodes], nodes))[-1]
    clashing = first_clash([scene])
    tried = Tried(of)
    demands = module.demands_of(scene)
    if clashing and len(demands) <= 14:
        assert all(tried.can_all_hold(few) for few in _fewer(demands, len(clashing)))


def _fewer(demands: Sequence[Demand], than: int) -> Iterator[Sequence[Demand]]:
    return (few for size in range(than) for few in combinations(demands, size))


def said(of: Cluster, nodes: list[str]) -> str:
    found = contradiction(of, [v.name for v in of.vms if v.node in nodes], nodes)
    assert found is not None
    assert (found.severity, found.subject) == ("info", "cluster test")
    return f"{found.rule} {found.message}"


def test_i4_a_rule_a_switch_and_a_paused_node_contradict_each_other() -> None:
    dmz = {"switches": ["lan", "dmz"]}
    nodes = [node("N1", **dmz), node("N2", **dmz), node("N3", **dmz, state="paused"), node("N4", switches=["lan"])]
    vms = [vm("db-1", "N1", switches=["dmz"]), vm("db-2", "N2", possible_owners=["N2"]), vm("other", "N4")]
    rules = [{"name": "dc", "kind": "different_node", "vms": ["db-1", "db-2"]}]
    assert said(cluster(nodes, vms, affinity_rules=rules), ["N1"]) == (
        "I4 these do not go together: db-1 (4096 MiB) must leave N1; N3 is paused; "
        'db-1 needs virtual switch "dmz" (N1, N2 and N3 have it); db-2 may run on N2 alone (possible owners); '
        "rule dc keeps db-1 and db-2 apart"
    )


def test_r13_a_processor_and_the_memory_of_a_node_contradict_each_other() -> None:
    nodes = [node("N1", 8, processor=INTEL), node("N2", 4, processor=INTEL), node("N3", 8, processor=AMD)]
    assert said(cluster(nodes, [vm("a", "N1", 5)]), ["N1"]) == (
        "I3 these do not go together: a (5 MiB) must leave N1; "
        "a cannot leave processor GenuineIntel 6.106.6 (its compatibility mode is off); "
        "N2 has 4 MiB for VMs (4 free now)"
    )
    nodes[1]["processor"] = INTEL_OLDER
    compatible = cluster(nodes, [vm("a", "N1", 5, processor_compatibility=True)])
    assert "a cannot leave processors of GenuineIntel; N2 has 4 MiB" in said(compatible, ["N1"])


@pytest.mark.parametrize(
    ("fields", "rule", "demand"),
    [
        ({"possible_owners": ["N1"]}, "I4", "a may run on N1 alone (possible owners)"),
        ({"switches": ["dmz"]}, "R20", 'a needs virtual switch "dmz" (no node has it)'),
        ({"volumes": ["near"]}, "R08", "a needs volume near (N1 reaches it)"),
        ({"volumes": ["dead"]}, "R08", "a needs volume dead, which is offline"),
        ({"clustered": False}, "R01", "a is not in the cluster's care"),
        ({"backup": True}, "R17", "a backup of a is under way"),
    ],
)
def test_what_keeps_a_vm_from_every_node_stands_alone(fields: dict[str, Any], rule: str, demand: str) -> None:
    volumes = [
        {"name": "near", "owner": "N1", "reachable_from": ["N1"]},
        {"name": "dead", "owner": "N1", "state": "offline"},
    ]
    of = cluster(3, [vm("a", "N1", **fields)], volumes=volumes)
    assert said(of, ["N1"]) == f"{rule} these do not go together: a (4096 MiB) must leave N1; {demand}"


def test_r11_two_vms_that_run_on_one_disk_are_named() -> None:
    disk = [{"name": "LUN1", "kind": "disk", "owner": "N1"}]
    of = cluster(2, [vm("a", "N1", volumes=["LUN1"]), vm("b", "N1", volumes=["LUN1"])], volumes=disk)
    assert said(of, ["N1"]).startswith("R11 these do not go together: ")
    assert "one disk cannot follow two running VMs" in said(of, ["N1"])


def test_r11_who_must_come_along_on_a_disk_is_named() -> None:
    disk = [{"name": "LUN1", "kind": "disk", "owner": "N1"}]
    vms = [
        vm("a", "N1", volumes=["LUN1"], possible_owners=["N1", "N2"]),
        vm("old", "N1", volumes=["LUN1"], possible_owners=["N1", "N3"], state="off"),
    ]
    assert said(cluster(3, vms, volumes=disk), ["N1"]) == (
        "I4 these do not go together: a (4096 MiB) must leave N1; a may run on N1 and N2 alone (possible owners); "
        "old may run on N1 and N3 alone (possible owners); old goes where a goes (disk LUN1)"
    )


def test_i3_of_many_alike_one_sentence_speaks() -> None:
    of = cluster(12, [vm(f"vm-{i}-{n}", f"N{n}", 4096) for n in range(1, 13) for i in range(15)])
    told = said(of, ["N1"])
    assert told.startswith("I3 these do not go together: vm-")
    assert " and 7 more (49152 MiB together) must leave N1; N1 is being emptied itself; " in told
    assert told.endswith("N2, N3, N4, N5, N6 and 6 more have 720896 MiB for VMs together (45056 free now)")


def test_i3_of_very_many_that_leave_the_sum_of_their_memory_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LITERALS", 30)
    of = cluster(3, [vm(f"vm-{i}-{n}", f"N{n}", 4096) for n in range(1, 4) for i in range(15)])
    assert said(of, ["N1"]) == (
        "I3 these do not go together: N1 is being emptied of 61440 MiB; N2 has 65536 MiB for VMs (4096 free now); "
        "N3 has 65536 MiB for VMs (4096 free now)"
    )


def test_r15_of_a_vm_that_is_on_its_way_nothing_is_said() -> None:
    under_way = [{"vm": "a", "source": "N1", "target": "N2"}]
    of = cluster([node("N1", 8), node("N2", 8)], [vm("a", "N1", 5)], migrations=under_way)
    assert contradiction(of, ["a"], ["N1"]) is None


def test_of_a_cluster_too_large_to_decide_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    of = cluster(3, [vm("a", "N1", possible_owners=["N1"])])
    monkeypatch.setattr(module, "MOST_LITERALS", 2)
    assert contradiction(of, ["a"], ["N1"]) is None


def test_what_is_not_decided_is_no_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    of = cluster(3, [vm("a", "N1", possible_owners=["N1"])])
    monkeypatch.setattr(module, "MOST_SOLUTIONS", 0)
    assert contradiction(of, ["a"], ["N1"]) is None


PLANS: list[tuple[Callable[[Cluster], Any], tuple[str, ...]]] = [
    (lambda of: plan_evacuation(of, ["N1"], 0), ("N1",)),
    (plan_repair, ()),
]


@pytest.mark.parametrize(("planned", "emptied"), PLANS)
def test_a_plan_that_leaves_somebody_behind_says_what_does_not_go_together(
    planned: Any, emptied: tuple[str, ...]
) -> None:
    nodes = [node("N1", switches=["lan"]), node("N2", 2, switches=["lan", "dmz"]), node("N3", switches=["lan"])]
    of = cluster(nodes, [vm("a", "N1", 4, switches=["dmz"])])
    plan = planned(of)
    told = with_contradiction(of, plan, emptied)
    assert told.findings[:-1] == plan.findings
    assert 'a needs virtual switch "dmz" (N2 has it); N2 has 2 MiB for VMs (2 free now)' in told.findings[-1].message
    assert told.ok is plan.ok
    assert told.moves == plan.moves


def test_a_plan_that_leaves_nobody_behind_stays_as_it_is() -> None:
    of = cluster(3, [vm("a", "N1")])
    plan = plan_evacuation(of, ["N1"])
    assert with_contradiction(of, plan, ["N1"]) is plan
