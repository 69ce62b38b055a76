"""A witness log in which we reboot nodes as we should passes the recheck, and one in which we do not does not."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log

Line = dict[str, Any]


def at(t_s: float, what: str, **fields: Any) -> Line:
    return {"t_s": t_s, "what": what, **fields}


def small(**fields: Any) -> Cluster:
    given: dict[str, Any] = {"vms": [vm("web", "N1"), vm("app", "N4")], **fields}
    volumes = [{"name": "CSV1", "owner": "N1"}]
    return cluster(given.pop("nodes", 4), given.pop("vms"), volumes=volumes, **given)


def paused(t_s: float, name: str, by: str = "us") -> Line:
    return at(t_s, "node_paused", node=name, by=by)


def resumed(t_s: float, name: str, by: str = "us") -> Line:
    return at(t_s, "node_resumed", node=name, by=by)


def moved(t_s: float, name: str, source: str, target: str) -> tuple[Line, Line]:
    ends = {"vm": name, "source": source, "target": target, "by": "us"}
    return at(t_s, "migration_started", **ends), at(t_s + 5, "migration_ended", **ends, outcome="done", node=target)


def owned(t_s: float, source: str, target: str) -> Line:
    return at(t_s, "volume_owner_changed", volume="CSV1", source=source, target=target, by="us")


def goes(t_s: float, name: str) -> tuple[Line, Line]:
    return at(t_s, "node_rebooted", node=name, by="us"), at(t_s, "node_down", node=name, by="us")


def returns(t_s: float, name: str, *, still_paused_by: str | None = "us") -> tuple[Line, ...]:
    up = at(t_s, "node_up", node=name, by="us")
    return (up, paused(t_s, name, still_paused_by)) if still_paused_by else (up,)


FIRST = (paused(0, "N1"), *moved(0, "web", "N1", "N4"), owned(5, "N1", "N4"))
SOUND = (
    *FIRST,
    *goes(5, "N1"),
    *returns(65, "N1"),
    resumed(66, "N1"),
    paused(66, "N2"),
    *goes(66, "N2"),
    *returns(126, "N2"),
    resumed(126, "N2"),
)
DONE = ("N1", "N2")


def found(*events: Line, of: Cluster | None = None, **asked: Any) -> list[tuple[float, str, str]]:
    lines = [at(0, "cluster", cluster=(of or small()).model_dump(mode="json")), *events]
    return [(v.at_s, v.invariant, v.subject) for v in check_log(lines, **asked)]


def test_a_sound_run_passes() -> None:
    assert found(*SOUND, rolled=DONE, at_once=1) == []


# ---------------------------------------------------------------- when it goes


def test_i5_what_we_reboot_runs_no_vm() -> None:
    silent = (paused(0, "N1"), owned(0, "N1", "N4"), *goes(5, "N1"))
    assert found(*silent) == [(5, "I5", "N1")]
    theirs = [{**line, "by": "fault"} for line in goes(5, "N1")]
    assert found(*silent[:2], *theirs) == [], "of others nothing is known"


def test_i5_a_vm_that_is_off_may_stay() -> None:
    of = small(vms=[vm("old", "N1", state="off")])
    assert found(paused(0, "N1"), owned(0, "N1", "N4"), *goes(5, "N1"), of=of) == []


def test_i5_what_we_reboot_takes_part_in_no_migration() -> None:
    for source, target in (("N2", "N4"), ("N4", "N2")):
        of = small(vms=[vm("web", source)])
        begun, _ = moved(1, "web", source, target)
        rebooted = (begun, paused(2, "N2"), *goes(3, "N2"))
        assert (3, "I5", "N2") in found(*rebooted, of=of)
    of = small(migrations=[{"vm": "app", "source": "N4", "target": "N3"}])
    assert found(paused(0, "N3"), *goes(2, "N3"), of=of) == [(2, "I5", "N3")]


def test_i5_what_we_reboot_owns_no_volume() -> None:
    assert found(*FIRST[:3], *goes(5, "N1")) == [(5, "I5", "N1")]


def test_i5_what_we_reboot_is_paused() -> None:
    assert found(*goes(5, "N2")) == [(5, "I5", "N2")]
    assert found(paused(0, "N2"), resumed(1, "N2"), *goes(5, "N2")) == [(5, "I5", "N2")]
    assert found(paused(0, "N2", by="elsewhere"), *goes(5, "N2")) == []


@pytest.mark.parametrize(("version", "expected"), [("2008R2", [(2, "I6", "N2")]), ("2012", []), ("2022", [])])
def test_i6_the_votes_that_stay_are_a_majority_as_the_version_counts_them(
    version: str, expected: list[tuple[float, str, str]]
) -> None:
    of = small(windows_version=version, witness=False)
    both = (paused(0, "N2"), paused(0, "N3"), *goes(1, "N3"), *goes(2, "N2"))
    assert found(*both, of=of) == expected
    back = (paused(0, "N2"), paused(0, "N3"), *goes(1, "N3"), *returns(2, "N3"), *goes(2, "N2"))
    assert found(*back, of=of) == [], "a paused node votes"
    lost = (at(0, "node_isolated", node="N4", by="fault"), paused(0, "N2"), *goes(2, "N2"))
    assert found(*lost, of=of) == expected, "one that is isolated does not"


def test_i6_a_node_with_a_vote_stays() -> None:
    nodes = [node("N1", votes=1), node("N2", votes=1), node("N3", votes=0), node("N4", votes=1, state="down")]
    of = small(nodes=nodes, vms=[])
    others = (paused(0, "N1"), owned(0, "N1", "N3"), paused(0, "N2"), *goes(1, "N2"))
    assert found(*others, of=of) == []
    assert found(*others, *goes(2, "N1"), of=of) == [(2, "I6", "N1")]


def test_i6_the_cluster_does_not_lose_quorum_as_we_reboot() -> None:
    lost = at(5, "quorum_lost", votes=1, of=3)
    assert found(*FIRST, *goes(5, "N1"), lost) == [(5, "I6", "N1")]
    assert found(*FIRST, *goes(5, "N1"), {**lost, "t_s": 9}) == []
    crash = at(5, "node_down", node="N4", by="fault")
    assert found(*FIRST, *goes(5, "N1"), crash, lost) == []


# ---------------------------------------------------------------- until it is back


def test_i5_no_more_nodes_are_away_at_once_than_may_be() -> None:
    early = (*FIRST, paused(5, "N2"), *goes(5, "N1"), *goes(9, "N2"))
    assert found(*early, at_once=1) == [(9, "I5", "N2")]
    assert found(*early, at_once=2) == []
    assert found(*early) == []
    assert found(*early, at_once=1, kept_paused=["N1"]) == [], "what was given up is not waited for"
    crash = at(5, "node_down", node="N3", by="fault")
    assert found(*FIRST[:-1], crash, owned(5, "N1", "N4"), *goes(5, "N1"), at_once=1) == [], "that was not our doing"


def test_i5_a_node_may_be_tried_once_more_while_it_is_the_one_that_is_away() -> None:
    again = (*FIRST, *goes(5, "N1"), *returns(65, "N1"), *goes(66, "N1"), *returns(126, "N1"), resumed(127, "N1"))
    assert found(*again, at_once=1, rolled=["N1"]) == []


def test_i5_a_node_is_back_when_it_takes_vms_again() -> None:
    until_up = (*FIRST, paused(5, "N2"), *goes(5, "N1"), *returns(65, "N1"))
    assert found(*until_up, *goes(70, "N2"), at_once=1) == [(70, "I5", "N2")]
    assert found(*until_up, *goes(65, "N2"), at_once=1) == [(65, "I5", "N2")]
    assert found(*until_up, resumed(66, "N1"), *goes(66, "N2"), at_once=1) == []
    unpaused = (*until_up[:-2], *returns(65, "N1", still_paused_by=None))
    assert found(*unpaused, *goes(65, "N2"), at_once=1) == []
    again = (*unpaused, paused(70, "N1"), *goes(75, "N2"))
    assert found(*again, at_once=1) == [], "it was back before it was paused once more"
    crash = at(66, "node_down", node="N1", by="fault"), at(67, "node_up", node="N1", by="fault")
    assert found(*until_up, crash[0], *goes(67, "N2"), at_once=1) == [(67, "I5", "N2")]
    assert found(*until_up, *crash, *goes(68, "N2"), at_once=1) == []
    isolated = at(65, "node_isolated", node="N1", by="fault")
    assert found(*until_up[:-2], isolated, *goes(70, "N2"), at_once=1) == [(70, "I5", "N2")]


def test_i5_of_a_node_that_somebody_else_paused_nobody_waits_for_the_resume() -> None:
    of = small(nodes=[node("N1", state="paused", paused_by="elsewhere"), node("N2"), node("N3"), node("N4")])
    run = (*FIRST, paused(5, "N2"), *goes(5, "N1"), *returns(65, "N1", still_paused_by="elsewhere"), *goes(66, "N2"))
    assert found(*run, of=of, at_once=1) == []


def test_i2_what_runs_on_a_rebooted_node_is_lost() -> None:
    again = at(40, "vm_started", vm="web", node="N2", by="cluster", memory_mib=4096)
    rebooted = at(5, "node_rebooted", node="N1", by="elsewhere")
    assert found(rebooted, again) == []
    assert found(again) == [(40, "I2", "web")]


def test_isolated_nodes_run_their_vms_and_take_no_others() -> None:
    isolated = at(1, "node_isolated", node="N1", by="fault")
    again = at(40, "vm_started", vm="web", node="N2", by="cluster", memory_mib=4096)
    assert found(isolated, again) == [(40, "I2", "web")]
    assert found(isolated, *moved(2, "app", "N4", "N1")) == [(2, "R01", "app")]
    back = at(3, "node_up", node="N1", by="fault")
    assert found(isolated, back, *moved(4, "app", "N4", "N1")) == []
    assert found(isolated, back, *moved(4, "web", "N1", "N2")) == []


# ---------------------------------------------------------------- whose pause it is


def test_i8_a_pause_of_ours_outlasts_the_reboot_and_is_ours_to_end() -> None:
    assert found(*FIRST, *goes(5, "N1"), *returns(65, "N1"), resumed(66, "N1")) == []
    assert found(*FIRST, *goes(5, "N1"), *returns(65, "N1", still_paused_by=None), resumed(66, "N1")) == [
        (66, "I8", "N1")
    ]


def test_i8_a_pause_of_somebody_else_does_not_become_ours_by_a_reboot() -> None:
    theirs = (paused(0, "N2", by="elsewhere"), *goes(5, "N2"), *returns(65, "N2"))
    assert found(*theirs, resumed(66, "N2")) == [(66, "I8", "N2")]
    anew = (*returns(65, "N2", still_paused_by=None), paused(66, "N2"), resumed(67, "N2"))
    assert found(*theirs[:3], *anew) == [], "a pause of later is whose it is"


@pytest.mark.parametrize("away", ["node_isolated", "node_down"])
def test_i8_a_pause_outlasts_a_loss(away: str) -> None:
    lost = at(5, away, node="N2", by="fault")
    back = at(9, "node_up", node="N2", by="fault")
    assert found(paused(0, "N2"), lost, back, paused(9, "N2"), resumed(10, "N2")) == []
    assert found(paused(0, "N2", by="elsewhere"), lost, back, paused(9, "N2"), resumed(10, "N2")) == [(10, "I8", "N2")]


# ---------------------------------------------------------------- at the end


def test_i5_what_is_said_to_be_done_was_rebooted_and_came_back() -> None:
    assert found(*SOUND, rolled=["N1", "N2", "N3"]) == [(126, "I5", "N3")]
    assert found(*FIRST, *goes(5, "N1"), rolled=["N1"]) == [(5, "I5", "N1")]
    again = (*SOUND, paused(200, "N1"), *goes(201, "N1"))
    assert found(*again, rolled=DONE) == [(201, "I5", "N1")]
    crash = at(200, "node_down", node="N1", by="fault")
    assert found(*SOUND, crash, rolled=DONE) == [], "what became of it later is not our doing"
    others = [{**line, "by": "elsewhere"} if line["what"] == "node_rebooted" else line for line in SOUND]
    assert found(*others, rolled=DONE) == [(126, "I5", "N1"), (126, "I5", "N2")]


def test_i8_a_rolling_run_leaves_nothing_paused_but_what_it_gave_up() -> None:
    left = SOUND[:-1]
    assert found(*left, rolled=DONE) == [(126, "I8", "N2")]
    assert found(*left, rolled=()) == [(126, "I8", "N2")], "though none is said to be done"
    assert found(*left) == [], "of an evacuation that is the purpose"
    assert found(*left, rolled=["N1"], kept_paused=["N2"]) == []
    assert found(*SOUND, paused(200, "N3", by="elsewhere"), rolled=DONE) == []
    assert found(*SOUND, paused(200, "N1", by="elsewhere"), rolled=DONE) == [], "the pause that was ours is over"


@pytest.mark.parametrize("whom", ["us", "elsewhere"])
def test_i8_what_was_paused_before_the_run_may_stay_so(whom: str) -> None:
    of = small(nodes=[node("N1", state="paused", paused_by=whom), *(node(n) for n in ("N2", "N3", "N4"))])
    run = (*FIRST[1:], *goes(5, "N1"), *returns(65, "N1", still_paused_by=whom))
    assert found(*run, of=of, rolled=["N1"]) == []
    ours = (resumed(66, "N1"), paused(67, "N1"))
    expected = [(67, "I8", "N1")] if whom == "us" else [(66, "I8", "N1"), (67, "I8", "N1")]
    assert found(*run, *ours, of=of, rolled=["N1"]) == expected


def test_what_is_said_of_a_node_that_is_not_there_is_found() -> None:
    assert found(rolled=["N9"]) == [(0, "log", "N9")]


@pytest.mark.parametrize("what", ["node_rebooted", "node_down", "node_up", "node_isolated"])
def test_an_event_of_a_node_without_its_name_is_named_by_its_line(what: str) -> None:
    assert found(at(1, what, by="us")) == [(1, "log", "line 2")]
