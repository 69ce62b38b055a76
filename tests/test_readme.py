"""What the README tells people to type works, and what it points at is there."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commanding import Answer, apart, here, needs_prefect

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", README, re.MULTILINE)
ENDS_WITH = {
    "shunter failover N2 --cluster examples/after-a-loss.json --speed 60": 1,
    "shunter plan evacuate HV1 --cluster examples/branch-office.json": 1,
    "shunter rehearse maintain --cluster examples/six-nodes.json --maintenance-s 1800 --nights 50": 1,
    "shunter status --cluster examples/after-a-loss.json": 1,
    "shunter why erp-1 HV2 --cluster examples/branch-office.json": 1,
}
HEAVY = ("python ", "shunter rehearse")
DOCUMENTS = [
    ROOT / f"{name}.md"
    for name in (
        *("README", "CONTRIBUTING", "CHANGELOG"),
        *("docs/architecture", "docs/watching", "docs/what-needs-what", "docs/what-a-run-leaves"),
        "docs/when-something-fails",
    )
]


def is_heavy(command: str) -> bool:
    return command.startswith(HEAVY) or needs_prefect(*command.split()[1:])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the examples, to work in."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def test_the_two_commands_that_set_everything_up_are_there_word_for_word() -> None:
    assert [command for command in COMMANDS if command.startswith("python3 ")] == [
        "python3 -m venv .venv && .venv/bin/python -m pip install -q -c constraints.txt . && .venv/bin/shunter demo",
        "python3 -m venv .venv && .venv/bin/python -m pip install -q -c constraints.txt '.[test]' "
        "&& .venv/bin/python -m pytest",
    ]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=pytest.mark.heavy if is_heavy(command) else ())
        for command in COMMANDS
        if not command.startswith("python3 ")
    ],
)
def test_every_other_command_of_the_readme_works(
    command: str, answer: Callable[..., Answer], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    program, *arguments = re.sub(r"--speed \d+", "--speed 600", command).split()  # nobody watches it here
    done = answer(*arguments) if program == "shunter" else apart(sys.executable, *arguments)
    assert done.code == ENDS_WITH.get(command, 0), done.err
    assert done.out


def test_the_call_from_python_fits_the_flow() -> None:
    from shunter.flows.evacuate import evacuate_nodes  # noqa: PLC0415  Prefect takes a second

    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (call,) = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call)]
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg is not None}
    inspect.signature(evacuate_nodes.fn).bind(**given)
    assert (ROOT / given["cluster"]).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_the_picture_is_what_the_product_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = ("simulate", "evacuate", "HV01", "HV02", "--cluster", "commands/demo.json", "--svg")
    drawn = tmp_path / "demo.svg"
    assert here(*arguments, str(drawn)).code == 0
    fresh = drawn.read_text(encoding="utf-8") == (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    assert fresh, f"docs/demo.svg is stale: run shunter {' '.join(arguments)} docs/demo.svg"
