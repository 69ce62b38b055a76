"""How long the maintenance of a whole cluster takes, beside the shortest time possible and other ways to do it.

    python benchmarks/rolling.py [--seeds 2] [--most-nodes 64] [--only TEXT] [--sizes FILE] [--table docs/rolling.md]

Grid: 4 to 64 nodes, equal ones or of 256 and 512 GiB, filled to 40, 60 and 75 %; a node's maintenance takes 10 or 30
minutes. Times are over the floor (docs/rolling.md), which is computed for each instance; moves are live migrations for
each VM. Drawn so that the VMs of any one lost node find room elsewhere at the start, as far as 20 tries find such an
instance; clusters that can be maintained only without that reserve are counted apart. Above 16 nodes one seed is drawn.

Every plan, ours and the others', is replayed by the recheck, which knows nothing of the planners. Fails where one of
ours breaks a rule or loses the reserve, where it moves more than 1 + k/n times a VM (k: nodes that may be away at
once), where the plan of fewest moves makes one more than the least possible, where it takes longer than `MEDIAN` and
`WORST` allow, or, from 8 nodes on at 60 % and 30 minutes, is not 0.6·k times as fast as one node after the other with
failback. `--cpu` measures instead what planning costs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from instances import DIRTY_MIB_PER_S, GIB, RESERVED_MIB, VM_MIB, filling, sizes_of
from rolling_peers import has_hroller, hroller, one_by_one

from shunter.topology.capacity import survives_loss
from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_plan
from shunter.topology.rolling import RollingPolicy, plan_rolling
from shunter.topology.rolling.fleet import Fitness
from shunter.topology.rolling.floor import Floor, floor

NODES = (4, 8, 16, 32, 64)
FILLS = (0.4, 0.6, 0.75)
MAINTENANCE_S = (600.0, 1800.0)
KINDS: dict[str, tuple[tuple[int, ...], ...]] = {"equal": ((256,), (512,)), "mixed": ((256, 512),)}
LARGE_NODES = 16
MOST_TRIES = 20
WINDOW = 1.15
FASTER = 0.6
MEDIAN = {("equal", 600.0): 1.20, ("equal", 1800.0): 1.06, ("mixed", 600.0): 1.30, ("mixed", 1800.0): 1.20}
WORST = {("equal", 600.0): 1.55, ("equal", 1800.0): 1.20, ("mixed", 600.0): 1.75, ("mixed", 1800.0): 1.35}
MOST_CPU_S = ((16, 300, 3.0, 3.0), (64, 2000, 60.0, 5.0))
WAYS = ("fastest", "in a window", "fewest moves", "one by one, failback", "one by one", "hroller")
OURS = WAYS[:3]
MARKS = ("<!-- begin: python benchmarks/rolling.py --table -->", "<!-- end -->")


@dataclass(frozen=True)
class Case:
    nodes: int
    fill: float
    kind: str
    maintenance_s: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.nodes} nodes, {self.kind}, {self.fill:.0%}, {self.maintenance_s / 60:.0f} min, seed {self.seed}"

    @property
    def row(self) -> tuple[int, float, str, float]:
        return self.nodes, self.fill, self.kind, self.maintenance_s


@dataclass(frozen=True)
class Way:
    """`over`: total time over the floor. `lost`: how often the reserve (or memory) was broken. `left_mib`: the least
    that was free at any moment after the worst loss of one more node, by the sum of memory.
    """

    total_s: float
    over: float
    moves: int
    moves_per_vm: float
    lost: int
    left_mib: int


@dataclass(frozen=True)
class Result:
    case: Case
    vms: int = 0
    bound: Floor | None = None
    reserve_nodes: int = 0
    cpu_s: float = 0.0
    ways: dict[str, Way] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it can be judged: all nodes are done with the reserve kept."""
        return self.reserve_nodes == 1 and "fastest" in self.ways


