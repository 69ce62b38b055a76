"""Simpler ways to empty the same nodes: the same moves in rounds or one by one, and what Ganeti's `hbal` orders."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import hbal
import networkx as nx
from instances import Instance

from shunter.topology.pairing import Wanted
from shunter.topology.timeline import schedule


@dataclass(frozen=True)
class Beside:
    """Makespans over the plain bound. `balanced`: what hbal does, `as_ordered` with its job sets one after the other,
    `as_ours` its moves paired as ours; both only where it leaves nobody behind.
    """

    leavers: int
    ours: float
    rounds: float
    one_by_one: float
    balanced: hbal.Balanced | None = None
    as_ordered: float | None = None
    as_ours: float | None = None


def beside(
    instance: Instance, moves: Sequence[Wanted], makespan_s: float, bound_s: float, takes_s: Mapping[str, float]
) -> Beside:
    balanced = hbal.balance(instance) if hbal.is_installed() else None
    complete = balanced is not None and not balanced.left
    return Beside(
        leavers=len(instance.leavers),
        ours=makespan_s / bound_s,
        rounds=_in_rounds_s(moves) / bound_s,
        one_by_one=sum(move.duration_s for move in moves) / bound_s,
        balanced=balanced,
        as_ordered=balanced.makespan_s(takes_s) / bound_s if balanced and complete else None,
        as_ours=_paired_s(instance, balanced, takes_s) / bound_s if balanced and complete else None,
    )


def _in_rounds_s(moves: Sequence[Wanted]) -> float:
    """A maximum-weight matching, and the next one only when the last migration of the round has ended."""
    left = set(moves)
    total_s = 0.0
    while left:
        graph: nx.Graph[str] = nx.Graph()
        for move in sorted(left, key=lambda move: (move.duration_s, move.vm)):
            graph.add_edge(move.source, move.target, weight=move.duration_s, move=move)
        matched = [graph.edges[edge]["move"] for edge in nx.max_weight_matching(graph)]
        total_s += max(move.duration_s for move in matched)
        left.difference_update(matched)
    return total_s


def _paired_s(instance: Instance, balanced: hbal.Balanced, takes_s: Mapping[str, float]) -> float:
    place = {vm.name: vm.node for vm in instance.cluster.vms}
    wanted = []
    for number, (vm, target) in enumerate(balanced.moves):
        wanted.append(Wanted(f"{vm}, {number}", place[vm], target, takes_s[vm]))
        place[vm] = target
    return max(end_s for _, end_s, _ in schedule(wanted))


def show_beside(rows: Sequence[Beside]) -> None:
    """Over the instances that were compared."""
    if not rows:
        return
    print(f"\nbeside simpler ways, {len(rows)} instances in which nobody makes room: makespan over the plain bound")
    ways = {
        "Shunter": [row.ours for row in rows],
        "the same moves in rounds with a barrier": [row.rounds for row in rows],
        "the same moves one by one": [row.one_by_one for row in rows],
        "hbal, its job sets": [row.as_ordered for row in rows if row.as_ordered],
        "hbal's targets, paired as Shunter does": [row.as_ours for row in rows if row.as_ours],
    }
    for way, ratios in ways.items():
        if ratios:
            print(f"  {way:40} median {statistics.median(ratios):6.3f}  worst {max(ratios):6.3f}  ({len(ratios)})")
    done = [(row.leavers, row.balanced) for row in rows if row.balanced]
    if done:
        behind = [balanced.left for _, balanced in done if balanced.left]
        moves = sum(len(balanced.moves) for _, balanced in done)
        sets = sum(len(balanced.job_sets) for _, balanced in done)
        gone = sum(leavers - balanced.left for leavers, balanced in done)
        print(
            f"  hbal: {moves / gone:.3f} moves a VM, {sets} job sets for {moves} moves, {sum(behind)} VMs left behind "
            f"in {len(behind)} instances, CPU s median {statistics.median(b.cpu_s for _, b in done):.2f}, "
            f"worst {max(b.cpu_s for _, b in done):.2f}"
        )
