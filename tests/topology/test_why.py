"""May this VM go to that node: every reason at once, what would help, and whether others could make room."""

from __future__ import annotations

import json
from typing import Any

import pytest
from brute_force import fewest_live_steps
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st
from smallclusters import Drawn, small_clusters

from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster
from shunter.topology.planning import plan_migration
from shunter.topology.why import Answer, Step, why


def reasons(answer: Answer) -> list[tuple[str, str, str]]:
    return [(v.rule, v.reason, v.remedy) for v in answer.verdicts]


def rules(answer: Answer) -> list[str]:
    return [v.rule for v in answer.verdicts]


def test_a_vm_that_may_go_is_told_so_with_what_it_costs() -> None:
    answer = why(cluster(2, [vm("web-1", "N1", 4096)]), "WEB-1", "n2")
    assert (answer.ok, answer.verdicts, answer.vm, answer.node) == (True, (), "web-1", "N2")
    assert answer.message == "Yes: web-1 may go from N1 to N2."
    assert answer.duration_s is not None
    assert 4 < answer.duration_s < 10
    assert answer.downtime_ms is not None
    assert 500 <= answer.downtime_ms < 1000


def test_the_json_has_the_agreed_fields() -> None:
    document = json.loads(why(cluster(2, [vm("a", "N1", possible_owners=["N1"])]), "a", "N2").to_json())
    assert (document["kind"], document["vm"], document["node"], document["ok"]) == ("why", "a", "N2", False)
    assert document["verdicts"] == [
        {
            "rule": "I4",
            "reason": "N2 is not a possible owner of a (N1)",
            "remedy": "add N2 to its possible owners",
        }
    ]


def test_r13_alone_is_the_reason_where_processors_are_of_different_manufacturers() -> None:
    nodes = [node("N1", processor=INTEL), node("N3", processor=AMD)]
    answer = why(cluster(nodes, [vm("db-1", "N1", processor_compatibility=True)]), "db-1", "N3")
    assert rules(answer) == ["R13"]


def test_all_reasons_are_given_at_once() -> None:
    nodes = [
        node("N1", switches=["dmz"], processor=INTEL),
        node("N2", 1024, switches=[], state="paused", processor=INTEL_OLDER),
        node("N3", switches=[], processor=INTEL),
    ]
    fields: dict[str, Any] = {"possible_owners": ["N1", "N3"], "switches": ["dmz"], "volumes": ["CSV1"], "backup": True}
    volumes = [{"name": "CSV1", "owner": "N1", "reachable_from": ["N1", "N3"]}]
    rule = {"name": "apart", "kind": "different_node", "vms": ["a", "b"]}
    vms = [vm("a", "N1", 4096, **fields), vm("b", "N2", 512, possible_owners=["N2"])]
    answer = why(cluster(nodes, vms, volumes=volumes, affinity_rules=[rule]), "a", "N2")
    assert not answer.ok
    assert set(rules(answer)) == {"I8", "I4", "R13", "R08", "R20", "R17", "I3"}
    assert rules(answer).count("I4") == 2
    assert all(reason and remedy for _, reason, remedy in reasons(answer))


def test_r11_what_must_come_along_on_a_disk_is_asked_too() -> None:
    disk = [{"name": "LUN1", "kind": "disk", "owner": "N1"}]
    vms = [
        vm("a", "N1", volumes=["LUN1"]),
        vm("old", "N1", volumes=["LUN1"], state="off", possible_owners=["N1"]),
    ]
    answer = why(cluster(2, vms, volumes=disk), "a", "N2")
    assert [(rule, reason) for rule, reason, _ in reasons(answer)] == [
        ("I4", "old must come along (they share a disk): N2 is not a possible owner of old (N1)")
    ]


def test_r15_a_node_in_another_migration_and_a_vm_on_its_way_have_to_wait() -> None:
    vms = [vm("a", "N1"), vm("b", "N3"), vm("c", "N4")]
    of = cluster(4, vms, migrations=[{"vm": "b", "source": "N3", "target": "N2"}])
    assert reasons(why(of, "a", "N2")) == [
        (
            "R15",
            "N2 takes part in the migration of b (N3 → N2) at this moment",
            "wait until it is over; a run waits by itself",
        )
    ]
    assert why(of, "a", "N4").ok
    assert rules(why(of, "b", "N1")) == ["R15"]
    on_its_way = why(of, "b", "N2")
    assert (on_its_way.ok, on_its_way.message) == (True, "b is on its way from N3 to N2 at this moment.")


