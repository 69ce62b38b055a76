"""Plans and reports as Markdown."""

from __future__ import annotations

import pytest

from shunter.flows.artifacts import artifact_key
from shunter.flows.errors import OutcomeInDoubt
from shunter.flows.markdown import document, headline
from shunter.flows.spoken import duration
from shunter.topology.plan import Finding, Move, Outcome, Plan, Unplaced, Verdict


def move(vm: str, outcome: Outcome | None = "done") -> Move:
    return Move(vm=vm, source="N1", target="N2", start_s=0.0, end_s=31.2, outcome=outcome, estimate_s=30.0)


def plan(**fields: object) -> Plan:
    given = {"cluster": "prod-1", "ok": True, "executed": True, "reserve_nodes": 1, "makespan_s": 31.2, **fields}
    return Plan.model_validate(given)


NO_PLACE = Unplaced(
    vm="db-1",
    node="N1",
    verdicts=(
        Verdict(target="N2", rule="I3", reason="8192 MiB free", remedy="free 8192 MiB on N2"),
        Verdict(target="N3", rule="R13", reason="GenuineIntel → AuthenticAMD", remedy="shut it down first"),
    ),
)


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (plan(moves=(move("a"), move("b"))), "N1 is empty: 2 VMs moved live in 31 s."),
        (plan(executed=False, moves=(move("a", None),)), "Planned: 1 VM to move in 31 s."),
        (plan(ok=False, moves=(move("a"),), unplaced=(NO_PLACE,)), "Partly done: 1 VM moved live; db-1 stays."),
        (plan(ok=False, interrupted=True, unplaced=(NO_PLACE,)), "Interrupted: 0 VMs moved live; db-1 stays."),
        (
            plan(ok=False, moves=(move("a", "lost_sight"),)),
            "Partly done: 0 VMs moved live; what became of a is unknown.",
        ),
    ],
    ids=["all", "plan", "part", "interrupted", "unknown"],
)
def test_the_headline_says_what_moved_and_what_stays(of: Plan, sentence: str) -> None:
    assert headline(of, ["N1"]) == sentence


def test_what_stays_is_told_with_every_reason_and_what_to_do() -> None:
    text = document(plan(ok=False, unplaced=(NO_PLACE,)), ["N1"])
    assert "- db-1 on N1: free 8192 MiB on N2, or shut it down first" in text
    assert "| db-1 | N1 | N2 | I3 | 8192 MiB free | free 8192 MiB on N2 |" in text
    assert "| db-1 | N1 | N3 | R13 | GenuineIntel → AuthenticAMD | shut it down first |" in text


def test_a_refused_plan_tells_its_findings() -> None:
    finding = Finding(rule="I3", severity="error", subject="cluster", message="no reserve", remedy="add a node")
    refused = plan(ok=False, executed=False, findings=(finding,))
    assert headline(refused, ["N1"]) == "Refused, nothing was touched: no reserve."
    assert "| I3 | error | cluster | no reserve | add a node |" in document(refused, ["N1"])


def test_names_cannot_break_a_table_or_pass_for_html() -> None:
    text = document(plan(moves=(move("<img src=x>|a\nb"),)), ["N1"])
    assert "| &lt;img src=x&gt;\\|a b | N1 | N2 |" in text


def test_a_run_in_doubt_names_the_vms_to_look_at() -> None:
    error = OutcomeInDoubt(plan(ok=False, moves=(move("a"), move("b", "lost_sight"))))
    assert "b (N1 or N2)" in str(error)
    assert error.plan.moves[0].vm == "a"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (3.14, "3.1 s"), (48.4, "48 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_key_of_an_artifact_is_one_that_prefect_takes() -> None:
    assert artifact_key("evacuation report", "Prod 1/ü") == "evacuation-report-prod-1"
