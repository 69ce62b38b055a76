"""Rolling plans made while somebody else has a migration under way: it ends, and its nodes have their turn."""

from __future__ import annotations

import pytest
from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_plan
from shunter.topology.rolling import RollingPolicy, plan_rolling

TURN_S = 900.0


def racks(count: int, under_way: int = 1) -> Cluster:
    """Nodes with four VMs each; between the first ones a VM is on its way."""
    vms = [vm(f"vm-{n}-{i}", f"N{n}", 8192) for n in range(1, count + 1) for i in range(4)]
    migrations = [
        {"vm": f"vm-{2 * n + 1}-0", "source": f"N{2 * n + 1}", "target": f"N{2 * n + 2}", "by": "elsewhere"}
        for n in range(under_way)
    ]
    return cluster([node(f"N{n}", 65536) for n in range(1, count + 1)], vms, migrations=migrations)


def planned(of: Cluster) -> Plan:
    plan = plan_rolling(of, (), RollingPolicy(maintenance_s=TURN_S))
    assert check_plan(of, plan, ()) == ()
    return plan


@pytest.mark.parametrize(("count", "under_way"), [(3, 1), (4, 1), (4, 2), (6, 1), (6, 3)])
def test_all_nodes_have_their_turn_as_if_nothing_were_under_way(count: int, under_way: int) -> None:
    plan = planned(racks(count, under_way))
    assert plan.ok
    assert len(plan.maintenance) == count
    quiet = planned(racks(count, 0))
    assert plan.makespan_s <= quiet.makespan_s + TURN_S / 2


def test_nothing_begins_at_its_nodes_before_it_has_arrived() -> None:
    of = racks(4)
    first_s = min(move.start_s for move in planned(of).moves if {move.source, move.target} & {"N1", "N2"})
    assert first_s > 5.0, "8 GiB take longer than that"


def test_what_has_arrived_leaves_again_from_where_it_is_then() -> None:
    plan = planned(racks(4))
    moves = [move for move in plan.moves if move.vm == "vm-1-0"]
    assert moves[0].source == "N2"
