"""Waiting for somebody to approve a plan, before anything is touched.

Prefect suspends the flow run: its process ends, and once the run is resumed, a new one runs the flow from its top,
which then finds the answer there at once. Only a run that was started from a deployment can be suspended.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from shunter.flows.artifacts import leave_plan
from shunter.flows.clusters import open_cluster
from shunter.flows.errors import RunRefused
from shunter.flows.markdown import headline
from shunter.flows.punctual import Punctual, now, refuse_late
from shunter.topology.precautions import is_held_by_backups
from shunter.topology.preflight import about_to_be_mended, with_requirements
from shunter.topology.rolling import RollingPolicy, plan_rolling
from shunter.topology.rolling.policy import window_left

KEY = "approval"


class Approval(RunInput):
    """What is asked for in the form of the suspended run."""

    approved: bool = Field(title="Go ahead with this plan?", description="The plan is among the run's artifacts.")
    remark: str = Field(default="", title="Remark", description="Written into the run's log.")


async def approved(
    cluster: str, nodes: Sequence[str], policy: RollingPolicy, within_s: float, punctual: Punctual
) -> None:
    """Leave the plan and suspend the run until somebody has answered. Raises RunRefused if the answer is no, or where
    it is too late to ask.

    A plan that a finding refuses is not asked about: the run itself says why. Nobody answering in time fails the run.
    """
    log = get_run_logger()
    if not _was_asked():
        counted, asked_at = refuse_late(punctual, cluster), now()
        async with open_cluster(cluster) as port:
            seen = await port.look()
        left = window_left(policy, counted.passed_s(asked_at))
        plan = about_to_be_mended(with_requirements(seen, plan_rolling(seen, nodes, left)))
        if plan.errors or not (plan.maintenance or is_held_by_backups(plan)):
            return
        await leave_plan(plan, ())
        log.info("waits for approval, at most %.0f s: %s", within_s, headline(plan, ()))
        if (until := punctual.last_start(counted, asked_at)) is not None:
            log.info("an answer after %s UTC comes too late: nothing is begun then", f"{until:%Y-%m-%d %H:%M:%S}")
    answer = await asuspend_flow_run(wait_for_input=Approval, timeout=round(within_s), key=KEY)
    said = f": {answer.remark}" if answer.remark else ""
    if not answer.approved:
        raise RunRefused(f"the plan was not approved{said}. Nothing was touched")
    log.info("approved%s", said)


def _was_asked() -> bool:
    """Whether this flow run was suspended for its approval before, and is resumed now."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return run is not None and KEY in (run.empirical_policy.pause_keys or ())
