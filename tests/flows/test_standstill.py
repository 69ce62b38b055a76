"""A process that stood still and a time of day that jumped: noticed, said, and no deadline falls due by it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from building import node, vm
from prefect_side import hosted_at
from virtual import Notes

from shunter.clusters.clock import Clock
from shunter.engine.watch import Glance
from shunter.flows import standstill
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.listeners import listening
from shunter.flows.standstill import Gap, Standstill, Times, findings_of, gap_between
from shunter.flows.watch import watch_cluster
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Finding, Plan
from shunter.topology.recheck import check_log
from shunter.topology.watching.condition import Occurrence

HOUR_S = 3600.0
BEFORE = Times(loop_s=100.0, passed_s=1000.0, of_day_s=1.8e9, worked_s=5.0)


def after(*, loop_s: float = 1.0, slept_s: float = 0.0, set_by_s: float = 0.0, worked_s: float = 0.0) -> Gap:
    """What is noticed when so much has passed until the next pulse."""
    return gap_between(
        BEFORE,
        Times(
            loop_s=BEFORE.loop_s + loop_s,
            passed_s=BEFORE.passed_s + loop_s + slept_s,
            of_day_s=BEFORE.of_day_s + loop_s + slept_s + set_by_s,
            worked_s=BEFORE.worked_s + worked_s,
        ),
    )


def said(gap: Gap) -> list[str]:
    return [finding.message.partition(";")[0] for finding in findings_of(gap)]


def test_a_pulse_that_comes_in_time_says_nothing() -> None:
    assert after() == Gap(late_s=0.0, still_s=0.0, jump_s=0.0)
    assert said(after(loop_s=1.5)) == []


@pytest.mark.parametrize("gap", [after(loop_s=HOUR_S + 1), after(slept_s=HOUR_S)], ids=["stopped", "machine asleep"])
def test_an_hour_in_which_nothing_went_on_is_told_however_it_came(gap: Gap) -> None:
    assert said(gap) == ["this process stood still for 1 h 0 min, while the cluster went on"]


def test_a_process_that_computes_for_long_does_not_stand_still() -> None:
    assert said(after(loop_s=91, worked_s=88)) == []
    assert said(after(loop_s=91, worked_s=30)) == ["this process stood still for 1 min 0 s, while the cluster went on"]


@pytest.mark.parametrize(("set_by_s", "how"), [(HOUR_S, "forward"), (-HOUR_S, "back")])
def test_a_time_of_day_that_is_set_is_told_and_is_no_standstill(set_by_s: float, how: str) -> None:
    gap = after(set_by_s=set_by_s)
    assert (gap.late_s, gap.still_s) == (0.0, 0.0)
    assert said(gap) == [f"the time of day jumped {how} by 1 h 0 min"]


def test_a_machine_that_slept_sets_no_clock() -> None:
    assert after(slept_s=HOUR_S).jump_s == 0.0


def test_deadlines_stand_still_with_the_machine_and_lose_nothing_while_it_sleeps() -> None:
    assert after(slept_s=HOUR_S).late_s == 0.0
    assert after(loop_s=HOUR_S + standstill.PULSE_S).late_s == HOUR_S


# ------------------------------------------------------------------ what it does to the clock of a cluster


def test_patience_does_not_run_out_while_nothing_goes_on() -> None:
    async def story() -> float:
        clock = Clock(2.0, now_s=100.0)
        clock.missed(10.0)
        return clock.now_s() - clock.awake_s()

    assert asyncio.run(story()) == pytest.approx(20.0)


def test_a_deadline_that_fell_due_meanwhile_waits_for_what_came_meanwhile() -> None:
    """The answer is there all along, and nobody could hear it."""

    async def story() -> list[Finding]:
        clock = Clock()
        reader, writer = os.pipe()
        answered = asyncio.Event()
        loop = asyncio.get_running_loop()
        with Standstill.noticed(clock, lambda _: None) as noticed:
            await asyncio.sleep(0)
            loop.add_reader(reader, lambda: (os.read(reader, 1), loop.call_soon(loop.call_soon, answered.set)))
            async with clock.timeout(1.5):
                os.write(writer, b"!")
                time.sleep(standstill.PULSE_S + standstill.LATE_S + 0.2)  # noqa: ASYNC251  nothing goes on meanwhile
                await answered.wait()
        loop.remove_reader(reader)
        return noticed.findings

    assert asyncio.run(story()) == []


# ------------------------------------------------------------------ in a run


class StopsShort(Notes):
    """Everything in this process stops for a while when the first migration has begun to copy."""

    def __init__(self, for_s: float) -> None:
        super().__init__()
        self._for_s = for_s

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if step.target == "copying" and self._for_s:
            time.sleep(self._for_s)
            self._for_s = 0.0


@pytest.mark.usefixtures("prefect_server")
def test_a_run_says_that_it_stood_still_while_it_goes_on_and_in_its_report(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "TOLD_FROM_S", 2.0)
    notes = StopsShort(4.0)
    with listening(notes):
        report = asyncio.run(evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=50.0))
    assert report.ok
    ((finding, _),) = notes.warnings
    assert finding.message.startswith("this process stood still for ")
    assert finding in report.findings


class StopsOnce:
    """A watcher that stops everything in this process for a while at the first look."""

    def __init__(self) -> None:
        self.told: list[Occurrence] = []
        self.seen: Glance | None = None

    def occurred(self, occurrence: Occurrence) -> None:
        self.told.append(occurrence)

    def looked(self, glance: Glance) -> None:
        if self.seen is None:
            self.seen = glance
            time.sleep(4.0)


@pytest.mark.heavy
@pytest.mark.usefixtures("prefect_server")
def test_a_watch_tells_that_it_stood_still(cluster_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "TOLD_FROM_S", 2.0)
    watcher = StopsOnce()
    with listening(watcher=watcher):
        asyncio.run(watch_cluster(str(cluster_file), for_s=400, speed=50))
    (told,) = watcher.told
    assert (told.what, told.severity) == ("stood_still", "warning")
    assert told.message.startswith("this process stood still for ")


RUN = """
import asyncio, sys
from shunter.clusters.simulated.remote import RemoteCluster
from shunter.engine.audience import Nobody
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import maintain
from shunter.flows.standstill import Standstill
from shunter.topology.rolling import RollingPolicy

