"""What was asked of cases that others collected, what they expected and what was planned, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from shunter.topology.plan import Plan


@dataclass(frozen=True, slots=True)
class Row:
    """One case. `differs`: in what the plan is not what was expected; empty where it is."""

    case: str
    asked: str
    expected: str
    found: str
    differs: str = ""
    not_asked: str = ""


def show(rows: list[Row]) -> None:
    asked = [row for row in rows if row.asked]
    heads = ("case", "asked", "expected", "planned")
    table = [heads, *((row.case, row.asked, row.expected, row.found) for row in asked)]
    widths = [max(len(line[i]) for line in table) for i in range(len(heads))]
    for line, row in zip(table, [None, *asked], strict=True):
        verdict = "" if row is None else f"DIFFERS: {row.differs}" if row.differs else "as expected"
        print("  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=True)), verdict]).rstrip())
    for title, some in (
        ("\nNot asked:", [row for row in rows if not row.asked]),
        ("\nAsked without the wish:", [row for row in asked if row.not_asked]),
    ):
        if some:
            print(title)
        for row in some:
            print(f"  {row.case}: {row.not_asked}")


def found_in(plan: Plan) -> str:
    no_order = any("no order" in finding.message for finding in plan.findings)
    if not plan.unplaced:
        return f"{len(plan.moves)} moves" if plan.ok else "not ok, and nobody is unplaced"
    return "no order" if no_order else "no placement"
