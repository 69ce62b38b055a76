"""A report agrees with the witness log move by move, or the recheck says where it does not."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, vm

from shunter.topology.plan import Finding, Move, Plan, RoleMove, Unplaced, Verdict, VolumeMove
from shunter.topology.recheck import check_report

Line = dict[str, Any]
OF = cluster(
    3,
    [vm("web"), vm("db"), vm("local", clustered=False), vm("old", state="off")],
    volumes=[{"name": "CSV1", "owner": "N1"}],
)


def at(t_s: float, what: str, **fields: Any) -> Line:
    return {"t_s": t_s, "what": what, **fields}


def migration(
    name: str, target: str, start_s: float, end_s: float, outcome: str = "done", *, by: str = "us"
) -> tuple[Line, Line]:
    ends = {"vm": name, "source": "N1", "target": target, "by": by}
    after = {"done": target, "source_lost": None}.get(outcome, "N1")
    return (
        at(start_s, "migration_started", **ends),
        at(end_s, "migration_ended", **ends, outcome=outcome, node=after),
    )


def log(*events: Line) -> list[Line]:
    return [at(0, "cluster", cluster=OF.model_dump(mode="json")), *events]


EVENTS = (
    at(10, "node_paused", node="N1", by="us"),
    *migration("web", "N2", 10, 15),
    *migration("db", "N2", 15, 17, "failed"),
    *migration("db", "N3", 17, 22),
    at(22, "role_moved", name="old", source="N1", target="N2"),
    at(22, "volume_owner_changed", volume="CSV1", source="N1", target="N3"),
)
REPORT = Plan(
    cluster="test",
    ok=False,
    executed=True,
    reserve_nodes=0,
    moves=(
        Move(vm="web", source="N1", target="N2", start_s=0, end_s=5, outcome="done"),
        Move(vm="db", source="N1", target="N2", start_s=5, end_s=7, outcome="failed"),
        Move(vm="db", source="N1", target="N3", start_s=7, end_s=12, outcome="done"),
    ),
    role_moves=(RoleMove(name="old", source="N1", target="N2", start_s=12),),
    volume_moves=(VolumeMove(volume="CSV1", source="N1", target="N3", start_s=12),),
    unplaced=(
        Unplaced(
            vm="local",
            node="N1",
            verdicts=tuple(
                Verdict(target=n, rule="R01", reason="not clustered", remedy="add it") for n in ("N2", "N3")
            ),
        ),
    ),
)


def found(report: Plan = REPORT, events: tuple[Line, ...] = EVENTS) -> list[str]:
    return [f"{v.subject}: {v.message}" for v in check_report(report, log(*events), ["N1"], started_at_s=10)]


def with_move(number: int, **fields: Any) -> Plan:
    moves = list(REPORT.moves)
    moves[number] = moves[number].model_copy(update=fields)
    return REPORT.model_copy(update={"moves": tuple(moves)})


def test_a_report_that_agrees_with_the_log_passes() -> None:
    assert found() == []


def test_a_migration_that_the_report_lacks_is_found() -> None:
    report = REPORT.model_copy(update={"moves": (REPORT.moves[0], REPORT.moves[2])})
    assert found(report) == ["db: the report lacks its migration N1 → N2 (failed)"]


def test_a_move_that_never_happened_is_found() -> None:
    invented = REPORT.moves[0].model_copy(update={"start_s": 6.0})
    report = REPORT.model_copy(update={"moves": (*REPORT.moves, invented)})
    assert found(report) == ["web: the report's move N1 → N2 (done) is not in the log"]


@pytest.mark.parametrize("off_s", [0.01, -0.01])
def test_times_are_those_of_the_log(off_s: float) -> None:
    assert found(with_move(0, end_s=5 + off_s)) == [f"web: the log ends it at 5 s, the report at {5 + off_s:g} s"]
    assert found(with_move(0, start_s=0 + off_s)) == [
        "web: the report's move N1 → N2 (done) is not in the log",
        "web: the report lacks its migration N1 → N2 (done)",
    ]


def test_outcomes_are_those_of_the_log() -> None:
    assert found(with_move(0, outcome="failed"))[0] == "web: the log says done, the report failed"
    assert found(with_move(1, outcome="cancelled")) == ["db: the log says failed, the report cancelled"]
    assert found(with_move(1, outcome="lost_sight")) == []


BACKUP = (at(12, "backup_started", vm="web"), at(15, "backup_ended", vm="web", outcome="done", degraded=True))


def with_backup(*places: int) -> tuple[Line, ...]:
    events = list(EVENTS)
    for place, event in reversed(list(zip(places, BACKUP, strict=True))):
        events.insert(place, event)
    return tuple(events)


def test_r17_a_degraded_backup_that_the_report_passes_over_is_found() -> None:
    meanwhile = with_backup(2, 3)
    said = "web: its backup was degraded when we moved it; the report does not say so"
    assert found(events=meanwhile) == [said]
    assert found(REPORT.model_copy(update={"degraded_backups": ("web",)}), meanwhile) == []


def test_r17_a_degraded_backup_that_never_was_is_found() -> None:
    invented = REPORT.model_copy(update={"degraded_backups": ("web",)})
    said = "web: the report calls its backup degraded; no backup of it met a move of ours"
    assert found(invented) == [said]


def test_r17_a_backup_of_a_vm_whose_migration_failed_is_not_degraded() -> None:
    begins = at(16, "backup_started", vm="db")
    ends = at(17, "backup_ended", vm="db", outcome="done")
    assert found(events=(*EVENTS[:4], begins, EVENTS[4], ends, *EVENTS[5:])) == []


def test_a_migration_that_is_still_under_way_has_no_outcome_but_lost_sight() -> None:
    events = EVENTS[:5] + EVENTS[5:6]
    report = REPORT.model_copy(update={"role_moves": (), "volume_moves": ()})
    staying = Unplaced(vm="db", node="N1", verdicts=REPORT.unplaced[0].verdicts)
    report = report.model_copy(update={"unplaced": (*report.unplaced, staying)})
    assert found(report, events) == ["db: it is under way still; the report calls it done"]
    moves = (*report.moves[:2], report.moves[2].model_copy(update={"outcome": "lost_sight"}))
    assert found(report.model_copy(update={"moves": moves}), events) == []


REFUSED = at(16, "migration_refused", vm="db", source="N1", target="N3", reason="full")


def test_a_refusal_of_ours_is_in_the_report() -> None:
    events = (*EVENTS[:3], REFUSED, *EVENTS[5:])
    told = Move(vm="db", source="N1", target="N3", start_s=6, end_s=6, outcome="refused")
    report = REPORT.model_copy(update={"moves": (REPORT.moves[0], told, REPORT.moves[2])})
    assert found(report, events) == []
    silent = REPORT.model_copy(update={"moves": (REPORT.moves[0], REPORT.moves[2])})
    assert found(silent, events) == ["db: the report lacks that N1 → N3 was refused"]
    assert "db: the log says N1 → N3 was refused, the report failed" in found(
        report.model_copy(
            update={"moves": (REPORT.moves[0], told.model_copy(update={"outcome": "failed"}), REPORT.moves[2])}
        ),
        events,
    )


def test_a_refusal_that_never_was_is_found() -> None:
    told = Move(vm="db", source="N1", target="N3", start_s=6, end_s=6, outcome="refused")
    report = REPORT.model_copy(update={"moves": (*REPORT.moves, told)})
    assert found(report) == ["db: the report's move N1 → N3 (refused) is not in the log"]


def test_a_node_that_is_busy_and_a_refusal_to_somebody_else_owe_no_entry() -> None:
    assert found(events=(*EVENTS[:4], {**REFUSED, "t_s": 16}, *EVENTS[4:])) == []
    fault = at(17, "fault_injected", do="migration_elsewhere", vm="db", target="N3")
    theirs = (*EVENTS[:5], fault, {**REFUSED, "t_s": 17}, *EVENTS[5:])
    assert found(events=theirs) == []


def test_an_order_whose_answer_was_lost_before_it_arrived_may_be_in_the_report() -> None:
    lost = Move(vm="db", source="N1", target="N2", start_s=5, end_s=7, outcome="failed")
    report = REPORT.model_copy(update={"moves": (REPORT.moves[0], lost, REPORT.moves[2])})
    events = (*EVENTS[:3], at(15, "fault_injected", do="answer_lost"), *EVENTS[5:])
    assert found(report, events) == []
    assert found(report, (*EVENTS[:3], *EVENTS[5:])) == ["db: the report's move N1 → N2 (failed) is not in the log"]


def test_changes_of_roles_and_volumes_by_us_are_in_the_report() -> None:
    assert found(REPORT.model_copy(update={"role_moves": ()})) == [
        "old: the report does not know that it changes its node: N1 → N2"
    ]
    assert found(REPORT.model_copy(update={"volume_moves": ()})) == [
        "CSV1: the report does not know that it changes its owner: N1 → N3"
    ]
    wrong = RoleMove(name="old", source="N1", target="N3", start_s=12)
    assert "old: the log does not know that it changes its node: N1 → N3" in found(
        REPORT.model_copy(update={"role_moves": (wrong,)})
    )
    late = RoleMove(name="old", source="N1", target="N2", start_s=12.1)
    assert found(REPORT.model_copy(update={"role_moves": (late,)})) == [
        "old: it changes its node at 12 s; the report lets that begin at 12.1 s"
    ]


def test_what_the_cluster_does_after_a_crash_and_others_do_owes_no_entry() -> None:
    lost = at(30, "node_down", node="N2", by="fault")
    taken = at(30, "role_moved", name="old", source="N2", target="N3")
    assert found(events=(*EVENTS, lost, taken)) == []


def test_what_is_unplaced_is_still_there() -> None:
    staying = Unplaced(vm="web", node="N1", verdicts=REPORT.unplaced[0].verdicts)
    report = REPORT.model_copy(update={"unplaced": (*REPORT.unplaced, staying)})
    assert found(report) == ["web: unplaced on N1, but on N2 at the end"]


def test_every_vm_that_ran_there_is_accounted_for() -> None:
    assert found(REPORT.model_copy(update={"unplaced": ()})) == ["local: is on N1 still; the report does not say why"]
    others = migration("db", "N3", 17, 22, by="elsewhere")
    report = REPORT.model_copy(update={"moves": REPORT.moves[:2]})
    events = (*EVENTS[:5], *others, *EVENTS[7:])
    assert found(report, events) == ["db: left N1 for N3; the report does not say how"]
    fate = Finding(rule="I2", severity="warning", subject="vm db", message="left N1 without us", remedy="check it")
    assert found(report.model_copy(update={"findings": (fate,)}), events) == []


def test_a_report_that_leaves_vms_behind_does_not_call_itself_ok() -> None:
    assert found(REPORT.model_copy(update={"ok": True})) == ["test: the report calls itself ok though VMs stay"]


def test_a_plan_that_was_not_carried_out_reports_nothing_and_nothing_may_have_happened() -> None:
    plan = REPORT.model_copy(update={"executed": False, "unplaced": ()})
    assert found(plan, ()) == []
    assert "web: the report lacks its migration N1 → N2 (done)" in found(plan, EVENTS[:3])