def test_a_vm_that_is_there_already_gets_a_clear_answer() -> None:
    answer = why(cluster(2, [vm("a", "N1")]), "a", "N1")
    assert (answer.ok, answer.message, answer.verdicts, answer.findings) == (True, "a is on N1 already.", (), ())


def test_i4_that_a_vm_is_there_and_must_not_be_is_said() -> None:
    answer = why(cluster(2, [vm("a", "N1", possible_owners=["N2"])]), "a", "N1")
    assert answer.ok
    assert [(f.rule, f.severity) for f in answer.findings] == [("I4", "warning")]


def test_a_vm_that_is_off_may_go_and_whether_it_could_start_is_said() -> None:
    vms = [vm("old-1", "N1", 4096, state="off"), vm("big", "N2", 6144)]
    answer = why(cluster([node("N1"), node("N2", 8192)], vms), "old-1", "N2")
    assert (answer.ok, answer.duration_s) == (True, None)
    assert answer.message.endswith("It is off: it is handed over without a live migration.")
    assert [f.message for f in answer.findings] == [
        "it could not start there now: it needs 4096 MiB, 2048 MiB are free"
    ]


def test_r01_a_vm_outside_the_clusters_care_may_not_go() -> None:
    assert rules(why(cluster(2, [vm("a", "N1", clustered=False)]), "a", "N2")) == ["R01"]


@pytest.mark.parametrize("state", ["down", "isolated", "quarantined"])
def test_r01_nothing_goes_to_a_node_that_is_not_up_nor_live_from_one(state: str) -> None:
    of = cluster([node("N1"), node("N2", state=state)], [vm("a", "N1"), vm("b", "N2")])
    assert rules(why(of, "a", "N2")) == ["R01"]
    assert rules(why(of, "b", "N1")) == ["R01"]


def test_r18_what_stands_against_every_run_stands_against_this_move() -> None:
    of = cluster(2, [vm("a", "N1")], volumes=[{"name": "CSV1", "owner": "N1", "state": "redirected_stuck"}])
    answer = why(of, "a", "N2")
    assert rules(answer) == ["R18"]
    assert "Resume-ClusterResource -VolumeName CSV1" in answer.verdicts[0].remedy


def test_r19_a_configuration_that_is_out_of_date_is_a_warning() -> None:
    answer = why(cluster(2, [vm("a", "N1", configuration_in_cluster_is_current=False)]), "a", "N2")
    assert answer.ok
    assert [f.rule for f in answer.findings] == ["R19"]


def test_r12_a_vm_that_writes_as_fast_as_can_be_copied_is_a_warning() -> None:
    answer = why(cluster(2, [vm("a", "N1", dirty_mib_per_s=5000)]), "a", "N2")
    assert answer.ok
    assert [f.rule for f in answer.findings] == ["R12"]


def test_i3_where_the_reserve_would_be_lost_it_is_said() -> None:
    nodes = [node("N1", 3072), node("N2", 8192), node("N3", 8192)]
    vms = [vm("a", "N1", 3072), vm("b", "N2", 4096), vm("c", "N3", 4096)]
    answer = why(cluster(nodes, vms), "a", "N2")
    assert answer.ok
    assert [(f.rule, f.severity) for f in answer.findings] == [("I3", "warning")]
    assert "no room would be kept for the loss of another node: if N3 were lost" in answer.findings[0].message


def test_i3_how_much_is_missing_and_who_could_make_room() -> None:
    vms = [vm("a", "N1", 6144), vm("b", "N2", 4096), vm("c", "N2", 6144)]
    answer = why(cluster([node("N1", 8192), node("N2", 12288), node("N3", 5120)], vms), "a", "N2")
    assert answer.first == (Step(vm="b", source="N2", target="N3"),)
    assert answer.message == "No, not as things are: a may go from N1 to N2 once b is on N3."
    assert not answer.ok
    assert reasons(answer) == [
        (
            "I3",
            "a needs 6144 MiB, 2048 MiB are free on N2",
            "free 4096 MiB more on N2: shunter migrate b N3",
        )
    ]