def main() -> int:
    options = _options()
    vm_mib = sizes_of(options.sizes) if options.sizes else VM_MIB
    if options.cpu:
        return _measure_cpu(vm_mib)
    cases = [case for case in _cases(options.seeds, options.most_nodes) if options.only in case.name]
    if not has_hroller():
        print("hroller is not installed, so it is not compared with (Debian: apt-get install ganeti-htools)\n")
    begun_s = time.monotonic()
    results: list[Result] = []
    with multiprocessing.Pool(options.processes) as pool:
        for result in pool.imap(partial(measure, vm_mib=vm_mib), cases):
            results.append(result)
            print(_line(result), flush=True)
            if options.table:
                _write(options.table, _table(results))
    table, misses = _table(results), _misses(results)
    print(f"\n{table}\n\n{len(results)} instances in {time.monotonic() - begun_s:.0f} s")
    print(*misses, sep="\n")
    return 1 if misses else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="instances of each size up to 16 nodes (default 2)")
    parser.add_argument("--most-nodes", type=int, default=64, help="leave larger clusters out (default 64)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only instances whose name holds this")
    parser.add_argument("--sizes", type=Path, help='JSON file {"vms": [{"memory_mib": …}]} to draw the VMs from')
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--table", type=Path, help="Markdown file whose table is written anew as results come in")
    parser.add_argument("--cpu", action="store_true", help="measure what planning costs")
    return parser.parse_args()


def _cases(seeds: int, most_nodes: int) -> Iterator[Case]:
    for nodes in NODES:
        for kind in KINDS:
            for fill in FILLS:
                for maintenance_s in MAINTENANCE_S:
                    for seed in range(1, 1 + (seeds if nodes <= LARGE_NODES else 1)):
                        if nodes <= most_nodes:
                            yield Case(nodes, fill, kind, maintenance_s, seed)


# ------------------------------------------------------------------ instances


def draw(case: Case, vm_mib: Sequence[int]) -> Cluster:
    """One that can lose any node at the start, if it can be found; the same for each time that maintenance takes.

    What fits into no gap that nodes so full have is not drawn: it could not be restarted anywhere.
    """
    kinds = KINDS[case.kind][(case.seed - 1) % len(KINDS[case.kind])]
    largest_mib = max(kinds) * GIB - RESERVED_MIB
    fitting = [mib for mib in vm_mib if 1.1 * mib <= (1 - case.fill) * largest_mib]
    drawn: list[Cluster] = []
    for attempt in range(MOST_TRIES):
        name = f"{case.nodes} {case.kind} {case.fill} {case.seed} {attempt}"
        drawn.append(_drawn(name, case, kinds, fitting))
        if survives_loss(drawn[-1], 1).ok:
            return drawn[-1]
    return drawn[0]


def _drawn(name: str, case: Case, kinds: Sequence[int], vm_mib: Sequence[int]) -> Cluster:
    rng = random.Random(name)
    nodes = [
        {"name": f"N{i}", "memory_mib": kinds[i % len(kinds)] * GIB, "reserved_mib": RESERVED_MIB}
        for i in range(1, case.nodes + 1)
    ]
    vms: list[dict[str, object]] = []
    for node in nodes:
        room_mib = kinds[int(str(node["name"])[1:]) % len(kinds)] * GIB - RESERVED_MIB
        for memory_mib in filling(case.fill * room_mib, vm_mib, rng):
            vm = {"name": f"vm-{len(vms) + 1}", "node": node["name"], "memory_mib": memory_mib}
            vms.append({**vm, "dirty_mib_per_s": rng.choice(DIRTY_MIB_PER_S)})
    return read_cluster({"name": name, "nodes": nodes, "vms": vms})


# ------------------------------------------------------------------ measuring


def measure(case: Case, vm_mib: Sequence[int]) -> Result:
    cluster = draw(case, vm_mib)
    begun_s = time.process_time()
    plan = plan_rolling(cluster, (), RollingPolicy(maintenance_s=case.maintenance_s))
    cpu_s = time.process_time() - begun_s
    wrong = [f"{case.name}: {violation}" for violation in check_plan(cluster, plan, ())]
    names = [node.name for node in cluster.nodes]
    bound = floor(cluster, names, case.maintenance_s, plan.reserve_nodes, Fitness(cluster))
    result = partial(Result, case, len(cluster.vms), bound, plan.reserve_nodes, cpu_s)
    if plan.untouched or plan.reserve_nodes == 0:
        return result(wrong=tuple(wrong))
    window_s = WINDOW * plan.makespan_s
    policy = RollingPolicy(maintenance_s=case.maintenance_s, prefer="moves")
    within = plan_rolling(cluster, (), policy.model_copy(update={"window_s": window_s}))
    plans: dict[str, Plan | None] = {
        "fastest": plan,
        "in a window": within,
        "fewest moves": plan_rolling(cluster, (), policy),
        "one by one, failback": one_by_one(cluster, case.maintenance_s, 1, failback=True),
        "one by one": one_by_one(cluster, case.maintenance_s, 1, failback=False),
        "hroller": hroller(cluster, case.maintenance_s, 1) if has_hroller() else None,
    }
    for name in OURS[1:]:
        wrong += [f"{case.name}, {name}: {violation}" for violation in check_plan(cluster, plans[name] or plan, ())]
    if within.untouched or within.makespan_s > window_s + 1e-6:
        wrong.append(f"{case.name}: no plan of few moves within {WINDOW} of the fastest")
    return result(ways={name: _way(cluster, plan, bound) for name, plan in plans.items() if plan}, wrong=tuple(wrong))


