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

HEAD = """# Lifecycles

Generated from the tables in `statemachines/`; change those, then run
`python -m shunter.statemachines.drawing docs/lifecycles.md`.

A *command* asks for something, an *observation* says what a look has shown. In a resting state nothing is owed; every
other state has a deadline, or its sentence says what limits the stay. What is lost sight of can only be looked at.
"""


def document() -> str:
    """The whole document, as Markdown."""
    return "\n".join([HEAD, *(section(lifecycle) for lifecycle in LIFECYCLES)])


def section(lifecycle: Lifecycle[Any, Any]) -> str:
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
    yield "stateDiagram-v2"
    yield f"    [*] --> {lifecycle.initial}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in lifecycle.rows:
        for source in row.each_source():
            arrows.setdefault((source, row.target), []).append(str(row.event))
    for (source, target), events in arrows.items():
        yield f"    {source} --> {target}: {', '.join(dict.fromkeys(events))}"


def _states(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    for state, about in lifecycle.states.items():
        deadline = "rests" if about.resting else str(about.deadline or "none")
        yield f"| `{state}` | {about.truth} | {deadline} | {about.after_restart} |"


def _rows(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    for row in lifecycle.rows:
        kind = "command" if row.event in lifecycle.commands else "observation"
        sources = ", ".join(f"`{source}`" for source in row.each_source())
        guard = row.only_if or (f"not {row.unless}" if row.unless else "")
        yield f"| `{row.event}` | {kind} | {sources} | `{row.target}` | {guard} |"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    paths = [argument for argument in arguments if argument != "--check"]
    if len(paths) != 1:
        sys.stderr.write(f"usage: {__doc__.splitlines()[-1]}\n" if __doc__ else "")
        return 2
    path = Path(paths[0])
    if not check:
        path.write_text(document(), encoding="utf-8")
        return 0
    if path.read_text(encoding="utf-8") == document():
        return 0
    sys.stderr.write(f"{path} is stale: run python -m shunter.statemachines.drawing {path}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
