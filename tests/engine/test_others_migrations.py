"""An evacuation while somebody else has a migration under way: it goes to the room that this leaves behind."""

from __future__ import annotations

from building import cluster, vm
from virtual import evacuated

from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan


def test_r15_a_vm_waits_for_the_room_that_somebody_elses_migration_leaves_and_the_run_does_what_was_planned() -> None:
    vms = [vm("a", "N1", 40960), vm("b", "N2", 20480), vm("c", "N3", 40960)]
    of = cluster(3, vms, migrations=[{"vm": "c", "source": "N3", "target": "N2", "by": "elsewhere"}])
    plan = plan_evacuation(of, ["N1"], 0)
    assert plan.ok
    assert check_plan(of, plan, ["N1"]) == ()
    (other,), (move,) = plan.under_way, plan.moves
    assert (move.vm, move.target) == ("a", "N3")
    assert move.start_s >= other.end_s > 0
    assert any(finding.rule == "R15" and "before it has arrived" in finding.message for finding in plan.findings)

    night = evacuated(of, ["N1"], reserve_nodes=0)
    assert night.report.ok
    assert [(each.vm, each.target, each.outcome) for each in night.report.moves] == [("a", "N3", "done")]
