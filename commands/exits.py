"""What a command ends with. This file alone maps a plan, a report or an error to an exit code."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn

import typer

from shunter.clusters.port import ClusterError
from shunter.commands import interrupts, output
from shunter.commands.rehearsal import Rehearsal
from shunter.commands.reporting import Shown
from shunter.flows.errors import PrefectUnreachable, RunAbandoned, RunError, RunRefused, StoppedWaiting
from shunter.topology.errors import RequestError, ShunterError
from shunter.topology.plan import Plan
from shunter.topology.preflight import Check
from shunter.topology.recovery import LeftBehind
from shunter.topology.status import Status
from shunter.topology.watching.report import Watch
from shunter.topology.why import Answer


class Exit(IntEnum):
    DONE = 0
    PARTLY = 1
    WRONG_REQUEST = 2
    REFUSED = 3
    IN_DOUBT = 4
    INTERRUPTED = interrupts.INTERRUPTED


def leave(work: Callable[[], Plan | Check | Answer | LeftBehind | Rehearsal | Status | Watch | Shown]) -> NoReturn:
    """Do the work and end the command. Known errors are one message on standard error; bugs keep their traceback."""
    try:
        with output.warnings_shown():
            result = work()
        match result:
            case Check():
                code = of_check(result)
            case Answer() | LeftBehind() | Rehearsal() | Status():
                code = Exit.DONE if result.ok else Exit.PARTLY
            case Watch():
                code = Exit.INTERRUPTED if result.interrupted else Exit.DONE if result.ok else Exit.PARTLY
            case Plan():
                code = of_plan(result)
            case Shown():
                code = Exit.DONE if result.there else Exit.IN_DOUBT if result.died else Exit.PARTLY
    except ShunterError as error:
        output.complain(str(error))
        code = of_error(error)
    raise typer.Exit(code)


def unanswered(lost: str, code: int) -> int:
    """What a command ends with that has touched nothing and could not give its answer."""
    if code == Exit.INTERRUPTED:
        return code
    output.complain(f"{lost}; nothing was touched")
    return Exit.WRONG_REQUEST


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
        case StoppedWaiting():
            return Exit.INTERRUPTED
        case ClusterError() | PrefectUnreachable() | RunAbandoned():
            return Exit.IN_DOUBT
        case _:
            return Exit.PARTLY
