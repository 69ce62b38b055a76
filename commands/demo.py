"""`shunter demo`: the main jobs on simulated clusters that come along, with a report to keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from shunter.clusters.simulated import Fault
from shunter.clusters.simulated.faults import When
from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.jobs import Job, evacuation, maintenance
from shunter.commands.rolling import Asked
from shunter.commands.running import carry_out, leave
from shunter.engine.rolling import Budget
from shunter.flows.run_folder import PAGE, PLAN, REPORT, WORDS, Keep
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import with_requirements

CLUSTER = Path(__file__).with_name("demo.json")
NODES = ("HV01", "HV02")
STUCK_NODE = "HV06"
SPEED = 3.0
MAINTAINED = Path(__file__).with_name("demo-maintain.json")
MAINTENANCE_S = 600.0
MAINTENANCE_SPEED = 60.0
LATE_FACTOR = 1.5
FOLDER = Path("shunter-report")


@dataclass(frozen=True, slots=True)
class Showing:
    """What is shown. `hints`: what else there is to try, a sentence and a command each; `faults`: what goes wrong."""

    cluster: Path
    job: Job
    plan: Plan
    hints: Sequence[tuple[str, str]]
    faults: tuple[Fault, ...] = ()


def demo(what: str, out: Path | None) -> Plan:
    """Show it, leave the report, say where. `what`: evacuate or maintain; `out`: the folder to leave it in.

    Raises RequestError, where the folder cannot be written.
    """
    folder, keep = out or _new_folder(), Keep()
    with keep.claimed(folder):
        return _shown(_maintain(folder) if what == "maintain" else _evacuate(folder), folder, keep)


def _new_folder() -> Path:
    """One that nobody else has, in the working folder. Raises RequestError."""
    for number in count(1):
        folder = FOLDER if number == 1 else Path(f"{FOLDER}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise output.unwritable(folder, error) from error
        return folder
    raise AssertionError("there is a next number")


def _shown(showing: Showing, folder: Path, keep: Keep) -> Plan:
    job, left = replace(showing.job, log=folder / "witness.jsonl", faults=showing.faults), ["cluster.json"]
    output.write(folder / "cluster.json", showing.cluster.read_text(encoding="utf-8"))
    if showing.faults:
        output.write(folder / "faults.json", json.dumps([fault.told() for fault in showing.faults], indent=2) + "\n")
        left.append("faults.json")
    pictures = output.Pictures(folder / "timeline.svg", folder / PAGE)
    pictures.draw(showing.plan, job.nodes)
    seen = cluster_of_file(str(showing.cluster))
    report, forecast_s = carry_out(job, seen, showing.plan, keep)
    output.show(report, job.nodes, seen, as_json=False, forecast_s=forecast_s)
    console = output.results()
    console.print()
    files = [PAGE, REPORT, PLAN, WORDS, "timeline.svg", "witness.jsonl", *left]
    console.print(f"Left in {folder}/: {', '.join(files)}", soft_wrap=True)
    for sentence, command in showing.hints:
        console.print(sentence, soft_wrap=True)
        console.print(f"  {command}", soft_wrap=True)
    leave(report, job.nodes, keep, pictures, forecast_s)
    return report


def _evacuate(folder: Path) -> Showing:
    seen = cluster_of_file(str(CLUSTER))
    plan = with_requirements(seen, plan_evacuation(seen, NODES))
    stuck = f"shunter plan evacuate {STUCK_NODE} --cluster {folder}/cluster.json"
    hints = [("A node that cannot be emptied, with the reasons and what would help:", stuck)]
    return Showing(CLUSTER, evacuation(NODES, str(CLUSTER), speed=SPEED), plan, hints)


def _maintain(folder: Path) -> Showing:
    seen = cluster_of_file(str(MAINTAINED))
    asked = Asked((), MAINTENANCE_S, None, "auto", "time", None, "none", None, None, False)
    plan = with_requirements(seen, asked.plan(seen))
    job = maintenance(asked, str(MAINTAINED), Budget(), speed=MAINTENANCE_SPEED)
    of_this = f"--cluster {folder}/cluster.json --maintenance-s {MAINTENANCE_S:g}"
    hints = [
        (
            "The same night once more, in a second, with the same faults:",
            f"shunter simulate maintain {of_this} --faults {folder}/faults.json",
        ),
        ("Many nights, with all kinds of faults:", f"shunter rehearse maintain {of_this} --nights 50"),
    ]
    return Showing(MAINTAINED, job, plan, hints, troubles(plan))


def troubles(plan: Plan) -> tuple[Fault, ...]:
    """What goes wrong in the demo: the second node comes back late, and a migration in the middle fails half-way."""
    late = plan.maintenance[1].node
    movers = [move.vm for move in plan.moves]
    later = (move.vm for move in plan.moves if move.start_s >= plan.maintenance[1].start_s)
    fails = next(vm for vm in later if movers.count(vm) == 1)
    return (
        Fault(do="reboot_slow", when=When(node=late), factor=LATE_FACTOR),
        Fault(do="migration_fails", when=When(vm=fails), fraction=0.5),
    )
