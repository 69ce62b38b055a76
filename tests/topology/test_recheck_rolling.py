"""A sound plan of a rolling maintenance passes the recheck, and one that is broken in any one way does not."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import (
    Finding,
    Maintenance,
    Move,
    Plan,
    RoleMove,
    UnderWay,
    Unplaced,
    Untouched,
    Verdict,
    VolumeMove,
)
from shunter.topology.recheck import check_plan

ASKED = ("N1", "N2", "N3")


def small(**fields: Any) -> Cluster:
    """N1, N2 and N3 are to be maintained, N4 stays in service; on N1 there is one of everything."""
    vms = [
        vm("web", "N1", 8192),
        vm("db", "N1", 16384),
        vm("old", "N1", state="off"),
        vm("local", "N1", state="off", clustered=False),
        vm("app", "N2", 4096),
        vm("peer", "N3", 4096),
    ]
    given: dict[str, Any] = {
        "vms": vms,
        "volumes": [{"name": "CSV1", "owner": "N1"}, {"name": "CSV2", "owner": "N4"}],
        "roles": [{"name": "fs", "node": "N1"}],
        **fields,
    }
    return cluster(given.pop("nodes", 4), given.pop("vms"), **given)


def move(name: str, source: str, target: str, start_s: float, end_s: float, **fields: Any) -> Move:
    return Move(vm=name, source=source, target=target, start_s=start_s, end_s=end_s, **fields)


def turn(name: str, paused_s: float, start_s: float, end_s: float) -> Maintenance:
    return Maintenance(node=name, paused_s=paused_s, start_s=start_s, end_s=end_s)


def plan(**fields: Any) -> Plan:
    """The sound plan, or that with some of its fields changed."""
    given: dict[str, Any] = {
        "ok": True,
        "reserve_nodes": 1,
        "moves": (
            move("db", "N1", "N4", 0, 20),
            move("web", "N1", "N4", 20, 30),
            move("app", "N2", "N1", 130, 135),
            move("peer", "N3", "N2", 235, 239),
        ),
        "role_moves": (
            RoleMove(name="old", source="N1", target="N2", start_s=30),
            RoleMove(name="fs", source="N1", target="N3", start_s=30),
            RoleMove(name="old", source="N2", target="N1", start_s=135),
            RoleMove(name="fs", source="N3", target="N4", start_s=239),
        ),
        "volume_moves": (
            VolumeMove(volume="CSV1", source="N1", target="N2", start_s=30),
            VolumeMove(volume="CSV1", source="N2", target="N1", start_s=135),
        ),
        "maintenance": (turn("N1", 20, 30, 130), turn("N2", 130, 135, 235), turn("N3", 235, 239, 339)),
        "makespan_s": 339.0,
        "lower_bound_s": 300.0,
        **fields,
    }
    return Plan(kind="rolling_maintenance", cluster="test", **given)


def with_move(number: int, **fields: Any) -> Plan:
    moves = list(plan().moves)
    moves[number] = moves[number].model_copy(update=fields)
    return plan(moves=tuple(moves))


def with_turn(number: int, **fields: Any) -> Plan:
    turns = list(plan().maintenance)
    turns[number] = turns[number].model_copy(update=fields)
    return plan(maintenance=tuple(turns), makespan_s=max(each.end_s for each in turns))


def with_role_move(number: int, **fields: Any) -> Plan:
    moves = list(plan().role_moves)
    moves[number] = moves[number].model_copy(update=fields)
    return plan(role_moves=tuple(moves))


def with_volume_move(number: int, **fields: Any) -> Plan:
    moves = list(plan().volume_moves)
    moves[number] = moves[number].model_copy(update=fields)
    return plan(volume_moves=tuple(moves))


def wrong(of_plan: Plan, of: Cluster | None = None, nodes: tuple[str, ...] = ASKED) -> set[tuple[float, str, str]]:
    return {(v.at_s, v.invariant, v.subject) for v in check_plan(of or small(), of_plan, nodes)}


def messages(of_plan: Plan, of: Cluster | None = None, nodes: tuple[str, ...] = ASKED) -> list[str]:
    return [v.message for v in check_plan(of or small(), of_plan, nodes)]


def verdicts(*targets: str) -> tuple[Verdict, ...]:
    return tuple(Verdict(target=t, rule="I4", reason="not a possible owner", remedy="add it") for t in targets)


def test_a_sound_plan_passes() -> None:
    assert check_plan(small(), plan(), ASKED) == ()


# ---------------------------------------------------------------- who has a turn


def test_r16_every_node_that_was_asked_for_has_its_turn_or_is_named_as_untouched() -> None:
    assert wrong(plan(), nodes=()) == {(0, "R16", "N4")}
    stays = Untouched(node="N4", reason="wait", remedy="ask")
    assert wrong(plan(ok=False, untouched=(stays,)), nodes=()) == set()
    assert wrong(plan(), nodes=("N1", "N2")) == {(0, "R16", "N3")}


def test_r16_a_node_is_named_once() -> None:
    stays = Untouched(node="N3", reason="wait", remedy="ask")
    assert wrong(plan(ok=False, untouched=(stays,))) == {(0, "R16", "N3")}
    again = plan(maintenance=(*plan().maintenance, turn("N1", 400, 400, 500)), makespan_s=500.0)
    assert (0, "R16", "N1") in wrong(again)


@pytest.mark.parametrize("fields", [{"reason": ""}, {"remedy": ""}])
def test_r16_an_untouched_node_has_a_reason_and_a_remedy(fields: dict[str, str]) -> None:
    stays = Untouched(node="N4", reason="wait", remedy="ask").model_copy(update=fields)
    assert wrong(plan(ok=False, untouched=(stays,)), nodes=()) == {(0, "R16", "N4")}


def test_i2_names_that_the_cluster_does_not_have_are_found() -> None:
    assert wrong(with_turn(0, node="N9")) == {(0, "I2", "N9")}
    stays = Untouched(node="N8", reason="wait", remedy="ask")
    assert wrong(plan(ok=False, untouched=(stays,))) == {(0, "I2", "N8")}
    assert wrong(with_move(0, vm="nobody")) == {(0, "I2", "nobody")}


@pytest.mark.parametrize(
    "fields", [{"paused_s": 240.0}, {"paused_s": -1.0}, {"end_s": 239.0, "start_s": 239.0}, {"end_s": 200.0}]
)
def test_r16_a_node_is_paused_then_goes_then_comes_back(fields: dict[str, float]) -> None:
    found = {(v.invariant, v.subject) for v in check_plan(small(), with_turn(2, **fields), ASKED)}
    assert ("R16", "N3") in found


def test_r01_a_node_that_is_down_has_no_turn() -> None:
    of = cluster([node("N1", state="down"), node("N2"), node("N3")], [])
    made = plan(moves=(), role_moves=(), volume_moves=(), maintenance=(turn("N1", 0, 0, 9),), makespan_s=9.0)
    made = made.model_copy(update={"lower_bound_s": 0.0})
    assert wrong(made, of, ("N1",)) == {(0, "R01", "N1")}
    assert wrong(made, cluster(3), ("N1",)) == set()


# ---------------------------------------------------------------- what is not done


def untouched_n3(**fields: Any) -> Plan:
    """N3 cannot be emptied because of peer."""
    given: dict[str, Any] = {
        "ok": False,
        "moves": plan().moves[:3],
        "role_moves": plan().role_moves[:3],
        "maintenance": plan().maintenance[:2],
        "untouched": (Untouched(node="N3", reason="peer has nowhere to go", remedy="see its verdicts"),),
        "unplaced": (Unplaced(vm="peer", node="N3", verdicts=verdicts("N1", "N2", "N4")),),
        "makespan_s": 235.0,
        "lower_bound_s": 200.0,
        **fields,
    }
    return plan(**given)


def test_a_plan_that_leaves_a_node_with_its_reasons_passes() -> None:
    assert wrong(untouched_n3()) == set()


def test_i2_a_plan_that_leaves_something_undone_does_not_call_itself_ok() -> None:
    assert wrong(untouched_n3(ok=True, unplaced=())) == {(0, "I2", "N3")}
    assert wrong(untouched_n3(ok=True)) == {(0, "I2", "peer, N3")}
    unwanted = Unplaced(vm="peer", node="N3", verdicts=verdicts("N1", "N2", "N4"))
    assert "the plan calls itself ok all the same" in messages(
        untouched_n3(ok=True, untouched=(), unplaced=(unwanted,))
    )
    refusal = Finding(rule="R07", severity="error", subject="cluster test", message="no network", remedy="add one")
    assert wrong(plan(findings=(refusal,))) == {(0, "I2", "cluster test")}
    assert wrong(plan(ok=False, findings=(refusal,))) == set()


def test_i2_an_unplaced_vm_has_a_verdict_for_every_other_node() -> None:
    silent = Unplaced(vm="peer", node="N3", verdicts=verdicts("N1", "N2"))
    assert wrong(untouched_n3(unplaced=(silent,))) == {(0, "I2", "peer")}
    vague = (*verdicts("N1", "N2"), Verdict(target="N4", rule="because", reason="no", remedy="no"))
    assert wrong(untouched_n3(unplaced=(Unplaced(vm="peer", node="N3", verdicts=vague),))) == {(0, "I2", "peer")}


def test_i2_an_unplaced_vm_stands_on_an_untouched_node_and_is_named_once() -> None:
    peer = untouched_n3().unplaced[0]
    assert wrong(untouched_n3(unplaced=(peer, peer))) == {(0, "I2", "peer")}
    moved = Unplaced(vm="app", node="N1", verdicts=verdicts("N2", "N3", "N4"))
    assert messages(untouched_n3(unplaced=(peer, moved))) == [
        "is named as unplaced on N1, which is not among the untouched nodes"
    ]
    elsewhere = Unplaced(vm="app", node="N3", verdicts=verdicts("N1", "N2", "N4"))
    assert any("it is on N1, not on N3" in message for message in messages(untouched_n3(unplaced=(peer, elsewhere))))


# ---------------------------------------------------------------- who moves


def test_i2_each_leg_begins_where_the_one_before_ended() -> None:
    onward = move("app", "N1", "N4", 340, 345, why="spread evenly at the end")
    assert wrong(plan(moves=(*plan().moves, onward), makespan_s=345.0)) == set()
    astray = onward.model_copy(update={"source": "N2"})
    assert wrong(plan(moves=(*plan().moves, astray), makespan_s=345.0)) >= {(340, "I2", "app")}
    assert (0, "I2", "db") in wrong(with_move(0, source="N2"))


def test_i2_a_vm_moves_on_only_when_it_has_arrived() -> None:
    early = move("app", "N1", "N4", 134, 138)
    assert (134, "I2", "app") in wrong(plan(moves=(*plan().moves, early)))
    assert "it moves on before it has arrived" in messages(plan(moves=(*plan().moves, early)))


def test_i2_nobody_moves_to_where_it_is() -> None:
    assert (0, "I2", "db") in wrong(with_move(0, target="N1"))


def test_i2_what_runs_moves_live_and_what_does_not_run_does_not() -> None:
    as_role = (*plan().role_moves, RoleMove(name="web", source="N1", target="N4", start_s=30))
    moves = tuple(each for each in plan().moves if each.vm != "web")
    assert wrong(plan(moves=moves, role_moves=as_role)) == {(30, "I2", "web")}
    live = (*plan().moves[:2], move("old", "N1", "N4", 30, 31), *plan().moves[2:])
    assert (30, "I2", "old") in wrong(plan(moves=live, role_moves=plan().role_moves[1:]))


def test_i2_roles_and_volumes_change_from_where_they_are() -> None:
    assert wrong(with_role_move(3, source="N2")) >= {(239, "I2", "fs")}
    assert wrong(with_role_move(2, source="N3")) >= {(135, "I2", "old")}
    assert wrong(with_volume_move(1, source="N3")) == {(135, "I7", "CSV1")}
    assert (239, "I2", "fs") in wrong(with_role_move(3, target="N3"))


def test_r08_a_volume_needs_an_owner_that_reaches_it() -> None:
    def of(*reaching: str) -> Cluster:
        return small(volumes=[{"name": "CSV1", "owner": "N1", "reachable_from": list(reaching)}])

    assert wrong(plan(), of("N1", "N2")) == set()
    assert wrong(plan(), of("N1", "N3")) == {(30, "R08", "CSV1")}


def test_i2_who_moves_from_a_node_that_is_not_maintained_says_why() -> None:
    back = move("web", "N4", "N1", 340, 350)
    assert wrong(plan(moves=(*plan().moves, back), makespan_s=350.0)) == {(340, "I2", "web")}
    told = back.model_copy(update={"why": "goes back to where it was"})
    assert wrong(plan(moves=(*plan().moves, told), makespan_s=350.0)) == set()


def test_i1_r15_a_node_in_two_moves_at_once_is_found() -> None:
    assert wrong(with_move(1, start_s=19.0)) == {(19, "I1", "N1"), (19, "I1", "N4")}
    assert wrong(with_move(1, start_s=20 - 1e-9)) == set()


def test_i1_migrations_that_were_under_way_occupy_their_nodes_at_the_start_alone() -> None:
    of = small(migrations=[{"vm": "peer", "source": "N3", "target": "N4"}])
    assert {(0.0, "I1", "N4")} <= wrong(plan(), of)
    again = plan(moves=(*plan().moves, move("app", "N1", "N2", 236, 238)))
    late = small(migrations=[{"vm": "peer", "source": "N3", "target": "N4"}])
    assert (236, "I1", "N2") in wrong(again, late)


def test_i3_a_target_without_room_is_found() -> None:
    of = small(vms=[*[vm(n, "N1", 40000) for n in ("web", "db")], vm("old", state="off"), vm("app", "N2")])
    made = plan(moves=plan().moves[:3], reserve_nodes=0)
    assert wrong(made, of) == {(20, "I3", "N4")}


def test_i3_a_vm_counts_at_both_ends_until_it_has_arrived() -> None:
    vms = [vm("web", "N1", 60000), vm("app", "N4", 30000)]
    of = cluster(4, vms)

    def made(start_s: float) -> Plan:
        moves = (
            move("app", "N4", "N2", 0, 20, why="makes room"),
            move("web", "N1", "N4", start_s, 60, after=("app",)),
        )
        fields = {"moves": moves, "role_moves": (), "volume_moves": (), "maintenance": (turn("N1", 60, 60, 70),)}
        return plan(**fields, reserve_nodes=0, makespan_s=70.0, lower_bound_s=0.0)

    assert wrong(made(20), of, ("N1",)) == set()
    assert (19, "I3", "N4") in wrong(made(19), of, ("N1",))


def test_who_waits_for_room_starts_when_the_other_has_left_though_that_one_may_move_on_meanwhile() -> None:
    of = cluster(5, [vm("web", "N1", 60000), vm("app", "N2", 30000)])
    moves = (
        move("app", "N2", "N3", 0, 20),
        move("web", "N1", "N2", 20, 60, after=("app",)),
        move("app", "N3", "N4", 30, 40),
    )
    fields: dict[str, Any] = {"role_moves": (), "volume_moves": (), "reserve_nodes": 0, "lower_bound_s": 0.0}
    turns = (turn("N1", 60, 60, 70), turn("N3", 40, 40, 50))
    sound = plan(moves=moves, maintenance=turns, makespan_s=70.0, **fields)
    assert [v for v in check_plan(of, sound, ("N1", "N3")) if "nothing says why" not in v.message] == []
    early = moves[1].model_copy(update={"start_s": 10.0})
    found = messages(sound.model_copy(update={"moves": (moves[0], early, moves[2])}), of, ("N1", "N3"))
    assert "it starts before the move of app is over" in found


def test_i4_r08_r13_r20_what_forbids_a_node_is_found_on_every_leg() -> None:
    assert wrong(plan(), small(vms=with_vm("db", possible_owners=["N1", "N2"]))) == {(0, "I4", "db")}
    reach = [{"name": "CSV1", "owner": "N1"}, {"name": "CSV2", "owner": "N4", "reachable_from": ["N1", "N4"]}]
    assert wrong(plan(), small(vms=with_vm("peer", volumes=["CSV2"]), volumes=reach)) == {(235, "R08", "peer")}
    nodes = [node(name, processor=INTEL, switches=["lan"]) for name in ("N1", "N2", "N3")]
    other = [*nodes, node("N4", processor=AMD, switches=["lan"])]
    assert wrong(plan(), small(nodes=other)) == {(0, "R13", "db"), (20, "R13", "web")}
    vms = with_vm("web", switches=["lan"])
    same = [*nodes, node("N4", processor=INTEL, switches=[])]
    assert wrong(plan(), small(nodes=same, vms=vms)) == {(20, "R20", "web")}


def with_vm(name: str, **fields: Any) -> list[dict[str, Any]]:
    """The VMs of the small cluster, one of them changed."""
    vms = [
        vm("web", "N1", 8192),
        vm("db", "N1", 16384),
        vm("old", "N1", state="off"),
        vm("app", "N2", 4096),
        vm("peer", "N3", 4096),
    ]
    return [{**each, **fields} if each["name"] == name else each for each in vms]


def test_i4_anti_affinity_holds_at_every_instant_counting_a_mover_at_both_ends() -> None:
    apart = {"name": "apart", "kind": "different_node", "vms": ["peer", "app"]}
    beside = with_move(3, target="N1")
    assert wrong(beside, small(affinity_rules=[apart])) == {(235, "I4", "peer")}
    assert wrong(plan(), small(affinity_rules=[apart])) == set()


def test_i4_vms_to_be_kept_together_are_so_at_the_end() -> None:
    together = {"name": "together", "kind": "same_node", "vms": ["web", "db"]}
    assert wrong(plan(), small(affinity_rules=[together])) == set()
    astray = with_move(1, target="N2")
    assert (239, "I4", "rule together") in wrong(astray, small(affinity_rules=[together]))


def test_r17_a_vm_whose_backup_is_under_way_does_not_move() -> None:
    assert wrong(plan(), small(vms=with_vm("peer", backup=True))) == {(235, "R17", "peer")}


def test_r01_nothing_moves_live_from_or_to_a_node_that_is_not_there() -> None:
    nodes = [node("N1"), node("N2"), node("N3", state="isolated"), node("N4")]
    assert (235, "R01", "peer") in wrong(plan(), small(nodes=nodes))
    nodes = [node("N1"), node("N2"), node("N3"), node("N4", state="down")]
    of = small(nodes=nodes, volumes=[{"name": "CSV1", "owner": "N1"}])
    assert {(0, "R01", "db"), (239, "R01", "fs")} <= wrong(plan(), of)


# ---------------------------------------------------------------- disks


DISK = ({"name": "LUN1", "kind": "disk", "owner": "N1"},)


def on_a_disk() -> Cluster:
    vms = [vm("lead", "N1", volumes=["LUN1"]), vm("rider", "N1", state="saved", volumes=["LUN1"])]
    return cluster(4, vms, volumes=list(DISK))


def riding(follow_s: float = 5, *, target: str = "N2", disk_to: str = "N2") -> Plan:
    """lead moves twice, and what shares its disk goes along; N2 goes after N1."""
    legs = (move("lead", "N1", "N2", 0, 5), move("lead", "N2", "N3", 105, 110))
    roles = (
        RoleMove(name="rider", source="N1", target=target, start_s=follow_s),
        RoleMove(name="rider", source=target, target="N3", start_s=110),
    )
    disks = (
        VolumeMove(volume="LUN1", source="N1", target=disk_to, start_s=follow_s),
        VolumeMove(volume="LUN1", source=disk_to, target="N3", start_s=110),
    )
    turns = (turn("N1", follow_s, follow_s, 105), turn("N2", 110, 110, 210))
    return plan(
        moves=legs, role_moves=roles, volume_moves=disks, maintenance=turns, makespan_s=210.0, lower_bound_s=0.0
    )


def test_r11_what_shares_a_disk_moves_along_on_every_leg() -> None:
    asked = ("N1", "N2")
    assert wrong(riding(), on_a_disk(), asked) == set()
    assert wrong(riding(follow_s=7), on_a_disk(), asked) == {(5, "R11", "LUN1")}
    assert wrong(riding(target="N4"), on_a_disk(), asked) == {(5, "R11", "LUN1")}
    assert wrong(riding(disk_to="N4"), on_a_disk(), asked) == {(5, "R11", "LUN1")}


def test_r11_what_only_lies_on_a_disk_is_together_at_the_end() -> None:
    vms = [vm(name, "N1", state="off", volumes=["LUN1"]) for name in ("one", "other")]
    of = cluster(3, vms, volumes=list(DISK))

    def made(target: str) -> Plan:
        ends = (("one", "N2"), ("other", target))
        roles = tuple(RoleMove(name=name, source="N1", target=to, start_s=0) for name, to in ends)
        disks = (VolumeMove(volume="LUN1", source="N1", target="N2", start_s=0),)
        fields = {"moves": (), "role_moves": roles, "volume_moves": disks, "maintenance": (turn("N1", 0, 0, 9),)}
        return plan(**fields, makespan_s=9.0, lower_bound_s=0.0)

    assert wrong(made("N2"), of, ("N1",)) == set()
    assert wrong(made("N3"), of, ("N1",)) == {(0, "R11", "LUN1")}
    alone = made("N2").model_copy(update={"role_moves": (), "maintenance": (turn("N3", 0, 0, 9),)})
    assert wrong(alone, of, ("N3",)) == {(0, "R11", "LUN1")}, "a disk does not go alone either"


def test_r11_what_is_elsewhere_or_not_in_the_clusters_care_does_not_follow_its_disk() -> None:
    others = [
        vm("local", "N1", state="off", clustered=False, volumes=["LUN1"]),
        vm("far", "N4", state="off", volumes=["LUN1"]),
    ]
    of = cluster(4, [vm("lead", "N1", volumes=["LUN1"]), *others], volumes=list(DISK))
    without = riding().model_copy(update={"role_moves": ()})
    assert wrong(without, of, ("N1", "N2")) == set()


def test_r11_two_running_vms_on_one_disk_do_not_move_live() -> None:
    vms = [vm("lead", "N1", volumes=["LUN1"]), vm("rider", "N1", volumes=["LUN1"])]
    of = cluster(4, vms, volumes=list(DISK))
    assert (0, "R11", "lead") in wrong(riding(), of, ("N1", "N2"))


# ---------------------------------------------------------------- nobody is near


def test_i5_a_node_does_not_go_with_a_running_vm_on_it() -> None:
    stays = plan(moves=(plan().moves[0], *plan().moves[2:]))
    assert wrong(stays) == {(30, "I5", "N1")}
    assert "goes with web on it" in messages(stays)


def test_i5_a_node_does_not_go_while_it_owns_a_volume() -> None:
    assert wrong(plan(volume_moves=())) == {(30, "I5", "N1")}
    assert wrong(plan(volume_moves=plan().volume_moves[:1])) == {(135, "I5", "N2")}


def test_r16_a_node_does_not_go_with_what_is_off_or_with_a_role_on_it() -> None:
    assert wrong(plan(role_moves=plan().role_moves[1:2] + plan().role_moves[3:])) == {(30, "R16", "N1")}
    assert wrong(plan(role_moves=plan().role_moves[::2])) == {(30, "R16", "N1")}
    assert wrong(plan(role_moves=plan().role_moves[:3])) == {(239, "R16", "N3")}


def test_i5_nothing_moves_from_a_node_while_it_is_away() -> None:
    late = with_move(1, end_s=31.0)
    assert wrong(late) == {(30, "I5", "N1"), (30, "I5", "web")}
    assert wrong(with_move(1, end_s=30 + 1e-9)) == set()
    assert {(31, "I5", "fs"), (30, "R16", "N1")} == wrong(with_role_move(1, start_s=31.0))
    assert {(31, "I5", "CSV1"), (30, "I5", "N1")} == wrong(with_volume_move(0, start_s=31.0))


def test_i5_nothing_goes_to_a_node_while_it_is_away() -> None:
    assert (120, "I5", "app") in wrong(with_move(2, start_s=120.0, end_s=125.0))
    assert wrong(with_move(2, start_s=129.0)) == {(129, "I5", "app")}
    assert wrong(with_move(2, start_s=130 - 1e-9)) == set()
    assert (129, "I5", "old") in wrong(with_role_move(2, start_s=129.0))
    assert (129, "I5", "CSV1") in wrong(with_volume_move(1, start_s=129.0))


def test_r16_nothing_goes_to_a_node_after_its_pause() -> None:
    def made(paused_s: float, end_s: float) -> Plan:
        """app makes way to N1 and back again, before N1 goes."""
        there = move("app", "N2", "N1", 3, end_s)
        legs = (there, move("app", "N1", "N4", 8, 9), move("db", "N1", "N4", 10, 20), move("web", "N1", "N4", 20, 30))
        turns = (turn("N1", paused_s, 30, 130), *plan().maintenance[1:])
        return plan(moves=(*legs, plan().moves[3]), maintenance=turns)

    assert wrong(made(5, 5)) == set()
    assert wrong(made(5, 6)) == {(5, "R16", "app")}
    assert wrong(made(2, 5)) == {(3, "R16", "app")}
    early = with_turn(1, paused_s=30.0)
    assert wrong(early) == {(30, "R16", "old"), (30, "R16", "CSV1")}
    assert wrong(with_turn(1, paused_s=31.0)) == set()
    as_it_goes = with_role_move(0, start_s=135.0, source="N1", target="N2")
    assert (135, "I5", "old") in wrong(as_it_goes)


def test_i8_a_node_that_somebody_else_paused_stays_no_target_and_one_of_ours_is_one_when_it_is_back() -> None:
    theirs = {(130.0, "I8", "app"), (135.0, "I8", "old"), (135.0, "I8", "CSV1")}
    for whom, expected in (("us", set()), ("elsewhere", theirs)):
        nodes = [node("N1", state="paused", paused_by=whom), *(node(name) for name in ("N2", "N3", "N4"))]
        assert wrong(with_turn(0, paused_s=0.0), small(nodes=nodes)) == expected
    nodes = [node("N1"), node("N2"), node("N3"), node("N4", state="paused", paused_by="us")]
    assert (0, "I8", "db") in wrong(plan(), small(nodes=nodes)), "of no turn, it stays paused"


def test_a_vm_that_somebody_else_takes_away_is_gone_when_its_node_goes() -> None:
    of = small(migrations=[{"vm": "peer", "source": "N3", "target": "N2"}])
    over = (UnderWay(vm="peer", source="N3", target="N2", end_s=0.0),)
    without = plan(moves=plan().moves[:3], under_way=over)
    assert [v for v in wrong(without, of) if v[2] == "N3"] == []
    assert (135, "I5", "N2") in wrong(without, of), "it has come to N2 by then"
    taken_up = plan(moves=(*plan().moves[:2], move("peer", "N2", "N4", 31, 40), plan().moves[2]), under_way=over)
    assert wrong(taken_up, of) == set()


def test_r15_nothing_begins_at_the_nodes_of_a_migration_that_somebody_else_has_under_way() -> None:
    of = small(migrations=[{"vm": "peer", "source": "N3", "target": "N2"}])
    unknown = plan(moves=plan().moves[:3])
    assert (0, "R15", "peer") in wrong(unknown, of)
    first = unknown.moves[0]
    busy = (UnderWay(vm="peer", source=first.source, target="N2", end_s=first.end_s),)
    too_soon = unknown.model_copy(update={"under_way": busy})
    assert (first.start_s, "R15", first.vm) in wrong(too_soon, of)


def test_i3_what_somebody_else_has_taken_away_restarts_from_where_it_came_to() -> None:
    """x leaves N1 for N2 by other hands: when N1 goes it is there, and its memory on N1 is free when N1 is back."""
    vms = [vm("x", "N1", 30000), vm("y", "N2", 30000), vm("z", "N3", 40000)]
    of = cluster(4, vms, migrations=of_migrations())
    turns = (turn("N1", 10, 10, 110), turn("N4", 110, 110, 210))
    made = plan(
        moves=(),
        role_moves=(),
        volume_moves=(),
        maintenance=turns,
        makespan_s=210.0,
        lower_bound_s=0.0,
        under_way=(UnderWay(vm="x", source="N1", target="N2", end_s=5.0),),
    )
    assert wrong(made, of, ("N1", "N4")) == set()
    smaller = cluster([node("N1"), node("N2"), node("N3"), node("N4", 50000)], vms, migrations=of_migrations())
    assert wrong(made, smaller, ("N1", "N4")) == {(10, "I3", "cluster test")}


def test_i3_a_vm_that_moves_on_from_where_somebody_else_takes_it_has_left_its_node() -> None:
    vms = [vm("x", "N1", 30000), vm("y", "N2", 30000), vm("z", "N3", 40000)]
    nodes = [*(node(f"N{i}") for i in range(1, 5)), node("N5", 1000)]
    of = cluster(nodes, vms, migrations=of_migrations())
    onward = move("x", "N2", "N4", 5, 15, why="makes room on N2")
    over = (UnderWay(vm="x", source="N1", target="N2", end_s=5.0),)
    made = full(moves=(onward,), maintenance=(turn("N5", 0, 0, 20),), makespan_s=20.0, under_way=over)
    assert wrong(made, of, ("N5",)) == set(), "z finds room on N1"


def of_migrations() -> list[dict[str, str]]:
    return [{"vm": "x", "source": "N1", "target": "N2"}]


# ---------------------------------------------------------------- votes


def voting(version: str, nodes: int, together: int, *, witness: bool, voteless: int = 0) -> set[tuple[str, str]]:
    """What is found where `together` of these nodes are away at once."""
    of_nodes = [node(f"N{i}", votes=0 if i > nodes - voteless else 1) for i in range(1, nodes + 1)]
    of = cluster(of_nodes, [], windows_version=version, witness=witness)
    turns = tuple(turn(f"N{i}", i, i, 100) for i in range(1, together + 1))
    made = plan(
        moves=(),
        role_moves=(),
        volume_moves=(),
        maintenance=turns,
        makespan_s=100.0,
        lower_bound_s=0.0,
        reserve_nodes=0,
    )
    return {(v.invariant, v.subject) for v in check_plan(of, made, tuple(each.node for each in turns))}


@pytest.mark.parametrize(
    ("nodes", "witness", "most"), [(4, True, 2), (4, False, 1), (5, True, 2), (5, False, 2), (2, True, 1)]
)
def test_i6_in_2008_r2_all_votes_count_for_ever(nodes: int, witness: bool, most: int) -> None:
    assert voting("2008R2", nodes, most, witness=witness) == set()
    assert voting("2008R2", nodes, most + 1, witness=witness) == {("I6", f"N{most + 1}")}


@pytest.mark.parametrize("version", ["2012", "2012R2", "2022"])
@pytest.mark.parametrize("witness", [True, False])
def test_i6_from_2012_on_nodes_leave_one_after_the_other_as_long_as_one_with_a_vote_stays(
    version: str, witness: bool
) -> None:
    assert voting(version, 4, 3, witness=witness) == set()
    assert voting(version, 4, 4, witness=witness) == {("I6", "N4")}
    assert voting(version, 4, 3, witness=witness, voteless=1) == {("I6", "N3")}


def test_i6_a_node_votes_again_when_it_is_back() -> None:
    of = cluster(3, [], windows_version="2008R2", witness=False)
    made = plan(
        moves=(),
        role_moves=(),
        volume_moves=(),
        maintenance=(turn("N1", 0, 0, 50), turn("N2", 50, 50, 100), turn("N3", 100, 100, 150)),
        makespan_s=150.0,
        lower_bound_s=0.0,
    )
    assert wrong(made, of) == set()
    overlapping = made.model_copy(update={"maintenance": (*made.maintenance[:2], turn("N3", 99, 99, 150))})
    assert (99, "I6", "N3") in wrong(overlapping, of)


# ---------------------------------------------------------------- the reserve


def full(**fields: Any) -> Plan:
    """a leaves N1 for N4, b leaves N2 for N1: the reserve is there as long as two of four nodes are."""
    given: dict[str, Any] = {
        "moves": (move("a", "N1", "N4", 0, 10), move("b", "N2", "N1", 110, 120)),
        "role_moves": (),
        "volume_moves": (),
        "maintenance": (turn("N1", 10, 10, 110), turn("N2", 120, 120, 220)),
        "makespan_s": 220.0,
        "lower_bound_s": 0.0,
        **fields,
    }
    return plan(**given)


def filled() -> Cluster:
    vms = [vm("a", "N1", 30000), vm("b", "N2", 30000), vm("c", "N3", 30000)]
    return cluster(4, vms)


def test_i3_the_reserve_holds_at_every_instant_or_is_found_when_it_is_spent() -> None:
    asked = ("N1", "N2")
    assert wrong(full(), filled(), asked) == set()
    both = full(
        moves=(move("a", "N1", "N4", 0, 10), move("b", "N2", "N3", 0, 10)),
        maintenance=(turn("N1", 10, 10, 110), turn("N2", 12, 12, 112)),
        makespan_s=112.0,
    )
    assert wrong(both, filled(), asked) == {(12, "I3", "cluster test")}
    assert "reserve of 1: the VMs of N3 (60000 MiB) do not pack" in messages(both, filled(), asked)[0]
    assert wrong(both.model_copy(update={"reserve_nodes": 0}), filled(), asked) == set()


def test_i3_a_node_counts_until_its_pause_and_again_from_its_return() -> None:
    early = full(maintenance=(turn("N1", 0, 10, 110), turn("N2", 110, 120, 220)))
    assert wrong(early, filled(), ("N1", "N2")) == set()
    vms = [vm("a", "N1", 10000), vm("b", "N2", 40000), vm("c", "N3", 40000), vm("d", "N4", 30000)]
    tight = full(moves=(move("a", "N1", "N4", 20, 30),), maintenance=(turn("N1", 30, 30, 110),), makespan_s=110.0)
    at_30 = {(v.at_s, v.invariant) for v in check_plan(cluster(4, vms), tight, ("N1",))}
    assert at_30 == {(30, "I3")}
    paused = tight.model_copy(update={"maintenance": (turn("N1", 5, 30, 110),)})
    assert {(v.at_s, v.invariant) for v in check_plan(cluster(4, vms), paused, ("N1",))} == {(5, "I3")}
    spent_again = full(
        moves=(move("a", "N1", "N4", 20, 30), move("b", "N2", "N1", 130, 140)),
        maintenance=(turn("N1", 30, 30, 110), turn("N2", 140, 140, 240)),
        makespan_s=240.0,
    )
    at = [v.at_s for v in check_plan(cluster(4, vms), spent_again, ("N1", "N2")) if v.invariant == "I3"]
    assert at == [30, 130], "it is there again when N1 is back"


def test_i3_a_vm_counts_on_its_target_from_the_start_and_restarts_from_its_source_until_the_end() -> None:
    vms = [vm("a", "N2", 10000, memory_startup_mib=50000), vm("c", "N3", 45000)]
    of = cluster([node("N1", 20000), node("N2", 60000), node("N3", 110000), node("N4", 60000)], vms)
    over = move("a", "N2", "N3", 5, 9, why="as asked")
    made = full(moves=(over,), maintenance=(turn("N4", 0, 50, 60),), makespan_s=60.0)
    assert {(v.at_s, v.invariant) for v in check_plan(of, made, ("N4",))} == {(9, "I3")}
    small_n4 = cluster([node("N1", 20000), node("N2", 60000), node("N3", 110000), node("N4", 1000)], vms)
    last = full(moves=(over,), maintenance=(turn("N4", 0, 0, 4),), makespan_s=9.0)
    assert {(v.at_s, v.invariant) for v in check_plan(small_n4, last, ("N4",))} == {(9, "I3")}, "at the very end"
    crowd = cluster(4, [vm("a", "N1", 40000), vm("c", "N3", 30000)])
    out = move("a", "N1", "N2", 5, 9, why="as asked")
    passing = full(moves=(out,), maintenance=(turn("N4", 0, 50, 60),), makespan_s=60.0)
    assert {(v.at_s, v.invariant) for v in check_plan(crowd, passing, ("N4",))} == {(5, "I3")}
    past = full(moves=(out,), maintenance=(turn("N4", 7, 50, 60),), makespan_s=60.0)
    assert {(v.at_s, v.invariant) for v in check_plan(crowd, past, ("N4",))} == {(7, "I3")}
    later = full(moves=(out,), maintenance=(turn("N4", 9, 50, 60),), makespan_s=60.0)
    assert wrong(later, crowd, ("N4",)) == set(), "once it has arrived its source is free"


def test_i3_priority_and_startup_memory_decide_what_must_restart() -> None:
    asked = ("N1",)
    fields: dict[str, Any] = {"moves": (), "maintenance": (turn("N1", 10, 10, 20),), "makespan_s": 20.0}
    made = full(**fields)
    assert wrong(made, cluster(3, [vm("b", "N2", 4000), vm("c", "N3", 62000)]), asked) == {(10, "I3", "cluster test")}
    nodes = [node("N1"), node("N2", 30000), node("N3")]
    assert wrong(made, cluster(nodes, [vm("c", "N3", 62000)]), asked) == {(10, "I3", "cluster test")}
    assert wrong(made, cluster(nodes, [vm("c", "N3", 62000, priority=0)]), asked) == set()
    startup = [vm("b", "N2", 1000, memory_startup_mib=9000), vm("c", "N3", 60000, priority=0)]
    assert wrong(made, cluster(3, startup), asked) == {(10, "I3", "cluster test")}


def test_i3_nodes_that_are_not_up_are_no_refuge_and_those_that_we_had_paused_are_when_they_are_back() -> None:
    vms = [vm("b", "N2", 40000), vm("c", "N3", 30000)]
    made = full(moves=(), maintenance=(turn("N1", 0, 10, 20),), makespan_s=20.0)
    for state in ("down", "isolated", "quarantined", "joining"):
        of = cluster([node("N1", state="up"), node("N2"), node("N3"), node("N4", state=state)], vms)
        assert wrong(made, of, ("N1",)) == {(0, "I3", "cluster test")}
    asked = ("N1", "N4")
    both = full(moves=(), maintenance=(turn("N1", 0, 10, 20), turn("N4", 20, 20, 30)), makespan_s=30.0)
    for whom, expected in (("us", set()), ("elsewhere", {(20, "I3", "cluster test")})):
        of = cluster([node("N1", state="paused", paused_by=whom), node("N2"), node("N3"), node("N4")], vms)
        assert wrong(both, of, asked) == expected


def test_i3_a_reserve_of_two_nodes_means_any_two() -> None:
    vms = [vm(f"v{i}", f"N{i}", 30000) for i in (2, 3, 4)]
    fields: dict[str, Any] = {"moves": (), "maintenance": (turn("N1", 10, 10, 20),), "makespan_s": 20.0}
    assert wrong(full(**fields), cluster(4, vms), ("N1",)) == set()
    assert wrong(full(**fields, reserve_nodes=2), cluster(4, vms), ("N1",)) == {(10, "I3", "cluster test")}


def test_i3_a_plan_that_is_refused_owes_no_reserve() -> None:
    refusal = Finding(rule="I3", severity="error", subject="cluster test", message="no reserve", remedy="lower it")
    fields: dict[str, Any] = {"moves": (), "maintenance": (turn("N1", 10, 10, 20),), "makespan_s": 20.0}
    of = cluster(2, [vm("b", "N2", 4000)])
    assert wrong(full(**fields), of, ("N1",)) == {(10, "I3", "cluster test")}
    assert wrong(full(**fields, ok=False, findings=(refusal,)), of, ("N1",)) == set()


# ---------------------------------------------------------------- figures


def test_r12_the_plan_is_over_when_its_last_move_or_turn_is() -> None:
    assert wrong(plan(makespan_s=338.0)) == {(339, "R12", "the plan")}
    back = move("web", "N4", "N1", 340, 350, why="goes back to where it was")
    assert wrong(plan(moves=(*plan().moves, back))) == {(350, "R12", "the plan")}
    assert wrong(plan(moves=(*plan().moves, back), makespan_s=350.0)) == set()
    roles = (*plan().role_moves, RoleMove(name="fs", source="N4", target="N1", start_s=351))
    assert wrong(plan(role_moves=roles)) == {(351, "R12", "the plan")}


def test_r12_no_plan_is_quicker_than_its_lower_bound() -> None:
    assert wrong(plan(lower_bound_s=339.0)) == set()
    assert wrong(plan(lower_bound_s=340.0)) == {(339, "R12", "the plan")}
    nothing: dict[str, Any] = {"moves": (), "role_moves": (), "volume_moves": (), "maintenance": (), "makespan_s": 0.0}
    stays = Untouched(node="N1", reason="wait", remedy="ask")
    assert wrong(plan(ok=False, untouched=(stays,), **nothing), nodes=("N1",)) == set(), "of nothing there is none"
