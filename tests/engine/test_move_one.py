"""One VM moved by the real engine on a simulated cluster, in virtual time."""

from __future__ import annotations

from building import cluster, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.holds import OwnHolds
from shunter.engine.move_one import move_one
from shunter.topology.plan import Plan


def test_r11_what_is_off_on_its_disk_comes_along_even_where_both_must_be_together() -> None:
    of = cluster(
        3,
        [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off")],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}],
        affinity_rules=[{"name": "pair", "kind": "same_node", "vms": ["web", "old"]}],
    )

    async def moved() -> Plan:
        world = SimulatedCluster(of, clock=Clock())
        return await move_one(world, "web", "N2", holds=OwnHolds(), audience=Notes())

    report = in_virtual_time(moved)
    assert report.ok
    assert [(move.vm, move.target, move.outcome) for move in report.moves] == [("web", "N2", "done")]
    assert [(move.name, move.target) for move in report.role_moves] == [("old", "N2")]
    assert [(move.volume, move.target) for move in report.volume_moves] == [("LUN1", "N2")]
