"""What is done to a node, the user's hooks, nodes that others hold, clusters out of reach: in rolling runs."""

from __future__ import annotations

import asyncio

import pytest
from building import cluster, vm
from virtual import Night, Notes, in_virtual_time, maintained

from shunter.clusters.clock import Clock
from shunter.clusters.port import Unreachable
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.control import Control
from shunter.engine.holds import HELD_ELSEWHERE, Denied, Hold, OwnHolds
from shunter.engine.maintain import Budget, maintain
from shunter.engine.maintenance import ByHand, Hooks, Own
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy

SMALL = cluster(3, [vm(f"vm-{i}", f"N{i % 3 + 1}", memory_mib=8192) for i in range(6)])


def outcomes(report: Plan) -> dict[str, str | None]:
    return {turn.node: turn.outcome for turn in report.maintenance}


def untouched(report: Plan) -> dict[str, str]:
    return {stays.node: stays.reason for stays in report.untouched}


class Called:
    """A hook, or a node's maintenance: writes down for whom it was called, and fails for some."""

    def __init__(self, *, fails_for: tuple[str, ...] = (), times: int = 99, takes_s: float = 0.0) -> None:
        self.names: list[str] = []
        self._fails_for, self._times, self._takes_s = fails_for, times, takes_s

    async def __call__(self, name: str) -> None:
        self.names.append(name)
        if self._takes_s:
            await asyncio.sleep(self._takes_s)
        if name in self._fails_for and self.names.count(name) <= self._times:
            raise ValueError("the disk is full")


def test_hooks_are_called_before_and_after_the_run_and_each_node() -> None:
    run_begins, node_begins, node_ends, run_ends = Called(), Called(), Called(), Called()
    hooks = Hooks(run_begins, run_ends, node_begins, node_ends)
    night = maintained(SMALL, hooks=hooks)
    assert night.report.ok
    assert (run_begins.names, run_ends.names) == (["test"], ["test"])
    assert sorted(node_begins.names) == ["N1", "N2", "N3"]
    assert node_ends.names == [turn.node for turn in night.report.maintenance]


def test_a_node_whose_hook_before_it_fails_is_not_touched() -> None:
    night = maintained(SMALL, hooks=Hooks(before_node=Called(fails_for=("N2",))))
    assert outcomes(night.report) == {"N1": "done", "N3": "done"}
    assert untouched(night.report) == {"N2": "the hook before N2 failed: the disk is full"}
    assert night.happened("node_paused", node="N2") == []
    assert night.happened("migration_started", source="N2", by="us") == []


def test_a_node_whose_hook_after_it_fails_has_failed() -> None:
    night = maintained(SMALL, ["N2"], hooks=Hooks(after_node=Called(fails_for=("N2",))))
    (turn,) = night.report.maintenance
    assert (turn.outcome, turn.reason) == ("failed", "the hook after N2 failed: the disk is full")
    assert not night.report.ok


def test_where_the_hook_before_the_run_fails_nothing_is_touched() -> None:
    night = maintained(SMALL, hooks=Hooks(before_run=Called(fails_for=("test",))))
    assert [line["what"] for line in night.log] == ["cluster"]
    assert set(untouched(night.report)) == {"N1", "N2", "N3"}
    assert [each.message for each in night.report.errors] == [
        "the hook before the run on test failed: the disk is full"
    ]


def test_a_hook_that_does_not_end_is_not_waited_for_for_ever() -> None:
    night = maintained(SMALL, ["N1"], hooks=Hooks(before_node=Called(takes_s=1e6), within_s=100))
    assert untouched(night.report) == {"N1": "the hook before N1 failed: it took more than 100 s"}


# -------------------------------------------------------------- maintenance of the user's own, and by hand


def test_maintenance_of_ones_own_is_given_each_nodes_name_once_it_is_empty() -> None:
    work = Called(takes_s=50)
    night = maintained(SMALL, action=Own(work))
    assert sorted(work.names) == ["N1", "N2", "N3"]
    assert outcomes(night.report) == {"N1": "done", "N2": "done", "N3": "done"}
    assert night.happened("node_rebooted") == []
    assert all(turn.end_s - turn.start_s == pytest.approx(50, abs=1) for turn in night.report.maintenance)


