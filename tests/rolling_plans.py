"""A rolling run of three nodes as a value, and one as large as they come, for those who show them."""

from __future__ import annotations

from typing import Any

from shunter.topology.plan import Alternative, Maintenance, Move, Plan, Untouched, Verdict

GIB = 1024


def move(vm: str, source: str, target: str, start_s: float, end_s: float, **told: Any) -> Move:
    return Move(vm=vm, source=source, target=target, start_s=start_s, end_s=end_s, **told)


def turn(
    node: str, paused_s: float, start_s: float, end_s: float, left_mib: int | None = None, **told: Any
) -> Maintenance:
    return Maintenance(node=node, paused_s=paused_s, start_s=start_s, end_s=end_s, left_mib=left_mib, **told)


def rolling_plan(**fields: Any) -> Plan:
    """N1, N2 and N3, one after the other, 30 minutes each; of three VMs one moves twice."""
    given: dict[str, Any] = {
        "kind": "rolling_maintenance",
        "cluster": "c",
        "ok": True,
        "reserve_nodes": 1,
        "moves": (
            move("web-1", "N2", "N3", 0, 60),
            move("web-1", "N3", "N2", 1860, 1920),
            move("db-1", "N3", "N2", 1920, 2100),
            move("app-1", "N1", "N3", 3900, 4000),
        ),
        "maintenance": (
            turn("N3", 2000, 2100, 3900, 48 * GIB),
            turn("N2", 0, 60, 1860, 64 * GIB),
            turn("N1", 3900, 4000, 5800, 80 * GIB),
        ),
        "makespan_s": 5800.0,
        "lower_bound_s": 5400.0,
        **fields,
    }
    return Plan(**given)


def rolling_report(**fields: Any) -> Plan:
    """The same, gone wrong: N3 did not come back, and N1 had to be left out."""
    moves = rolling_plan().moves
    given: dict[str, Any] = {
        "ok": False,
        "executed": True,
        "moves": tuple(each.model_copy(update={"outcome": "done"}) for each in moves[:3]),
        "maintenance": (
            turn("N2", 0, 60, 1860, 64 * GIB, outcome="done"),
            turn("N3", 2000, 2100, 3900, 48 * GIB, outcome="failed", reason="did not come back; it stays paused"),
        ),
        "untouched": (UNTOUCHED,),
        "makespan_s": 3900.0,
        **fields,
    }
    return rolling_plan(**given)


UNTOUCHED = Untouched(node="N1", reason="one node has failed", remedy="mend N3, then start the run again")

WAYS = (
    Alternative(name="one at a time", parallel=1, makespan_s=9000, moves=4, moves_per_vm=1.0, left_mib=90 * GIB),
    Alternative(
        name="as fast as can be",
        parallel=2,
        makespan_s=5800,
        moves=4,
        moves_per_vm=1.25,
        left_mib=-5 * GIB,
        chosen=True,
    ),
)


def no_adapter(node: str) -> Verdict:
    return Verdict(target=node, rule="R20", reason=f"{node} has no such adapter", remedy="shut it down for the night")


def large_rolling_plan(nodes: int = 64, vms_each: int = 40) -> Plan:
    """Every node in turn, 16 at once; each VM goes to the node that is half the way round."""
    moves, maintenance = [], []
    for i in range(nodes):
        begin_s = i // 16 * 3000.0
        for j in range(vms_each):
            name, target = f"a-virtual-machine-{i}-{j}", f"HV{(i + nodes // 2) % nodes:02d}"
            moves.append(move(name, f"HV{i:02d}", target, begin_s + 30 * j, begin_s + 30 * j + 30, why="most room"))
        empty_s = begin_s + 30 * vms_each
        maintenance.append(turn(f"HV{i:02d}", empty_s, empty_s, empty_s + 1800, 100 * GIB))
    return rolling_plan(moves=tuple(moves), maintenance=tuple(maintenance), makespan_s=nodes / 16 * 3000.0)
