"""`shunter demo`: the main job on a simulated cluster that comes along, with a report to keep."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.running import carry_out, evacuation
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import with_requirements

CLUSTER = Path(__file__).with_name("demo.json")
NODES = ("HV01", "HV02")
STUCK_NODE = "HV06"
SPEED = 3.0
FOLDER = Path("shunter-report")


def demo() -> Plan:
    """Show it, leave the report, say where. Raises RequestError, where the folder cannot be written."""
    seen = cluster_of_file(str(CLUSTER))
    plan = with_requirements(seen, plan_evacuation(seen, NODES))
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise output.unwritable(FOLDER, error) from error
    output.write(FOLDER / "cluster.json", CLUSTER.read_text(encoding="utf-8"))
    output.write(FOLDER / "plan.json", plan.to_json() + "\n")
    pictures = output.Pictures(FOLDER / "timeline.svg", FOLDER / "report.html")
    pictures.draw(plan, NODES)
    job = evacuation(NODES, str(CLUSTER), speed=SPEED, log=FOLDER / "witness.jsonl")
    with ExitStack() as until_told:
        report, forecast_s = carry_out(job, seen, plan, until_told)
        output.write(FOLDER / "report.json", report.to_json() + "\n")
        output.show(report, NODES, seen, as_json=False, pictures=pictures, forecast_s=forecast_s)
    console = output.results()
    console.print()
    console.print(
        f"Left in {FOLDER}/: report.html, report.json, plan.json, timeline.svg, witness.jsonl, cluster.json",
        soft_wrap=True,
    )
    console.print("A node that cannot be emptied, with the reasons and what would help:", soft_wrap=True)
    console.print(f"  shunter plan evacuate {STUCK_NODE} --cluster {FOLDER}/cluster.json", soft_wrap=True)
    return report
