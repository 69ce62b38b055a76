"""The flow that steers a rolling run which is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from shunter.flows.clusters import is_file
from shunter.flows.errors import RunRefused
from shunter.flows.parameters import ClusterName, StartWithinS, SteeredNode, Steering, spoken
from shunter.flows.punctual import Punctual, refuse_late
from shunter.flows.run import refused
from shunter.flows.steering import ANSWER_KEY, KEY, OF_A_NODE, Asked, Heard
from shunter.flows.unanswered import told_as_unreachable
from shunter.topology.errors import RequestError

STEERED_FLOW = "rolling-maintenance"
ANSWER_WITHIN_S = 60.0
ASK_EVERY_S = 1.0
MOST_RUNS = 20


def _name() -> str:
    given = flow_run.get_parameters()
    node = f" {given['node']}" if given.get("node") else ""
    return f"{given['what']}{node}: maintenance of {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def steer_rolling_maintenance(
    cluster: ClusterName, what: Steering, node: SteeredNode = None, start_within_s: StartWithinS = 3600.0
) -> str:
    """Ask something of the rolling run that is under way on a cluster: to hold, go on, stop, or skip a node.

    The run heeds it at the next safe point; what is under way is never broken off. Returns its answer, within a
    minute. Raises RunRefused (no run is under way, none answers, or what is asked cannot be), RequestError (a node is
    missing, or named where none belongs) and PrefectUnreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file, as the run was started with.
        what: hold - no further node leaves and no migration starts until it is told to go on. skip - the node is left
            out, unless its maintenance has begun. stop - nothing new begins, what is away is brought back, and the run
            ends with its report. done by hand - the node waits for somebody to maintain it, and that is done.
        node: The node to skip, or whose maintenance by hand is done.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """
    if (what in OF_A_NODE) != bool(node):
        raise RequestError(f"{what}: name a node" if what in OF_A_NODE else f"{what}: leave the node {node} out")
    asked = Asked(what=what, node=node)
    state: Any
    try:
        refuse_late(Punctual(start_within_s), cluster)
    except RunRefused as error:
        return cast("str", refused(error))
    try:
        with told_as_unreachable("the run cannot be told"):
            for run in await _under_way(cluster):
                await asked.asend_to(run, key_prefix=KEY)
            # a run that died with its worker still counts as running, and never answers: the first answer is taken
            heard = await Heard.receive(
                timeout=ANSWER_WITHIN_S, poll_interval=ASK_EVERY_S, raise_timeout_error=True, key_prefix=ANSWER_KEY
            ).anext()
    except TimeoutError:
        said = (
            f"the rolling run of {spoken(cluster)} did not answer within {ANSWER_WITHIN_S:g} s. It is over, or its "
            "process died; if it lives it will still heed this"
        )
        state = Failed(name="Not heard", message=said, data=RunRefused(said))
        return cast("str", state)
    except RunRefused as error:
        state = Failed(name="Nothing to steer", message=str(error), data=error)
        return cast("str", state)
    get_run_logger().info("the run answers: %s", heard.said)
    if heard.well:
        state = Completed(name="Heard", message=heard.said, data=heard.said)
    else:
        state = Failed(name="Not possible", message=heard.said, data=RunRefused(heard.said))
    return cast("str", state)


async def _under_way(cluster: str) -> list[UUID]:
    """The rolling runs of this cluster that count as running. Raises RunRefused where there are none."""
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    async with get_client() as client:
        found = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[STEERED_FLOW])),
            flow_run_filter=running,
            sort=FlowRunSort.START_TIME_DESC,
        )
    wanted = _meant(cluster)
    runs = [run.id for run in found if _meant(str(run.parameters.get("cluster"))) == wanted]
    if not runs:
        others = ", ".join(sorted({spoken(str(run.parameters.get("cluster"))) for run in found})) or "no cluster"
        raise RunRefused(f"no rolling run of {spoken(cluster)} is running; there are such runs of {others}")
    return runs[:MOST_RUNS]


def _meant(cluster: str) -> str:
    return str(Path(cluster).resolve()) if is_file(cluster) else cluster
