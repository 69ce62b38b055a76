"""What a flow hands to one that it calls in this process: its way to the cluster, and a look from before a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from shunter.clusters.port import ClusterPort
from shunter.topology.model import Cluster


@dataclass(frozen=True, slots=True)
class Handed:
    port: ClusterPort
    before: Cluster


_handed: ContextVar[Handed | None] = ContextVar("shunter_handed", default=None)


@contextmanager
def handing(port: ClusterPort, before: Cluster) -> Iterator[None]:
    """Flows called inside the block work on this cluster, whatever its name, and know how it was `before`."""
    token = _handed.set(Handed(port, before))
    try:
        yield
    finally:
        _handed.reset(token)


def handed() -> Handed | None:
    return _handed.get()
