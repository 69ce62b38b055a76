"""The world as a witness log tells it, line by line: where each VM is, who migrates, who paused which node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.recheck.violation import Violation

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flight:
    """A live migration under way."""

    vm: str
    source: str
    target: str
    by: str
    started_s: float

    @property
    def nodes(self) -> tuple[str, str]:
        return (self.source, self.target)


class World:
    """What is true after the events applied so far. `apply` yields what cannot be true (I2, `log`)."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.vms: dict[str, VirtualMachine] = dict(cluster.vm_by_name)
        self.node_state: dict[str, str] = {node.name: node.state for node in cluster.nodes}
        self.paused_by: dict[str, str | None] = {
            node.name: node.paused_by or "elsewhere" for node in cluster.nodes if node.state == "paused"
        }
        self.paused_meanwhile: set[str] = set()
        """Nodes that we paused since the log began."""
        self._paused_before: dict[str, str | None] = {}
        """Of nodes that went while they were paused, who paused them: a pause may last until they are back."""
        self._up_s: dict[str, float] = {}
        self.up_because: dict[str, str] = dict.fromkeys(self.node_state, "it was so at the start")
        self.role_on = {role.name: role.node for role in cluster.roles}
        self.owner = {volume.name: volume.owner for volume in cluster.volumes}
        self.volume_state: dict[str, str] = {volume.name: volume.state for volume in cluster.volumes}
        self.volumes_in_backup = {volume.name for volume in cluster.volumes if volume.backup}
        self.storage_jobs = [(job.name, job.volume) for job in cluster.storage_jobs]
        self.flights: dict[str, Flight] = {
            m.vm: Flight(m.vm, m.source, m.target, m.by, 0.0) for m in cluster.migrations
        }
        self.begun_before = {m.vm for m in cluster.migrations}
        """VMs in a migration that was under way already when the log began, whose start it may tell once more."""

    # -------------------------------------------------------------- questions

    def runs(self, vm: str) -> bool:
        return self.vms[vm].holds_memory

    def used_mib(self, node: str) -> int:
        """Memory of what runs on the node and of what is on its way to it."""
        here = sum(vm.memory_mib for vm in self.vms.values() if vm.node == node and vm.holds_memory)
        inbound = [self.vms[f.vm] for f in self.flights.values() if f.target == node]
        return here + sum(vm.memory_mib for vm in inbound if vm.node != node and vm.holds_memory)

    def places(self) -> dict[str, set[str]]:
        """Every node where each VM counts: both ends while it moves."""
        places = {name: {vm.node} for name, vm in self.vms.items()}
        for flight in self.flights.values():
            places[flight.vm].add(flight.target)
        return places

    def flight_at(self, node: str) -> Flight | None:
        return next((flight for flight in self.flights.values() if node in flight.nodes), None)

    # -------------------------------------------------------------- events

    def apply(self, event: Event) -> tuple[Violation, ...]:
        """Let the event happen, whether it may or not. Raises KeyError where the event lacks a field it needs."""
        at_s, what = float(event["t_s"]), event["what"]
        if what in CLAIMS:
            return tuple(CLAIMS[what](self, event, at_s))
        if what in FACTS:
            FACTS[what](self, event)
        elif what not in NO_CHANGE:
            return (Violation(at_s, "log", str(what), "no such event"),)
        return ()

    def _set(self, vm: str, **fields: Any) -> None:
        self.vms[vm] = self.vms[vm].model_copy(update=fields)

    def _migration_started(self, event: Event, at_s: float) -> Iterator[Violation]:
        vm = self.vms[event["vm"]]
        flight = Flight(vm.name, event["source"], event["target"], event["by"], at_s)
        known = self.flights.get(vm.name)
        if known is not None and known.nodes != flight.nodes:
            yield Violation(at_s, "I2", vm.name, f"it moves to {known.target} already")
        if not vm.holds_memory:
            yield Violation(at_s, "I2", vm.name, f"it is {vm.state}: only what runs can move live")
        if vm.node != flight.source:
            yield Violation(at_s, "I2", vm.name, f"it is on {vm.node}, not on {flight.source}")
        if flight.source == flight.target:
            yield Violation(at_s, "I2", vm.name, f"it moves from {flight.source} to where it is")
        if "memory_mib" in event and event["memory_mib"] != vm.memory_mib:
            message = f"it moves with {event['memory_mib']} MiB, and has {vm.memory_mib} MiB"
            yield Violation(at_s, "log", vm.name, message)
        self.flights[vm.name] = flight

    def _migration_ended(self, event: Event, at_s: float) -> Iterator[Violation]:
        name, outcome, node = event["vm"], event["outcome"], event["node"]
        self.begun_before.discard(name)
        flight = self.flights.pop(name, None)
        if flight is None or flight.nodes != (event["source"], event["target"]):
            yield Violation(at_s, "log", name, f"no migration {event['source']} → {event['target']} was under way")
            return
        may_be = {
            "done": (flight.target,),
            "failed": (flight.source,),
            "cancelled": (flight.source,),
            "source_lost": (flight.target, None),
            "target_lost": (flight.source, None),
        }
        if node not in may_be.get(outcome, ()):
            yield Violation(at_s, "I2", name, f"after a migration that is {outcome} it is on {node}")
        if node is None:
            self._set(name, state="failed")
        elif node == flight.target:
            if not self.runs(name):
                yield Violation(at_s, "I2", name, f"it arrives on {node} although it ran no more on {flight.source}")
            self._set(name, node=node)
        elif not self.runs(name):
            yield Violation(at_s, "I2", name, f"it stays on {node} although it runs there no more")

    def _role_moved(self, event: Event, at_s: float) -> Iterator[Violation]:
        name, source, target = event["name"], event["source"], event["target"]
        is_on = self.vms[name].node if name in self.vms else self.role_on[name]
        if is_on != source:
            yield Violation(at_s, "I2", name, f"it is on {is_on}, not on {source}")
        if name in self.vms and self.runs(name):
            yield Violation(at_s, "I2", name, f"it runs on {is_on} and changes its node without a migration")
        if name in self.vms:
            self._set(name, node=target)
        else:
            self.role_on[name] = target

    def _vm_started(self, event: Event, at_s: float) -> Iterator[Violation]:
        name, node = event["vm"], event["node"]
        if self.runs(name):
            yield Violation(at_s, "I2", name, f"started on {node} while it runs on {self.vms[name].node}")
        if name in self.flights:
            yield Violation(at_s, "I2", name, f"started on {node} while it moves to {self.flights[name].target}")
        if self.node_state[node] == "down":
            yield Violation(at_s, "I2", name, f"started on {node}, which is down")
        self._set(name, node=node, state="running", memory_mib=event.get("memory_mib", self.vms[name].memory_mib))

    def _vm_ended(self, event: Event, at_s: float) -> Iterator[Violation]:
        name, node = event["vm"], event["node"]
        stopped = event["what"] == "vm_stopped"
        lost_with_its_node = self.vms[name].state == "failed" and self.node_state[node] == "down"
        if self.vms[name].node != node or not (self.runs(name) or lost_with_its_node):
            yield Violation(
                at_s, "I2", name, f"it ends on {node}, but is {self.vms[name].state} on {self.vms[name].node}"
            )
        if stopped and event["by"] == "us":
            yield Violation(at_s, "I2", name, f"we stopped it on {node}")
        self._set(name, state="off" if stopped else "failed", node=node)

    def _volume_owner_changed(self, event: Event, at_s: float) -> Iterator[Violation]:
        name, source, target = event["volume"], event["source"], event["target"]
        if self.owner[name] != source:
            yield Violation(at_s, "log", name, f"its owner is {self.owner[name]}, not {source}")
        if self.node_state[target] in ("down", "joining", "isolated", "quarantined"):
            yield Violation(at_s, "I7", name, f"its new owner {target} is {self.node_state[target]}")
        self.owner[name] = target

    def _memory_changed(self, event: Event) -> None:
        self._set(event["vm"], memory_mib=event["memory_mib"])

    def _volume_state_changed(self, event: Event) -> None:
        """With it may come who reaches the volume from now on."""
        name = event["volume"]
        if name not in self.volume_state:
            raise KeyError(name)
        self.volume_state[name] = event["state"]
        if "reachable_from" in event:
            reached = tuple(event["reachable_from"])
            volumes = tuple(
                volume.model_copy(update={"reachable_from": reached}) if volume.name == name else volume
                for volume in self.cluster.volumes
            )
            self.cluster = self.cluster.model_copy(update={"volumes": volumes})
            self.cluster.__dict__.pop("volume_by_name", None)

    def _backup(self, event: Event) -> None:
        starts = event["what"] == "backup_started"
        if event.get("vm"):
            self._set(event["vm"], backup=starts)
        elif starts:
            self.volumes_in_backup.add(event["volume"])
        else:
            self.volumes_in_backup.discard(event["volume"])

    def _configuration(self, event: Event) -> None:
        self._set(event["vm"], configuration_in_cluster_is_current=event["what"] == "configuration_refreshed")

    def _storage_job_started(self, event: Event) -> None:
        self.storage_jobs.append((event["name"], event["volume"]))

    def _storage_job_ended(self, event: Event, at_s: float) -> Iterator[Violation]:
        job = (event["name"], event["volume"])
        if job in self.storage_jobs:
            self.storage_jobs.remove(job)
        else:
            yield Violation(at_s, "log", event["volume"], f"no storage job {event['name']} was under way")

    # -------------------------------------------------------------- nodes

    def _node_paused(self, event: Event) -> None:
        node, whom = event["node"], event["by"]
        if node in self._paused_before and self._up_s.get(node) == event["t_s"]:
            # it was paused when it went: that a reboot was ours does not make the pause ours
            self.paused_by[node] = self._paused_before.pop(node)
        elif self.node_state[node] != "paused":
            self.paused_by[node] = whom
            if whom == "us":
                self.paused_meanwhile.add(node)
        self.node_state[node] = "paused"

    def _node_resumed(self, event: Event, at_s: float) -> Iterator[Violation]:
        node, whom = event["node"], self.paused_by.pop(event["node"], None)
        if event["by"] == "us" and whom != "us":
            yield Violation(at_s, "I8", node, f"we resumed it; {f'{whom} paused it' if whom else 'it was not paused'}")
        self.node_state[node] = "up"
        self.up_because[node] = event["by"]

    def _node_gone(self, event: Event) -> None:
        """Down, or rebooting."""
        self._leave(event["node"], "down")
        for name, vm in list(self.vms.items()):
            # of a VM on its way, only its own events tell whether the node still ran it
            if vm.node == event["node"] and vm.holds_memory and name not in self.flights:
                self._set(name, state="failed")

    def _node_up(self, event: Event) -> None:
        node = event["node"]
        self.node_state[node] = "up"
        self.up_because[node] = "it is back"
        self._up_s[node] = event["t_s"]

    def _node_isolated(self, event: Event) -> None:
        """Nobody sees it; its VMs run on."""
        self._leave(event["node"], "isolated")

    def _node_quarantined(self, event: Event) -> None:
        """The cluster keeps it out; its VMs run on until they have left it."""
        self._leave(event["node"], "quarantined")

    def _leave(self, node: str, state: str) -> None:
        if self.node_state[node] in ("up", "paused"):
            self._paused_before.pop(node, None)
        if self.node_state[node] == "paused":
            self._paused_before[node] = self.paused_by.pop(node, None)
        self.node_state[node] = state


CLAIMS: dict[str, Callable[[World, Event, float], Iterator[Violation]]] = {
    "migration_started": World._migration_started,
    "migration_ended": World._migration_ended,
    "role_moved": World._role_moved,
    "vm_started": World._vm_started,
    "vm_stopped": World._vm_ended,
    "vm_crashed": World._vm_ended,
    "volume_owner_changed": World._volume_owner_changed,
    "node_resumed": World._node_resumed,
    "storage_job_ended": World._storage_job_ended,
}
"""Events that may contradict what was so far."""

FACTS: dict[str, Callable[[World, Event], None]] = {
    "vm_memory_changed": World._memory_changed,
    "node_paused": World._node_paused,
    "node_down": World._node_gone,
    "node_up": World._node_up,
    "node_isolated": World._node_isolated,
    "node_rebooted": World._node_gone,
    "node_quarantined": World._node_quarantined,
    "volume_state_changed": World._volume_state_changed,
    "backup_started": World._backup,
    "backup_ended": World._backup,
    "configuration_changed": World._configuration,
    "configuration_refreshed": World._configuration,
    "storage_job_started": World._storage_job_started,
}

NO_CHANGE = frozenset({"migration_refused", "quorum_lost", "fault_injected"})