def _way(cluster: Cluster, plan: Plan, bound: Floor) -> Way:
    return Way(
        total_s=plan.makespan_s,
        over=plan.makespan_s / bound.time_s,
        moves=len(plan.moves),
        moves_per_vm=len(plan.moves) / len(cluster.vms),
        lost=sum(violation.invariant == "I3" for violation in check_plan(cluster, plan, ())),
        left_mib=least_left_mib(cluster, plan),
    )


def least_left_mib(cluster: Cluster, plan: Plan) -> int:
    """The plan replayed: free on all that are there, less what the worst loss takes away and needs."""
    free = {node.name: cluster.free_mib(node.name) for node in cluster.nodes}
    needs = {node.name: cluster.used_mib[node.name] for node in cluster.nodes}
    there, least = set(free), []
    # what ends frees before what begins takes; a migration holds memory at both ends
    events = [(move.end_s, 0, move.vm, move.source, -1) for move in plan.moves]
    events += [(move.start_s, 3, move.vm, move.target, 1) for move in plan.moves]
    events += [(turn.end_s, 1, "", turn.node, 0) for turn in plan.maintenance]
    events += [(turn.start_s, 2, "", turn.node, 0) for turn in plan.maintenance]
    for _, kind, vm, node, sign in sorted(events):
        if vm:
            mib = sign * cluster.vm_by_name[vm].memory_mib
            free[node] -= mib
            needs[node] += mib
        elif kind == 1:
            there.add(node)
        else:
            there.discard(node)
        least.append(sum(free[name] for name in there) - max((free[n] + needs[n] for n in there), default=0))
    return min(least)


def _measure_cpu(vm_mib: Sequence[int]) -> int:
    """What the largest plans cost."""
    misses = []
    print(f"{'nodes':>5} {'VMs':>5} {'CPU s':>7} {'first plan, s':>14} {'forecasts':>9}")
    for nodes, most_vms, most_s, first_s in MOST_CPU_S:
        cluster = of_so_many(nodes, most_vms, vm_mib)
        first: list[float] = []
        begun_s = time.process_time()

        def note(_: int, __: float, begun_s: float = begun_s, first: list[float] = first) -> None:
            first.append(time.process_time() - begun_s)

        plan_rolling(cluster, (), RollingPolicy(maintenance_s=1800), note)
        took_s = time.process_time() - begun_s
        print(f"{nodes:5} {len(cluster.vms):5} {took_s:7.1f} {first[0]:14.1f} {len(first):9}")
        if took_s > most_s or first[0] > first_s:
            misses.append(f"{nodes} nodes: {took_s:.1f} s (at most {most_s:g}), first plan {first[0]:.1f} s")
    print(*misses, sep="\n")
    return 1 if misses else 0


def of_so_many(nodes: int, vms: int, vm_mib: Sequence[int]) -> Cluster:
    """The VMs of a draw at 60 %, as many as asked for, all sizes alike enlarged or made smaller."""
    rng = random.Random(f"{nodes} nodes, {vms} VMs")
    drawn = [rng.choice(vm_mib) for _ in range(vms)]
    room_mib = nodes * (512 * GIB - RESERVED_MIB)
    factor = 0.6 * room_mib / sum(drawn)
    raw = [
        {
            "name": f"vm-{i}",
            "node": f"N{i % nodes + 1}",
            "memory_mib": max(64, round(mib * factor)),
            "dirty_mib_per_s": 20,
        }
        for i, mib in enumerate(sorted(drawn))
    ]
    of = [{"name": f"N{i}", "memory_mib": 512 * GIB, "reserved_mib": RESERVED_MIB} for i in range(1, nodes + 1)]
    return read_cluster({"name": f"{nodes} nodes", "nodes": of, "vms": raw})


# ------------------------------------------------------------------ judging


def _misses(results: Sequence[Result]) -> list[str]:
    misses = [wrong for result in results for wrong in result.wrong]
    for result in results:
        misses += [f"{result.case.name}: {miss}" for miss in _missed(result)] if result.counts else []
    for group, most in MEDIAN.items():
        here = _over(
            result for result in results if result.counts and (result.case.kind, result.case.maintenance_s) == group
        )
        if here and statistics.median(here) > most:
            misses.append(f"{group[0]}, {group[1] / 60:.0f} min: median {statistics.median(here):.3f}, at most {most}")
    return misses


