"""`shunter … maintain`: what its commands have in common, and the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.flows.spoken import duration
from shunter.topology.choosing import ReserveNodes
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions
from shunter.topology.preflight import with_requirements
from shunter.topology.rolling import RollingPolicy, plan_rolling
from shunter.topology.rolling.planning import Progress
from shunter.topology.rolling.policy import Failback, Prefer

FAILBACKS = {"none": "none", "as-it-was": "as_it_was", "spread": "spread"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line says of a rolling run. `nodes`: none means all. `first`: names separated by
    commas; `apart`: groups of names, separated by semicolons.
    """

    nodes: Sequence[str]
    maintenance_s: float
    parallel: int | None
    reserve_nodes: ReserveNodes
    prefer: str
    window_s: float | None
    failback: str
    first: str | None
    apart: str | None
    one_fault_domain: bool
    precautions: Precautions = USUAL_PRECAUTIONS

    @property
    def policy(self) -> RollingPolicy:
        return RollingPolicy(
            maintenance_s=self.maintenance_s,
            parallel=self.parallel,
            reserve_nodes=self.reserve_nodes,
            prefer=cast("Prefer", self.prefer),
            window_s=self.window_s,
            failback=cast("Failback", FAILBACKS[self.failback]),
            order=_names(self.first or ""),
            apart=tuple(_names(group) for group in (self.apart or "").split(";") if _names(group)),
            one_fault_domain=self.one_fault_domain,
            precautions=self.precautions,
        )

    def plan(self, seen: Cluster) -> Plan:
        """Raises RequestError."""
        with searching() as progress:
            return plan_rolling(seen, self.nodes, self.policy, progress)


def _names(text: str) -> tuple[str, ...]:
    names = (name.strip() for name in text.split(","))
    return tuple(name for name in names if name)


def plan(asked: Asked, cluster: str, *, as_json: bool, pictures: output.Pictures) -> Plan:
    """Show the plan. Raises RequestError."""
    seen = cluster_of_file(cluster)
    found = with_requirements(seen, asked.plan(seen))
    output.show(found, (), seen, as_json=as_json, pictures=pictures)
    return found


@contextmanager
def searching() -> Iterator[Progress]:
    """Says how far the search for a plan is."""
    console = output.messages()
    if not console.is_terminal:
        yield lambda _, __: None
        return
    with console.status("planning") as status:

        def progress(tried: int, best_s: float) -> None:
            status.update(f"planning: {tried} ways tried, the shortest takes {duration(best_s)}")

        yield progress
