"""Backups under way while a run goes on (R17), in virtual time: held, moved after a while, or moved at once."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, vm
from virtual import Night, Notes, evacuated, in_virtual_time, maintained

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster, read_faults
from shunter.engine.holds import OwnHolds
from shunter.engine.move_one import move_one
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions
from shunter.topology.recheck import check_log, check_plan, check_report

PROCEED = Precautions(backups="proceed")
ENDS_AT_300 = {"at_s": 300, "do": "backup_ends", "vm": "db", "outcome": "done"}


def started(night: Night, vm: str) -> float:
    (line,) = night.happened("migration_started", vm=vm)
    return float(line["t_s"])


def said(night: Night, rule: str) -> dict[str, str]:
    """Subject → severity and message."""
    return {f.subject: f"{f.severity}: {f.message}" for f in night.report.findings if f.rule == rule}


def rechecked(night: Night, of: Cluster, *nodes: str, may_degrade: bool = False) -> None:
    assert night.notes.plan is not None
    assert check_plan(of, night.notes.plan, nodes) == ()
    rolled = None if nodes else [turn.node for turn in night.report.maintenance]
    assert check_log(night.log, rolled=rolled, backups_may_degrade=may_degrade) == ()
    assert check_report(night.report, night.log, nodes, night.notes.began_s) == ()


# ------------------------------------------------------------------ evacuation


def test_a_vm_that_is_held_is_told_to_the_audience_with_the_end_of_its_patience() -> None:
    night = evacuated(cluster(3, [vm("db", backup=True)]), faults=[ENDS_AT_300])
    waits = {(wait.subject, wait.reason, wait.until_s) for waits in night.notes.waits for wait in waits}
    assert ("db", "held: a backup of db is under way (R17)", 3600.0) in waits
    assert said(night, "R17") == {"vm db": "info: db was held for 300 s while a backup was under way"}
    assert night.report.degraded_backups == ()


def test_after_the_limit_a_held_vm_is_left_where_it_is() -> None:
    of = cluster(3, [vm("web"), vm("db", backup=True)])
    night = evacuated(of, faults=[ENDS_AT_300], precautions=Precautions(backup_limit_s=120))
    assert [(stays.vm, {v.rule for v in stays.verdicts}) for stays in night.report.unplaced] == [("db", {"R17"})]
    assert night.notes.steps[-1].at_s == pytest.approx(120, abs=1)
    assert night.after.vm_by_name["db"].node == "N1"


def test_where_the_operator_says_so_a_held_vm_moves_after_the_limit_and_its_backup_is_named() -> None:
    of = cluster(3, [vm("web"), vm("db", backup=True)])
    held = Precautions(backups="hold_then_proceed", backup_limit_s=120)
    night = evacuated(of, faults=[ENDS_AT_300], precautions=held)
    assert started(night, "db") == pytest.approx(120, abs=1)
    assert night.report.ok
    assert night.report.degraded_backups == ("db",)
    rechecked(night, of, "N1", may_degrade=True)


def test_where_backups_are_not_waited_for_the_plan_warns_and_the_report_says_what_to_back_up_again() -> None:
    of = cluster(3, [vm("web"), vm("db", backup=True)])
    night = evacuated(of, faults=[ENDS_AT_300], precautions=PROCEED)
    assert night.notes.plan is not None
    assert [(f.severity, f.subject) for f in night.notes.plan.findings if f.rule == "R17"] == [("warning", "vm db")]
    assert started(night, "db") < 60
    assert night.report.degraded_backups == ("db",)
    (finding,) = [finding for finding in night.report.findings if finding.rule == "R17"]
    assert (finding.severity, finding.remedy) == ("warning", "back db up again")
    rechecked(night, of, "N1", may_degrade=True)


def test_a_backup_that_is_over_before_its_vm_moves_is_not_degraded_whatever_the_plan_feared() -> None:
    of = cluster(3, [vm("first", memory_mib=32768), vm("db", backup=True)])
    night = evacuated(of, faults=[{**ENDS_AT_300, "at_s": 1}], precautions=PROCEED)
    assert started(night, "db") > 1
    assert night.report.degraded_backups == ()
    assert said(night, "R17") == {}


@pytest.mark.parametrize("ends", [[], [{"at_s": 5, "do": "backup_ends", "vm": "web", "outcome": "done"}]])
def test_a_backup_that_starts_in_the_middle_of_a_migration_is_seen(ends: list[dict[str, Any]]) -> None:
    of = cluster(3, [vm("web", memory_mib=32768)])
    night = evacuated(of, faults=[{"at_s": 3, "do": "backup_starts", "vm": "web"}, *ends])
    assert night.happened("migration_ended", vm="web")[0]["t_s"] > 5
    assert night.report.degraded_backups == ("web",)
    rechecked(night, of, "N1")


def test_a_backup_whose_vm_did_not_get_away_is_not_degraded() -> None:
    of = cluster(2, [vm("web", memory_mib=32768)])
    failing = [{"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.9} for _ in range(9)]
    night = evacuated(of, faults=[{"at_s": 3, "do": "backup_starts", "vm": "web"}, *failing])
    assert night.after.vm_by_name["web"].node == "N1"
    assert night.report.degraded_backups == ()


def test_a_vm_on_a_volume_that_its_backup_redirects_is_held_and_the_volume_keeps_its_owner() -> None:
    of = cluster(
        3,
        [vm("web"), vm("on-it", volumes=["CSV1"])],
        volumes=[{"name": "CSV1", "owner": "N1", "state": "redirected_backup", "backup": True}],
        windows_version="2008R2",
    )
    night = evacuated(of, faults=[{"at_s": 300, "do": "backup_ends", "volume": "CSV1", "outcome": "done"}])
    assert night.notes.plan is not None
    assert [(f.severity, f.subject, f.message) for f in night.notes.plan.findings if f.rule == "R17"] == [
        ("info", "volume CSV1", "a backup redirects the I/O of CSV1: the VMs on it are held until that is done")
    ]
    assert started(night, "web") < 1
    assert started(night, "on-it") == 300
    assert said(night, "R17") == {"vm on-it": "info: on-it was held for 300 s while a backup was under way"}
    assert [line["t_s"] > 300 for line in night.happened("volume_owner_changed")] == [True]
    assert night.report.ok


def test_a_volume_whose_backup_outlives_the_limit_stays_with_its_owner_and_is_named() -> None:
    volume = {"name": "CSV1", "owner": "N1", "state": "redirected_backup", "backup": True}
    night = evacuated(cluster(3, [vm("web")], volumes=[volume], windows_version="2008R2"))
    assert night.happened("volume_owner_changed") == []
    assert not night.report.ok
    assert said(night, "R17")["volume CSV1"].startswith("warning: CSV1 stays with N1: a backup that redirects")


# ------------------------------------------------------------------ one VM


def moved(of: Cluster, faults: str, precautions: Precautions | None = None) -> Plan:
    async def body() -> Plan:
        world = SimulatedCluster(of, clock=Clock(), faults=read_faults(faults, of))
        return await move_one(world, "db", "N2", precautions=precautions, holds=OwnHolds(), audience=Notes())

    return in_virtual_time(body)


def test_one_vm_that_is_to_move_waits_for_its_backup_too() -> None:
    of = cluster(3, [vm("db", backup=True)])
    ends = '[{"at_s": 300, "do": "backup_ends", "vm": "db", "outcome": "done"}]'
    report = moved(of, ends)
    assert [(move.start_s, move.outcome) for move in report.moves] == [(300, "done")]
    at_once = moved(of, ends, PROCEED)
    assert [(move.start_s, move.outcome) for move in at_once.moves] == [(0, "done")]
    assert (report.degraded_backups, at_once.degraded_backups) == ((), ("db",))


def test_one_vm_whose_backup_does_not_end_stays() -> None:
    report = moved(cluster(3, [vm("db", backup=True)]), "[]")
    assert (report.executed, report.ok, report.moves) == (True, False, ())
    (stays,) = report.unplaced
    assert [verdict.rule for verdict in stays.verdicts if verdict.target == "N2"] == ["R17"]


# ------------------------------------------------------------------ rolling runs

FLEET = [vm("db", "N1", backup=True), vm("web", "N1"), vm("mail", "N2"), vm("dc", "N3")]


def outcomes(night: Night) -> dict[str, str | None]:
    return {turn.node: turn.outcome for turn in night.report.maintenance}


def test_a_node_under_backup_when_the_plan_is_made_has_its_turn_once_the_backup_is_over() -> None:
    of = cluster(3, FLEET)
    night = maintained(of, faults=[{**ENDS_AT_300, "at_s": 2000}])
    assert night.notes.plan is not None
    assert [each.node for each in night.notes.plan.untouched] == ["N1"]
    assert outcomes(night) == {"N1": "done", "N2": "done", "N3": "done"}
    assert night.report.untouched == ()
    assert night.report.ok
    assert min(move.start_s for move in night.report.moves if move.vm == "db") >= 2000
    rechecked(night, of)


def test_a_node_whose_backup_outlives_the_limit_is_named_with_the_reason() -> None:
    night = maintained(cluster(3, FLEET))
    assert outcomes(night) == {"N2": "done", "N3": "done"}
    assert [(each.node, each.reason) for each in night.report.untouched] == [
        ("N1", "N1 could not be emptied: the backup of db is not over (R17), after more than 3600 s")
    ]
    assert [stays.vm for stays in night.report.unplaced] == ["db"]


def test_a_run_of_which_every_node_waits_for_a_backup_waits_and_then_goes() -> None:
    night = maintained(cluster(3, FLEET), ["N1"], faults=[ENDS_AT_300])
    assert outcomes(night) == {"N1": "done"}


def test_a_node_that_waits_for_a_backup_is_not_begun_past_the_window() -> None:
    night = maintained(cluster(3, FLEET), ["N1"], faults=[{**ENDS_AT_300, "at_s": 2000}], window_s=1500)
    assert night.happened("node_rebooted") == []
    assert [each.reason for each in night.report.untouched] == ["N1 would not be back within the window of 1500 s"]


def test_a_rolling_run_that_does_not_wait_plans_the_node_and_names_the_backup() -> None:
    of = cluster(3, FLEET)
    night = maintained(of, precautions=PROCEED)
    assert night.report.ok
    assert night.report.degraded_backups == ("db",)
    rechecked(night, of, may_degrade=True)


def test_a_node_that_owns_a_volume_redirected_by_its_backup_leaves_after_that() -> None:
    volume = {"name": "CSV1", "owner": "N1", "state": "redirected_backup", "backup": True}
    of = cluster(3, [vm("web", "N2")], volumes=[volume], windows_version="2008R2")
    night = maintained(of, ["N1"], faults=[{"at_s": 900, "do": "backup_ends", "volume": "CSV1", "outcome": "done"}])
    assert outcomes(night) == {"N1": "done"}
    assert [line["t_s"] >= 900 for line in night.happened("node_rebooted")] == [True]
