"""The fault plan: what goes wrong in a simulated cluster, and when. Read from JSON, or drawn from a seed."""

from __future__ import annotations

import json
import random
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster, Mib, Name, Value, VolumeState

NOT_YET = ("node_isolated", "node_back", "role_fails")
WHEN_FAULTS = ("migration_fails", "answer_lost", "migration_slow")


class When(Value):
    """The next migration that matches all that is given; or the next pause or resume of `node`, or owner of `volume`."""

    vm: Name | None = None
    source: Name | None = None
    target: Name | None = None
    node: Name | None = None
    volume: Name | None = None

    @model_validator(mode="after")
    def _names_something(self) -> When:
        if self == When.model_construct():
            raise ValueError("name a vm, source, target, node or volume")
        return self


class Fault(Value):
    """One thing that goes wrong once: at a time, or at the next operation that matches."""

    do: Literal[
        "migration_fails",
        "answer_lost",
        "migration_slow",
        "node_down",
        "node_up",
        "migration_elsewhere",
        "vm_started",
        "vm_memory_changed",
        "backup_starts",
        "backup_ends",
        "volume_state",
    ]
    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    when: When | None = None
    vm: Name | None = None
    node: Name | None = None
    target: Name | None = None
    volume: Name | None = None
    fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    factor: Annotated[float, Field(gt=0, le=1000)] = 3.0
    moved: bool = True
    memory_mib: Mib | None = None
    outcome: Name = "done"
    state: VolumeState | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Fault:
        if (self.at_s is None) == (self.when is None):
            raise ValueError("give either at_s or when")
        if (self.do in WHEN_FAULTS) != (self.when is not None):
            raise ValueError(f"{self.do} needs {'when' if self.do in WHEN_FAULTS else 'at_s'}")
        for field in NEEDS.get(self.do, ()):
            if getattr(self, field) is None:
                raise ValueError(f"{self.do} needs {field}")
        if self.do.startswith("backup") and (self.vm is None) == (self.volume is None):
            raise ValueError(f"{self.do} needs a vm or a volume")
        return self


NEEDS: dict[str, tuple[str, ...]] = {
    "node_down": ("node",),
    "node_up": ("node",),
    "migration_elsewhere": ("vm", "target"),
    "vm_started": ("vm",),
    "vm_memory_changed": ("vm", "memory_mib"),
    "volume_state": ("volume", "state"),
}


