"""Spoilt cluster files, fault plans and command lines: each is answered or refused with what is wrong, never a crash.

    python benchmarks/fuzzing.py [--inputs 100000] [--seed 0] [--only N] [--processes 2] [--failing DIR]

What is accepted is planned, and the plan rechecked; a part of it is simulated with faults, and log and report are
rechecked. An input that fails is printed with the command that replays it, and written to DIR, made small; the exit
code is then 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from inputs import Input, Outcome, attempt, draw, minimised

EVERY = 5000
MOST_MINIMISED = 3
"""Of each trouble: the others are most likely the same."""


def main() -> int:
    options = _options()
    if options.only is not None:
        return _one(options.seed, options.only, options.failing)
    counts: Counter[tuple[str, str]] = Counter()
    troubles: Counter[str] = Counter()
    begun_s = time.monotonic()
    with multiprocessing.Pool(options.processes) as pool:
        work = partial(_try, options.seed)
        for done, (number, kind, outcome) in enumerate(pool.imap(work, range(options.inputs), chunksize=50), start=1):
            counts[kind, "failed" if outcome.trouble else "accepted" if outcome.accepted else "refused"] += 1
            if outcome.trouble:
                troubles[outcome.trouble] += 1
                if troubles[outcome.trouble] <= MOST_MINIMISED:
                    _one(options.seed, number, options.failing)
            if done % EVERY == 0:
                print(f"{done:7} inputs, {troubles.total()} failed", file=sys.stderr, flush=True)
    print(f"{options.inputs} inputs in {time.monotonic() - begun_s:.0f} s: {troubles.total()} failed")
    for kind in sorted({kind for kind, _ in counts}):
        ends = ", ".join(f"{end} {counts[kind, end]}" for end in ("accepted", "refused", "failed"))
        print(f"  {kind:13} {ends}")
    for trouble, times in troubles.most_common():
        print(f"  {times:6} × {trouble}")
    return 1 if troubles else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (default 100000)")
    parser.add_argument("--seed", type=int, default=0, help="what they are drawn from (default 0)")
    parser.add_argument("--only", type=int, metavar="N", help="the input of this number alone")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--failing", type=Path, default=Path("failing-inputs"), help="where failing ones are written")
    return parser.parse_args()


def _try(seed: int, number: int) -> tuple[int, str, Outcome]:
    given = draw(seed, number)
    with tempfile.TemporaryDirectory() as folder:
        return number, given.kind, attempt(given, Path(folder))


def _one(seed: int, number: int, failing: Path) -> int:
    """Try one input; where it fails, make it small, and say how to see it again."""
    given = draw(seed, number)
    with tempfile.TemporaryDirectory() as folder:
        outcome = attempt(given, Path(folder))
        if outcome.trouble is None:
            print(f"input {number} of seed {seed}: {given.kind}, {'accepted' if outcome.accepted else 'refused'}")
            return 0
        small = minimised(given, Path(folder))
        detail = attempt(small, Path(folder)).detail
    print(f"input {number} of seed {seed} ({given.kind}): {outcome.trouble}")
    print(f"    {detail[-1500:].replace(chr(10), chr(10) + '    ')}".encode(errors="replace").decode())
    print(f"    python benchmarks/fuzzing.py --seed {seed} --only {number}; made small: {_written(small, failing)}")
    sys.stdout.flush()
    return 1


def _written(small: Input, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{small.number}.json").write_bytes(small.data)
    if small.faults is not None:
        (folder / f"{small.number}.faults.json").write_bytes(small.faults)
    said = f"{folder / f'{small.number}.json'}"
    return f"{said}, arguments {list(small.arguments)}" if small.arguments else said


if __name__ == "__main__":
    sys.exit(main())