async def run():
    cluster = await RemoteCluster.connect(sys.argv[1])
    with Standstill.noticed(cluster.clock, lambda finding: None) as noticed:
        report = await maintain(
            cluster, ["N1"], RollingPolicy(maintenance_s=60), holds=OwnHolds(), audience=Nobody()
        )
    print(report.to_json())

asyncio.run(run())
"""


@pytest.mark.heavy
def test_a_node_whose_maintenance_ended_while_the_run_was_stopped_has_not_failed(tmp_path: Path) -> None:
    """SIGSTOP for longer than the maintenance may take: 900 s of the cluster's, 3 s by the clock on the wall."""
    of = {
        "name": "stopped",
        "nodes": [node(f"N{i}") for i in (1, 2, 3)],
        "vms": [vm("web-1"), vm("web-2", on="N2")],
    }
    with hosted_at("stopped", tmp_path, cluster=of, speed=300.0, reboot_s=300.0) as (address, witness):
        run = subprocess.Popen([sys.executable, "-c", RUN, address], stdout=subprocess.PIPE)
        try:
            until_s = time.monotonic() + 60
            while '"node_down"' not in witness.read_text(encoding="utf-8"):
                assert time.monotonic() < until_s
                assert run.poll() is None
                time.sleep(0.02)
            run.send_signal(signal.SIGSTOP)
            time.sleep(4.5)
            assert '"node_up"' in witness.read_text(encoding="utf-8")
            run.send_signal(signal.SIGCONT)
            out, _ = run.communicate(timeout=60)
        finally:
            run.kill()
            run.wait()
        log = witness.read_text(encoding="utf-8").splitlines()
    report = Plan.model_validate_json(out)
    assert report.ok, report.to_json()
    assert [(turn.node, turn.outcome) for turn in report.maintenance] == [("N1", "done")]
    assert check_log(log) == ()
