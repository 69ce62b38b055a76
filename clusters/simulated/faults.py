"""The fault plan: what goes wrong in a simulated cluster, and when. Strictly read from JSON; `drawing.py` draws one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster, Mib, Name, Value, VolumeState

NOT_YET = ("node_isolated", "node_back", "role_fails")
OF_MIGRATIONS = ("migration_fails", "answer_lost", "migration_slow")
"""These say how something goes that was asked for; the others happen by themselves."""

NEEDS: dict[str, tuple[str, ...]] = {
    "migration_fails": (),
    "answer_lost": (),
    "migration_slow": (),
    "node_down": ("node",),
    "node_up": ("node",),
    "migration_elsewhere": ("vm", "target"),
    "vm_started": ("vm",),
    "vm_memory_changed": ("vm", "memory_mib"),
    "backup_starts": (),
    "backup_ends": (),
    "volume_state": ("volume", "state"),
}
MAY_HAVE: dict[str, tuple[str, ...]] = {
    "migration_fails": ("fraction",),
    "answer_lost": ("moved",),
    "migration_slow": ("factor",),
    "backup_starts": ("vm", "volume"),
    "backup_ends": ("vm", "volume", "outcome"),
}


class When(Value):
    """The next migration that matches all that is given.

    Only for a lost answer: `node`, its next pause or resume; `volume`, its next change of owner; `vm` alone, also
    the next time it is given to another node while it does not run.
    """

    vm: Name | None = None
    source: Name | None = None
    target: Name | None = None
    node: Name | None = None
    volume: Name | None = None

    @cached_property
    def names(self) -> dict[str, str]:
        return self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _names_one_thing(self) -> When:
        if not self.names:
            raise ValueError("name a vm, source, target, node or volume")
        if (self.node is not None or self.volume is not None) and len(self.names) > 1:
            raise ValueError("a node or a volume stands alone")
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
    at_s: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    when: When | None = None
    vm: Name | None = None
    node: Name | None = None
    target: Name | None = None
    volume: Name | None = None
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    factor: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 3.0
    moved: bool = True
    memory_mib: Mib | None = None
    outcome: Literal["done", "failed", "aborted"] = "done"
    state: VolumeState | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Fault:
        if (self.at_s is None) == (self.when is None):
            raise ValueError("give either at_s or when")
        if self.do in OF_MIGRATIONS and self.when is None:
            raise ValueError(f"{self.do} needs when")
        if self.when is not None and (self.when.node or self.when.volume) and self.do != "answer_lost":
            raise ValueError(f"{self.do} happens when a migration starts: name its vm, source or target")
        for field in NEEDS[self.do]:
            if getattr(self, field) is None:
                raise ValueError(f"{self.do} needs {field}")
        for field in sorted(self.model_fields_set - {"do", "at_s", "when"}):
            if field not in (*NEEDS[self.do], *MAY_HAVE.get(self.do, ())):
                raise ValueError(f"{self.do} has no {field}")
        if self.do.startswith("backup") and (self.vm is None) == (self.volume is None):
            raise ValueError(f"{self.do} needs either a vm or a volume")
        return self

    def told(self) -> dict[str, Any]:
        """Everything it says, what it left to defaults included, for the log."""
        fields = {"do", "at_s", "when", *NEEDS[self.do], *MAY_HAVE.get(self.do, ())}
        return self.model_dump(mode="json", include=fields, exclude_none=True)


def read_faults(text: str, cluster: Cluster) -> tuple[Fault, ...]:
    """The faults of a JSON list. Raises RequestError with the path of what is wrong."""
    try:
        entries = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
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
        said = "no such field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise RequestError(f"{where}: {said}") from error
    return _spelled(fault, path, cluster)


def _spelled(fault: Fault, path: str, cluster: Cluster) -> Fault:
    """Names as the cluster spells them; refuse what it does not have."""
    nodes = [node.name for node in cluster.nodes]
    kinds = {
        "vm": ("VM", [vm.name for vm in cluster.vms]),
        "volume": ("volume", [volume.name for volume in cluster.volumes]),
    }

    def spelled(field: str, name: str, at: str) -> str:
        noun, known = kinds.get(field, ("node", nodes))
        for candidate in known:
            if candidate.casefold() == name.casefold():
                return candidate
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "") if known else "none"
        raise RequestError(f'{at}.{field}: no {noun} is called "{name}"; the {noun}s are {shown}')

    return _renamed(fault, path, spelled)


def _renamed(fault: Fault, path: str, spelled: Callable[[str, str, str], str]) -> Fault:
    update: dict[str, Any] = {
        field: spelled(field, getattr(fault, field), path)
        for field in ("vm", "node", "target", "volume")
        if getattr(fault, field) is not None
    }
    if fault.when is not None:
        update["when"] = When(**{k: spelled(k, name, f"{path}.when") for k, name in fault.when.names.items()})
    return fault.model_copy(update=update)
