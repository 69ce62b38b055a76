"""What was asked for when a node is brought back, and `plan resume`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file, path_of
from shunter.topology.choosing import ReserveNodes
from shunter.topology.errors import RequestError
from shunter.topology.homes import Before, FailbackPolicy, homes_given
from shunter.topology.jsontext import parse_json, read_text, shown
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions
from shunter.topology.resuming import plan_resume


@dataclass(frozen=True)
class Asked:
    """`before`: the file with the report of the evacuation, if one was named."""

    node: str
    failback: FailbackPolicy
    before: str | None
    reserve_nodes: ReserveNodes
    whoever_paused: bool
    precautions: Precautions

    @cached_property
    def homes(self) -> Mapping[str, str] | None:
        """VM → node by that file. Raises RequestError."""
        return None if self.before is None else homes_in_report(self.before)

    def known(self, cluster: Cluster) -> Before | None:
        """Raises RequestError."""
        return None if self.homes is None else Before(homes_given(cluster, self.homes), f"the report {self.before}")

    def plan(self, cluster: Cluster) -> Plan:
        """Raises RequestError."""
        return plan_resume(
            cluster,
            self.node,
            self.failback,
            self.known(cluster),
            reserve_nodes=self.reserve_nodes,
            whoever_paused=self.whoever_paused,
            precautions=self.precautions,
        )


def homes_in_report(file: str) -> dict[str, str]:
    """VM → the node from which the run first moved it. Raises RequestError where it is no report that tells that."""
    try:
        report = parse_json(read_text(path_of(file)))
        moves = report["moves"] if report["executed"] else []
        legs = [(float(move["start_s"]), str(move["vm"]), str(move["source"])) for move in moves]
    except RequestError as error:
        raise RequestError(f"--before {shown(file)}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"--before {shown(file)}: is not the report of an evacuation, as shunter evacuate --json prints it"
        ) from error
    return {vm: source for _, vm, source in sorted(legs, reverse=True)}


def plan(asked: Asked, cluster: str, *, as_json: bool, pictures: output.Pictures) -> Plan:
    """Show the plan. Raises RequestError."""
    seen = cluster_of_file(cluster)
    found = asked.plan(seen)
    output.show(found, (), seen, as_json=as_json, pictures=pictures)
    return found
