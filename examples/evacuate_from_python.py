"""Evacuate nodes from Python: python examples/evacuate_from_python.py examples/four-nodes.json N1"""

import asyncio
import sys

from shunter.flows.settings import prefect_at_hand


def main() -> None:
    cluster, *nodes = sys.argv[1:]
    with prefect_at_hand(quiet=True) as prefect:  # the configured Prefect server, else one for this process alone
        prefect.wait_until_ready()
        from shunter.flows.evacuate import evacuate_nodes  # noqa: PLC0415  Prefect reads its settings when imported

        report = asyncio.run(evacuate_nodes(cluster=cluster, nodes=nodes, speed=20.0))
    for move in report.moves:
        sys.stdout.write(f"{move.vm}: {move.source} → {move.target}, {move.outcome} after {move.end_s:.0f} s\n")
    for stays in report.unplaced:
        sys.stdout.write(f"{stays.vm} stays on {stays.node}: {stays.verdicts[0].reason}\n")


if __name__ == "__main__":
    main()
