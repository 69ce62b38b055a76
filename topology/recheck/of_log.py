"""Replays a witness log and names what must not have happened, and what we must not have done."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping

from pydantic import ValidationError

from shunter.topology.errors import ClusterFileError
from shunter.topology.model import Cluster
from shunter.topology.recheck.fitness import misfits, running_on_its_disks, too_close
from shunter.topology.recheck.mended import judge_mending
from shunter.topology.recheck.reboots import Reboots
from shunter.topology.recheck.violation import EPSILON_S, Violation
from shunter.topology.recheck.world import Event, World
from shunter.topology.references import check_references

LATEST_S = 1e12


def check_log(
    lines: Iterable[str | Mapping[str, object]],
    finished: Collection[str] = (),
    rolled: Collection[str] | None = None,
    kept_paused: Collection[str] = (),
    at_once: int | None = None,
    *,
    backups_may_degrade: bool = False,
) -> tuple[Violation, ...]:
    """What is wrong in this witness log (its first line holds the complete cluster); empty where it is sound.

    I1, I2 and I7 are judged whoever acted; I3, I4, R08, R11, R13, R17, R18, R20 at the start of each migration that we
    started, and, R17 and R18 apart, when we start a VM; R18 when we restore direct I/O; I5 and I6 when we reboot a
    node; I8 for what we resumed. `finished`: nodes whose evacuation was carried to its end: they stay paused. `rolled`:
    the log is of a rolling run (None: it is not), and these nodes are said to be done: we rebooted them and they came
    back, and no node that we paused meanwhile is left so but for `kept_paused`, those that were given up. `at_once`:
    most nodes that may be away at a time (I5). `backups_may_degrade`: we were told to move VMs whose backup is under
    way (R17).
    """
    events, broken = read_events(lines)
    if broken or not events:
        return broken or (Violation(0.0, "log", "the log", "is empty"),)
    world, problem = first_world(events[0])
    if world is None:
        return (Violation(0.0, "log", "the log", problem),)
    reboots = Reboots(world, at_once=at_once, kept_paused=kept_paused)
    found: list[Violation] = []
    now_s = 0.0
    for number, event in enumerate(events[1:], start=2):
        try:
            at_s = time_of(event)
            if at_s < now_s - EPSILON_S:
                found.append(Violation(at_s, "log", f"line {number}", f"time goes back, from {now_s:g} s"))
            now_s = max(now_s, at_s)
            if event["what"] == "migration_started":
                found += _judge_start(world, event, at_s, backups_may_degrade=backups_may_degrade)
            found += judge_mending(world, event, at_s)
            found += reboots.judge(event, at_s)
            found += world.apply(event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            found.append(Violation(now_s, "log", f"line {number}", f"cannot be read: {error!r} in {dict(event)}"))
    found += _left_paused(world, finished, now_s)
    if rolled is not None:
        found += reboots.at_the_end(rolled, now_s)
    return tuple(found)


def _left_paused(world: World, finished: Collection[str], now_s: float) -> Iterator[Violation]:
    """A finished evacuation leaves its node paused (I8)."""
    for node in finished:
        if node not in world.node_state:
            yield Violation(now_s, "log", node, "its evacuation is said to be finished, and the log has no such node")
        elif world.node_state[node] == "up" and world.up_because[node] != "it is back":
            message = f"its evacuation is finished, and it is not paused (up because of {world.up_because[node]})"
            yield Violation(now_s, "I8", node, message)


def read_events(lines: Iterable[str | Mapping[str, object]]) -> tuple[list[Event], tuple[Violation, ...]]:
    """The events of a log, and what is not JSON in it."""
    events: list[Event] = []
    broken = []
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Mapping):
            events.append(line)
        elif line.strip():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError) as error:
                broken.append(Violation(0.0, "log", f"line {number}", f"is not JSON: {error}"))
                continue
            if isinstance(event, dict):
                events.append(event)
            else:
                broken.append(Violation(0.0, "log", f"line {number}", "is no event: an event is a JSON object"))
    return events, tuple(broken)


def time_of(event: Event) -> float:
    """When it happened. Raises KeyError, TypeError and ValueError where the event does not tell."""
    at_s = event["t_s"]
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not abs(at_s) <= LATEST_S:
        raise ValueError(f"t_s is {at_s!r:.40}, no number of seconds")
    return float(at_s)


def first_world(event: Event) -> tuple[World | None, str]:
    """The world of a log's first line, or what is wrong with that line."""
    if event.get("what") != "cluster":
        return None, f"begins with {event.get('what')}, not with the cluster"
    try:
        cluster = Cluster.model_validate_json(json.dumps(event["cluster"]))
        check_references(cluster)
        return World(cluster), ""
    except (KeyError, ValidationError, ClusterFileError, RecursionError) as error:
        return None, f"its first line holds no complete cluster: {error}"


def _left_redirected(world: World, vm: str, at_s: float) -> Iterator[Violation]:
    stuck = [volume for volume, state in world.volume_state.items() if state == "redirected_stuck"]
    if stuck:
        yield Violation(at_s, "R18", vm, f"we move it while a backup leaves {', '.join(stuck)} in redirected I/O")


def _judge_start(world: World, event: Event, at_s: float, *, backups_may_degrade: bool) -> Iterator[Violation]:
    name, source, target = event["vm"], event["source"], event["target"]
    for node in (source, target):
        flight = world.flight_at(node)
        if flight is not None and (flight.vm, *flight.nodes) != (name, source, target):
            message = f"joins the migration of {name} while in that of {flight.vm} ({' → '.join(flight.nodes)})"
            yield Violation(at_s, "I1", node, message)
    if event["by"] != "us" or name in world.begun_before:
        return
    vm = world.vms[name]
    if world.node_state[target] != "up":
        rule = "I8" if world.node_state[target] == "paused" else "R01"
        yield Violation(at_s, rule, name, f"we move it to {target}, which is {world.node_state[target]}")
    if vm.backup and not backups_may_degrade:
        yield Violation(at_s, "R17", name, "we move it while a backup of it is under way")
    yield from _left_redirected(world, name, at_s)
    used_mib, room_mib = world.used_mib(target), world.cluster.node_by_name[target].for_vms_mib
    if used_mib + vm.memory_mib > room_mib:
        yield Violation(at_s, "I3", target, f"{used_mib} of {room_mib} MiB are in use; {name} has {vm.memory_mib} MiB")
    for rule, message in misfits(world.cluster, vm, source, target, world.volume_state):
        yield Violation(at_s, rule, name, message)
    others = running_on_its_disks(world.cluster, vm, {other for other in world.vms if world.runs(other)})
    if others:
        yield Violation(at_s, "R11", name, f"shares a disk with {', '.join(others)}, running too")
    for message in too_close(world.cluster, name, source, target, world.places()):
        yield Violation(at_s, "I4", name, message)
