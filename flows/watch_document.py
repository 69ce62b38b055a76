"""How a watched cluster stands, and what happened of late, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from shunter.engine.watch import Glance
from shunter.flows.marked import bold, plain, table
from shunter.flows.spoken import count, duration, memory
from shunter.topology.model import Cluster
from shunter.topology.watching.condition import Occurrence
from shunter.topology.watching.report import Watch

MOST_ROWS = 100
LATEST = 50


def watch_headline(watched: Watch) -> str:
    """One sentence: how long, how much happened, what is left."""
    wrong = [each for each in watched.standing if each.severity == "error"]
    left = f"; at its end: {'; '.join(each.message for each in wrong)}" if wrong else ""
    return f"Watched {watched.cluster} for {duration(watched.seconds)}: {count(watched.told, 'occurrence')}{left}."


def state_headline(glance: Glance) -> str:
    """One sentence: how many nodes are up, how many VMs run, and how much is wrong."""
    wrong = Counter(each.severity for each in glance.standing)
    told = [count(wrong[severity], severity) for severity in ("error", "warning") if wrong[severity]]
    reach = "" if glance.reachable else ", out of reach: as it was seen last"
    return f"{glance.cluster.name}{reach}: {numbers(glance.cluster)}; {' and '.join(told) or 'nothing is wrong'}."


def numbers(cluster: Cluster) -> str:
    """ "3 of 4 nodes up, 40 VMs run, 2 failed, 1 migration"."""
    up = sum(node.state == "up" for node in cluster.nodes)
    running = sum(vm.holds_memory for vm in cluster.vms)
    failed = sum(vm.state == "failed" for vm in cluster.vms)
    parts = [f"{up} of {count(len(cluster.nodes), 'node')} up", f"{count(running, 'VM')} running"]
    if failed:
        parts.append(f"{failed} failed")
    if cluster.migrations:
        parts.append(count(len(cluster.migrations), "migration"))
    return ", ".join(parts)


def state_document(glance: Glance, latest: Sequence[Occurrence], began_s: float) -> str:
    """The whole artifact. `latest`: what happened, in its order; `began_s`: when the watch began."""
    standing = (
        (
            each.rule or "",
            each.severity,
            each.subject,
            f"{each.message}{' (changes again and again)' if each.flapping else ''}",
            each.remedy,
            _ago(glance.at_s - each.since_s),
        )
        for each in glance.standing[:MOST_ROWS]
    )
    happened = (
        (
            _at(each.at_s - began_s),
            each.what.replace("n_plus_1", "N+1").replace("_", " "),
            each.subject,
            each.message,
            each.remedy,
        )
        for each in reversed(latest[-LATEST:])
    )
    parts = [
        f"## {plain(state_headline(glance))}",
        table("What stands", ("rule", "", "about", "what", "what to do", "for"), standing),
        f"… and {len(glance.standing) - MOST_ROWS} more." if len(glance.standing) > MOST_ROWS else "",
        table("The nodes", ("node", "state", "VMs", "memory free"), _nodes(glance.cluster)),
        table("What happened, the latest first", ("at", "what", "about", "", "what to do"), happened),
    ]
    return "\n\n".join(part for part in parts if part)


def _nodes(cluster: Cluster) -> Iterable[tuple[str, ...]]:
    for node in cluster.nodes:
        running = sum(vm.holds_memory for vm in cluster.vms_by_node[node.name])
        state = bold(node.state) if node.state != "up" else node.state
        yield node.name, state, str(running), f"{memory(cluster.free_mib(node.name))} of {memory(node.for_vms_mib)}"


def _at(seconds: float) -> str:
    return duration(seconds) if seconds >= 0.05 else "start"


def _ago(seconds: float) -> str:
    return duration(max(seconds, 0.0))
