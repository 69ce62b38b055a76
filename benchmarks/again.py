"""The test suite several times in a row, also on a machine that has other work: a suite that fails now and then is
worth little, and most faults that show themselves seldom are faults of timing.

    python benchmarks/again.py [--times 10] [--busy 0] [PYTEST ARGUMENTS]

`--busy N` keeps N processes computing meanwhile. Each round is a line; what fails is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--busy", type=int, default=0)
    given, arguments = parser.parse_known_args()
    failed = 0
    with busy(given.busy):
        for number in range(1, given.times + 1):
            began_at = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
            )
            took_s = time.monotonic() - began_at
            print(f"{number:3}  {'passed' if done.returncode == 0 else 'FAILED'}  {took_s:5.0f} s", flush=True)
            if done.returncode != 0:
                failed += 1
                print(done.stdout[-20_000:], done.stderr[-5_000:], flush=True)
    print(
        f"{given.times - failed} of {given.times} passed{f', {given.busy} processes busy beside' if given.busy else ''}"
    )
    return 1 if failed else 0


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes compute while the block runs."""
    others = [multiprocessing.Process(target=_compute, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def _compute() -> None:
    number = 1
    while True:
        number = number * 6364136223846793005 % (2**61 - 1)


if __name__ == "__main__":
    sys.exit(main())
