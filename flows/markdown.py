"""Plans and reports as Markdown: first what a reader must know, then the picture, then the tables."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence

from shunter.flows.failover_summary import cover_told, failover_headline, restarts_table, uncovered_table
from shunter.flows.marked import bold, plain, table
from shunter.flows.picture import timeline_svg
from shunter.flows.rolling_summary import rolling_headline, troubles_told
from shunter.flows.rolling_tables import alternatives_table, nodes_table, untouched_table
from shunter.flows.spoken import count, duration, together
from shunter.topology.plan import Finding, Plan, Unplaced
from shunter.topology.preflight import Check
from shunter.topology.requirements.differing import listed
from shunter.topology.requirements.grouping import grouped

OUTCOMES = {
    "done": "done",
    "failed": "failed, the VM runs on its source",
    "refused": "refused",
    "cancelled": "cancelled, the VM runs on its source",
    "lost_sight": bold("unknown: look where it runs"),
    None: "",
}

MOST_ROWS_OF_A_ROLLING_RUN = 200

FATES = {True: "restart", False: "not all restart", None: "not decided"}


def headline(plan: Plan, nodes: Sequence[str]) -> str:
    """One sentence: what moved, what stays. `nodes`: those that were to be emptied, none for a single migration."""
    if (own := _own_headline(plan, nodes)) is not None:
        return own
    subject = f"{together(nodes)} {'is' if len(nodes) == 1 else 'are'} empty" if nodes else "Done"
    if plan.errors and not plan.executed:
        return f"Refused, nothing was touched: {'; '.join(found.message for found in plan.errors)}."
    if not plan.executed and plan.kind == "repair" and not (plan.moves or plan.role_moves or plan.unplaced):
        return "Nothing stands where it must not: there is nothing to repair."
    if not plan.executed:
        stays = f", {_staying(plan)}" if plan.unplaced else ""
        return f"Planned: {count(len(plan.moves), 'VM')} to move in {duration(plan.makespan_s)}{stays}."
    if plan.ok:
        return f"{subject}: {_moved(plan)}."
    beginning = "Interrupted" if plan.interrupted else "Partly done"
    return f"{beginning}: {_moved(plan)}; {_staying(plan) or _troubles(plan)}."


def _own_headline(plan: Plan, nodes: Sequence[str]) -> str | None:
    """Of kinds of plans that are not about emptying nodes."""
    if plan.kind == "failover":
        return failover_headline(plan, nodes)
    own = OWN_HEADLINES.get(plan.kind)
    return own(plan) if own is not None else None


def _headline_of_return(plan: Plan) -> str:
    """Whether the node takes VMs again, and who went back."""
    if plan.errors and not plan.executed:
        return f"Refused, nothing was touched: {'; '.join(found.message for found in plan.errors)}."
    stays = _staying(plan)
    if not plan.executed:
        going = f"{count(len(plan.moves), 'VM')} to take back in {duration(plan.makespan_s)}" if plan.moves else ""
        told = [f"{plan.node} takes VMs again" if plan.resumes else f"{plan.node} takes VMs already", going, stays]
        if not (plan.resumes or plan.moves or plan.unplaced):
            return f"{plan.node} takes VMs already: there is nothing to do."
        return f"Planned: {'; '.join(part for part in told if part)}."
    moved = any(move.outcome == "done" for move in plan.moves)
    if plan.ok:
        return f"{plan.node} takes VMs again{f': {_moved(plan)}' if moved else ''}."
    beginning = "Interrupted" if plan.interrupted else "Partly done"
    is_back = not any(found.rule == "I8" and found.severity != "info" for found in plan.findings)
    returned = f"{plan.node} takes VMs again, " if is_back else ""
    return f"{beginning}: {returned}{_moved(plan)}; {stays or _troubles(plan)}."


OWN_HEADLINES: Mapping[str, Callable[[Plan], str]] = {
    "rolling_maintenance": rolling_headline,
    "resume": _headline_of_return,
}


def document(plan: Plan, nodes: Sequence[str]) -> str:
    """The whole artifact."""
    failover = plan.kind == "failover"
    parts = [
        f"## {plain(headline(plan, nodes))}",
        _remedies(plan),
        _figures(plan),
        _picture(plan) if plan.moves or plan.maintenance else "",
        table("The nodes in their order", *nodes_table(plan)) if plan.maintenance else "",
        table("Nodes that are not maintained", *untouched_table(plan)),
        table("Ways to do it", *alternatives_table(plan)),
        _cut(
            plan,
            "What does not restart" if failover else "What stays",
            ("VM", "on", "target", "rule", "why not", "what would help"),
            _stays(plan.unplaced),
        ),
        table("Findings", ("rule", "", "about", "finding", "what to do"), _findings(plan.findings)),
        table("What is then no longer protected", *uncovered_table(plan)),
        _cut(plan, "Restarts" if failover else "Live migrations", *_moves(plan)),
        _cut(
            plan,
            "Roles and VMs that do not run",
            ("name", "from", "to", "at"),
            ((move.name, move.source, move.target, duration(move.start_s)) for move in plan.role_moves),
        ),
        _cut(
            plan,
            "Volumes",
            ("volume", "from", "to", "at"),
            ((move.volume, move.source, move.target, duration(move.start_s)) for move in plan.volume_moves),
        ),
        f"Backups to be repeated (R17): {plain(together(plan.degraded_backups))}." if plan.degraded_backups else "",
    ]
    return "\n\n".join(part for part in parts if part)


def check_headline(check: Check) -> str:
    """One sentence: whether the cluster is fit, and how much there is to know."""
    numbers = [(sum(found.severity == s for found in check.findings), s) for s in ("error", "warning")]
    known = together([count(number, severity) for number, severity in numbers if number] or ["nothing to complain of"])
    uncovered = sum(loss.ok is False for loss in check.survives_loss)
    nodes = f"{uncovered} of {count(len(check.survives_loss), 'node')}"
    lost = f"; the loss of {nodes} is not covered" if uncovered else ""
    return f"{check.cluster} is {'' if check.ok else 'not '}fit for live migration: {known}{lost}."


def check_document(check: Check) -> str:
    """The whole artifact of a check. What is true of many VMs stands once."""
    parts = [
        f"## {plain(check_headline(check))}",
        table(
            "Findings",
            ("rule", "", "about", "finding", "what to do"),
            ((g.rule, g.severity, g.about(), g.message, g.remedy) for g in grouped(check.findings)),
        ),
        table(
            "If one node were lost now",
            ("node", "its VMs", "would not restart"),
            ((loss.node, FATES[loss.ok], listed(loss.unplaced)) for loss in check.survives_loss),
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _moved(plan: Plan) -> str:
    live = sum(move.outcome == "done" for move in plan.moves)
    took = f" in {duration(plan.makespan_s)}" if plan.ok and live else ""
    handed = [(len(plan.role_moves), "role"), (len(plan.volume_moves), "volume")]
    also = [count(number, noun) for number, noun in handed if number]
    return f"{count(live, 'VM')} moved live{took}{f', {together(also)} handed over' if also else ''}"


def _staying(plan: Plan) -> str:
    names = [unplaced.vm for unplaced in plan.unplaced]
    if not names:
        return ""
    shown = together(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    return f"{shown} {'stays' if len(names) == 1 else 'stay'}"


def _troubles(plan: Plan) -> str:
    doubtful = [move.vm for move in plan.in_doubt]
    if doubtful:
        return f"what became of {together(doubtful)} is unknown"
    return "; ".join(found.message for found in plan.findings if found.severity != "info") or "nothing else was started"


def _remedies(plan: Plan) -> str:
    """What to do about what stays, each remedy once."""
    wanted = [f"{move.vm}: look where it runs, {move.source} or {move.target}" for move in plan.in_doubt]
    wanted += [f"{together(nodes)}: {what}" for nodes, what in troubles_told(plan)]
    wanted += [found.remedy for found in plan.findings if found.severity == "error"]
    rolling = plan.kind == "rolling_maintenance"
    alike: dict[tuple[str, ...], list[str]] = {}
    for unplaced in plan.unplaced:
        told = ", or ".join(dict.fromkeys(verdict.remedy for verdict in unplaced.verdicts))
        alike.setdefault((unplaced.node, told, "" if rolling else unplaced.vm), []).append(unplaced.vm)
    wanted += [f"{listed(vms)} on {node}: {told}" for (node, told, _), vms in alike.items()]
    return "\n".join(["**What to do**", "", *(f"- {plain(line)}" for line in wanted)]) if wanted else ""


def _figures(plan: Plan) -> str:
    if plan.kind == "rolling_maintenance":
        return _rolling_figures(plan)
    if plan.kind == "failover":
        up = "was" if plan.executed else "is"
        ends = f"The last VM {up} up after {duration(plan.makespan_s)}. " if plan.makespan_s else ""
        return f"Cluster {plain(plan.cluster)}. {ends}Afterwards {plain(cover_told(plan))}."
    if not plan.moves:
        return ""
    took = f"{'took' if plan.executed else 'will take'} {duration(plan.makespan_s)}"
    if plan.kind == "migration":
        return f"Cluster {plain(plan.cluster)}. The live migration {took}."
    free = "whatever the order" if plan.kind == "resume" else "whatever the order and the targets"
    return (
        f"Cluster {plain(plan.cluster)}. The live migrations {took}; {free}, it takes at least "
        f"{duration(plan.lower_bound_s)}. Nodes whose loss stays covered: {plan.reserve_nodes}."
    )


def _rolling_figures(plan: Plan) -> str:
    if not plan.maintenance:
        return ""
    took = f"{'took' if plan.executed else 'will take'} {duration(plan.makespan_s)}"
    return (
        f"Cluster {plain(plan.cluster)}. The whole {took}; no plan for these nodes takes less than "
        f"{duration(plan.lower_bound_s)}. Nodes whose loss stays covered: {plan.reserve_nodes}."
    )


def _picture(plan: Plan) -> str:
    encoded = base64.b64encode(timeline_svg(plan).encode()).decode()
    what = "restart" if plan.kind == "failover" else "migration"
    return f"![Timeline: a row for each node, a bar for each {what}](data:image/svg+xml;base64,{encoded})"


def _cut(plan: Plan, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A titled table; of a rolling run no more than a reader would read, and where the rest is to be found."""
    every = list(rows)
    most = MOST_ROWS_OF_A_ROLLING_RUN if plan.kind == "rolling_maintenance" else len(every)
    if len(every) > most and title == "Live migrations":
        return f"The {len(every)} live migrations stand one by one in what --json and --html write."
    more = f"\n\n… and {len(every) - most} more; --json has them all." if len(every) > most else ""
    return table(title, columns, every[:most]) + more