def _missed(result: Result) -> Iterator[str]:
    case, bound, fastest = result.case, result.bound, result.ways["fastest"]
    assert bound is not None
    if fastest.over > WORST[case.kind, case.maintenance_s]:
        yield f"{fastest.over:.3f} of the floor"
    if fastest.moves_per_vm > 1 + bound.parallel / case.nodes:
        yield f"{fastest.moves_per_vm:.3f} moves a VM, at most {1 + bound.parallel / case.nodes:.3f}"
    if result.ways["fewest moves"].moves > bound.moves:
        yield f"fewest moves: {result.ways['fewest moves'].moves}, {bound.moves} are possible"
    slow = result.ways.get("one by one, failback")
    if slow and case.nodes >= 8 and case.fill == 0.6 and case.maintenance_s == 1800:
        times = slow.total_s / fastest.total_s
        if times < FASTER * bound.parallel:
            yield f"{times:.2f} times as fast as one by one, at least {FASTER * bound.parallel:.2f}"
    for name in OURS:
        if result.ways[name].lost:
            yield f"{name}: the reserve is lost {result.ways[name].lost} times"


def _over(results: Iterable[Result], name: str = "fastest") -> list[float]:
    return [result.ways[name].over for result in results if name in result.ways]


# ------------------------------------------------------------------ showing


def _line(result: Result) -> str:
    if not result.counts:
        return f"{result.case.name:42} only without a reserve, or not all nodes"
    ways = "  ".join(f"{result.ways[n].over:6.3f} {result.ways[n].moves_per_vm:5.3f}" for n in WAYS if n in result.ways)
    return f"{result.case.name:42} {result.vms:5} VMs {result.cpu_s:5.1f} s  {ways}"


def _table(results: Sequence[Result]) -> str:
    """Markdown: a row for each number of nodes, kind and time of maintenance, and one for all of a kind and time."""
    head = ("nodes", "fill", "maintenance", "k", *WAYS)
    lines = [" | ".join(("", *head, "")).strip(), "|".join(("", *("---" for _ in head), ""))]
    counted = [result for result in results if result.counts]
    for nodes, fill, kind, maintenance_s in sorted(
        {r.case.row for r in counted}, key=lambda r: (r[2], r[3], r[0], r[1])
    ):
        here = [result for result in counted if result.case.row == (nodes, fill, kind, maintenance_s)]
        most = "–".join(dict.fromkeys(str(k) for k in sorted(r.bound.parallel for r in here if r.bound)))
        cells = (f"{nodes} {kind}", f"{fill:.0%}", f"{maintenance_s / 60:.0f} min", most)
        lines.append(f"| {' | '.join((*cells, *(_cell(here, name, statistics.median) for name in WAYS)))} |")
    for kind, maintenance_s in MEDIAN:
        here = [r for r in counted if (r.case.kind, r.case.maintenance_s) == (kind, maintenance_s)]
        for word, of in (("median", statistics.median), ("worst", max)):
            if here:
                cells = (f"**{word}** {kind}", "all", f"{maintenance_s / 60:.0f} min", "")
                lines.append(f"| {' | '.join((*cells, *(_cell(here, name, of) for name in WAYS)))} |")
    rest = [result for result in results if not result.counts]
    alone = sum(result.reserve_nodes == 0 for result in rest)
    lines += [
        "",
        f"{len(counted)} instances: total time over the floor, moves a VM, what is left after the worst loss;",
        "✗: at so many moments memory, or the room for any one lost node, is lost.",
        f"{alone} more can be maintained only without a reserve, or not at all, and are told so first.",
    ]
    return "\n".join(lines)


def _cell(results: Sequence[Result], name: str, of: Callable[[list[float]], float]) -> str:
    ways = [result.ways[name] for result in results if name in result.ways]
    if not ways:
        return "–"
    lost = sum(way.lost for way in ways)
    figures = f"{of([way.over for way in ways]):.2f}, {of([way.moves_per_vm for way in ways]):.2f}"
    left = f", {min(way.left_mib for way in ways) // GIB} GiB"
    return figures + left + (f", {lost} ✗" if lost else "")


def _write(file: Path, table: str) -> None:
    before, _, rest = file.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    file.write_text(f"{before}{MARKS[0]}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
