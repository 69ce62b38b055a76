"""The fault plan: what goes wrong in a simulated cluster, and when. Strictly read from JSON; `drawing.py` draws one."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from shunter.topology.errors import MOST_SHOWN, RequestError
from shunter.topology.jsontext import parse_json
from shunter.topology.model import Cluster, Mib, Name, Value, VolumeState
from shunter.topology.names import key_of
from shunter.topology.wording import listed, problems_of

MOST_FAULTS = 20_000
OF_MIGRATIONS = ("migration_fails", "answer_lost", "migration_slow")
OF_VOLUMES = ("direct_io_refused",)
OF_REBOOTS = ("reboot_fails", "reboot_slow", "reboot_isolated")
"""These and those before say how something goes that was asked for; the others happen by themselves."""

NEEDS: dict[str, tuple[str, ...]] = {
    "migration_fails": (),
    "answer_lost": (),
    "migration_slow": (),
    "node_down": ("node",),
    "node_up": ("node",),
    "node_isolated": ("node",),
    "node_back": ("node",),
    "reboot_fails": (),
    "reboot_slow": (),
    "reboot_isolated": (),
    "migration_elsewhere": ("vm", "target"),
    "vm_started": ("vm",),
    "vm_memory_changed": ("vm", "memory_mib"),
    "backup_starts": (),
    "backup_ends": (),
    "volume_state": ("volume", "state"),
    "volume_path_lost": ("volume", "node"),
    "volume_path_back": ("volume", "node"),
    "direct_io_refused": (),
    "storage_job_starts": ("volume",),
    "storage_job_ends": ("volume",),
    "configuration_changes": ("vm",),
    "role_fails": ("vm", "node"),
    "node_quarantined": ("node",),
    "quarantine_cleared": ("node",),
}
MAY_HAVE: dict[str, tuple[str, ...]] = {
    "migration_fails": ("fraction", "lasting"),
    "answer_lost": ("moved",),
    "migration_slow": ("factor",),
    "reboot_slow": ("factor",),
    "backup_starts": ("vm", "volume"),
    "backup_ends": ("vm", "volume", "outcome"),
    "direct_io_refused": ("node", "lasting"),
    "storage_job_starts": ("duration_s",),
    "role_fails": ("times",),
}


class When(Value):
    """The next migration that matches all that is given.

    `node`, for what a reboot comes to: its next reboot; `volume`, for direct I/O that is refused: the next order to
    restore it. Only for a lost answer: `node`, its next pause, resume or
    reboot; `volume`, its next change of owner or the next order to restore its direct I/O; `vm` alone, also the next
    order to start it, to refresh its configuration, or to give it to another node while it does not run.
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
            raise ValueError("is empty; name a vm, source, target, node or volume")
        if (self.node is not None or self.volume is not None) and len(self.names) > 1:
            raise ValueError("a node or a volume stands alone; leave the others out")
        return self


class Fault(Value):
    """One thing that goes wrong once: at a time, or at the next operation that matches.

    `lasting`: at every operation that matches, from the first on. `direct_io_refused` with `node`: only while that node
    owns the volume. `role_fails` begins at its time: from then on the VM
    fails on that node whenever it is started there or, with `times`, so often.
    """

    do: Literal[
        "migration_fails",
        "answer_lost",
        "migration_slow",
        "node_down",
        "node_up",
        "node_isolated",
        "node_back",
        "reboot_fails",
        "reboot_slow",
        "reboot_isolated",
        "migration_elsewhere",
        "vm_started",
        "vm_memory_changed",
        "backup_starts",
        "backup_ends",
        "volume_state",
        "volume_path_lost",
        "volume_path_back",
        "direct_io_refused",
        "storage_job_starts",
        "storage_job_ends",
        "configuration_changes",
        "role_fails",
        "node_quarantined",
        "quarantine_cleared",
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
    duration_s: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] = 1800.0
    times: Annotated[int, Field(ge=1, le=1000)] | None = None
    lasting: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> Fault:
        if (self.at_s is None) == (self.when is None):
            raise ValueError("give either at_s or when")
        self._check_when()
        for field in NEEDS[self.do]:
            if getattr(self, field) is None:
                raise ValueError(f"{self.do} needs {field}; give it")
        for field in sorted(self.model_fields_set - {"do", "at_s", "when"}):
            if field not in (*NEEDS[self.do], *MAY_HAVE.get(self.do, ())):
                raise ValueError(f"{self.do} has no {field}; leave it out")
        if self.do.startswith("backup") and (self.vm is None) == (self.volume is None):
            raise ValueError(f"{self.do} needs either a vm or a volume; give one")
        return self

    def _check_when(self) -> None:
        """Raises ValueError where it names what such a fault does not wait for."""
        if self.do in OF_MIGRATIONS and self.when is None:
            raise ValueError(f"{self.do} needs when; name there the vm, source or target of a migration")
        if self.do in OF_REBOOTS and (self.when is None or self.when.node is None):
            raise ValueError(f"{self.do} needs when; name there the node that is rebooted")
        if self.do in OF_VOLUMES and (self.when is None or self.when.volume is None):
            raise ValueError(f"{self.do} needs when; name there the volume")
        of_anything = self.do == "answer_lost" or self.do in (*OF_REBOOTS, *OF_VOLUMES)
        if self.when is not None and (self.when.node or self.when.volume) and not of_anything:
            raise ValueError(f"{self.do} happens when a migration starts; name its vm, source or target")

    def told(self) -> dict[str, Any]:
        """Everything it says, what it left to defaults included, for the log."""
        fields = {"do", "at_s", "when", *NEEDS[self.do], *MAY_HAVE.get(self.do, ())}
        return self.model_dump(mode="json", include=fields, exclude_none=True)


