"""A single live migration as a Prefect task run, named "web-1: N1 → N3"."""

from __future__ import annotations

import contextlib
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State as PrefectState
from prefect.exceptions import CancelledRun, FailedRun
from prefect.states import Cancelled, Completed, Failed
from prefect.utilities.annotations import quote

from shunter.engine.migrate import Errand
from shunter.statemachines.migration import Migration, State

FAILED = frozenset({State.REFUSED, State.ROLLED_BACK, State.LOST_SIGHT})


def _label(parameters: dict[str, Any]) -> str:
    errand: Errand = parameters["errand"]
    return errand.label


@task(
    name="live migration",
    task_run_name=_label,  # type: ignore[arg-type]  # Prefect's protocol wants a class method that it never calls
    cache_policy=NO_CACHE,  # a result of another day says nothing of where the VM is now
    persist_result=False,
    retries=0,  # the engine retries, after a look, and on another node
)
async def _live_migration(errand: Errand) -> PrefectState[None]:
    migration = await errand.run()
    name = migration.state.replace("_", " ").capitalize()
    message = errand.why or None
    if migration.state is State.CANCELLED:
        return Cancelled(name=name, message=message)
    if migration.state in FAILED:
        return Failed(name=name, message=message)
    return Completed(name=name, message=message)


async def as_task_run(errand: Errand) -> Migration:
    """Carry a migration out as a task run of the current flow run. Its state is the migration's; only bugs raise."""
    with contextlib.suppress(FailedRun, CancelledRun):  # so ended the migration, which says it itself
        await _live_migration(quote(errand), return_state=False)
    return errand.migration
