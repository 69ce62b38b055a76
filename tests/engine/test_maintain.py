"""Rolling maintenance by the real engine on a simulated cluster, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from virtual import Night, maintained

from shunter.engine.maintain import Budget
from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log


def small(**fields: Any) -> Cluster:
    """Three nodes, two VMs on each."""
    return cluster(3, [vm(f"vm-{i}", f"N{i % 3 + 1}", memory_mib=8192) for i in range(6)], **fields)


def outcomes(night: Night) -> dict[str, str | None]:
    return {turn.node: turn.outcome for turn in night.report.maintenance}


def untouched(night: Night) -> dict[str, str]:
    return {stays.node: stays.reason for stays in night.report.untouched}


def times(night: Night, what: str, **fields: Any) -> list[float]:
    return [line["t_s"] for line in night.happened(what, **fields)]


def test_r16_a_node_is_paused_left_maintained_proven_to_be_back_and_takes_vms_again() -> None:
    night = maintained(small(), ["N1"])
    assert night.report.ok
    assert outcomes(night) == {"N1": "done"}
    assert night.notes.of("node N1") == [
        "pausing",
        "paused",
        "draining",
        "drained",
        "in_maintenance",
        "rejoining",
        "paused",
        "resuming",
        "up",
    ]
    assert len(night.happened("node_rebooted", node="N1", by="us")) == 1
    assert night.after.node_by_name["N1"].state == "up"


def test_every_node_has_its_turn_and_the_cluster_is_as_it_was_but_for_where_vms_run() -> None:
    night = maintained(small())
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    assert [each.state for each in night.after.nodes] == ["up"] * 3
    assert all(each.state == "running" for each in night.after.vms)
    assert check_log(night.log, rolled=["N1", "N2", "N3"], at_once=1) == ()


def test_without_noise_the_run_takes_as_long_as_was_forecast() -> None:
    night = maintained(cluster(6, [vm(f"vm-{i}", f"N{i % 6 + 1}", 4000 + 999 * (i % 5)) for i in range(24)]))
    assert night.notes.plan is not None
    assert night.report.makespan_s == pytest.approx(night.notes.plan.makespan_s, rel=0.01)


def test_i5_a_node_is_rebooted_only_when_nothing_runs_on_it_and_no_volume_is_owned_by_it() -> None:
    of = small(volumes=[{"name": "CSV1", "owner": "N1"}, {"name": "CSV2", "owner": "N2"}])
    night = maintained(of)
    assert times(night, "vm_crashed") == []
    assert check_log(night.log, rolled=["N1", "N2", "N3"]) == ()
    for line in night.happened("node_rebooted"):
        given = [each for each in night.happened("volume_owner_changed") if each["t_s"] <= line["t_s"]]
        owners = {"CSV1": "N1", "CSV2": "N2"} | {each["volume"]: each["target"] for each in given}
        assert line["node"] not in owners.values()


def test_i5_the_next_node_goes_only_once_the_one_before_is_proven_to_be_back() -> None:
    night = maintained(small(), parallel=1, reserve_nodes=0)
    gone, back = times(night, "node_rebooted"), times(night, "node_resumed")
    assert len(gone) == len(back) == 3
    assert all(resumed_s <= next_s for resumed_s, next_s in zip(back, gone[1:], strict=False))


def test_i5_a_node_whose_volumes_are_not_online_is_not_proven_to_be_back() -> None:
    of = small(volumes=[{"name": "CSV1", "owner": "N2"}])
    offline = {"do": "volume_state", "volume": "CSV1", "state": "offline", "at_s": 300}
    online = {"do": "volume_state", "volume": "CSV1", "state": "online", "at_s": 1000}
    night = maintained(of, ["N1"], faults=[offline, online])
    assert times(night, "node_resumed", node="N1") == [1000]
    assert outcomes(night) == {"N1": "done"}


def test_a_node_whose_partner_is_lost_before_its_turn_stays_and_is_named_with_it() -> None:
    of = cluster(5, [vm(f"vm-{i}", f"N{i}") for i in range(1, 6)])
    faults = [{"at_s": 1, "do": "node_down", "node": "N1"}]
    night = maintained(of, ("N2", "N3"), apart=(("N1", "N2"),), parallel=1, order=("N3",), faults=faults)
    assert outcomes(night) == {"N3": "done"}
    assert untouched(night) == {
        "N2": "N2 is empty and could not leave: it must not be away together with N1, lost during the run"
    }


def test_i6_no_node_goes_whose_vote_the_majority_needs() -> None:
    of = cluster(3, windows_version="2008R2", witness=False)
    night = maintained(of, parallel=3, reserve_nodes=0)
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    assert night.happened("quorum_lost") == []
    assert check_log(night.log, rolled=["N1", "N2", "N3"], at_once=1) == ()


def test_i6_no_vm_moves_for_a_node_that_cannot_leave_while_another_is_lost() -> None:
    of = cluster(3, [vm(f"vm-{i}", f"N{3 - i % 3}", 8192) for i in range(5)], windows_version="2008R2", witness=True)
    night = maintained(of, faults=[{"do": "node_down", "node": "N1", "at_s": 8}])
    assert [s for s in times(night, "migration_started") if s > 8] == []
    assert untouched(night) == {
        "N1": "N1 is down: nothing can be moved from it until it is back",
        "N2": "N2 could not be emptied: without it the cluster would have no majority of votes (I6)",
        "N3": "N3 could not be emptied: without it the cluster would have no majority of votes (I6)",
    }
    remedy = "bring N1 back (shunter resume N1), then run it again: it goes on from where the cluster stands"
    assert {stays.remedy for stays in night.report.untouched} == {remedy}


def test_i6_once_quorum_is_lost_nothing_more_is_begun_and_the_report_says_so() -> None:
    of = cluster(3, [vm("web", "N3")], windows_version="2008R2", witness=False)
    night = maintained(of, faults=[{"do": "node_down", "node": "N3", "at_s": 300}])
    assert len(night.happened("quorum_lost")) == 1
    lost_s = times(night, "quorum_lost")[0]
    assert [s for s in times(night, "node_rebooted") if s > lost_s] == []
    assert not night.report.ok
    assert set(outcomes(night)) | set(untouched(night)) == {"N1", "N2", "N3"}


def test_i8_the_pause_of_somebody_else_outlasts_the_maintenance() -> None:
    of = cluster([node("N1", state="paused", paused_by="elsewhere"), node("N2"), node("N3")], [vm("web", "N2")])
    night = maintained(of, ["N1"])
    assert outcomes(night) == {"N1": "done"}
    assert night.happened("node_resumed") == []
    assert (night.after.node_by_name["N1"].state, night.after.node_by_name["N1"].paused_by) == ("paused", "elsewhere")


def test_i8_a_node_that_an_earlier_run_of_ours_left_paused_takes_vms_again_after_its_maintenance() -> None:
    of = cluster([node("N1", state="paused", paused_by="us"), node("N2"), node("N3")], [vm("web", "N2")])
    night = maintained(of, ["N1"])
    assert outcomes(night) == {"N1": "done"}
    assert night.after.node_by_name["N1"].state == "up"


def test_r17_a_vm_stays_until_its_backup_is_over_and_then_its_node_has_its_turn() -> None:
    faults = [
        {"do": "backup_starts", "vm": "vm-3", "at_s": 0},
        {"do": "backup_ends", "vm": "vm-3", "outcome": "done", "at_s": 1200},
    ]
    night = maintained(small(), ["N1"], faults=faults)
    assert times(night, "migration_started", vm="vm-3") == [1200]
    assert outcomes(night) == {"N1": "done"}


def test_r17_a_backup_that_does_not_end_keeps_its_node_from_its_turn_and_is_named() -> None:
    night = maintained(small(), order=("N1",), faults=[{"do": "backup_starts", "vm": "vm-3", "at_s": 0}])
    assert outcomes(night) == {"N2": "done", "N3": "done"}
    said = "N1 could not be emptied: the backup of vm-3 is not over (R17), after more than 3600 s"
    assert untouched(night) == {"N1": said}
    assert {stays.vm for stays in night.report.unplaced} == {"vm-3"}


def test_r18_while_a_backup_has_left_a_volume_redirected_no_node_leaves() -> None:
    of = small(windows_version="2008R2", volumes=[{"name": "CSV1", "owner": "N2"}])
    faults = [
        {"do": "direct_io_refused", "when": {"volume": "CSV1"}},
        {"do": "backup_starts", "volume": "CSV1", "at_s": 0},
        {"do": "backup_ends", "volume": "CSV1", "outcome": "failed", "at_s": 1},
        {"do": "volume_state", "volume": "CSV1", "state": "online", "at_s": 200},
    ]
    night = maintained(of, faults=faults)
    assert min(times(night, "node_rebooted")) >= 200
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    said = {waiting.reason for waits in night.notes.waits for waiting in waits}
    assert any(reason.startswith("begins nothing: CSV1 is left in redirected I/O by a backup (R18)") for reason in said)


def test_i5_while_storage_is_being_rebuilt_no_node_leaves() -> None:
    of = small(volumes=[{"name": "CSV1"}], storage_jobs=[{"name": "repair", "volume": "CSV1", "percent": 40}])
    night = maintained(of)
    assert night.happened("node_rebooted") == []
    assert set(untouched(night)) == {"N1", "N2", "N3"}
    assert all("storage is being rebuilt (repair)" in reason for reason in untouched(night).values())
    assert [each.state for each in night.after.nodes] == ["up"] * 3


def test_a_vm_that_is_started_meanwhile_is_moved_away_before_its_node_goes() -> None:
    of = cluster(3, [vm("web", "N1", memory_mib=32768), vm("idle", "N2", state="off"), vm("db", "N3")])
    night = maintained(of, faults=[{"do": "vm_started", "vm": "idle", "at_s": 30}])
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    assert night.happened("vm_crashed") == []
    assert check_log(night.log, rolled=["N1", "N2", "N3"]) == ()


def test_what_the_clusters_own_balancer_brings_to_a_node_is_moved_away_before_it_goes() -> None:
    night = maintained(small(), balances=True, reserve_nodes=0)
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    assert check_log(night.log, rolled=["N1", "N2", "N3"]) == ()


# -------------------------------------------------------------- reboots that go wrong


@pytest.mark.parametrize("moved", [True, False])
def test_a_node_whose_answer_to_the_order_was_lost_is_looked_at_and_told_again_if_need_be(moved: bool) -> None:
    # the second answer about N1 is that to its reboot, the first that to its pause
    lost = [{"do": "answer_lost", "when": {"node": "N1"}, "moved": each} for each in (True, moved)]
    night = maintained(small(), ["N1"], faults=lost)
    assert outcomes(night) == {"N1": "done"}
    assert times(night, "node_rebooted") == [pytest.approx(times(night, "node_paused")[0] + (0 if moved else 60))]


def test_i5_a_node_that_owns_a_volume_by_now_is_not_told_again() -> None:
    """Its first order was lost, and N2, which owned the volume, is lost within the minute in which it is waited for."""
    lost = [{"do": "answer_lost", "when": {"node": "N1"}, "moved": each} for each in (True, False)]
    of = cluster(3, volumes=[{"name": "CSV1", "owner": "N2", "reachable_from": ["N1", "N2"]}])
    night = maintained(of, ["N1"], faults=[*lost, {"do": "node_down", "node": "N2", "at_s": 30}])
    assert night.happened("node_rebooted") == []
    (turn,) = night.report.maintenance
    assert turn.reason == ("N1 did not take the order to restart up, and must not be told again: N1 still owns CSV1")
    assert check_log(night.log) == ()


def test_a_node_that_does_not_come_back_is_named_and_no_other_is_begun() -> None:
    night = maintained(small(), faults=[{"do": "reboot_fails", "when": {"node": "N1"}}], order=("N1",))
    assert outcomes(night) == {"N1": "failed"}
    assert set(untouched(night)) == {"N2", "N3"}
    assert all("N1 failed, and no more nodes may fail" in reason for reason in untouched(night).values())
    (finding,) = [each for each in night.report.findings if each.severity == "error"]
    assert finding.subject == "node N1"
    assert "Resume-ClusterNode N1" in finding.remedy
    assert [each.state for each in night.after.nodes] == ["down", "up", "up"]


def test_where_one_node_may_fail_the_others_go_on() -> None:
    of = cluster(4, [vm(f"vm-{i}", f"N{i % 4 + 1}") for i in range(8)])
    fails = [{"do": "reboot_fails", "when": {"node": "N1"}}]
    night = maintained(of, faults=fails, order=("N1",), budget=Budget(failed_nodes=1))
    assert outcomes(night) == {"N1": "failed", "N2": "done", "N3": "done", "N4": "done"}
    assert not night.report.ok


def test_a_node_that_comes_back_isolated_is_not_back() -> None:
    night = maintained(small(), faults=[{"do": "reboot_isolated", "when": {"node": "N1"}}], order=("N1",))
    assert outcomes(night) == {"N1": "failed"}
    assert night.happened("node_resumed") == []


def test_a_node_that_is_slow_has_three_times_its_time() -> None:
    slow = {"do": "reboot_slow", "when": {"node": "N1"}, "factor": 2.5}
    assert outcomes(maintained(small(), ["N1"], faults=[slow])) == {"N1": "done"}
    late = {"do": "reboot_slow", "when": {"node": "N1"}, "factor": 3.5}
    assert outcomes(maintained(small(), ["N1"], faults=[late])) == {"N1": "failed"}


# -------------------------------------------------------------- limits


def test_no_node_is_begun_that_would_not_be_back_within_the_window() -> None:
    of = small()
    night = maintained(of, window_s=1500, parallel=1)
    done = [node for node, outcome in outcomes(night).items() if outcome == "done"]
    assert len(done) == 2
    assert max(turn.end_s for turn in night.report.maintenance) <= 1500
    (reason,) = untouched(night).values()
    assert "window of 1500 s" in reason


def test_people_are_told_once_when_a_run_goes_on_for_longer_than_they_wanted_to_know_of() -> None:
    night = maintained(small(), parallel=1, budget=Budget(warn_after_s=900))
    ((finding, at_s),) = night.notes.warnings
    assert at_s == pytest.approx(900.0)
    assert "goes on after 900 s" in finding.message
    assert "still to come" in finding.message
    assert finding in night.report.findings
    assert night.report.ok
    assert maintained(small(), parallel=1, budget=Budget(warn_after_s=90_000)).notes.warnings == []


def test_no_node_is_begun_after_the_time_that_the_budget_gives() -> None:
    night = maintained(small(), parallel=1, budget=Budget(stop_after_s=1500))
    assert len(outcomes(night)) == 2
    (reason,) = untouched(night).values()
    assert reason.endswith("would not be back within the window of 1500 s")


def test_a_run_that_is_taken_up_late_is_planned_for_what_is_left_of_its_window() -> None:
    night = maintained(small(), window_s=2100, parallel=1, counts_from_s=-600.0)
    assert [node for node, outcome in outcomes(night).items() if outcome == "done"] == [*outcomes(night)]
    assert len(outcomes(night)) == 2
    assert max(turn.end_s for turn in night.report.maintenance) <= 1500
    (said,) = (found for found in night.report.findings if found.subject == "what is left of the maintenance window")
    assert (said.severity, said.message) == (
        "info",
        "1500 of 2100 s, because the run is taken up after it was due",
    )
    (reason,) = untouched(night).values()
    assert reason == "N3 would not be back before the window of 1500 s ends"


def test_a_run_is_refused_where_no_node_could_be_emptied_and_back_in_what_is_left_of_its_window() -> None:
    """There is time for the maintenance of one node, and not for the moves before it."""
    night = maintained(small(), window_s=1205, counts_from_s=-600.0)
    assert not night.report.executed
    assert not night.report.ok
    (error,) = night.report.errors
    assert error.message == "605 of 1205 s; no node would be back in time"
    assert night.happened("node_paused") == []
    assert maintained(small(), window_s=605).report.errors == (), "a window that is too short is not lateness"


def test_what_a_run_may_take_counts_from_when_it_was_due() -> None:
    night = maintained(small(), parallel=1, budget=Budget(stop_after_s=2100), counts_from_s=-600.0)
    assert len(outcomes(night)) == 2
    night = maintained(small(), parallel=1, budget=Budget(warn_after_s=900), counts_from_s=-600.0)
    ((_, at_s),) = night.notes.warnings
    assert at_s == pytest.approx(300.0)


def test_what_begins_next_is_decided_when_a_migration_ends_and_not_at_each_of_its_steps() -> None:
    night = maintained(cluster(4, [vm(f"vm-{i}", f"N{i % 4 + 1}", memory_mib=4096) for i in range(40)]))
    assert night.report.ok
    assert len(night.notes.waits) < 3 * len(night.report.moves)
