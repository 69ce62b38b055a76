"""Where VMs were before their node was emptied or lost, and who paused it (I8): what its return needs to know.

Kept as Prefect variables, JSON that a person can read: one a node, or several where its VMs are too many for one. It is
written ahead of the pause, and believed by a later run only as far as the cluster bears it out. A run that simulates a
cluster of its own keeps none: the next one starts another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from shunter.clusters.port import ClusterPort
from shunter.engine.looking import look
from shunter.flows.records import Records
from shunter.flows.server import Logger
from shunter.flows.variables import MOST_CHARACTERS
from shunter.topology.homes import Before
from shunter.topology.model import Cluster, Value
from shunter.topology.plan import Plan

LONGEST_S = 30 * 86_400.0
"""A record that is older is not believed."""


class Emptied(Value):
    """A part of what is known of one node; they are alike but for `part`, `parts` and `homes`.

    `told_s`: the cluster's clock when it was written. `paused`: the run paused the node. `finished`: the run came to
    its end. `over`: the node has been brought back since. `homes`: node → the VMs that were there.
    """

    cluster: str
    node: str
    told_s: float
    written: str = ""
    flow_run: str | None = None
    paused: bool = False
    finished: bool = True
    over: bool = False
    part: int = 1
    parts: int = 1
    homes: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def variable_name(cluster: str, node: str, part: int = 1) -> str:
    """Prefect takes lowercase letters, digits, dashes and underscores; no two nodes share a name."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{cluster}-{node}".lower()).strip("-")[:160]
    told_apart = hashlib.sha256(json.dumps([cluster, node]).encode()).hexdigest()[:8]
    return f"shunter-emptied-{readable}-{told_apart}{f'-part-{part}' if part > 1 else ''}"


def parts_of(known: Emptied, homes: Mapping[str, str]) -> tuple[Emptied, ...]:
    """As many as it takes for all of these homes (VM → node), each small enough for a variable."""
    room = MOST_CHARACTERS - len(known.model_dump_json())
    found: list[dict[str, list[str]]] = [{}]
    used = 0
    for vm, node in homes.items():
        more = len(json.dumps(vm)) + 2 + (0 if node in found[-1] else len(json.dumps(node)) + 8)
        if used + more > room and found[-1]:
            found.append({})
            used, more = 0, len(json.dumps(vm)) + len(json.dumps(node)) + 10
        used += more
        found[-1].setdefault(node, []).append(vm)
    return tuple(
        known.model_copy(
            update={"part": i, "parts": len(found), "homes": {node: tuple(vms) for node, vms in part.items()}}
        )
        for i, part in enumerate(found, start=1)
    )


def homes_in(parts: Iterable[Emptied]) -> dict[str, str]:
    """VM → node."""
    return {vm: node for part in parts for node, vms in part.homes.items() for vm in vms}


def disbelief(known: Emptied, cluster: str, node: str, now_s: float) -> str:
    """Why a record is not believed; empty where it is."""
    if (known.cluster, known.node) != (cluster, node):
        return f"it is of {known.node} of the cluster {known.cluster}"
    if now_s < known.told_s:
        return "the cluster's clock was started anew since then"
    if now_s - known.told_s > LONGEST_S:
        return f"it is {(now_s - known.told_s) / 86_400:.0f} days old"
    return ""


@dataclass(slots=True, eq=False)
class EmptiedRecord:
    """Of one run that empties `nodes`, or takes care of their loss: `begin` before it touches anything, `close` with
    its report. `before`: a look from before the loss; `pauses`: the run pauses the nodes.

    Where a node did not take VMs even before this run, an earlier one began to empty it: what that one knew still
    holds, until the node was brought back.
    """

    cluster: ClusterPort
    nodes: Collection[str]
    log: Logger
    records: Records
    flow_run: str | None
    before: Cluster | None = None
    pauses: bool = True
    _seen: Cluster = field(init=False)
    _names: tuple[str, ...] = ()
    _earlier: dict[str, tuple[Emptied, ...]] = field(default_factory=dict)

    async def begin(self) -> None:
        """Written ahead. Raises Unreachable and PrefectUnreachable."""
        self._seen = self.before or await look(self.cluster)
        wanted = {self._seen.find_node(name).name for name in self.nodes}
        self._names = tuple(node.name for node in self._seen.nodes if node.name in wanted)
        for name in self._names:
            self._earlier[name] = await _read(self.records, self._seen.name, name, self.cluster.clock.now_s(), self.log)
            await self._keep(name, {vm.name: name for vm in self._seen.vms_by_node[name]}, paused=True)

    async def close(self, report: Plan) -> None:
        """What the run moved besides, to make room, is known now. Raises Unreachable."""
        after = await look(self.cluster)
        moved = {move.vm for move in report.moves if move.outcome in ("done", "lost_sight")} if report.executed else ()
        moved_homes = {name: self._seen.vm_by_name[name].node for name in moved if name in self._seen.vm_by_name}
        for name in self._names:
            there = {vm.name: name for vm in self._seen.vms_by_node[name]}
            away = after.node_by_name[name].state != "up"
            if report.executed and (moved_homes or away):
                others = {vm: home for vm, home in moved_homes.items() if home not in self._names}
                await self._keep(name, {**there, **others}, paused=away, finished=True)
            elif self._earlier[name]:
                await _write(self.records, self._earlier[name])
            else:
                await forget(self.records, self._seen.name, name)

    async def _keep(self, name: str, homes: Mapping[str, str], *, paused: bool, finished: bool = False) -> None:
        node, earlier = self._seen.node_by_name[name], self._earlier[name]
        goes_on = bool(earlier) and not earlier[0].over and node.state != "up"
        known = Emptied(
            cluster=self._seen.name,
            node=name,
            told_s=round(self.cluster.clock.now_s(), 1),  # people read it
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            flow_run=self.flow_run,
            finished=finished,
            paused=paused and ((self.pauses and node.state == "up") or (goes_on and earlier[0].paused)),
        )
        await _write(self.records, parts_of(known, {**homes, **(homes_in(earlier) if goes_on else {})}))


