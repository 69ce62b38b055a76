"""Volumes that a backup leaves in redirected I/O (R18), and other ways in which a volume serves, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, vm
from virtual import Night, Notes, evacuated, in_virtual_time, maintained

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.holds import OwnHolds
from shunter.engine.move_one import move_one
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan

REFUSED = {"when": {"volume": "CSV1"}, "do": "direct_io_refused", "lasting": True}
ABORTED = [
    {"at_s": 2, "do": "backup_starts", "volume": "CSV1"},
    {"at_s": 4, "do": "backup_ends", "volume": "CSV1", "outcome": "aborted"},
]


def old(vms: list[dict[str, Any]], **volume: Any) -> Cluster:
    return cluster(3, vms, volumes=[{"name": "CSV1", "owner": "N2", **volume}], windows_version="2008R2")


def starts(night: Night) -> list[float]:
    return [float(line["t_s"]) for line in night.happened("migration_started")]


def r18(night: Night) -> list[tuple[str, str]]:
    return [(finding.severity, finding.message) for finding in night.report.findings if finding.rule == "R18"]


def test_migrations_pause_until_direct_io_is_restored_and_go_on() -> None:
    night = evacuated(old([vm("a", memory_mib=8192), vm("b", memory_mib=8192)]), faults=ABORTED)
    assert [line["state"] for line in night.happened("volume_state_changed", by="us")] == ["online"]
    assert night.notes.of("volume CSV1") == ["redirected_backup", "redirected_stuck", "restoring", "online"]
    assert night.report.ok
    assert r18(night) == [
        ("warning", "a backup left CSV1 in redirected I/O; migrations paused until this run restored direct I/O")
    ]


def test_a_volume_that_was_left_redirected_before_the_run_is_restored_before_anything_moves() -> None:
    night = evacuated(old([vm("a")], state="redirected_stuck"))
    whats = [line["what"] for line in night.log]
    assert whats.index("volume_state_changed") < whats.index("node_paused") < whats.index("migration_started")
    assert night.report.ok
    assert [severity for severity, _ in r18(night)] == ["warning"]


def test_where_that_is_refused_the_run_touches_nothing_and_says_what_to_do() -> None:
    night = evacuated(old([vm("a")], state="redirected_stuck"), faults=[REFUSED])
    assert not night.report.executed
    (error,) = night.report.errors
    assert (error.rule, error.subject) == ("R18", "volume CSV1")
    assert "was asked to restore direct I/O and refused: CSV1 stays in redirected I/O" in error.message
    assert error.remedy.startswith("Resume-ClusterResource -VolumeName CSV1; if that does not help, change its owner")
    assert night.happened("node_paused") == night.happened("migration_started") == []


def test_where_more_stands_against_the_run_not_even_direct_io_is_restored() -> None:
    of = cluster(
        [{"name": n, "memory_mib": 65536, "architecture": a} for n, a in (("N1", "x64"), ("N2", "ia64"))],
        [vm("a")],
        volumes=[{"name": "CSV1", "state": "redirected_stuck"}],
        windows_version="2008R2",
    )
    night = evacuated(of)
    assert {finding.rule for finding in night.report.errors} >= {"R02", "R18"}
    assert night.happened("volume_state_changed") == []


def test_while_the_cluster_refuses_nothing_starts_until_somebody_restores_it_by_hand() -> None:
    by_hand = {"at_s": 700, "do": "volume_state", "volume": "CSV1", "state": "online"}
    vms = [vm("a", memory_mib=8192), vm("b", memory_mib=8192)]
    night = evacuated(old(vms), faults=[*ABORTED, REFUSED, by_hand])
    assert [start_s >= 700 for start_s in starts(night)] == [False, True]
    reasons = {wait.reason for waits in night.notes.waits for wait in waits}
    assert any("Resume-ClusterResource -VolumeName CSV1, or Move-ClusterSharedVolume" in reason for reason in reasons)
    assert night.report.ok


def test_a_volume_that_nobody_restores_ends_the_run_and_the_report_names_what_to_do() -> None:
    vms = [vm("a", memory_mib=8192), vm("b", memory_mib=8192)]
    night = evacuated(old(vms), faults=[*ABORTED, REFUSED])
    assert len(starts(night)) == 1
    assert [severity for severity, _ in r18(night)] == ["error"]
    (stays,) = night.report.unplaced
    assert all("CSV1 is left in redirected I/O by a backup (R18)" in verdict.reason for verdict in stays.verdicts)
    assert night.notes.steps[-1].at_s < 2 * 1800


@pytest.mark.parametrize("moved", [True, False])
def test_a_lost_answer_about_direct_io_leads_to_a_look_and_to_another_order_if_need_be(moved: bool) -> None:
    lost = {"when": {"volume": "CSV1"}, "do": "answer_lost", "moved": moved}
    night = evacuated(old([vm("a")], state="redirected_stuck"), faults=[lost])
    if moved:
        assert night.report.ok
        return
    assert [finding.rule for finding in night.report.errors] == ["R18"]
    assert evacuated(old([vm("a")], state="redirected_stuck")).report.ok


def test_one_vm_moves_once_direct_io_is_restored() -> None:
    async def moved() -> Plan:
        world = SimulatedCluster(old([vm("a")], state="redirected_stuck"), clock=Clock())
        return await move_one(world, "a", "N2", holds=OwnHolds(), audience=Notes())

    report = in_virtual_time(moved)
    assert report.ok
    assert [finding.severity for finding in report.findings if finding.rule == "R18"] == ["warning"]


def test_a_rolling_run_restores_direct_io_and_goes_on() -> None:
    night = maintained(old([vm("a"), vm("b", "N2")]), faults=ABORTED)
    assert [line["state"] for line in night.happened("volume_state_changed", by="us")] == ["online"]
    assert {turn.node: turn.outcome for turn in night.report.maintenance} == {"N1": "done", "N2": "done", "N3": "done"}


def test_a_rolling_run_restores_direct_io_before_it_begins() -> None:
    night = maintained(old([vm("a")], state="redirected_stuck"))
    assert night.report.ok
    whats = [line["what"] for line in night.log]
    assert whats.index("volume_state_changed") < whats.index("migration_started")


@pytest.mark.parametrize("state", ["redirected_by_design", "redirected_by_user", "redirected_no_path", "maintenance"])
def test_other_redirection_is_no_fault_and_its_owner_moves(state: str) -> None:
    of = cluster(3, [vm("a", volumes=["CSV1"])], volumes=[{"name": "CSV1", "owner": "N1", "state": state}])
    night = evacuated(of)
    assert night.report.ok
    assert night.notes.of("volume CSV1") == ["changing_owner", state]
    assert night.after.volume_by_name["CSV1"].state == state


def test_r08_a_node_that_loses_its_path_to_a_volume_takes_no_vm_on_it_from_then_on() -> None:
    vms = [vm(f"vm-{i}", memory_mib=8192, volumes=["CSV1"]) for i in range(6)]
    of = cluster(4, vms, volumes=[{"name": "CSV1", "owner": "N2"}])
    night = evacuated(of, faults=[{"at_s": 15, "do": "volume_path_lost", "volume": "CSV1", "node": "N3"}])
    late = {line["target"] for line in night.happened("migration_started") if line["t_s"] > 15}
    early = {line["target"] for line in night.happened("migration_started") if line["t_s"] < 15}
    assert "N3" in early
    assert late == {"N2", "N4"}
    assert night.report.ok
    (finding,) = [finding for finding in night.report.findings if finding.rule == "R08"]
    assert finding.message == (
        "N3 has no direct path to CSV1: I/O goes over the network, through N2, and no VM on CSV1 is moved there"
    )


def test_i5_a_node_waits_for_a_storage_job_that_starts_and_ends_during_the_run() -> None:
    of = cluster(3, [vm("a"), vm("b", "N2"), vm("c", "N3")], volumes=[{"name": "CSV1", "owner": "N2"}])
    job = {"at_s": 1, "do": "storage_job_starts", "volume": "CSV1", "duration_s": 1200}
    night = maintained(of, faults=[job])
    ended_s = [line["t_s"] for line in night.happened("storage_job_ended")]
    assert min(line["t_s"] for line in night.happened("node_rebooted")) >= ended_s[0]
    assert {turn.outcome for turn in night.report.maintenance} == {"done"}


def test_a_run_that_has_done_all_and_leaves_a_volume_redirected_is_not_ok() -> None:
    """The last backup goes wrong while the last node is away."""
    aborted = [
        {"at_s": 100, "do": "backup_starts", "volume": "CSV1"},
        {"at_s": 110, "do": "backup_ends", "volume": "CSV1", "outcome": "aborted"},
    ]
    night = maintained(old([vm("a", "N3")]), ["N1"], faults=[*aborted, REFUSED])
    assert {turn.node: turn.outcome for turn in night.report.maintenance} == {"N1": "done"}
    assert (night.report.ok, [severity for severity, _ in r18(night)]) == (False, ["error"])