def read_faults(text: str, cluster: Cluster) -> tuple[Fault, ...]:
    """The faults of a JSON list. Raises RequestError, a line for each thing that is wrong, with its path."""
    try:
        entries = parse_json(text)
    except RequestError as error:
        raise RequestError(f"the fault plan: {error}") from error
    if not isinstance(entries, list):
        raise RequestError('the fault plan: must be a list in brackets, such as [{"at_s": 30, "do": "node_down", …}]')
    if len(entries) > MOST_FAULTS:
        raise RequestError(
            f"the fault plan: {len(entries)} faults are more than a night has; give at most {MOST_FAULTS}"
        )
    spelling = _Spelling(cluster)
    faults = [_read(entry, i, spelling) for i, entry in enumerate(entries)]
    if spelling.problems:
        shown = spelling.problems[:MOST_SHOWN]
        left = len(spelling.problems) - len(shown)
        raise RequestError("\n".join([*shown, *([f"and {left} more problems"] if left else [])]))
    return tuple(fault for fault in faults if fault is not None)


def _read(entry: Any, i: int, spelling: _Spelling) -> Fault | None:
    """None where something is wrong with it, which is then among the problems."""
    try:
        fault = Fault.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        spelling.problems += problems_of(error, Fault, entry, within=(i,))
        return None
    except RecursionError:
        spelling.problems.append(f"[{i}]: is nested too deeply; give what you mean")
        return None
    return spelling.of(fault, f"[{i}]")


class _Spelling:
    """Names as the cluster spells them; remembers the problems, what the cluster does not have among them."""

    def __init__(self, cluster: Cluster) -> None:
        self.problems: list[str] = []
        nodes = {key_of(node.name): node.name for node in cluster.nodes}
        self._known = {
            "vm": {key_of(vm.name): vm.name for vm in cluster.vms},
            "volume": {key_of(volume.name): volume.name for volume in cluster.volumes},
            **dict.fromkeys(("node", "source", "target"), nodes),
        }

    def of(self, fault: Fault, path: str) -> Fault:
        fields = ("vm", "node", "target", "volume")
        given = {field: getattr(fault, field) for field in fields if getattr(fault, field) is not None}
        update: dict[str, Any] = {field: self._spelled(field, name, path) for field, name in given.items()}
        if fault.when is not None:
            update["when"] = When(**{k: self._spelled(k, name, f"{path}.when") for k, name in fault.when.names.items()})
        return fault.model_copy(update=update)

    def _spelled(self, field: str, name: str, path: str) -> str:
        known = self._known[field]
        found = known.get(key_of(name))
        if found is None:
            noun = {"vm": "VM", "volume": "volume"}.get(field, "node")
            there_are = ""
            if len(self.problems) < MOST_SHOWN:  # to look for names that may be meant takes time
                there_are = f"; the {noun}s are {listed(known.values(), alike=name)}"
            self.problems.append(f'{path}.{field}: no {noun} is called "{name}"{there_are}')
        return found or name
