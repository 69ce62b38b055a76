"""What a flow raises when there is no report of a run that did something.

ShunterError
├── PrefectUnreachable   the Prefect server does not answer, or the embedded one does not start
├── RunRefused           another run has the cluster, the plan was not approved, or it is too late; nothing was touched
├── UnfitCluster         a check found what stands against every run; `check` holds it
└── RunError             there is a plan or a report, and it is no success: `plan` holds it
    ├── RefusedByFindings   a finding forbids the run; nothing was touched
    └── OutcomeInDoubt      the run was carried out, and what became of some VM is not known
"""

from __future__ import annotations

from shunter.topology.errors import ShunterError
from shunter.topology.plan import Plan
from shunter.topology.preflight import Check


class PrefectUnreachable(ShunterError):
    """No Prefect server answers; nothing was touched."""


class RunRefused(ShunterError):
    """Another run has the cluster, the plan was not approved, or the run comes too late. Nothing was touched."""


class UnfitCluster(ShunterError):
    """A cluster on which every run would be refused. `check`: all that was found."""

    def __init__(self, check: Check, message: str) -> None:
        self.check = check
        lines = [f"{found.rule} {found.subject}: {found.message}. {found.remedy}" for found in check.errors]
        super().__init__(f"{message} {' — '.join(lines)}")


class RunError(ShunterError):
    """A run that must not count as a success. `plan`: the refused plan, or the report."""

    def __init__(self, plan: Plan, message: str) -> None:
        self.plan = plan
        super().__init__(message)


class RefusedByFindings(RunError):
    """Findings of severity error forbid the run. Nothing was touched."""

    def __init__(self, plan: Plan) -> None:
        lines = [f"{found.rule} {found.subject}: {found.message}. {found.remedy}" for found in plan.errors]
        super().__init__(plan, f"refused, nothing was touched. {' — '.join(lines)}")


class OutcomeInDoubt(RunError):
    """Answers were lost and no look could tell what happened. Names what to look at."""

    def __init__(self, plan: Plan) -> None:
        doubtful = [f"{move.vm} ({move.source} or {move.target})" for move in plan.in_doubt]
        super().__init__(plan, f"outcome unknown, look where these run before anything else: {', '.join(doubtful)}")