async def known_before(records: Records, cluster: ClusterPort, seen: Cluster, node: str, log: Logger) -> Before | None:
    """What the run that emptied this node left behind, if it is believed. Raises PrefectUnreachable."""
    parts = await _read(records, seen.name, node, cluster.clock.now_s(), log)
    if not parts:
        return None
    run = f"the run {parts[0].flow_run}" if parts[0].flow_run else "a run"
    return Before(homes_in(parts), f"{run} after which {node} was empty ({parts[0].written})", ours=parts[0].paused)


async def paused_on_purpose(records: Records, cluster: ClusterPort, seen: Cluster, log: Logger) -> dict[str, str]:
    """Nodes that a run emptied and left paused, and which run it was: nobody has brought them back since. Raises
    PrefectUnreachable.
    """
    left = await _left_paused(records, cluster, seen, log)
    return {node: f"the run {known.flow_run or 'of another day'}" for node, known in left.items() if known.finished}


async def begun(records: Records, cluster: ClusterPort, seen: Cluster, log: Logger) -> dict[str, str]:
    """Nodes that a run paused, and the name of that run, which has not come to its end yet. Raises
    PrefectUnreachable.
    """
    left = await _left_paused(records, cluster, seen, log)
    return {node: known.flow_run or "" for node, known in left.items() if not known.finished}


async def paused_by(records: Records, cluster: ClusterPort, seen: Cluster, log: Logger) -> dict[str, str]:
    """Nodes that runs emptied and nobody has brought back, with run and purpose. Raises PrefectUnreachable."""
    left = await _left_paused(records, cluster, seen, log)
    return {
        node: f"the run {known.flow_run or 'of another day'} {'emptied it' if known.finished else 'was to empty it'}"
        for node, known in left.items()
    }


async def _left_paused(records: Records, cluster: ClusterPort, seen: Cluster, log: Logger) -> dict[str, Emptied]:
    left = {}
    for node in seen.nodes:
        if node.state == "paused" and node.paused_by != "elsewhere":
            parts = await _read(records, seen.name, node.name, cluster.clock.now_s(), log)
            if parts and parts[0].paused and not parts[0].over:
                left[node.name] = parts[0]
    return left


async def note_return(records: Records, cluster: ClusterPort, seen: Cluster, node: str, log: Logger) -> None:
    """The node takes VMs again: whoever pauses it from now on, it was not that run. Raises PrefectUnreachable."""
    parts = await _read(records, seen.name, node, cluster.clock.now_s(), log)
    over = {"paused": False, "over": True}
    await _write(records, (part.model_copy(update=over) for part in parts if not part.over))


async def forget(records: Records, cluster: str, node: str) -> None:
    """Remove what is known of this node. Raises PrefectUnreachable."""
    part = 1
    while await records.read(name := variable_name(cluster, node, part)) is not None:
        await records.forget(name)
        part += 1


async def _write(records: Records, parts: Iterable[Emptied]) -> None:
    for part in parts:
        await records.keep(variable_name(part.cluster, part.node, part.part), part.model_dump(mode="json"))


async def _read(records: Records, cluster: str, node: str, now_s: float, log: Logger) -> tuple[Emptied, ...]:
    """All parts, or none: where one is missing, of another run or not believed, nothing is known."""
    found: list[Emptied] = []
    try:
        while not found or len(found) < found[0].parts:
            value = await records.read(variable_name(cluster, node, len(found) + 1))
            if value is None:
                break
            found.append(Emptied.model_validate_json(json.dumps(value)))
    except ValidationError as error:
        name = variable_name(cluster, node, len(found) + 1)
        log.warning("the variable %s is not what a run wrote, and is left aside: %s", name, error)
        return ()
    if not found:
        return ()
    complete = len(found) == found[0].parts and len({(part.written, part.told_s) for part in found}) == 1
    doubt = disbelief(found[0], cluster, node, now_s) if complete else "a part of it is missing"
    if doubt:
        log.info("the record of where the VMs of %s were is not believed: %s", node, doubt)
        return ()
    return tuple(found)