def test_what_the_maintenance_raises_is_why_the_node_failed_and_it_stays_paused() -> None:
    night = maintained(SMALL, ["N1"], action=Own(Called(fails_for=("N1",))))
    (turn,) = night.report.maintenance
    assert (turn.outcome, turn.reason) == ("failed", "the maintenance of N1 failed: the disk is full")
    assert night.after.node_by_name["N1"].state == "paused"
    assert [each.subject for each in night.report.errors] == ["node N1"]


def test_maintenance_that_fails_is_tried_again_as_often_as_the_budget_allows() -> None:
    night = maintained(SMALL, ["N1"], action=Own(Called(fails_for=("N1",), times=2)), budget=Budget(retries=2))
    assert outcomes(night.report) == {"N1": "done"}
    once = maintained(SMALL, ["N1"], action=Own(Called(fails_for=("N1",), times=2)), budget=Budget(retries=1))
    assert outcomes(once.report) == {"N1": "failed"}


def by_hand(*, well: bool | None) -> Night:
    """Somebody maintains N1 by hand and says so after 200 s, or never."""
    control = Control()

    async def says_so(_: str) -> None:
        if well is not None:
            asyncio.get_running_loop().call_later(200, lambda: control.done_by_hand("N1", well=well))

    return maintained(SMALL, ["N1"], control=control, action=ByHand(control), hooks=Hooks(before_node=says_so))


@pytest.mark.parametrize(("well", "outcome"), [(True, "done"), (False, "failed")])
def test_maintenance_by_hand_is_over_when_the_operator_says_so(well: bool, outcome: str) -> None:
    night = by_hand(well=well)
    assert outcomes(night.report) == {"N1": outcome}
    assert night.report.maintenance[0].end_s == pytest.approx(200, abs=1)


def test_the_operators_word_is_not_waited_for_for_ever() -> None:
    (turn,) = by_hand(well=None).report.maintenance
    assert (turn.outcome, turn.reason) == ("failed", "N1 was in maintenance past its deadline")
    assert turn.end_s - turn.start_s == pytest.approx(1800, abs=1)


# -------------------------------------------------------------- other runs, and clusters out of reach


class HeldUntil(OwnHolds):
    """N1 is held by another run until then."""

    def __init__(self, until_s: float) -> None:
        super().__init__()
        self._until_s = until_s

    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        if "N1" in nodes and asyncio.get_running_loop().time() < self._until_s:
            return Denied.alike(["N1"], HELD_ELSEWHERE)
        return await super().try_hold(nodes)


def test_a_node_that_another_run_holds_is_waited_for() -> None:
    night = maintained(SMALL, holds=HeldUntil(500))
    assert outcomes(night.report) == {"N1": "done", "N2": "done", "N3": "done"}
    touched = [line for line in night.log if "N1" in (line.get("node"), line.get("source"), line.get("target"))]
    assert min(line["t_s"] for line in touched) >= 500


def test_a_node_that_another_run_never_lets_go_is_left_out_and_named() -> None:
    night = maintained(SMALL, holds=HeldUntil(1e9))
    assert "N1" in untouched(night.report)
    assert [line for line in night.log if "N1" in (line.get("node"), line.get("target"))] == []


class OutOfReach(SimulatedCluster):
    """No look is answered from `from_s` on, for so long."""

    def __init__(self, of: Cluster, *, from_s: float, for_s: float) -> None:
        super().__init__(of, clock=Clock(), reboot_s=600)
        self._from_s, self._until_s = from_s, from_s + for_s

    async def look(self) -> Cluster:
        if self._from_s <= self.clock.now_s() < self._until_s:
            raise Unreachable("nobody answers")
        return await super().look()


def out_of_reach(*, from_s: float, for_s: float) -> Plan:
    async def night() -> Plan:
        world = OutOfReach(SMALL, from_s=from_s, for_s=for_s)
        try:
            policy = RollingPolicy(maintenance_s=600)
            return await maintain(world, (), policy, holds=OwnHolds(), audience=Notes())
        finally:
            await world.close()

    return in_virtual_time(night)


@pytest.mark.parametrize("from_s", [1, 20, 100, 700])
def test_a_cluster_that_is_out_of_reach_for_a_while_is_waited_for(from_s: float) -> None:
    assert outcomes(out_of_reach(from_s=from_s, for_s=200)) == {"N1": "done", "N2": "done", "N3": "done"}


def test_of_a_cluster_that_stays_out_of_reach_the_run_says_what_it_had_touched() -> None:
    with pytest.raises(Unreachable, match=r"Until then this run had paused N\d.* and maintained N\d"):
        out_of_reach(from_s=1000, for_s=1e6)
