"""Who may go where: each rule says no with its number, a reason and a remedy, and says it only when it must."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm

from shunter.topology.eligibility import verdicts
from shunter.topology.model import Cluster


def rules(of: Cluster, name: str = "web", target: str = "N2", **context: Any) -> list[str]:
    found = verdicts(of, of.vm_by_name[name], target, **context)
    assert all(verdict.target == target and verdict.reason and verdict.remedy for verdict in found)
    return [verdict.rule for verdict in found]


def test_a_vm_may_go_where_nothing_stands_against_it() -> None:
    assert rules(cluster(2, [vm("web")])) == []


def test_r01_a_vm_outside_the_clusters_care_goes_nowhere() -> None:
    assert rules(cluster(2, [vm("web", clustered=False)])) == ["R01"]


@pytest.mark.parametrize("state", ["down", "joining", "isolated", "quarantined"])
def test_r01_only_a_node_that_is_up_is_a_target(state: str) -> None:
    assert rules(cluster([node("N1"), node("N2", state=state)], [vm("web")])) == ["R01"]


def test_i8_a_paused_node_is_never_a_target() -> None:
    assert rules(cluster([node("N1"), node("N2", state="paused")], [vm("web")])) == ["I8"]


def test_r16_a_node_that_is_being_emptied_is_never_a_target() -> None:
    assert rules(cluster(2, [vm("web")]), emptied=("N1", "N2")) == ["R16"]


def test_r08_a_vm_goes_only_where_its_storage_is_in_reach() -> None:
    volumes = [{"name": "CSV1", "reachable_from": ["N1", "N3"]}]
    of = cluster(3, [vm("web", volumes=["CSV1"])], volumes=volumes)
    assert (rules(of, target="N2"), rules(of, target="N3")) == (["R08"], [])


def test_r08_a_vm_does_not_move_while_its_volume_is_offline() -> None:
    of = cluster(2, [vm("web", volumes=["CSV1"])], volumes=[{"name": "CSV1", "state": "offline"}])
    assert rules(of) == ["R08"]


def test_r11_with_a_cluster_shared_volume_each_vm_moves_alone() -> None:
    vms = [vm("web", volumes=["CSV1"]), vm("db", volumes=["CSV1"])]
    assert rules(cluster(2, vms, volumes=[{"name": "CSV1", "kind": "csv"}])) == []


def test_r11_two_running_vms_on_one_disk_cannot_move_live() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("db", volumes=["LUN1"])]
    of = cluster(2, vms, volumes=[{"name": "LUN1", "kind": "disk"}])
    assert (rules(of, "web"), rules(of, "db")) == (["R11"], ["R11"])
    assert "Cluster Shared Volume" in verdicts(of, of.vm_by_name["web"], "N2")[0].remedy


def test_r11_a_disk_can_follow_its_only_running_vm() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off")]
    assert rules(cluster(2, vms, volumes=[{"name": "LUN1", "kind": "disk"}])) == []


def test_r13_the_same_processor_needs_no_setting() -> None:
    assert rules(cluster([node("N1", processor=INTEL), node("N2", processor=INTEL)], [vm("web")])) == []


@pytest.mark.parametrize("state", ["running", "paused", "saved"])
def test_r13_another_version_of_one_manufacturer_needs_the_compatibility_setting(state: str) -> None:
    nodes = [node("N1", processor=INTEL), node("N2", processor=INTEL_OLDER)]
    of = cluster(nodes, [vm("web", state=state)])
    assert rules(of) == ["R13"]
    assert "different processor version" in verdicts(of, of.vms[0], "N2")[0].remedy
    assert "only while the VM is off" in verdicts(of, of.vms[0], "N2")[0].remedy
    assert rules(cluster(nodes, [vm("web", state=state, processor_compatibility=True)])) == []


def test_r13_no_setting_bridges_manufacturers() -> None:
    nodes = [node("N1", processor=INTEL), node("N2", processor=AMD)]
    assert rules(cluster(nodes, [vm("web", processor_compatibility=True)])) == ["R13"]


def test_r13_a_vm_that_is_off_may_start_on_any_processor() -> None:
    assert rules(cluster([node("N1", processor=INTEL), node("N2", processor=AMD)], [vm("web", state="off")])) == []


def test_r17_a_vm_that_is_being_backed_up_is_held() -> None:
    assert rules(cluster(2, [vm("web", backup=True)])) == ["R17"]


def test_r20_each_switch_must_exist_on_the_target_under_the_same_name() -> None:
    nodes = [node("N1", switches=["vm-net", "dmz"]), node("N2", switches=["VM-NET"]), node("N3", switches=["dmz-2"])]
    of = cluster(nodes, [vm("web", switches=["vm-net", "dmz"])])
    assert rules(of, target="N2") == ["R20"]
    assert rules(of, target="N3") == ["R20", "R20"]


def test_i4_only_possible_owners_are_targets() -> None:
    of = cluster(3, [vm("web", possible_owners=["N1", "N3"])])
    assert (rules(of, target="N2"), rules(of, target="N3")) == (["I4"], [])


def test_i4_hard_anti_affinity_keeps_vms_apart_and_soft_does_not_forbid() -> None:
    rule = {"name": "dc", "kind": "different_node", "vms": ["web", "other"]}
    vms = [vm("web"), vm("other", "N2")]
    assert rules(cluster(2, vms, affinity_rules=[rule])) == ["I4"]
    assert rules(cluster(2, vms, affinity_rules=[rule | {"soft": True}])) == []


def test_i4_anti_affinity_counts_where_the_other_vm_is_going() -> None:
    rule = {"name": "dc", "kind": "different_node", "vms": ["web", "other"]}
    of = cluster(3, [vm("web"), vm("other")], affinity_rules=[rule])
    assert rules(of, target="N2", emptied=("N1",), promised={"other": "N2"}) == ["I4"]
    assert rules(of, target="N3", emptied=("N1",), promised={"other": "N2"}) == []


def test_i4_anti_affinity_counts_where_the_other_vm_comes_from_until_its_migration_is_over() -> None:
    apart = [{"name": "dc", "kind": "different_node", "vms": ["web", "db"]}]
    moving = [{"vm": "db", "source": "N2", "target": "N3"}]
    under_way = cluster(4, [vm("web"), vm("db", "N2")], affinity_rules=apart, migrations=moving)
    web, db = under_way.vms
    fields = {name: getattr(under_way, name) for name in Cluster.model_fields}
    of = Cluster(**fields | {"vms": (web, db.model_copy(update={"node": "N3"}))})  # it has switched over
    assert (rules(of, target="N2"), rules(of, target="N3"), rules(of, target="N4")) == (["I4"], ["I4"], [])
    over = cluster(4, [vm("web"), vm("db", "N3")], affinity_rules=apart)
    assert rules(over, target="N2") == []


def test_i4_fault_domains_are_kept_apart() -> None:
    nodes = [node("N1", fault_domain="a"), node("N2", fault_domain="b"), node("N3", fault_domain="b")]
    rule = {"name": "dc", "kind": "different_fault_domain", "vms": ["web", "other"]}
    of = cluster(nodes, [vm("web"), vm("other", "N3")], affinity_rules=[rule])
    assert rules(of, target="N2") == ["I4"]


def test_every_reason_is_given_not_only_the_first() -> None:
    nodes = [node("N1", processor=INTEL, switches=["a"]), node("N2", processor=AMD, switches=["b"])]
    of = cluster(nodes, [vm("web", switches=["a"], possible_owners=["N1"], backup=True)])
    assert rules(of) == ["I4", "R13", "R20", "R17"]
