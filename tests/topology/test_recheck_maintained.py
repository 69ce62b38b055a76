"""The report of a rolling maintenance agrees with the witness log turn by turn, or the recheck says where not."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, vm

from shunter.topology.plan import Maintenance, Move, Plan, Unplaced, Untouched, Verdict
from shunter.topology.recheck import check_report

Line = dict[str, Any]
OF = cluster(4, [vm("web", "N1"), vm("stuck", "N3", possible_owners=["N3"])])
ASKED = ("N1", "N2", "N3")
STARTED_S = 10.0


def at(t_s: float, what: str, **fields: Any) -> Line:
    return {"t_s": STARTED_S + t_s, "what": what, **fields}


def log(*events: Line) -> list[Line]:
    return [{"t_s": 0, "what": "cluster", "cluster": OF.model_dump(mode="json")}, *events]


MIGRATION = {"vm": "web", "source": "N1", "target": "N4", "by": "us"}
EVENTS = (
    at(0, "node_paused", node="N1", by="us"),
    at(0, "migration_started", **MIGRATION),
    at(5, "migration_ended", **MIGRATION, outcome="done", node="N4"),
    at(5, "node_rebooted", node="N1", by="us"),
    at(5, "node_down", node="N1", by="us"),
    at(65, "node_up", node="N1", by="us"),
    at(66, "node_paused", node="N2", by="us"),
    at(66, "node_rebooted", node="N2", by="us"),
    at(66, "node_down", node="N2", by="us"),
)


def turn(name: str, paused_s: float, start_s: float, end_s: float, **fields: Any) -> Maintenance:
    return Maintenance(node=name, paused_s=paused_s, start_s=start_s, end_s=end_s, **{"outcome": "done", **fields})


FIRST = turn("N1", 0, 5, 65)
SECOND = turn("N2", 66, 66, 600, outcome="failed", reason="it did not come back")
LEFT = Untouched(node="N3", reason="stuck cannot leave it", remedy="let it run elsewhere")
STUCK = Unplaced(
    vm="stuck",
    node="N3",
    verdicts=tuple(Verdict(target=n, rule="I4", reason="no owner", remedy="add it") for n in ("N1", "N2", "N4")),
)


def report(**fields: Any) -> Plan:
    given: dict[str, Any] = {
        "ok": False,
        "moves": (Move(vm="web", source="N1", target="N4", start_s=0, end_s=5, outcome="done"),),
        "maintenance": (FIRST, SECOND),
        "untouched": (LEFT,),
        "unplaced": (STUCK,),
        "makespan_s": 600.0,
        **fields,
    }
    return Plan(kind="rolling_maintenance", cluster="test", executed=True, reserve_nodes=0, **given)


def found(
    of: Plan | None = None, events: tuple[Line, ...] = EVENTS, nodes: tuple[str, ...] = ASKED
) -> list[tuple[float, str]]:
    violations = check_report(of or report(), log(*events), nodes, started_at_s=STARTED_S)
    assert {violation.invariant for violation in violations} <= {"report"}
    return [(violation.at_s, f"{violation.subject}: {violation.message}") for violation in violations]


def test_a_report_that_agrees_with_the_log_passes() -> None:
    assert found() == []


def test_moves_are_those_of_the_log() -> None:
    assert found(report(moves=())) == [(0, "web: the report lacks its migration N1 → N4 (done)")]


def test_a_vm_may_end_elsewhere_by_the_hands_of_others() -> None:
    back = {**MIGRATION, "source": "N4", "target": "N1", "by": "elsewhere"}
    balanced = (
        at(70, "migration_started", **back),
        at(75, "migration_ended", **back, outcome="done", node="N1"),
    )
    assert found(events=(*EVENTS, *balanced)) == []


def test_what_is_unplaced_is_still_there() -> None:
    gone = {"vm": "stuck", "source": "N3", "target": "N4", "by": "elsewhere"}
    left = (at(70, "migration_started", **gone), at(75, "migration_ended", **gone, outcome="done", node="N4"))
    assert found(events=(*EVENTS, *left)) == [(75, "stuck: unplaced on N3, but on N4 at the end")]


def test_every_node_that_was_asked_for_is_in_the_report_once() -> None:
    assert found(report(untouched=())) == [(0, "N3: is to be maintained; nothing says what becomes of it")]
    assert found(nodes=()) == [(0, "N4: is to be maintained; nothing says what becomes of it")]
    assert found(nodes=("N1", "N2")) == [(0, "N3: nobody asked for its maintenance")]
    twice = Untouched(node="N2", reason="it failed", remedy="look at it")
    assert found(report(untouched=(LEFT, twice))) == [
        (0, "N2: is named 2 times among the maintained and the untouched")
    ]
    mute = LEFT.model_copy(update={"reason": ""})
    assert found(report(untouched=(mute,))) == [(0, "N3: stays untouched, and its reason or its remedy is missing")]


@pytest.mark.parametrize("fields", [{"start_s": 5.01}, {"end_s": 64.99}])
def test_a_turn_that_is_done_holds_the_reboot_and_the_return(fields: dict[str, float]) -> None:
    changed = FIRST.model_copy(update=fields)
    [(at_s, message), *_] = found(report(maintenance=(changed, SECOND)))
    span = f"from {changed.start_s:g} s to {changed.end_s:g} s"
    assert (at_s, message) == (
        changed.end_s,
        f"N1: is called done, and the log has no reboot and return of it {span}",
    )


def test_times_agree_within_a_millisecond() -> None:
    near = FIRST.model_copy(update={"start_s": 5.0005, "end_s": 64.9995})
    assert found(report(maintenance=(near, SECOND))) == []


def test_a_node_that_is_down_still_is_not_done() -> None:
    done = turn("N2", 66, 66, 600)
    assert [message for _, message in found(report(maintenance=(FIRST, done)))] == [
        "N2: is called done, and the log has no reboot and return of it from 66 s to 600 s"
    ]
    before = (at(0, "node_up", node="N2", by="fault"), *EVENTS)
    assert len(found(report(maintenance=(FIRST, done)), before)) == 1


def test_what_other_nodes_did_proves_nothing() -> None:
    fields: dict[str, Any] = {"maintenance": (FIRST, SECOND, turn("N3", 0, 5, 65)), "untouched": ()}
    message = "N3: is called done, and the log has no reboot and return of it from 5 s to 65 s"
    assert found(report(**fields)) == [(65, message)]
    rebooted = (*EVENTS[:3], at(5, "node_rebooted", node="N3", by="elsewhere"), *EVENTS[3:])
    assert found(report(**fields), rebooted) == [(65, message)]


def test_who_rebooted_a_node_that_is_done_is_not_asked() -> None:
    events = [{**line, "by": "elsewhere"} if line["what"] == "node_rebooted" else line for line in EVENTS]
    assert found(events=tuple(events)) == []
    another = at(99, "node_rebooted", node="N4", by="elsewhere")
    assert found(events=(*EVENTS, another)) == []


def test_a_reboot_by_us_is_in_the_turn_of_its_node() -> None:
    untouched = Untouched(node="N2", reason="no time was left", remedy="start again")
    assert found(report(maintenance=(FIRST,), untouched=(LEFT, untouched))) == [
        (66, "N2: we rebooted it, and the report has no turn of it")
    ]
    skipped = SECOND.model_copy(update={"outcome": "skipped"})
    assert found(report(maintenance=(FIRST, skipped))) == [(66, "N2: we rebooted it, and the report calls it skipped")]
    late = SECOND.model_copy(update={"paused_s": 70.0, "start_s": 70.0})
    assert found(report(maintenance=(FIRST, late))) == [
        (66, "N2: we rebooted it at 66 s; its turn in the report is from 70 s to 600 s")
    ]
    early = SECOND.model_copy(update={"paused_s": 60.0, "start_s": 60.0, "end_s": 65.0})
    assert found(report(maintenance=(FIRST, early))) == [
        (66, "N2: we rebooted it at 66 s; its turn in the report is from 60 s to 65 s")
    ]


def test_a_turn_says_how_it_ended_and_why_it_was_not_done() -> None:
    mute = SECOND.model_copy(update={"reason": None})
    assert found(report(maintenance=(FIRST, mute))) == [(600, "N2: its turn is failed; the report does not say why")]
    open_end = SECOND.model_copy(update={"outcome": None})
    assert found(report(maintenance=(FIRST, open_end))) == [(600, "N2: the report does not say how its turn ended")]


@pytest.mark.parametrize("fields", [{"paused_s": 67.0}, {"end_s": 65.9}])
def test_a_node_is_paused_then_goes_then_comes_back(fields: dict[str, float]) -> None:
    wrong = SECOND.model_copy(update=fields)
    assert any(message.startswith("N2: is paused at") for _, message in found(report(maintenance=(FIRST, wrong))))


def test_a_report_that_leaves_nodes_undone_does_not_call_itself_ok() -> None:
    assert found(report(ok=True)) == [(600, "N2, N3: the report calls itself ok though it is not done")]
    back = (*EVENTS, at(126, "node_up", node="N2", by="us"))
    done = (FIRST, turn("N2", 66, 66, 126))
    fields: dict[str, Any] = {"ok": True, "maintenance": done, "untouched": (), "unplaced": ()}
    assert found(report(**fields), back, nodes=("N1", "N2")) == []


def test_a_plan_that_was_not_carried_out_has_rebooted_nothing() -> None:
    plan = report().model_copy(update={"executed": False})
    assert found(plan, ()) == []
    planned = turn("N1", 0, 5, 65, outcome=None)
    fields: dict[str, Any] = {"ok": True, "maintenance": (planned,), "untouched": (), "unplaced": ()}
    assert found(report(**fields).model_copy(update={"executed": False}), (), nodes=("N1",)) == []
    assert found(plan, EVENTS[3:6]) == [(5, "N1: we rebooted it, and the report has no turn of it")]
