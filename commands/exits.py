"""What a command ends with. This file alone maps a plan, a report or an error to an exit code."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn

import typer

from shunter.clusters.port import ClusterError
from shunter.commands import output
from shunter.commands.rehearsal import Rehearsal
from shunter.flows.errors import PrefectUnreachable, RunError, RunRefused
from shunter.topology.errors import RequestError, ShunterError
from shunter.topology.plan import Plan
from shunter.topology.preflight import Check
from shunter.topology.status import Status
from shunter.topology.watching.report import Watch
from shunter.topology.why import Answer


class Exit(IntEnum):
    DONE = 0
    PARTLY = 1
    WRONG_REQUEST = 2
    REFUSED = 3
    IN_DOUBT = 4
    INTERRUPTED = 130


def leave(work: Callable[[], Plan | Check | Answer | Rehearsal | Status | Watch]) -> NoReturn:
    """Do the work and end the command. Known errors are one message on standard error; bugs keep their traceback."""
    try:
        result = work()
        match result:
            case Check():
                code = of_check(result)
            case Answer() | Rehearsal() | Status():
                code = Exit.DONE if result.ok else Exit.PARTLY
            case Watch():
                code = Exit.INTERRUPTED if result.interrupted else Exit.DONE if result.ok else Exit.PARTLY
            case Plan():
                code = of_plan(result)
    except ShunterError as error:
        output.complain(str(error))
        code = of_error(error)
    except KeyboardInterrupt:
        output.complain("interrupted")  # during a run Ctrl-C is a request to stop, and does not come here
        code = Exit.INTERRUPTED
    raise typer.Exit(code)


def of_plan(plan: Plan) -> Exit:
    """For a plan and for a report. What is in doubt counts more than that somebody interrupted it."""
    if plan.errors and not plan.executed:
        return Exit.REFUSED
    if plan.in_doubt:
        return Exit.IN_DOUBT
    if plan.interrupted:
        return Exit.INTERRUPTED
    return Exit.DONE if plan.ok else Exit.PARTLY


def of_check(check: Check) -> Exit:
    return Exit.DONE if check.ok else Exit.REFUSED


def of_error(error: ShunterError) -> Exit:
    match error:
        case RunError():
            return of_plan(error.plan)
        case RequestError():
            return Exit.WRONG_REQUEST
        case RunRefused():
            return Exit.REFUSED
        case ClusterError() | PrefectUnreachable():
            return Exit.IN_DOUBT
        case _:
            return Exit.PARTLY