def read_faults(text: str, cluster: Cluster) -> tuple[Fault, ...]:
    """The faults of a JSON list. Raises RequestError with the path of what is wrong."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError(f"the fault plan is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise RequestError("the fault plan must be a JSON list")
    return tuple(_read(entry, f"[{i}]", cluster) for i, entry in enumerate(entries))


def _read(entry: Any, path: str, cluster: Cluster) -> Fault:
    if isinstance(entry, dict) and entry.get("do") in NOT_YET:
        raise RequestError(f"{path}.do: this version cannot simulate {entry['do']}; leave it out")
    try:
        fault = Fault.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in (path, *first["loc"]))
        raise RequestError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
    return _spelled(fault, path, cluster)


def _spelled(fault: Fault, path: str, cluster: Cluster) -> Fault:
    """Names as the cluster spells them; refuse what it does not have."""
    kinds = {
        "vm": [vm.name for vm in cluster.vms],
        "volume": [volume.name for volume in cluster.volumes],
    }
    nodes = [node.name for node in cluster.nodes]

    def spell(value: Value, at: str) -> dict[str, str]:
        found = {}
        for field in ("vm", "node", "source", "target", "volume"):
            name = getattr(value, field, None)
            if name is None:
                continue
            known = next((k for k in kinds.get(field, nodes) if k.casefold() == name.casefold()), None)
            if known is None:
                raise RequestError(f'{at}.{field}: cluster {cluster.name} has no "{name}"')
            found[field] = known
        return found

    update: dict[str, Any] = spell(fault, path)
    if fault.when is not None:
        update["when"] = fault.when.model_copy(update=spell(fault.when, f"{path}.when"))
    return fault.model_copy(update=update)


def draw_faults(cluster: Cluster, seed: int, how_many: Literal["none", "some", "many"]) -> tuple[Fault, ...]:
    """Faults drawn from the seed: the same cluster, seed and number give the same faults."""
    if how_many == "none":
        return ()
    rng = random.Random(f"faults/{seed}/{how_many}/{cluster.name}")
    count = rng.randint(1, 3) if how_many == "some" else rng.randint(4, 12)
    within_s = 20.0 + 4.0 * len([vm for vm in cluster.vms if vm.holds_memory]) / len(cluster.nodes)
    drawn: list[Fault] = []
    may_go_down = (len(cluster.nodes) - 1) // 2 if how_many == "many" else min(1, (len(cluster.nodes) - 1) // 2)
    for _ in range(count):
        kind = rng.choice(_KINDS)
        if kind == "node_down":
            if may_go_down == 0:
                continue
            may_go_down -= 1
        drawn += _draw(rng, cluster, kind, round(rng.uniform(0, within_s), 3))
    return tuple(drawn)


_KINDS = (
    *("migration_fails",) * 3,
    *("answer_lost",) * 3,
    *("migration_elsewhere",) * 2,
    *("vm_memory_changed",) * 2,
    "answer_lost_of_pause",
    "answer_lost_of_volume",
    "migration_slow",
    "node_down",
    "vm_started",
    "backup",
    "volume_state",
)


def _draw(rng: random.Random, cluster: Cluster, kind: str, at_s: float) -> list[Fault]:  # noqa: C901, PLR0911  a table
    running = [vm for vm in cluster.vms if vm.holds_memory]
    off = [vm for vm in cluster.vms if vm.state == "off"]
    node = rng.choice(cluster.nodes).name
    vm = rng.choice(running) if running else None
    volume = rng.choice(cluster.volumes).name if cluster.volumes else None
    later_s = round(at_s + rng.uniform(10, 200), 3)
    match kind:
        case "node_down":
            back = [Fault(do="node_up", node=node, at_s=later_s)] if rng.random() < 0.6 else []
            return [Fault(do="node_down", node=node, at_s=at_s), *back]
        case "answer_lost_of_pause":
            return [Fault(do="answer_lost", when=When(node=node), moved=rng.random() < 0.5)]
        case "answer_lost_of_volume" if volume:
            return [Fault(do="answer_lost", when=When(volume=volume), moved=rng.random() < 0.5)]
        case "volume_state" if volume:
            broken = Fault(do="volume_state", volume=volume, state="offline", at_s=at_s)
            return [broken, Fault(do="volume_state", volume=volume, state="online", at_s=later_s)]
        case "vm_started" if off:
            return [Fault(do="vm_started", vm=rng.choice(off).name, at_s=at_s)]
        case "migration_fails" if vm:
            return [Fault(do="migration_fails", when=When(vm=vm.name), fraction=round(rng.random(), 3))]
        case "migration_slow" if vm:
            return [Fault(do="migration_slow", when=When(vm=vm.name), factor=round(rng.uniform(1.5, 30), 3))]
        case "answer_lost" if vm:
            return [Fault(do="answer_lost", when=When(vm=vm.name), moved=rng.random() < 0.5)]
        case "migration_elsewhere" if vm:
            return [Fault(do="migration_elsewhere", vm=vm.name, target=node, at_s=at_s)]
        case "vm_memory_changed" if vm:
            mib = max(1, min(vm.memory_maximum_mib, int(vm.memory_mib * rng.uniform(0.5, 3))))
            return [Fault(do="vm_memory_changed", vm=vm.name, memory_mib=mib, at_s=at_s)]
        case "backup" if vm:
            ends = Fault(do="backup_ends", vm=vm.name, at_s=later_s)
            return [Fault(do="backup_starts", vm=vm.name, at_s=at_s), ends]
    return []