def _moves(plan: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of the live migrations; a report has others than a plan, and none that says nothing."""
    if plan.kind == "failover" and plan.executed:
        return restarts_table(plan)
    columns: dict[str, list[str]] = {
        "VM": [move.vm for move in plan.moves],
        "from": [move.source for move in plan.moves],
        "to": [move.target for move in plan.moves],
        "start": [duration(move.start_s) for move in plan.moves],
        "took" if plan.executed else "takes": [duration(move.end_s - move.start_s) for move in plan.moves],
        "expected": ["" if move.estimate_s is None else duration(move.estimate_s) for move in plan.moves],
        "downtime": ["" if move.downtime_s is None else f"{move.downtime_s:.1f} s" for move in plan.moves],
        "outcome": [OUTCOMES[move.outcome] for move in plan.moves],
        "why there": [move.why for move in plan.moves],
    }
    telling = {name: cells for name, cells in columns.items() if any(cells)}
    return tuple(telling), list(zip(*telling.values(), strict=True))


def _stays(unplaced: Iterable[Unplaced]) -> Iterable[tuple[str, ...]]:
    for vm in unplaced:
        for verdict in vm.verdicts:
            yield (vm.vm, vm.node, verdict.target, verdict.rule, verdict.reason, verdict.remedy)


def _findings(findings: Iterable[Finding]) -> Iterable[tuple[str, ...]]:
    for found in findings:
        yield (found.rule, found.severity, found.subject, found.message, found.remedy)
