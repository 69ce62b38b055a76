"""A rolling run that is taken up when a part of its window has passed already."""

from __future__ import annotations

from collections.abc import Sequence

from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.rolling.planning import forecast
from shunter.topology.rolling.policy import RollingPolicy, window_left
from shunter.topology.rolling.strategy import Strategy

SUBJECT = "what is left of the maintenance window"


def in_what_is_left(
    cluster: Cluster, nodes: Sequence[str], policy: RollingPolicy, passed_s: float
) -> tuple[Plan, Strategy]:
    """As `forecast`, in a window of which so much has passed. Where that is why no node would be back in time, an error
    says so. Raises RequestError.
    """
    left = window_left(policy, passed_s)
    plan, strategy = forecast(cluster, nodes, left)
    if left.window_s is None or left is policy:
        return plan, strategy
    is_over = not plan.maintenance and bool(forecast(cluster, nodes, policy)[0].maintenance)
    found = Finding(
        rule="R16",
        severity="error" if is_over else "info",
        subject=SUBJECT,
        message=f"{left.window_s:.0f} of {policy.window_s:.0f} s"
        + ("; no node would be back in time" if is_over else ", because the run is taken up after it was due"),
        remedy="start it by hand when there is time, or give a longer window" if is_over else "nothing",
    )
    return plan.model_copy(update={"findings": (found, *plan.findings), "ok": plan.ok and not is_over}), strategy


def late_finding(plan: Plan) -> Finding | None:
    """What says that too little of its window was left to begin with any node; None where it is not so."""
    return next((found for found in plan.errors if found.subject == SUBJECT), None)
