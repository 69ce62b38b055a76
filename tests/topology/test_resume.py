"""A node's return as planned: what is proven first, whom the policies take back, and laws for all clusters."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st
from smallclusters import Drawn, small_clusters

from shunter.topology.errors import RequestError
from shunter.topology.homes import Before, FailbackPolicy
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_resume
from shunter.topology.resuming import plan_resume

POLICIES: tuple[FailbackPolicy, ...] = ("none", "preferred", "as-before")


def away(*vms: dict[str, Any], nodes: int = 3, **fields: Any) -> Cluster:
    """N1 was emptied by a run of ours and is paused."""
    of = [node(f"N{i}") for i in range(1, nodes + 1)]
    of[0] |= {"state": "paused", "paused_by": "us"}
    return cluster(of, vms, **fields)


def moves(plan: Plan) -> list[tuple[str, str, str]]:
    return [(move.vm, move.source, move.target) for move in plan.moves]


def errors(plan: Plan) -> list[tuple[str, str]]:
    return [(finding.rule, finding.message) for finding in plan.findings if finding.severity == "error"]


# ---------------------------------------------------------------- whom the policies take back


def test_without_a_policy_no_vm_moves() -> None:
    of = away(vm("web", "N2", preferred_owners=["N1"]))
    plan = plan_resume(of, "n1")
    assert (plan.kind, plan.node, plan.resumes, plan.ok, plan.moves) == ("resume", "N1", True, True, ())
    assert check_resume(of, plan, "none") == ()


def test_preferred_takes_back_only_vms_whose_first_available_preferred_owner_it_is() -> None:
    nodes = [node("N1", state="paused", paused_by="us"), node("N2"), node("N3"), node("N4", state="down")]
    vms = [
        vm("first", "N2", preferred_owners=["N1", "N2"]),
        vm("second", "N2", preferred_owners=["N3", "N1"]),
        vm("first-is-down", "N2", preferred_owners=["N4", "N1"]),
        vm("none", "N2"),
        vm("off", "N2", preferred_owners=["N1"], state="off"),
    ]
    of = cluster(nodes, vms)
    plan = plan_resume(of, "N1", "preferred")
    assert sorted(moves(plan)) == [("first", "N2", "N1"), ("first-is-down", "N2", "N1")]
    assert check_resume(of, plan, "preferred") == ()


def test_as_before_takes_each_vm_to_where_it_was_whoever_made_room_included() -> None:
    of = away(vm("web", "N2"), vm("made-room", "N3"), vm("stranger", "N2"))
    before = Before({"web": "N1", "made-room": "N2", "deleted": "N1"}, told="the run of Monday")
    plan = plan_resume(of, "N1", "as-before", before)
    assert sorted(moves(plan)) == [("made-room", "N3", "N2"), ("web", "N2", "N1")]
    assert [finding.message for finding in plan.findings if finding.rule == "R16"] == [
        "where the VMs were is known from the run of Monday",
        "the record names VMs that are no longer there: deleted",
    ]
    assert check_resume(of, plan, "as-before", before.homes) == ()


def test_as_before_without_a_record_is_refused() -> None:
    plan = plan_resume(away(vm("web", "N2")), "N1", "as-before")
    assert errors(plan) == [("R16", "no record tells where the VMs were before N1 was emptied")]
    assert not plan.ok


def test_what_cannot_go_back_stays_with_the_reason_and_the_others_go() -> None:
    of = away(
        vm("web", "N2", preferred_owners=["N1"]),
        vm("held", "N2", preferred_owners=["N1"], backup=True),
        vm("pinned", "N3", preferred_owners=["N1"], possible_owners=["N2", "N3"]),
    )
    plan = plan_resume(of, "N1", "preferred")
    assert moves(plan) == [("web", "N2", "N1")]
    assert {stays.vm: [verdict.rule for verdict in stays.verdicts] for stays in plan.unplaced} == {
        "held": ["R17"],
        "pinned": ["I4"],
    }
    assert not plan.ok
    assert errors(plan) == []
    assert check_resume(of, plan, "preferred") == ()


def test_r11_a_disk_and_what_is_off_on_it_go_back_with_the_vm_that_runs() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N2"}
    of = away(vm("web", "N2", volumes=["LUN1"]), vm("off", "N2", state="off", volumes=["LUN1"]), volumes=[disk])
    homes = {"web": "N1", "off": "N1"}
    plan = plan_resume(of, "N1", "as-before", Before(homes))
    assert moves(plan) == [("web", "N2", "N1")]
    assert [(move.name, move.target) for move in plan.role_moves] == [("off", "N1")]
    assert [(move.volume, move.target) for move in plan.volume_moves] == [("LUN1", "N1")]
    assert check_resume(of, plan, "as-before", homes) == ()


def test_a_vm_that_somebody_else_is_moving_is_left_to_them_and_that_is_said() -> None:
    of = away(vm("web", "N2", preferred_owners=["N1"]), migrations=[{"vm": "web", "source": "N2", "target": "N3"}])
    plan = plan_resume(of, "N1", "preferred")
    assert plan.moves == ()
    assert [finding.message for finding in plan.findings if finding.rule == "R09"] == [
        "web is being moved to N3: it is not taken back to N1"
    ]
    assert check_resume(of, plan, "preferred") == ()


def test_two_vms_kept_apart_change_places_in_the_order_that_the_rule_allows() -> None:
    rule = {"name": "dc", "kind": "different_node", "vms": ["dc-1", "dc-2"]}
    of = away(vm("dc-1", "N2"), vm("dc-2", "N3"), affinity_rules=[rule])
    homes = {"dc-1": "N1", "dc-2": "N2"}
    plan = plan_resume(of, "N1", "as-before", Before(homes))
    assert [(move.vm, move.after) for move in plan.moves] == [("dc-1", None), ("dc-2", ("dc-1",))]
    assert check_resume(of, plan, "as-before", homes) == ()


def test_i3_what_would_spend_the_reserve_while_it_moves_stays_away() -> None:
    """While x is on both nodes, it would have no room if N2 were lost; small moves all the same."""
    nodes = [node("N1", 20, state="paused", paused_by="us"), node("N2", 20), node("N3", 20)]
    vms = [vm("x", "N2", 12, preferred_owners=["N1"]), vm("small", "N2", 2, preferred_owners=["N1"])]
    of = cluster(nodes, [*vms, vm("y", "N3", 12)])
    plan = plan_resume(of, "N1", "preferred")
    assert plan.reserve_nodes == 1
    assert moves(plan) == [("small", "N2", "N1")]
    [stays] = plan.unplaced
    assert [(verdict.target, verdict.rule) for verdict in stays.verdicts] == [("N1", "I3")]
    assert "if N2 were lost" in stays.verdicts[0].reason
    assert check_resume(of, plan, "preferred") == ()
    assert len(plan_resume(of, "N1", "preferred", reserve_nodes=0).moves) == 2


def test_a_reserve_that_cannot_be_kept_is_refused_only_where_vms_are_to_move() -> None:
    of = away(vm("web", "N2", preferred_owners=["N1"]), nodes=2)
    assert [rule for rule, _ in errors(plan_resume(of, "N1", "preferred", reserve_nodes=2))] == ["I3"]
    assert plan_resume(of, "N1", "none", reserve_nodes=2).ok


# ---------------------------------------------------------------- what is proven first


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("down", "Start-ClusterNode N1"),
        ("joining", "wait until it is up"),
        ("isolated", "restore its cluster network"),
        ("quarantined", "Start-ClusterNode N1 -ClearQuarantine"),
    ],
)
def test_a_node_that_is_not_there_is_refused_with_what_to_do(state: str, remedy: str) -> None:
    plan = plan_resume(cluster([node("N1", state=state), node("N2")]), "N1")
    [finding] = plan.findings
    assert (finding.rule, finding.severity) == ("R01", "error")
    assert remedy in finding.remedy


@pytest.mark.parametrize("paused_by", ["elsewhere", None])
def test_i8_a_node_that_somebody_else_paused_is_resumed_only_if_asked_for(paused_by: str | None) -> None:
    of = cluster([node("N1", state="paused", paused_by=paused_by), node("N2")])
    assert [rule for rule, _ in errors(plan_resume(of, "N1"))] == ["I8"]
    assert "--whoever-paused" in plan_resume(of, "N1").findings[0].remedy
    assert plan_resume(of, "N1", whoever_paused=True).ok


def test_i8_a_record_tells_that_we_paused_a_node_where_the_cluster_cannot() -> None:
    unknown = cluster([node("N1", state="paused"), node("N2")])
    assert plan_resume(unknown, "N1", before=Before(ours=True)).ok
    theirs = cluster([node("N1", state="paused", paused_by="elsewhere"), node("N2")])
    assert not plan_resume(theirs, "N1", before=Before(ours=True)).ok


def test_a_node_that_a_run_of_ours_is_emptying_is_not_resumed_under_it() -> None:
    of = away(vm("web", "N1"), migrations=[{"vm": "web", "source": "N1", "target": "N2", "by": "us"}])
    assert errors(plan_resume(of, "N1")) == [("I8", "a run of ours is moving web away from N1")]


@pytest.mark.parametrize(
    ("volume", "severity"),
    [
        ({"reachable_from": ["N2", "N3"]}, "error"),
        ({"reachable_from": ["N2"]}, "warning"),
        ({"reachable_from": ["N1", "N2"], "state": "redirected_no_path"}, None),
        ({"state": "redirected_no_path"}, "error"),
        ({"owner": "N1", "state": "offline"}, "error"),
        ({"owner": "N2", "state": "offline"}, None),
        ({"state": "redirected_by_design"}, None),
    ],
)
def test_r08_a_volume_that_its_peers_reach_must_be_reached(volume: dict[str, Any], severity: str | None) -> None:
    plan = plan_resume(away(volumes=[{"name": "CSV1", "owner": "N2", **volume}]), "N1")
    assert [finding.severity for finding in plan.findings if finding.rule == "R08"] == ([severity] if severity else [])


def on(*networks: str, mbps: int = 10_000) -> list[dict[str, Any]]:
    return [{"name": f"nic-{network}", "network": network, "link_mbps": mbps} for network in networks]


NETWORKS = [{"name": "LM", "roles": ["live_migration"]}, {"name": "HB", "roles": ["cluster"]}]


@pytest.mark.parametrize(
    ("adapters", "found"),
    [
        (on("LM", "HB"), []),
        (on("HB"), [("R07", "error")]),
        (on("LM"), [("R10", "error")]),
        (on("LM", mbps=1000) + on("HB"), [("R10", "warning")]),
    ],
)
def test_r07_r10_it_must_be_on_the_networks_that_all_its_peers_are_on(
    adapters: list[dict[str, Any]], found: list[tuple[str, str]]
) -> None:
    nodes = [node("N1", state="paused", paused_by="us", adapters=adapters)]
    nodes += [node(f"N{i}", adapters=on("LM", "HB")) for i in (2, 3)]
    plan = plan_resume(cluster(nodes, networks=NETWORKS), "N1")
    assert [(finding.rule, finding.severity) for finding in plan.findings] == found


def test_r03_other_updates_are_a_warning_and_a_storage_job_is_told() -> None:
    nodes = [node("N1", state="paused", paused_by="us", updates=[]), node("N2", updates=["KB1"])]
    jobs = [{"name": "repair", "volume": "CSV1", "percent": 40}]
    of = cluster(nodes, volumes=[{"name": "CSV1", "owner": "N2"}], storage_jobs=jobs)
    plan = plan_resume(of, "N1")
    assert plan.ok
    assert [(finding.rule, finding.severity) for finding in plan.findings] == [("R03", "warning"), ("I7", "info")]


def test_r18_what_stands_against_every_run_refuses_moves_and_not_a_mere_resume() -> None:
    stuck = [{"name": "CSV1", "owner": "N2", "state": "redirected_stuck"}]
    of = away(vm("web", "N2", preferred_owners=["N1"], volumes=["CSV1"]), volumes=stuck)
    assert plan_resume(of, "N1").ok
    assert "R18" in [rule for rule, _ in errors(plan_resume(of, "N1", "preferred"))]


def test_an_unknown_node_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match='no node of cluster test is called "N9"'):
        plan_resume(away(), "N9")


# ---------------------------------------------------------------- laws


@st.composite
def returns(draw: st.DrawFn) -> tuple[Cluster, str, Before]:
    """A cluster with a paused node, preferred owners and homes drawn for all VMs."""
    drawn: Drawn = draw(small_clusters())
    of = drawn.cluster(sound=True)
    names = [each.name for each in of.nodes]
    back = draw(st.sampled_from(names))
    nodes = tuple(
        each.model_copy(update={"state": "paused", "paused_by": "us"}) if each.name == back else each
        for each in of.nodes
    )
    vms = tuple(
        each.model_copy(
            update={"preferred_owners": tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True)))}
        )
        for each in of.vms
    )
    homes = {each.name: draw(st.sampled_from(names)) for each in vms}
    of = of.model_copy(update={"nodes": nodes, "vms": vms})
    return Cluster.model_validate(of.model_dump()), back, Before(homes)


@given(drawn=returns(), failback=st.sampled_from(POLICIES), reserve=st.sampled_from(["auto", 0, 1]))
@settings(deadline=None, max_examples=200)
def test_any_plan_moves_whom_the_policy_wants_in_a_valid_order_and_keeps_the_reserve_it_names(
    drawn: tuple[Cluster, str, Before], failback: FailbackPolicy, reserve: Any
) -> None:
    of, back, before = drawn
    plan = plan_resume(of, back, failback, before, reserve_nodes=reserve)
    assert check_resume(of, plan, failback, before.homes) == ()


@given(drawn=returns())
@settings(deadline=None, max_examples=200)
def test_i3_without_a_reserve_no_vm_stays_away_for_lack_of_room_that_is_there(
    drawn: tuple[Cluster, str, Before],
) -> None:
    of, back, _ = drawn
    plan = plan_resume(of, back, "preferred", reserve_nodes=0)
    free_mib = of.free_mib(back) - sum(of.vm_by_name[move.vm].memory_mib for move in plan.moves)
    for stays in plan.unplaced:
        if {verdict.rule for verdict in stays.verdicts} == {"I3"}:
            assert of.vm_by_name[stays.vm].memory_mib > free_mib
