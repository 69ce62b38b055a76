"""What a run came to, by the witness log and a look at the cluster alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virtual import Night, evacuated, failed_over, maintained

from shunter.topology.model import Cluster

Event = Mapping[str, Any]
Span = tuple[float, float]

RUNS = ("running", "paused")
BEGINS = {"migration_started": "vm", "node_rebooted": "node", "node_down": "node"}
ENDS = {"migration_ended": "vm", "node_up": "node"}


@dataclass(frozen=True)
class Ending:
    """How the cluster stands afterwards. `emptied`: of the nodes asked for, those on which nothing runs, or that were
    rebooted; `unplaced`: VMs that stayed on them, or that do not run and should; `away`: nodes that are not back.
    """

    emptied: frozenset[str]
    unplaced: frozenset[str]
    paused: frozenset[str]
    away: frozenset[str]
    moving: frozenset[str]


@dataclass(frozen=True)
class Twin:
    """An undisturbed run. `idle_s`: the longest time in which nothing was under way; seconds are the cluster's."""

    ending: Ending
    migrations: Counter[str]
    reboots: Counter[str]
    code: int
    takes_s: float
    idle_s: float
    events: int


def twin_of(procedure: str, cluster: Cluster, nodes: Sequence[str], maintenance_s: float) -> Twin:
    """The engine does it in virtual time, which is what it does behind Prefect, but for the time that Prefect takes."""
    night = _night(procedure, cluster, nodes, maintenance_s)
    events = night.log[1:]
    takes_s = max(night.report.makespan_s, *(event["t_s"] for event in events), 0.0)
    return Twin(
        ending=ending_of(night.after.model_dump(mode="json"), events, nodes, rolling=procedure == "rolling"),
        migrations=begun(events, "migration_started"),
        reboots=begun(events, "node_rebooted"),
        code=0 if night.report.ok else 1,
        takes_s=takes_s,
        idle_s=longest_idle(spans(events), 0.0, takes_s)[0],
        events=len(events),
    )


def _night(procedure: str, cluster: Cluster, nodes: Sequence[str], maintenance_s: float) -> Night:
    if procedure == "evacuation":
        return evacuated(cluster, nodes)
    if procedure == "failover":
        return failed_over(cluster, nodes, how=None)
    return maintained(cluster, nodes, maintenance_s=maintenance_s)


def ending_of(seen: Mapping[str, Any], events: Iterable[Event], nodes: Sequence[str], *, rolling: bool) -> Ending:
    """`seen`: the cluster as JSON."""
    occupied = {vm["node"] for vm in seen["vms"] if vm["state"] in RUNS}
    unplaced = {vm["name"] for vm in seen["vms"] if vm["state"] == "failed" and vm["priority"] > 0}
    unplaced |= {vm["name"] for vm in seen["vms"] if vm["state"] in RUNS and vm["node"] in nodes}
    emptied = begun(events, "node_rebooted").keys() if rolling else set(nodes) - occupied
    return Ending(
        emptied=frozenset(emptied),
        unplaced=frozenset(unplaced),
        paused=frozenset(node["name"] for node in seen["nodes"] if node["state"] == "paused"),
        away=frozenset(node["name"] for node in seen["nodes"] if node["state"] not in ("up", "paused")),
        moving=frozenset(migration["vm"] for migration in seen["migrations"]),
    )


def begun(events: Iterable[Event], what: str) -> Counter[str]:
    """How often we did this, by VM or node."""
    return Counter(event[BEGINS[what]] for event in events if event["what"] == what and event["by"] == "us")


def spans(events: Iterable[Event]) -> list[Span]:
    """When something was under way: from the begin of each migration and reboot to its end; all else is an instant."""
    open_since: dict[str, float] = {}
    found: list[Span] = []
    last_s = 0.0
    for event in events:
        what, last_s = event["what"], event["t_s"]
        if what in BEGINS:
            open_since.setdefault(event[BEGINS[what]], last_s)
        elif what in ENDS:
            found.append((open_since.pop(event[ENDS[what]], last_s), last_s))
        else:
            found.append((last_s, last_s))
    return found + [(since_s, last_s) for since_s in open_since.values()]


def longest_idle(under_way: Iterable[Span], from_s: float, to_s: float) -> tuple[float, float]:
    """The longest time between the two in which nothing was under way, and when it began."""
    longest, since_s = (0.0, from_s), from_s
    for begin_s, end_s in sorted((*under_way, (to_s, to_s))):
        if end_s < from_s:
            continue
        longest = max(longest, (min(begin_s, to_s) - since_s, since_s))
        since_s = max(since_s, min(end_s, to_s))
    return longest
