"""What a how-to in docs/ lets people type works, and the words that it shows are those of the product."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commanding import Answer, needs_prefect

ROOT = Path(__file__).resolve().parents[1]
HOW_TOS = [*sorted((ROOT / "docs").glob("how-to-*.md")), ROOT / "docs" / "losing-a-node.md"]
EXAMPLES = re.compile(r"^    shunter (.*)$(?:\n\n```text\n((?:.*\n)*?)```)?", re.MULTILINE)
ENDS_WITH = {
    "--backup-limit-s 300": 1,
    "examples/after-a-loss.json --speed 600": 1,
    "examples/isolated-node.json --speed 600": 1,
    "faults/does-not-come-up.json": 1,
    "shunter failover N2 --cluster examples/six-nodes.json": 3,
    "plan failover N1 --cluster examples/room-in-pieces.json": 1,
    "failover N1 N2 N3 N4 --cluster examples/six-nodes.json": 3,
}
"""The end of a command line, and what it exits with, where that is not 0."""


def examples() -> list[tuple[str, str]]:
    """(arguments, what is shown) of each command that works on the examples."""
    found = [example for path in HOW_TOS for example in EXAMPLES.findall(path.read_text(encoding="utf-8"))]
    return [(arguments, shown) for arguments, shown in found if "examples/" in arguments]


def exit_code(arguments: str) -> int:
    if "hold-then-proceed" in arguments:
        return 0
    return next((code for end, code in ENDS_WITH.items() if f"shunter {arguments}".endswith(end)), 0)


def words(text: str) -> str:
    """Lines are broken where they do not fit."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param(*example, id=example[0], marks=pytest.mark.heavy if needs_prefect(*example[0].split()) else ())
        for example in examples()
    ],
)
def test_every_command_of_a_how_to_works_and_says_what_is_shown(
    arguments: str, shown: str, answer: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    done = answer(*arguments.split())
    assert done.code == exit_code(arguments), done.err
    for line in shown.splitlines():
        assert words(line) in words(done.out), done.out


@pytest.mark.parametrize("document", HOW_TOS, ids=lambda document: document.name)
def test_links_of_a_how_to_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
