"""Breaks each rule in turn, by one change in a copy of the sources, and sees that the tests that hold it fail.

    python tests/mutations.py [--only R13 ...] [--processes 2]

The changes and the tests are those of `tests/rules.py`. Ends with 1 where a test fails though nothing is broken, or
passes though its rule is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rules import ROOT, RULES, Break, Rule

PATIENCE_S = 240
COPIED = ("src", "flows", "engine", "clusters", "topology", "statemachines", "commands", "tests", "examples")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="RULE", help="these rules alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [rule for rule in RULES if not options.only or rule.name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        whole = copied(Path(folder) / "whole")
        if not _passes(whole, [test for rule in chosen for test in rule.all_tests]):
            print("the tests fail though nothing is broken")
            return 1
        print(f"{len(chosen)} rules: their tests pass while nothing is broken", flush=True)
        with ThreadPoolExecutor(options.processes) as pool:
            held = list(pool.map(lambda rule: _holds(rule, Path(folder)), chosen))
    print(f"{sum(held)} of {len(held)} rules are held by their tests")
    return 0 if all(held) else 1


def copied(to: Path) -> Path:
    """A copy of the sources: nobody who works on them is disturbed."""
    to.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


def broken(root: Path, change: Break) -> None:
    path = root / change.file
    text = path.read_text(encoding="utf-8")
    assert text.count(change.old) == 1, f"{change.file}: {change.old!r} is there {text.count(change.old)} times"
    path.write_text(text.replace(change.old, change.new), encoding="utf-8")


def _holds(rule: Rule, folder: Path) -> bool:
    held = []
    for change, tests in rule.breaks:
        root = copied(folder / rule.name)
        broken(root, change)
        held.append(all(not _passes(root, [test]) for test in tests))
        print(f"{rule.name} {'held' if held[-1] else 'NOT HELD'}  {change.file}: {change.new}", flush=True)
        shutil.rmtree(root)
    return all(held)


def _passes(root: Path, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run {', '.join(tests)}:\n{run.stdout}{run.stderr}")
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
