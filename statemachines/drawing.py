"""The lifecycles as a document: a Mermaid diagram and tables for each, generated from the tables that are executed.

python -m shunter.statemachines.drawing [--check] docs/lifecycles.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shunter.statemachines.lifecycle import Lifecycle
from shunter.statemachines.migration import MIGRATION
from shunter.statemachines.node import NODE
from shunter.statemachines.vm import VM
from shunter.statemachines.volume import VOLUME

LIFECYCLES: tuple[Lifecycle[Any, Any], ...] = (MIGRATION, VM, VOLUME, NODE)
TOGETHER_FROM = 3

HEAD = """# Lifecycles

Generated from the tables in `statemachines/`; change those, then run
`python -m shunter.statemachines.drawing docs/lifecycles.md`.

A *command* asks for something, an *observation* says what a look has shown. In a resting state (thick border) nothing
is owed; every other state has a deadline, or its sentence says what limits the stay. What is lost sight of can only be
looked at. Where an arrow could begin in many states, a dashed box names them together.
"""


def document() -> str:
    """The whole document, as Markdown."""
    return "\n".join([HEAD, *(section(lifecycle) for lifecycle in LIFECYCLES)])


def section(lifecycle: Lifecycle[Any, Any]) -> str:
    """One lifecycle: its diagram, its states and its rows."""
    return "\n".join(
        [
            f"## {lifecycle.noun.capitalize() if lifecycle.noun != 'vm' else 'VM'}\n",
            "```mermaid",
            *_diagram(lifecycle),
            "```\n",
            "| state | what is true | deadline | after a restart |",
            "|---|---|---|---|",
            *_states(lifecycle),
            "",
            "| event | kind | from | to | only if |",
            "|---|---|---|---|---|",
            *_rows(lifecycle),
            "",
        ]
    )


def _diagram(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    """Arrows between states; rows with many sources begin in a box of their own, or nobody could follow the lines."""
    boxes: dict[str, str] = {}
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in lifecycle.rows:
        sources = row.each_source()
        guard = f" [{_guard(row)}]" if _guard(row) else ""
        begins = [str(source) for source in sources]
        if len(sources) >= TOGETHER_FROM:
            others = set(lifecycle.states) - {row.target}
            named = "any other state" if set(sources) == others else "<br/>".join(begins)
            begins = [boxes.setdefault(named, f"box_{len(boxes) + 1}")]
        for begin in begins:
            arrows.setdefault((begin, str(row.target)), []).append(f"{row.event}{guard}")
    yield "stateDiagram-v2"
    yield from (f'    state "{named}" as {box}' for named, box in boxes.items())
    yield f"    [*] --> {lifecycle.initial}"
    yield from (f"    {begin} --> {end}: {', '.join(events)}" for (begin, end), events in arrows.items())
    yield "    classDef rests stroke-width:3px"
    yield f"    class {','.join(state for state in lifecycle.states if lifecycle.resting(state))} rests"
    if boxes:
        yield "    classDef together stroke-dasharray:4"
        yield f"    class {','.join(boxes.values())} together"


def _states(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    for state, about in lifecycle.states.items():
        deadline = "rests" if about.resting else str(about.deadline or "none")
        yield f"| `{state}` | {about.truth} | {deadline} | {about.after_restart} |"


def _rows(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    for row in lifecycle.rows:
        kind = "command" if row.event in lifecycle.commands else "observation"
        sources = ", ".join(f"`{source}`" for source in row.each_source())
        yield f"| `{row.event}` | {kind} | {sources} | `{row.target}` | {_guard(row)} |"


def _guard(row: Any) -> str:
    return row.only_if or (f"not {row.unless}" if row.unless else "")


def main(arguments: list[str]) -> int:
    """Write the document, or with --check say whether it is what the tables say: 0 yes, 1 no, 2 not asked properly."""
    check = "--check" in arguments
    paths = [argument for argument in arguments if argument != "--check"]
    if len(paths) != 1:
        sys.stderr.write("usage: python -m shunter.statemachines.drawing [--check] FILE\n")
        return 2
    path = Path(paths[0])
    if not check:
        path.write_text(document(), encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == document():
        return 0
    sys.stderr.write(f"{path} is stale: run python -m shunter.statemachines.drawing {path}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
