"""A plan, a report or a check as one HTML page that needs nothing else: no network, no other file, no library."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shunter.commands.page.chart import chart, memory_bars
from shunter.commands.screens.reasons import grouped as grouped_reasons
from shunter.commands.screens.words import count, listed
from shunter.flows.failover_summary import DRAWN, RESTART_OUTCOMES, happened, uncovered, up_again
from shunter.flows.markdown import check_headline, headline
from shunter.flows.rolling_summary import left_out_alike
from shunter.flows.spoken import duration, memory
from shunter.flows.svg import printable
from shunter.topology.plan import Finding, Plan, Severity
from shunter.topology.preflight import Check
from shunter.topology.requirements.grouping import Group, grouped

FOLDER = Path(__file__).parent
MOST_SHOWN_AT_ONCE = 60
"""A longer table is folded until somebody asks for it."""
MOST_ROWS = 1500
"""Of verdicts and findings told one by one; what is equal stands together above them anyway."""

TITLES: dict[Severity, str] = {"error": "Stands against it", "warning": "Worth knowing", "info": "As it is"}
OUTCOMES = {
    "done": "done",
    "failed": "failed, runs on its source",
    "refused": "refused",
    "cancelled": "called off, runs on its source",
    "lost_sight": "unknown: look where it runs",
    None: "",
}
KINDS = {
    "evacuation": "an evacuation",
    "migration": "a migration",
    "repair": "a repair",
    "rolling_maintenance": "a rolling maintenance",
    "resume": "a node's return",
    "failover": "a failover",
}


def page_of_plan(plan: Plan, nodes: Sequence[str], *, when: str = "", forecast_s: float | None = None) -> str:
    """Of a plan or a report. `nodes`: those that were to be emptied; `forecast_s`: of a report, what its plan said."""
    return _rendered(
        "rolling.html.j2" if plan.kind == "rolling_maintenance" else "plan.html.j2",
        title=f"{'Report of' if plan.executed else 'Plan of'} {KINDS[plan.kind]} on {plan.cluster}",
        headline=headline(plan, nodes),
        state=_state(plan),
        when=when,
        findings=plan.findings,
        severities=_by_severity(plan.findings),
        plan=plan,
        forecast_s=forecast_s,
        chart=chart(plan),
        told_of=(RESTART_OUTCOMES if plan.kind == "failover" else OUTCOMES).__getitem__,
        up_again=up_again(plan),
        drawn=DRAWN if plan.kind == "failover" and plan.executed else "",
        left_out=left_out_alike(plan),
        memory=memory_bars(plan.memory),
        stays=grouped_reasons(plan.unplaced),
        verdicts=[(stays, verdict) for stays in plan.unplaced for verdict in stays.verdicts],
        outcomes=sorted({move.outcome for move in plan.moves if move.outcome}),
        few=MOST_SHOWN_AT_ONCE,
        unprotected=uncovered(plan),
    )


def page_of_check(check: Check, *, when: str = "") -> str:
    return _rendered(
        "check.html.j2",
        title=f"Check of {check.cluster}",
        headline=check_headline(check),
        state=("good", "fit") if check.ok else ("bad", "not fit"),
        when=when,
        findings=check.findings,
        severities=_by_severity(check.findings),
        check=check,
    )


def _state(plan: Plan) -> tuple[str, str]:
    """How it stands, as a colour and in words."""
    if plan.errors and not plan.executed:
        return "bad", "refused"
    if plan.ok:
        return "good", "done as asked" if plan.executed else "can be done as asked"
    some = plan.moves or plan.role_moves or plan.maintenance
    if plan.interrupted:
        return "part", "interrupted"
    if plan.executed:
        return "part" if some else "bad", "done in part" if some else "not done"
    return "part" if some else "bad", "can be done in part" if some else "cannot be done"


def _by_severity(findings: Iterable[Finding]) -> list[tuple[Severity, str, list[Group]]]:
    groups = grouped(findings)
    parts = [(grave, title, [g for g in groups if g.severity == grave]) for grave, title in TITLES.items()]
    return [part for part in parts if part[2]]


def _rendered(template: str, **facts: Any) -> str:
    styles = ["page.css", *(["rolling.css"] if template == "rolling.html.j2" else [])]
    style, script = "".join(_own(name) for name in styles), _own("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    own = {"policy": policy, "style": Markup(style), "script": Markup(script)}  # noqa: S704  files of ours
    return _environment().get_template(template).render(**own, **facts)


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names what may be in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {
        "duration": duration,
        "happened": happened,
        "listed": listed,
        "gib": _gib,
        "memory": memory,
    }
    environment.globals |= {"count": count, "most_rows": MOST_ROWS}
    return environment


def _shown(value: Any) -> Any:
    """Names come from outside: what would break a document or turn a line around is written out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f}".removesuffix(".0")
