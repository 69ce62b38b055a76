"""Which cluster is meant: a cluster file, or the name under which one is registered on the Prefect server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, ClassVar, TextIO

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import Field

from shunter.clusters.clock import Clock
from shunter.clusters.port import ClusterPort
from shunter.clusters.simulated import Fault, SimulatedCluster
from shunter.clusters.simulated.remote import RemoteCluster
from shunter.flows.unanswered import told_as_unreachable
from shunter.topology.clusterfile import read_cluster
from shunter.topology.errors import RequestError

NAMES_SHOWN = 20
USUAL_REBOOT_S = 600.0


class SimulatedClusterHost(Block):
    """A simulated cluster that lives in a process of its own and outlives the runs that use it."""

    _block_type_name: ClassVar[str] = "Shunter: simulated cluster"
    _block_type_slug: ClassVar[str] = "shunter-simulated-cluster"
    _description: ClassVar[str] = "A simulated Hyper-V cluster, reached at the address of the process that hosts it."

    address: Annotated[
        str,
        Field(
            title="Address",
            description="Host and port of the process that simulates the cluster.",
            pattern=r"^[^\s/]+:\d{1,5}$",
            examples=["127.0.0.1:7411"],
        ),
    ]


REGISTERED: tuple[type[SimulatedClusterHost], ...] = (SimulatedClusterHost,)


def is_file(cluster: str) -> bool:
    """Whether `--cluster` names a cluster file: it has a path separator or ends in .json."""
    return "/" in cluster or "\\" in cluster or cluster.endswith(".json")


@asynccontextmanager
async def open_cluster(
    cluster: str,
    *,
    speed: float | None = None,
    witness: TextIO | None = None,
    faults: Sequence[Fault] = (),
    reboot_s: float | None = None,
) -> AsyncIterator[ClusterPort]:
    """The cluster of that file or name. `speed`: of a simulated cluster that starts from a file; 1 is real time.

    `witness`: there such a cluster writes what really happens. `faults`: what goes wrong in it. `reboot_s`: what a
    reboot takes on it.

    Raises RequestError (no such file or name, a bad file, a speed for a cluster that has its own), Unreachable, and
    PrefectUnreachable, when names cannot be looked up.
    """
    if is_file(cluster):
        async with _from_file(cluster, speed or 1.0, witness, faults, reboot_s) as port:
            yield port
        return
    registered = await _registered(cluster)
    if speed is not None:
        raise RequestError(f"speed {speed:g}: {cluster} is a registered cluster, which has its own time; leave it out")
    yield await RemoteCluster.connect(registered.address)


@asynccontextmanager
async def _from_file(
    cluster: str, speed: float, witness: TextIO | None, faults: Sequence[Fault], reboot_s: float | None
) -> AsyncIterator[ClusterPort]:
    simulated = SimulatedCluster(
        read_cluster(Path(cluster)),
        clock=Clock(speed),
        faults=faults,
        log=witness,
        reboot_s=reboot_s or USUAL_REBOOT_S,
    )
    try:
        yield simulated
    finally:
        await simulated.close()


async def _registered(name: str) -> SimulatedClusterHost:
    with told_as_unreachable(f"cluster {name}: the Prefect server cannot be asked for it"):
        async with get_client() as client:
            for block in REGISTERED:
                try:
                    return await block.aload(name, client=client)
                except ValueError as error:
                    if not isinstance(error.__cause__, ObjectNotFound):
                        raise
            known = await _names(client)
    there_are = f"registered are {', '.join(known)}" if known else "none is registered"
    raise RequestError(
        f'no cluster is registered as "{name}" on this Prefect server: {there_are}. '
        "The path of a cluster file has a separator or ends in .json"
    )


async def _names(client: PrefectClient) -> list[str]:
    found: list[BlockDocument] = []
    for block in REGISTERED:
        try:
            found += await client.read_block_documents_by_type(block.get_block_type_slug(), limit=NAMES_SHOWN)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            continue  # a fresh server does not know of this kind of cluster
    return sorted(document.name for document in found if document.name)
