"""Real runs whose surroundings fail: the run is killed or told to end, the Prefect server is away or silent, disks are
full, pipes closed; each judged by the witness log of a hosted cluster, beside the same run undisturbed.

    python benchmarks/surroundings.py [--first 0] [--seeds 126] [--at-once 1] [--out DIR]
    python benchmarks/surroundings.py --only SEED

Each seed draws a procedure (evacuation, rolling maintenance, failover), the speed of the cluster (1 or 20), a cluster
of 4 to 6 nodes and 6 to 20 VMs, one of 20 disturbances, and its moment. Seeds 0 to 119 hold each disturbance of each
procedure at each speed once, 120 to 125 disturb nothing; then it begins anew, with other clusters and moments. Two at
once on two cores, 63 seeds take about an hour. A full disk is a small file system that is mounted, which only root can.

Each case has a Prefect server of its own and a hosted cluster, and its run is a command line in a process of its own.
Undisturbed it is run by the engine in virtual time: the same but for the seconds that Prefect takes, as the cases show
in which nothing is disturbed. Judged is that

  - the same nodes are emptied, VMs unplaced and nodes paused; the independent check of the log finds nothing;
  - no VM migrates more often, but for one in flight when the run was killed;
  - nothing waits for longer than 30 s of real time, besides what it waits undisturbed, after the cause is over;
  - a run that is told to end begins nothing new after 3 s, lets running moves end, and leaves nothing in doubt;
  - report, exit code, state of the flow run and locks say what is so, and nothing ends in a traceback.

What a failing case leaves behind (logs of all processes, the witness, the server's database), and that of `--only`, is
kept in DIR. The exit code is 1 where any case failed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from disturbed.cases import DISTURBANCES, ROUND, UNDISTURBED, WAYS, draw
from disturbed.judge import Fault, judge
from disturbed.play import play
from disturbed.stage import make_template, server_of_its_own

ALL = ROUND + len(WAYS)
LOOK_EVERY_S = 5.0
LEAVE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Verdict:
    """`undisturbed_s`: what the run takes undisturbed. `missed`: the run was over before the disturbance came."""

    seed: int
    way: tuple[str, float]
    disturbance: str
    took_s: float
    undisturbed_s: float
    missed: bool
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        procedure, speed = self.way
        head = f"seed {self.seed:4}  {procedure:10} x{speed:<3g} {self.disturbance:41}"
        head += f" took {self.took_s:4.0f} s, undisturbed {self.undisturbed_s:3.0f} s: "
        if not self.faults:
            return head + ("clean, over before it came" if self.missed else "clean")
        return "\n".join([head + "FAILED", *(f"      {fault}" for fault in self.faults)])


def main() -> int:
    given = _options()
    seeds = [given.only] if given.only is not None else list(range(given.first, given.first + given.seeds))
    given.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _as_interrupt)
    verdicts: list[Verdict] = []
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shunter-surroundings-") as scratch:
        template = Path(scratch) / "template"
        try:
            make_template(template)
            for verdict in _verdicts(seeds, given.at_once, _Folders(given.out, template, given.only is not None)):
                print(verdict, flush=True)
                verdicts.append(verdict)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    _show(verdicts, time.monotonic() - begun_s)
    return 1 if any(verdict.faults for verdict in verdicts) or len(verdicts) < len(seeds) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seeds", type=int, default=ALL, help=f"how many (default {ALL}: everything once)")
    parser.add_argument("--only", type=int, metavar="SEED", help="this seed alone; its files are kept")
    parser.add_argument("--at-once", type=int, default=1, help="cases at a time (default 1)")
    parser.add_argument("--out", type=Path, default=Path("failing-surroundings"), help="where files are kept")
    return parser.parse_args()


def _as_interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


# ------------------------------------------------------------------ cases, some at a time


@dataclass(frozen=True)
class _Folders:
    out: Path
    template: Path
    keep: bool


def _verdicts(seeds: Sequence[int], at_once: int, folders: _Folders) -> Iterator[Verdict]:
    """As they come. Left early, all processes are ended first."""
    asked: multiprocessing.Queue[int | None] = multiprocessing.Queue()
    told: multiprocessing.Queue[Verdict] = multiprocessing.Queue()
    for seed in (*seeds, *[None] * at_once):
        asked.put(seed)
    lanes = [multiprocessing.Process(target=_lane, args=(asked, told, folders)) for _ in range(at_once)]
    try:
        for lane in lanes:
            lane.start()
        for _ in seeds:
            yield _next(told, lanes)
    finally:
        for lane in lanes:
            if lane.is_alive():
                lane.terminate()
        for lane in lanes:
            lane.join(LEAVE_WITHIN_S)


def _next(told: multiprocessing.Queue[Verdict], lanes: Sequence[multiprocessing.Process]) -> Verdict:
    while True:
        try:
            return told.get(timeout=LOOK_EVERY_S)
        except queue.Empty:
            if not any(lane.is_alive() for lane in lanes):
                raise RuntimeError("the processes that play the cases have ended") from None


def _lane(asked: multiprocessing.Queue[int | None], told: multiprocessing.Queue[Verdict], folders: _Folders) -> None:
    """Play one case after the other. Ctrl-C reaches this process too; it ends when it is told to, once."""
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        while (seed := asked.get()) is not None:
            told.put(_verdict(seed, folders))
    except KeyboardInterrupt:
        return


def _verdict(seed: int, folders: _Folders) -> Verdict:
    case = draw(seed)
    folder = folders.out / f"seed-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    took_s, missed = 0.0, False
    try:
        with server_of_its_own(folder / "prefect", folders.template) as server:
            played = play(case, folder, server)
        took_s, missed = played.took_s, played.cause.missed
        faults = judge(played)
    except Exception as error:  # noqa: BLE001  a case that cannot be played must not end the others
        (folder / "not-played.txt").write_text(traceback.format_exc(), encoding="utf-8")
        faults = (Fault("not played", f"{error!r}; {folder / 'not-played.txt'}"),)
    if not faults and not folders.keep:
        shutil.rmtree(folder)
    way = (case.procedure, case.speed)
    return Verdict(seed, way, case.disturbance, took_s, case.twin.takes_s / case.speed, missed, faults)


# ------------------------------------------------------------------ the table


def _show(verdicts: Sequence[Verdict], took_s: float) -> None:
    """How many cases of each kind there were, and how many of them failed."""
    failed = sum(bool(verdict.faults) for verdict in verdicts)
    late = sum(verdict.missed for verdict in verdicts)
    said = f"; in {late} the run was over before the disturbance came" if late else ""
    print(f"\n{len(verdicts)} cases in {took_s / 60:.0f} min: {failed} failed{said}")
    print(f"{'':42}" + "".join(f"{procedure:>11} x{speed:<3g}" for procedure, speed in WAYS))
    for disturbance in (*DISTURBANCES, UNDISTURBED):
        alike = [verdict for verdict in verdicts if verdict.disturbance == disturbance]
        if alike:
            cells = (_cell([verdict for verdict in alike if verdict.way == way]) for way in WAYS)
            print(f"{disturbance:42}" + "".join(f"{cell:>16}" for cell in cells))
    named = Counter(what for verdict in verdicts for what in {fault.what for fault in verdict.faults})
    for what, times in named.most_common():
        print(f"  {what}: in {times} cases")


def _cell(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "-"
    failed = sum(bool(verdict.faults) for verdict in verdicts)
    return f"{failed} of {len(verdicts)} failed" if failed else f"{len(verdicts)} clean"


if __name__ == "__main__":
    sys.exit(main())
