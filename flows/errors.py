"""What a flow raises when there is no report of a run that did something.

ShunterError
├── PrefectUnreachable   the Prefect server does not answer, or with nonsense; or the embedded one does not start
│   └── StoppedWaiting   the run was asked to stop while it waited for the server
├── RunRefused           another run has the cluster, the plan was not approved, or it is too late; nothing was touched
├── WatchCancelled       the flow run of a watch was cancelled; `watch` holds what it saw
├── RunAbandoned         the flow run was cancelled, and ended before what was under way
├── UnfitCluster         a check found what stands against every run; `check` holds it
└── RunError             there is a plan or a report, and it is no success: `plan` holds it
    ├── RefusedByFindings   a finding forbids the run; nothing was touched
    ├── OutcomeInDoubt      the run was carried out, and what became of some VM is not known
    └── RunCancelled        the flow run was cancelled; what was under way came to its end
"""

from __future__ import annotations

from shunter.topology.errors import ShunterError
from shunter.topology.plan import Plan
from shunter.topology.preflight import Check
from shunter.topology.watching.report import Watch


class PrefectUnreachable(ShunterError):
    """No Prefect server answers, or what answers is none. Says so where something may have been touched."""


class StoppedWaiting(PrefectUnreachable):
    """The run was asked to stop while it waited for a server that did not answer; nothing was touched."""


class RunRefused(ShunterError):
    """Another run has the cluster, the plan was not approved, or the run comes too late. Nothing was touched."""


class RunAbandoned(ShunterError):
    """The flow run was cancelled, and its time was up before its migrations were over: says what to look at."""


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


class RunCancelled(RunError):
    """The flow run was cancelled while it went on. `plan`: the report of what it had done."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, f"the run on {plan.cluster} was cancelled; its report says what moved and what stays")


class WatchCancelled(ShunterError):
    """The flow run of a watch was cancelled. `watch`: what it saw."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        super().__init__(f"the watch of {watch.cluster} was cancelled")


class OutcomeInDoubt(RunError):
    """Answers were lost and no look could tell what happened. Names what to look at."""

    def __init__(self, plan: Plan) -> None:
        doubtful = [f"{move.vm} ({move.source} or {move.target})" for move in plan.in_doubt]
        super().__init__(plan, f"outcome unknown, look where these run before anything else: {', '.join(doubtful)}")
