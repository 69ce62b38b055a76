"""A simulated cluster that loses nodes ends no better than the failover was planned, and stops where that says so."""

from __future__ import annotations

import pytest
from drawing import draw_night, draw_rolling_night
from virtual import in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.quorum import MEMBER, after_loss

LONG_S = 1800.0


def without_rules(of: Cluster) -> Cluster:
    """Rules that keep VMs together bind a planner more than they bind the cluster."""
    fields = {name: getattr(of, name) for name in type(of).model_fields}
    return Cluster.model_construct(**{**fields, "affinity_rules": (), "migrations": ()})


def after_losing(of: Cluster, lost: list[str]) -> Cluster:
    async def night() -> Cluster:
        world = SimulatedCluster(of, clock=Clock())
        for name in lost:
            if world.now().node_by_name[name].state in MEMBER:
                world.presence.lose(name)
        await world.clock.sleep(LONG_S)
        seen = world.now()
        await world.close()
        return seen

    return in_virtual_time(night)


def by_priority(vms: list[VirtualMachine]) -> list[int]:
    return [sum(vm.priority == priority for vm in vms) for priority in (3000, 2000, 1000)]


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_no_loss_ends_better_than_its_plan_and_votes_decide_alike(first: int) -> None:
    for seed in range(first, first + 30):
        for drawn, leaving in (draw_night(seed), draw_rolling_night(seed)):
            of = without_rules(drawn)
            if not any(node.votes for node in of.nodes):
                continue  # no cluster at all, strictly speaking
            lost = leaving or [of.nodes[0].name]
            plan, ended = plan_failover(of, lost), after_losing(of, lost)
            worst, best = after_loss(of, lost)
            stopped = not any(node.state in MEMBER for node in ended.nodes)
            if worst.is_majority is best.is_majority:
                assert stopped is bool(plan.errors), f"seed {seed}, {of.name}"
            if stopped or plan.errors:
                continue
            restarted = [
                vm for vm in ended.vms if of.vm_by_name[vm.name].node in lost and vm.holds_memory and vm.priority
            ]
            planned = [of.vm_by_name[move.vm] for move in plan.moves]
            assert by_priority(planned) >= by_priority(restarted), f"seed {seed}, {of.name}"
            owners = {volume.name: volume.owner for volume in ended.volumes}
            assert all(ended.node_by_name[owners[m.volume]].state in MEMBER for m in plan.volume_moves)


def test_where_there_is_room_for_all_the_cluster_restarts_what_was_planned() -> None:
    for seed in range(40):
        of, lost = draw_night(seed)
        plan, ended = plan_failover(without_rules(of), lost), after_losing(without_rules(of), lost)
        if plan.ok and plan.moves and not any(finding.rule == "I6" for finding in plan.findings):
            assert all(ended.vm_by_name[move.vm].state == "running" for move in plan.moves)
