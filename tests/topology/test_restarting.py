"""Where VMs that do not run are started, all together, and every reason why one is not (I3, I4, R08, R11, R13)."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Verdict
from shunter.topology.restarting import Restarts, choose_restarts


def failed(name: str, on: str = "N1", memory_mib: int = 10, **fields: Any) -> dict[str, Any]:
    return vm(name, on, memory_mib, state="failed", **fields)


def restarts(of: Cluster, **asked: Any) -> Restarts:
    return choose_restarts(of, [vm for vm in of.vms if not vm.holds_memory], **asked)


def rules_against(found: Restarts, name: str) -> dict[str, set[str]]:
    rules: dict[str, set[str]] = {}
    for verdict in found.unplaced[name]:
        rules.setdefault(verdict.target, set()).add(verdict.rule)
    return rules


DOWN = node("N1", 100, state="down")


def test_vms_of_a_node_that_is_down_start_elsewhere_the_most_important_first() -> None:
    of = cluster(
        [DOWN, node("N2", 100)], [failed("low", priority=1000), failed("high", priority=3000), failed("usual")]
    )
    assert list(restarts(of).targets.items()) == [("high", "N2"), ("usual", "N2"), ("low", "N2")]


def test_the_node_that_a_failed_vm_stands_on_takes_it_again_once_it_is_up() -> None:
    of = cluster([node("N1", 100), node("N2", 100)], [failed("a", memory_mib=80), vm("b", "N2", 50)])
    assert restarts(of).targets == {"a": "N1"}


def test_what_a_start_in_vain_has_shown_is_a_reason_and_the_vm_goes_elsewhere_if_it_can() -> None:
    learnt = Verdict(target="N2", rule="I2", reason="a did not come up on N2", remedy="look at its event log")
    of = cluster([DOWN, node("N2", 100), node("N3", 100)], [failed("a"), vm("b", "N3", 95)])
    found = restarts(of, tried={("a", "N2"): learnt})
    assert found.targets == {}
    assert learnt in found.unplaced["a"]
    assert rules_against(found, "a") == {"N2": {"I2"}, "N3": {"I3"}}
    roomy = cluster([DOWN, node("N2", 100), node("N3", 100)], [failed("a"), vm("b", "N3", 85)])
    assert restarts(roomy, tried={("a", "N2"): learnt}).targets == {"a": "N3"}


def test_own_node_is_spoken_of_where_it_is_up_and_has_no_room() -> None:
    of = cluster([node("N1", 50), node("N2", 50)], [failed("a", memory_mib=40), vm("b", "N1", 20), vm("c", "N2", 20)])
    assert rules_against(restarts(of), "a") == {"N1": {"I3"}, "N2": {"I3"}}


def test_everybody_starts_where_the_order_of_greed_would_leave_one() -> None:
    vms = [
        failed("a", memory_mib=60),
        failed("b", memory_mib=50),
        failed("c", memory_mib=40),
        failed("d", memory_mib=30),
    ]
    of = cluster([DOWN, node("N2", 90), node("N3", 90)], vms)
    found = restarts(of)
    assert set(found.targets) == {"a", "b", "c", "d"}
    assert found.fewest


def test_the_lower_priority_waits_and_is_told_for_whom() -> None:
    of = cluster([DOWN, node("N2", 50)], [failed("big", memory_mib=50, priority=3000), failed("s1"), failed("s2")])
    found = restarts(of)
    assert found.targets == {"big": "N2"}
    (verdict,) = found.unplaced["s1"]
    assert (verdict.rule, verdict.target) == ("I3", "N2")
    assert "big of higher priority goes first" in verdict.reason


def test_r13_a_cold_start_may_go_anywhere_and_a_saved_state_may_not() -> None:
    nodes = [node("N1", state="down", processor=INTEL), node("N2", processor=AMD), node("N3", processor=INTEL_OLDER)]
    assert set(restarts(cluster(nodes, [failed("cold")])).targets) == {"cold"}
    found = restarts(cluster(nodes, [vm("saved", state="saved")]))
    assert rules_against(found, "saved") == {"N2": {"R13"}, "N3": {"R13"}}


def test_preferred_owners_and_soft_rules_are_heeded_where_that_costs_nobodys_restart() -> None:
    nodes = [DOWN, node("N2", 100), node("N3", 50)]
    wish = failed("wish", memory_mib=50, preferred_owners=["N3"])
    assert restarts(cluster(nodes, [wish])).targets == {"wish": "N3"}
    tied = failed("tied", memory_mib=50, possible_owners=["N1", "N3"], priority=1000)
    assert restarts(cluster(nodes, [wish, tied])).targets == {"wish": "N2", "tied": "N3"}
    apart = {"name": "dc", "kind": "different_node", "vms": ["wish", "b"], "soft": True}
    of = cluster(nodes, [wish, vm("b", "N3", 1)], affinity_rules=[apart])
    assert restarts(of).targets == {"wish": "N2"}


def test_rules_hold_with_vms_that_run_on_and_among_those_that_start() -> None:
    rules = [
        {"name": "apart", "kind": "different_node", "vms": ["a", "b", "runs"]},
        {"name": "near", "kind": "same_node", "vms": ["b", "c"]},
    ]
    nodes = [DOWN, node("N2", 100), node("N3", 100), node("N4", 100)]
    of = cluster(nodes, [failed("a"), failed("b"), failed("c"), vm("runs", "N3", 1)], affinity_rules=rules)
    found = restarts(of).targets
    assert {found["a"], found["b"]} == {"N2", "N4"}
    assert found["c"] == found["b"]
    few = cluster(nodes[:3], [failed("a"), failed("b"), failed("c"), vm("runs", "N3", 1)], affinity_rules=rules)
    left = restarts(few)
    assert set(left.unplaced) <= {"a", "b", "c"}
    assert all("I4" in rules for name in left.unplaced for rules in rules_against(left, name).values())


def test_r11_a_disk_in_use_is_where_its_other_vm_starts() -> None:
    disk = [{"name": "LUN", "kind": "disk", "owner": "N2"}]
    vms = [failed("a", volumes=["LUN"]), vm("runs", "N2", 95, volumes=["LUN"])]
    found = restarts(cluster([DOWN, node("N2", 100), node("N3", 100)], vms, volumes=disk))
    assert rules_against(found, "a") == {"N2": {"I3"}, "N3": {"R11"}}


def test_i2_a_vm_that_runs_is_never_to_be_started() -> None:
    of = cluster(2, [vm("runs")])
    with pytest.raises(ValueError, match="runs is running on N1"):
        choose_restarts(of, of.vms)
