"""Which exit code a plan, a report or an error ends with."""

from __future__ import annotations

import pytest

from shunter.clusters.port import Unreachable
from shunter.commands.exits import of_error, of_plan
from shunter.flows.errors import OutcomeInDoubt, PrefectUnreachable, RefusedByFindings
from shunter.topology.errors import RequestError, ShunterError
from shunter.topology.plan import Finding, Move, Plan

FORBIDS = Finding(rule="I3", severity="error", subject="cluster c", message="no room", remedy="free memory")
LOST = Move(vm="a", source="N1", target="N2", start_s=0.0, end_s=1.0, outcome="lost_sight")


def plan(*, ok: bool = False, executed: bool = True, **fields: object) -> Plan:
    return Plan.model_validate({"cluster": "c", "ok": ok, "executed": executed, "reserve_nodes": 0, **fields})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (plan(ok=True), 0),
        (plan(ok=True, executed=False), 0),
        (plan(), 1),
        (plan(executed=False), 1),
        (plan(executed=False, findings=(FORBIDS,)), 3),
        (plan(findings=(FORBIDS,)), 1),
        (plan(moves=(LOST,)), 4),
        (plan(interrupted=True), 130),
        (plan(interrupted=True, moves=(LOST,)), 4),
    ],
)
def test_a_plan_or_report_has_one_exit_code(given: Plan, code: int) -> None:
    assert of_plan(given) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("no such node"), 2),
        (Unreachable("silent"), 4),
        (PrefectUnreachable("silent"), 4),
        (RefusedByFindings(plan(executed=False, findings=(FORBIDS,))), 3),
        (OutcomeInDoubt(plan(moves=(LOST,))), 4),
    ],
)
def test_a_known_error_has_one_exit_code(error: ShunterError, code: int) -> None:
    assert of_error(error) == code