def test_i3_a_vm_larger_than_the_node_is_told_so() -> None:
    answer = why(cluster([node("N1", 8192), node("N2", 4096)], [vm("a", "N1", 8192)]), "a", "N2")
    assert reasons(answer) == [
        (
            "I3",
            "a needs 8192 MiB, 4096 MiB are free on N2",
            "choose another node: N2 has 4096 MiB for VMs in all",
        )
    ]
    assert answer.contradiction == ("a (8192 MiB) is to be on N2", "N2 has 4096 MiB for VMs (4096 free now)")


def test_i4_who_is_kept_apart_from_it_could_go_first() -> None:
    rule = {"name": "dc", "kind": "different_node", "vms": ["a", "b"]}
    answer = why(cluster(3, [vm("a", "N1"), vm("b", "N2")], affinity_rules=[rule]), "a", "N2")
    assert rules(answer) == ["I4"]
    assert answer.first == (Step(vm="b", source="N2", target="N3"),)
    assert answer.contradiction == ()


def test_i4_where_nobody_can_help_the_demands_that_clash_are_named() -> None:
    rule = {"name": "dc", "kind": "different_node", "vms": ["a", "b"]}
    vms = [vm("a", "N1"), vm("b", "N2", possible_owners=["N2"])]
    answer = why(cluster(3, vms, affinity_rules=[rule]), "a", "N2")
    assert answer.first == ()
    assert answer.contradiction == (
        "a (4096 MiB) is to be on N2",
        "b may run on N2 alone (possible owners)",
        "rule dc keeps a and b apart",
    )


def test_i3_where_only_an_order_of_live_moves_is_missing_that_is_said() -> None:
    answer = why(cluster([node("N1", 8), node("N2", 8)], [vm("a", "N1", 6), vm("b", "N2", 6)]), "a", "N2")
    assert (answer.first, answer.contradiction) == ((), ())
    assert "no order was found in which these moves can be made live" in answer.findings[-1].message


def test_names_that_do_not_exist_are_refused_with_those_that_do() -> None:
    of = cluster(2, [vm("web-1", "N1")])
    with pytest.raises(RequestError, match='no VM of cluster test is called "web"; the VMs are web-1'):
        why(of, "web", "N2")
    with pytest.raises(RequestError, match='no node of cluster test is called "N9"; the nodes are N1, N2'):
        why(of, "web-1", "N9")


def wished(of: Cluster, name: str, target: str) -> int | str | None:
    """The fewest live steps after which this VM is on that node, everything else in order, by trying."""
    owners = {"possible_owners": (target,)}
    vms = tuple(v.model_copy(update=owners) if v.name == name else v for v in of.vms)
    return fewest_live_steps(of.model_copy(update={"vms": vms}))


@given(drawn=small_clusters(most_vms=5), who=st.integers(0, 4), where=st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_the_answer_is_that_of_a_plan_and_who_helps_is_as_few_as_can_be(drawn: Drawn, who: int, where: int) -> None:
    of = drawn.cluster(sound=True)
    if not of.vms:
        return
    asked, target = of.vms[who % len(of.vms)], f"N{where % len(of.nodes) + 1}"
    if asked.node == target or not asked.holds_memory:
        return
    riders = [v for v in of.vms if not v.holds_memory and set(v.volumes) & set(asked.volumes)]
    answer = why(of, asked.name, target)
    if not riders:
        assert answer.ok is plan_migration(of, asked.name, target).ok
    if asked.possible_owners and target not in asked.possible_owners:
        assert not answer.ok
        return
    steps = wished(of, asked.name, target)
    assert (answer.ok or bool(answer.first)) is (steps is not None)
    if steps is not None:
        assert len(answer.first) + 1 == steps
        assert answer.ok is (steps == 1)
    if answer.first or answer.ok:
        assert answer.contradiction == ()
