"""Where the VMs stand so that one more node cannot leave, others make room for it."""

from __future__ import annotations

from building import cluster, vm

from shunter.topology.capacity import survives_loss
from shunter.topology.model import Cluster
from shunter.topology.placement import Placement
from shunter.topology.rolling.making_room import room_for_leaving


def in_pieces(**fields: object) -> Cluster:
    """N1 is empty. Without it, the largest VM of N2 would find room nowhere, though there is enough in sum."""
    large = [vm("large", "N2", 40960, **fields)]
    return cluster(
        4, [*large, *(vm(f"c-{i}", "N3", 16384) for i in range(2)), *(vm(f"d-{i}", "N4", 8192) for i in range(4))]
    )


def room(of: Cluster, node: str, reserve_nodes: int = 1, in_hand: tuple[str, ...] = ()) -> Placement | None:
    return room_for_leaving(of, node, reserve_nodes, in_hand, {})


def test_i3_an_empty_node_can_leave_once_one_vm_stands_elsewhere() -> None:
    of = in_pieces()
    assert not survives_loss(of, 1, emptied=("N1",)).ok
    found = room(of, "N1")
    assert found is not None
    assert len(found.targets) == 1
    assert survives_loss(of, 1, placed=found.targets, emptied=("N1",)).ok


def test_what_runs_on_the_node_leaves_it_and_others_make_room() -> None:
    vms = [vm("large", "N1", 32768), *(vm(f"vm-{n}-{i}", f"N{n}", 8192) for n in (2, 3) for i in range(5))]
    found = room(cluster(3, vms), "N1", reserve_nodes=0)
    assert found is not None
    assert found.targets["large"] in ("N2", "N3")
    assert len(found.targets) == 2


def test_nobody_moves_where_that_would_not_help() -> None:
    vms = [vm("large", "N1", 32768), *(vm(f"vm-{n}-{i}", f"N{n}", 8192) for n in (2, 3) for i in range(7))]
    assert room(cluster(3, vms), "N1", reserve_nodes=0) is None


def test_nobody_is_asked_to_make_room_who_cannot_be_moved_now() -> None:
    of = in_pieces()
    held = tuple(each.name for each in of.vms if each.name != "d-3")
    found = room(of, "N1", in_hand=held)
    assert found is not None
    assert set(found.targets) == {"d-3"}
    assert room(of, "N1", in_hand=tuple(each.name for each in of.vms)) is None
