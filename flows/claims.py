"""What each run holds, and who it is: written on the server, so that what a dead run held is taken over at once.

A dead run's lease ends by itself, minutes later. It is ended at once only where the run's death is proven: its process
is gone from the machine that asks, or its Prefect state says that it crashed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from pydantic import Field, ValidationError

from shunter.flows import variables
from shunter.flows.lock_server import LEASE_S, LockServer
from shunter.flows.processes import ProcessIdentity
from shunter.flows.server import PrefectServer
from shunter.topology.model import Value

FINAL = (StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)


class Claim(Value):
    """`flow_run`: the id of the flow run, if it is one. `leases`: by their number, what each locks: nodes, or the
    cluster as a whole. `renewed`: when they were made to last LEASE_S last.
    """

    cluster: str
    flow_run: UUID | None
    name: str
    process: ProcessIdentity
    renewed: datetime
    leases: dict[UUID, tuple[str, ...]] = Field(default_factory=dict)

    def __str__(self) -> str:
        return f"the run {self.name}"

    @property
    def ends(self) -> datetime:
        """When its leases end, unless it lives and renews them. Of this machine's clock."""
        return (self.renewed + timedelta(seconds=LEASE_S)).astimezone()

    def of(self, subjects: Collection[str]) -> tuple[str, ...]:
        """Which of these it holds."""
        held = {subject for each in self.leases.values() for subject in each}
        return tuple(subject for subject in subjects if subject in held)


def claims_of(cluster: str) -> str:
    """What the names of the variables of a cluster's runs begin with."""
    return f"shunter-run-{variables.slug(cluster)}-"


async def read_claims(server: PrefectServer, cluster: str) -> dict[str, Claim]:
    """By the names of their variables. Raises Unavailable."""
    claims = {}
    for name, value in (await variables.found(server, claims_of(cluster))).items():
        try:
            claims[name] = Claim.model_validate_json(json.dumps(value))
        except ValidationError:
            continue  # nobody's that we know
    return claims


async def why_dead(server: PrefectServer, claim: Claim) -> str:
    """What proves that the run is dead; empty where nothing does. Raises Unavailable."""
    if claim.process.is_proven_gone:
        return f"its process is gone ({claim.process})"
    if claim.flow_run is None:
        return ""
    run_id = claim.flow_run
    try:
        run = await server.ask(lambda client: client.read_flow_run(run_id))
    except ObjectNotFound:
        return ""
    crashed = run.state is not None and run.state.type is StateType.CRASHED
    return "its flow run has crashed" if crashed else ""


async def bury(server: PrefectServer, variable: str, claim: Claim, why: str) -> None:
    """Give back what a dead run held, and let Prefect know that it is dead. Raises Unavailable."""
    locks = LockServer(server)
    for lease in claim.leases:
        await locks.give_back(lease)
    if claim.flow_run is not None:
        await _mark_crashed(server, claim.flow_run, why)
    await variables.remove(server, variable)


async def _mark_crashed(server: PrefectServer, run_id: UUID, why: str) -> None:
    try:
        run = await server.ask(lambda client: client.read_flow_run(run_id))
    except ObjectNotFound:
        return
    if run.state is None or run.state.type not in FINAL:
        state: State[Any] = Crashed(message=f"found dead by another run: {why}")
        await server.ask(lambda client: client.set_flow_run_state(run_id, state, force=True))


@dataclass(slots=True)
class Claims:
    """Of one run on one cluster: its own claim, and those of the others."""

    server: PrefectServer
    own: Claim
    variable: str = field(init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _written: bool = False

    def __post_init__(self) -> None:
        self.variable = f"{claims_of(self.own.cluster)}{(self.own.flow_run or uuid4()).hex[:12]}"

    @classmethod
    def of(cls, server: PrefectServer, cluster: str, flow_run: UUID | None, name: str) -> Claims:
        now = datetime.now().astimezone()
        own = Claim(cluster=cluster, flow_run=flow_run, name=name, process=ProcessIdentity.own(), renewed=now)
        return cls(server, own)

    async def write(self, leases: Mapping[UUID, tuple[str, ...]]) -> None:
        """Raises Unavailable."""
        async with self._writing:
            own = {"leases": dict(leases), "renewed": datetime.now().astimezone()}
            self.own = self.own.model_copy(update=own)
            value = self.own.model_dump(mode="json")
            while len(str(value)) > variables.MOST_CHARACTERS and any(value["leases"].values()):
                # the numbers matter, the names are for people
                value["leases"] = dict.fromkeys(value["leases"], ())
            self._written = True
            await variables.write(self.server, self.variable, value)

    async def remove(self) -> None:
        """Raises Unavailable."""
        async with self._writing:
            if self._written:
                await variables.remove(self.server, self.variable)

    async def others(self) -> dict[str, Claim]:
        """Raises Unavailable."""
        claims = await read_claims(self.server, self.own.cluster)
        claims.pop(self.variable, None)
        return claims

    async def buried(self, subjects: Collection[str]) -> list[tuple[Claim, str]]:
        """Of the runs that hold some of these, those that were dead, and why so; they hold nothing any more. Raises
        Unavailable.
        """
        found = []
        for variable, claim in (await self.others()).items():
            if claim.of(subjects) and (why := await why_dead(self.server, claim)):
                await bury(self.server, variable, claim, why)
                found.append((claim, why))
        return found
