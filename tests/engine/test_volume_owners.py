"""Volumes get another owner before theirs goes (I7): spread over the others, and not onto the node that goes next."""

from __future__ import annotations

import pytest
from building import cluster, vm
from virtual import Night, maintained


def fleet(nodes: int) -> Night:
    """Every node runs two VMs and owns two volumes."""
    vms = [vm(f"vm-{i}", f"N{i % nodes + 1}", 8192) for i in range(2 * nodes)]
    volumes = [{"name": f"CSV{i}", "owner": f"N{i % nodes + 1}"} for i in range(2 * nodes)]
    return maintained(cluster(nodes, vms, volumes=volumes), parallel=1)


@pytest.mark.parametrize("nodes", [3, 4, 6])
def test_no_volume_is_given_to_the_node_that_goes_next(nodes: int) -> None:
    night = fleet(nodes)
    reboots = [(line["t_s"], line["node"]) for line in night.happened("node_rebooted")]
    assert len(reboots) == nodes
    for line in night.happened("volume_owner_changed"):
        later = [node for at_s, node in reboots if at_s >= line["t_s"] and node != line["source"]]
        assert line["target"] not in later[:1]


@pytest.mark.parametrize("nodes", [5, 6])
def test_the_volumes_of_a_node_are_spread_over_others(nodes: int) -> None:
    night = fleet(nodes)
    first = night.happened("node_rebooted")[0]
    targets = [line["target"] for line in night.happened("volume_owner_changed") if line["t_s"] <= first["t_s"]]
    assert len(set(targets)) == 2
    owned = [sum(volume.owner == node.name for volume in night.after.volumes) for node in night.after.nodes]
    assert sum(owned) == 2 * nodes
    assert max(owned) <= 4
