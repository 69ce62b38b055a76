"""`shunter why`: may this VM go to that node, and if not, why not. Touches nothing, needs no Prefect."""

from __future__ import annotations

import sys

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.screens.why import WhyScreen
from shunter.topology.why import Answer, why


def ask(vm: str, node: str, cluster: str, *, as_json: bool) -> Answer:
    """Show the answer. Raises RequestError."""
    seen = cluster_of_file(cluster)
    answer = why(seen, vm, node)
    if as_json:
        sys.stdout.buffer.write(answer.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        WhyScreen(answer, output.results(), seen.vm_by_name[answer.vm].memory_mib).print()
    return answer
