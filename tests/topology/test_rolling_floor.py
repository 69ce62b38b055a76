"""What no rolling run can beat, in figures that can be checked by hand."""

from __future__ import annotations

import pytest
from building import cluster, node, vm
from rolling_requests import filled

from shunter.topology.model import Cluster
from shunter.topology.rolling.emptiness import Emptiness
from shunter.topology.rolling.fleet import Fitness
from shunter.topology.rolling.floor import Floor, drain_s, floor
from shunter.topology.rolling.rounds import fewest_rounds, largest_groups

GIB = 1024


def floor_of(of: Cluster, *nodes: str, maintenance_s: float = 600.0, reserve_nodes: int = 1) -> Floor:
    return floor(of, nodes or [each.name for each in of.nodes], maintenance_s, reserve_nodes, Fitness(of))


def test_so_many_nodes_may_be_away_that_the_others_hold_all_even_without_one_more() -> None:
    of = filled(8, each=9)  # 288 of 512 GiB: 4.5 nodes
    assert [floor_of(of, reserve_nodes=reserve).parallel for reserve in (0, 1, 2)] == [3, 2, 1]


def test_what_cannot_be_away_at_once_comes_one_after_the_other() -> None:
    of = filled(8, each=9)
    first_s = drain_s(of, "N1", Fitness(of))
    assert floor_of(of, maintenance_s=6000.0).plain_s == pytest.approx(first_s + 4 * 6000.0)


def test_all_vms_move_once_and_those_of_the_node_with_fewest_twice_where_no_node_stays() -> None:
    vms = [*(vm(f"a-{i}", "N1") for i in range(3)), *(vm(f"b-{i}", "N2") for i in range(2)), vm("c", "N3")]
    assert floor_of(cluster(4, vms), "N1", "N2", "N3").moves == 6
    assert floor_of(cluster(3, vms)).moves == 7


def test_nodes_of_two_sizes_need_as_many_rounds_as_the_fewest_groups_that_cover_them() -> None:
    # within 5 two large ones and a small one go together, twice; within 4 the small ones go by themselves
    assert fewest_rounds([2, 2, 2, 2, 1, 1], lambda away: sum(away) <= 5) == 2
    assert fewest_rounds([2, 2, 2, 2, 1, 1], lambda away: sum(away) <= 4) == 3
    assert fewest_rounds([3, 3, 3], lambda away: sum(away) <= 5) == 3
    assert largest_groups([(1, 2), (2, 4)], lambda away: sum(away) <= 4) == [(0, 2), (2, 1)]


def test_a_large_node_alone_is_a_round_of_its_own_in_the_floor() -> None:
    nodes = [node(f"N{i}", 64 * GIB if i < 5 else 128 * GIB) for i in range(1, 7)]
    of = cluster(nodes, [vm(f"vm-{n}-{i}", f"N{n}", 4 * GIB) for n in range(1, 7) for i in range(8 if n < 5 else 16)])
    # 512 GiB, 256 in use, 128 may be lost: 128 may be away, which is one large node or two small ones
    assert floor_of(of, maintenance_s=6000.0).time_s == pytest.approx(drain_s(of, "N1", Fitness(of)) + 4 * 6000.0)


def test_emptiness_over_time_is_the_sum_of_turns_and_ramps_over_what_there_is() -> None:
    # four nodes of 100 MiB, 200 empty, 10 MiB/s: 100·20 for each turn; ramps before of 5 s each, 100·5 − 10·25/2
    # = 375; ramps after of 0 for two that end the run together and of 10 s, all there is, for the other two
    emptiness = Emptiness((100,) * 4, (5.0,) * 4, empty_mib=200, parallel=2, mib_per_s=10.0, maintenance_s=20.0)
    assert emptiness.over_time_s() == pytest.approx((4 * 2000 + 4 * 375 + 2 * 500) / 200)


def test_between_two_rounds_the_second_has_to_be_emptied_first() -> None:
    # two of four go together and 200 are empty in all: nothing is empty elsewhere, so that the other two have to send
    # 100 each at 10 MiB/s after the first are back; one at a time would take two rounds more
    emptiness = Emptiness((100,) * 4, (5.0,) * 4, empty_mib=200, parallel=2, mib_per_s=10.0, maintenance_s=20.0)
    assert emptiness.between_rounds_s() == pytest.approx(20.0 + 10.0 + 20.0)


def test_a_vm_that_need_not_restart_lets_more_nodes_be_away() -> None:
    sizes = {"N1": 9, "N2": 9, "N3": 9, "N4": 9}
    for priority, parallel in ((2000, 0), (0, 1)):
        vms = [vm(f"{n}-{i}", n, 4 * GIB, priority=priority) for n, count in sizes.items() for i in range(count)]
        assert floor_of(cluster(4, vms)).parallel == parallel


def test_what_is_moved_on_later_may_be_sent_by_a_faster_node_than_its_own() -> None:
    """N1 is empty and leaves at once; what the busy N2 sends while it is away moves on fast from where it went."""
    nodes = [node(f"N{i}", cpu_percent=90 if i == 2 else 10) for i in range(1, 5)]
    of = cluster(nodes, [vm("big", "N2", 32 * GIB)])
    slow_s, fast_s = (Fitness(of).shortest_s(of.vm_by_name["big"], name) for name in ("N2", "N3"))
    assert slow_s is not None
    assert fast_s is not None
    assert slow_s > 2 * fast_s
    assert floor_of(of).time_s <= 600.0 + max(600.0, fast_s / 2 + 600.0)
