"""Steering a rolling run from another flow run, through the Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from prefect_side import Asked
from virtual import Notes

from shunter.engine.control import Control
from shunter.flows import steering
from shunter.flows.errors import RunRefused
from shunter.flows.listeners import listening
from shunter.flows.maintain import rolling_maintenance
from shunter.flows.steer import steer_rolling_maintenance
from shunter.flows.steering import heed
from shunter.flows.turns_seen import TurnsSeen
from shunter.statemachines.lifecycle import Step
from shunter.topology.errors import RequestError
from shunter.topology.plan import Maintenance, Plan


def step(node: str, source: str, target: str, at_s: float = 0.0) -> Step:
    return Step(
        lifecycle="node", subject=f"node {node}", event="seen", source=source, target=target, reason="", at_s=at_s
    )


@pytest.fixture
def turns() -> TurnsSeen:
    """N1 is back, N2 in maintenance, N3 failed, N4 has its turn before it."""
    found = TurnsSeen()
    of = [Maintenance(node=f"N{i}", paused_s=0, start_s=0, end_s=60) for i in range(1, 5)]
    found.planned(Plan(cluster="c", ok=True, reserve_nodes=1, maintenance=tuple(of)), 0.0)
    for node in ("N1", "N2", "N3"):
        found.stepped(step(node, "drained", "in_maintenance"))
    found.stepped(step("N1", "in_maintenance", "rejoining"))
    found.stepped(step("N1", "rejoining", "paused", 70.0))
    found.stepped(step("N3", "in_maintenance", "down"))
    return found


def asked(what: Any, node: str | None = None) -> steering.Asked:
    return steering.Asked(what=what, node=node)


def test_turns_are_told_by_the_steps_of_their_nodes(turns: TurnsSeen) -> None:
    assert turns.done == {"N1": 70.0}
    assert turns.in_maintenance() == ["N2"]
    assert turns.failed == {"N3": "its maintenance ended with the node down"}
    turns.stepped(step("N3", "drained", "in_maintenance"))
    assert turns.failed == {}, "it is tried again"


def test_a_held_run_goes_on_when_told_to(turns: TurnsSeen) -> None:
    control = Control()
    heard = heed(asked("hold"), control, turns)
    assert (heard.well, control.held) == (True, True)
    assert "N2 is in maintenance and will be brought back" in heard.said
    assert heed(asked("go on"), control, turns).well
    assert not control.held


@pytest.mark.parametrize("what", ["hold", "go on", "stop"])
def test_a_run_hears_at_any_time_also_while_no_node_is_away(what: Any) -> None:
    turns = TurnsSeen()
    turns.planned(Plan(cluster="c", ok=True, reserve_nodes=1), 0.0)
    heard = heed(asked(what), Control(), turns)
    assert heard.well
    assert "maintenance" not in heard.said


def test_a_stopped_run_begins_nothing_new_and_does_not_go_on(turns: TurnsSeen) -> None:
    control = Control()
    assert heed(asked("stop"), control, turns).well
    assert (control.asked, control.running) == (True, "finish")
    assert not heed(asked("go on"), control, turns).well


@pytest.mark.parametrize(
    ("node", "why"), [("N1", "done already"), ("N2", "in maintenance already"), ("N9", "N1, N2, N3 and N4")]
)
def test_a_node_that_cannot_be_skipped_any_more_is_not(turns: TurnsSeen, node: str, why: str) -> None:
    control = Control()
    heard = heed(asked("skip", node), control, turns)
    assert not heard.well
    assert why in heard.said
    assert control.skipped == set()


def test_a_node_is_skipped_under_the_name_it_has_in_the_cluster(turns: TurnsSeen) -> None:
    control = Control()
    assert heed(asked("skip", "n4"), control, turns).well
    assert control.skipped == {"N4"}


def test_maintenance_by_hand_is_over_when_somebody_says_so(turns: TurnsSeen) -> None:
    async def story() -> bool:
        control = Control()
        waits = asyncio.create_task(control.until_done_by_hand("N2"))
        await asyncio.sleep(0)
        assert not heed(asked("done by hand", "N4"), control, turns).well
        assert heed(asked("done by hand", "N2"), control, turns).well
        return await waits

    assert asyncio.run(story())


class Announcing(Notes):
    """Says when a node is in maintenance for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.node = ""

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if step.target == "in_maintenance" and not self.node:
            self.node = step.subject.removeprefix("node ")
            self.began.set()


async def steered(file: Path, story: Any, **options: Any) -> Plan:
    notes = Announcing()
    with listening(notes):
        run = asyncio.create_task(
            rolling_maintenance(cluster=str(file), parallel=1, speed=20.0, maintenance_s=60.0, **options)
        )
        await notes.began.wait()
        telling: Coroutine[Any, Any, None] = story(notes)
        await telling
        return await run


@pytest.mark.heavy
def test_a_run_hears_what_another_flow_run_asks_and_answers_it(
    cluster_file: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "LISTEN_EVERY_S", 0.2)
    file = str(cluster_file)

    async def story(notes: Announcing) -> None:
        assert "held" in await steer_rolling_maintenance(file, "hold")
        left = next(name for name in ("N1", "N2", "N3", "N4") if not notes.of(f"node {name}"))
        assert await steer_rolling_maintenance(file, "skip", left) == f"{left} is skipped"
        with pytest.raises(RunRefused, match='"N9" has no turn in this run'):
            await steer_rolling_maintenance(file, "skip", "N9")
        notes.node = left
        assert await steer_rolling_maintenance(file, "go on") == "the run goes on"

    notes: list[Announcing] = []

    async def keep(found: Announcing) -> None:
        notes.append(found)
        await story(found)

    report = asyncio.run(steered(cluster_file, keep))
    assert [left.node for left in report.untouched] == [notes[0].node]
    assert sum(turn.outcome == "done" for turn in report.maintenance) == 3
    states = {
        run["name"]: (run["state_name"], run["state"]["message"])
        for run in asked.find("flow_runs", flows={"name": {"any_": ["steer-rolling-maintenance"]}})
    }
    assert states["go on: maintenance of rack"] == ("Heard", "the run goes on")
    assert states["skip N9: maintenance of rack"][0] == "Not possible"


@pytest.mark.usefixtures("prefect_server")
def test_nodes_maintained_by_hand_wait_for_the_word_and_a_stopped_run_brings_them_back(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "LISTEN_EVERY_S", 0.2)
    file = str(cluster_file)

    async def story(notes: Announcing) -> None:
        await steer_rolling_maintenance(file, "stop")
        assert "is taken back" in await steer_rolling_maintenance(file, "done by hand", notes.node)

    report = asyncio.run(steered(cluster_file, story, action="by hand"))
    assert report.interrupted
    assert [turn.outcome for turn in report.maintenance] == ["done"]


@pytest.mark.usefixtures("prefect_server")
def test_where_no_run_is_under_way_there_is_nothing_to_steer() -> None:
    with pytest.raises(RunRefused, match="no rolling run of nowhere is running"):
        asyncio.run(steer_rolling_maintenance("nowhere", "hold"))


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("what", "node"), [("skip", None), ("done by hand", None), ("hold", "N1"), ("stop", "N1")])
def test_a_node_is_named_where_one_belongs_and_only_there(what: Any, node: str | None) -> None:
    with pytest.raises(RequestError, match=f"{what}: "):
        asyncio.run(steer_rolling_maintenance("nowhere", what, node))
