"""What does not run leaves a node: as it was planned, where that still holds."""

from __future__ import annotations

from building import cluster, node, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.lives import Lives
from shunter.engine.rest import Rest
from shunter.topology.model import Cluster


def handed_over(of: Cluster, planned: dict[str, str]) -> dict[str, str]:
    """Where everything stands once N1 has handed over what does not run."""

    async def night() -> Cluster:
        world = SimulatedCluster(of, clock=Clock())
        seen = await world.look()
        await world.pause_node("N1")
        rest = Rest(world, Lives(seen, [each.name for each in of.vms], world.clock, Notes()), ("N1",), 0, {}, planned)
        await rest.move_roles()
        after = await world.look()
        await world.close()
        return after

    return {each.name: each.node for each in in_virtual_time(night).vms}


def racks(*apart: str) -> list[dict[str, object]]:
    return [node(f"N{i}", fault_domain=rack) for i, rack in enumerate(apart, 1)]


def test_a_vm_goes_where_it_was_planned_to() -> None:
    assert handed_over(cluster(4, [vm("a", state="off")]), {"a": "N4"}) == {"a": "N4"}


def test_i4_a_planned_target_is_left_where_others_that_a_rule_binds_to_the_vm_go_elsewhere() -> None:
    """`a` can only go to rack 2, so that what was planned for `b`, in rack 1, no longer holds."""
    vms = [vm("a", state="off", possible_owners=["N1", "N2"]), vm("b", state="off")]
    rule = {"name": "near", "kind": "same_fault_domain", "vms": ["a", "b"]}
    of = cluster(racks("rack-1", "rack-2", "rack-2", "rack-1"), vms, affinity_rules=[rule])
    where = handed_over(of, {"b": "N4"})
    assert where["a"] == "N2"
    assert where["b"] in ("N2", "N3")
