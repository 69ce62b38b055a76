"""One snapshot of one cluster, as frozen values.

Field names are those of the cluster file. All references (a VM's node, a volume's owner …) are spelled as the thing
itself is named, so plain equality compares them; `clusterfile.py` sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shunter.topology.errors import RequestError
from shunter.topology.jsontext import shown
from shunter.topology.names import key_of, same_host, seen_name
from shunter.topology.wording import listed

WindowsVersion = Literal["2008R2", "2012", "2012R2", "2016", "2019", "2022", "2025"]
NodeState = Literal["up", "paused", "down", "joining", "isolated", "quarantined"]
VmState = Literal["running", "paused", "off", "saved", "failed"]
VolumeState = Literal[
    "online",
    "redirected_backup",
    "redirected_stuck",
    "redirected_no_path",
    "redirected_by_design",
    "redirected_by_user",
    "maintenance",
    "offline",
    "failed",
]
NetworkRole = Literal["live_migration", "cluster", "management", "vm", "storage"]
AffinityKind = Literal["different_node", "same_node", "different_fault_domain", "same_fault_domain"]
Actor = Literal["us", "elsewhere"]

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=r"^[^\s\p{Cc}](?:[^\p{Cc}]*[^\s\p{Cc}])?$",
        description="a name (1 to 255 characters, no blanks at its ends, no control characters)",
    ),
    AfterValidator(seen_name),
]
Build = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,6}(?:\.[0-9]{1,6})?$", description='a build such as "20348.2700"'),
]
Drive = Annotated[str, Field(pattern=r"^[A-Za-z]:$", description='a drive such as "C:"')]
Mib = Annotated[int, Field(ge=1, le=2**31)]
LinkMbps = Annotated[int, Field(ge=1, le=10_000_000)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]

HOLDS_MEMORY: frozenset[VmState] = frozenset({"running", "paused"})


class Value(BaseModel):
    """A frozen value that knows exactly the fields it names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Processor(Value):
    manufacturer: Name
    version: Name

    def __str__(self) -> str:
        return f"{self.manufacturer} {self.version}"


class Adapter(Value):
    name: Name
    network: Name
    link_mbps: LinkMbps


class Node(Value):
    name: Name
    memory_mib: Mib
    reserved_mib: Annotated[int, Field(ge=0, le=2**31)]
    logical_processors: Annotated[int, Field(ge=1, le=8192)] | None = None
    cpu_percent: Percent = 30.0
    state: NodeState = "up"
    paused_by: Actor | None = None
    votes: Annotated[int, Field(ge=0, le=1)] = 1
    processor: Processor | None = None
    architecture: Literal["x64", "ia64"] = "x64"
    os_build: Build | None = None
    edition: Literal["datacenter", "enterprise", "standard", "azure_local", "hyperv_server"] = "datacenter"
    installation: Literal["core", "full"] = "core"
    updates: tuple[Name, ...] = ()
    system_drive: Drive = "C:"
    tcp_offload: bool = False
    switches: tuple[Name, ...] = ()
    fault_domain: Name | None = None
    adapters: tuple[Adapter, ...] = ()

    @property
    def for_vms_mib(self) -> int:
        """Memory that VMs may use."""
        return self.memory_mib - self.reserved_mib


class VirtualMachine(Value):
    name: Name
    node: Name
    memory_mib: Mib
    memory_startup_mib: Mib
    memory_maximum_mib: Mib
    state: VmState = "running"
    clustered: bool = True
    logical_processors: Annotated[int, Field(ge=1, le=8192)] | None = None
    priority: Annotated[int, Field(ge=0, le=4000)] = 2000
    dirty_mib_per_s: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 20.0
    possible_owners: tuple[Name, ...] = ()
    preferred_owners: tuple[Name, ...] = ()
    processor_compatibility: bool = False
    switches: tuple[Name, ...] = ()
    volumes: tuple[Name, ...] = ()
    backup: bool = False
    configuration_in_cluster_is_current: bool = True
    restart_pending: bool = False
    """It has failed, and the cluster is starting it or has it in its queue (its group is Pending, or WaitingToStart):
    nobody else may."""

    @property
    def holds_memory(self) -> bool:
        """Running and paused VMs hold memory, move live, and die with a reboot of their node."""
        return self.state in HOLDS_MEMORY

    @property
    def restart_mib(self) -> int:
        """What a restart on another node needs."""
        return max(self.memory_mib, self.memory_startup_mib)


class Volume(Value):
    name: Name
    kind: Literal["csv", "disk"] = "csv"
    owner: Name
    reachable_from: tuple[Name, ...] = ()
    state: VolumeState = "online"
    backup: bool = False


class Network(Value):
    name: Name
    roles: tuple[NetworkRole, ...]
    link_mbps: LinkMbps = 10_000
    subnet: Name | None = None
    nodes: tuple[Name, ...] = ()


class AffinityRule(Value):
    name: Name
    kind: AffinityKind
    vms: Annotated[tuple[Name, ...], Field(min_length=2)]
    soft: bool = False


class Role(Value):
    """Something clustered that is not a VM."""

    name: Name
    kind: Literal["core", "file_server", "other"] = "other"
    node: Name
    state: Literal["online", "offline", "failed"] = "online"


class MigrationUnderWay(Value):
    vm: Name
    source: Name
    target: Name
    by: Actor = "elsewhere"


class StorageJob(Value):
    name: Name
    volume: Name
    percent: Percent = 0.0


Links = frozenset[tuple[str, int]]
"""(network, speed in Mbit/s of the fastest adapter) of a node, for each network that it is on."""


class Cluster(Value):
    """One snapshot. Build it with `clusterfile.read_cluster`, which fills defaults and checks references."""

    name: Name
    windows_version: WindowsVersion = "2022"
    witness: bool = True
    same_subnet: bool = True
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    vms: tuple[VirtualMachine, ...] = ()
    volumes: tuple[Volume, ...] = ()
    networks: tuple[Network, ...] = ()
    affinity_rules: tuple[AffinityRule, ...] = ()
    roles: tuple[Role, ...] = ()
    migrations: tuple[MigrationUnderWay, ...] = ()
    storage_jobs: tuple[StorageJob, ...] = ()

    @cached_property
    def node_by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def vm_by_name(self) -> Mapping[str, VirtualMachine]:
        return {vm.name: vm for vm in self.vms}

    @cached_property
    def volume_by_name(self) -> Mapping[str, Volume]:
        return {volume.name: volume for volume in self.volumes}

    @cached_property
    def vms_by_node(self) -> Mapping[str, tuple[VirtualMachine, ...]]:
        on: dict[str, list[VirtualMachine]] = {node.name: [] for node in self.nodes}
        for vm in self.vms:
            on[vm.node].append(vm)
        return {name: tuple(vms) for name, vms in on.items()}

    @cached_property
    def links(self) -> Mapping[str, Links]:
        """Node → its links. Most nodes are alike in this, and are asked about once."""
        fastest: dict[str, dict[str, int]] = {node.name: {} for node in self.nodes}
        members = {network.name: set(network.nodes) for network in self.networks}
        for node in self.nodes:
            speeds = fastest[node.name]
            for adapter in node.adapters:
                among = members.get(adapter.network)
                if among is not None and (not among or node.name in among):
                    speeds[adapter.network] = max(speeds.get(adapter.network, 0), adapter.link_mbps)
        alike: dict[Links, Links] = {}
        all_links = {name: frozenset(speeds.items()) for name, speeds in fastest.items()}
        return {name: alike.setdefault(links, links) for name, links in all_links.items()}

    @cached_property
    def link_mbps_between(self) -> dict[tuple[Links, Links], int | None]:
        """Memo of `estimate.link_mbps`, by the links of both ends; a snapshot's networks never change."""
        return {}

    @cached_property
    def vms_by_disk(self) -> Mapping[str, tuple[VirtualMachine, ...]]:
        """The VMs on each volume that is no Cluster Shared Volume (R11)."""
        on: dict[str, list[VirtualMachine]] = {volume.name: [] for volume in self.volumes if volume.kind == "disk"}
        for vm in self.vms:
            for name in vm.volumes:
                if name in on:
                    on[name].append(vm)
        return {name: tuple(vms) for name, vms in on.items()}

    @cached_property
    def rules_by_vm(self) -> Mapping[str, tuple[AffinityRule, ...]]:
        of: dict[str, list[AffinityRule]] = {}
        for rule in self.affinity_rules:
            for vm in rule.vms:
                of.setdefault(vm, []).append(rule)
        return {name: tuple(rules) for name, rules in of.items()}

    @cached_property
    def heading(self) -> Mapping[str, str]:
        """VM → node that it is migrating to now."""
        return {migration.vm: migration.target for migration in self.migrations}

    @cached_property
    def leaving(self) -> Mapping[str, str]:
        """VM → node that it is migrating from now, on which it counts until the migration is over."""
        return {migration.vm: migration.source for migration in self.migrations}

    @cached_property
    def held_mib(self) -> Mapping[str, int]:
        """Memory of the VMs on each node."""
        return {name: memory_held_mib(vms) for name, vms in self.vms_by_node.items()}

    @cached_property
    def under_backup(self) -> tuple[VirtualMachine, ...]:
        """The VMs a backup of which is under way."""
        return tuple([vm for vm in self.vms if vm.backup])

    @cached_property
    def used_mib(self) -> Mapping[str, int]:
        """Memory of the VMs on each node and of those on their way to it; the host's own reserve not counted."""
        used = dict(self.held_mib)
        for migration in self.migrations:
            vm = self.vm_by_name[migration.vm]
            if vm.node != migration.target:
                used[migration.target] += vm.memory_mib
        return used

    def free_mib(self, node: str) -> int:
        """Memory that another VM could use on this node now."""
        return self.node_by_name[node].for_vms_mib - self.used_mib[node]

    def with_vms_on(self, places: Mapping[str, str]) -> Cluster:
        """The same cluster with these VMs (name → node) where they are said to be."""
        vms = tuple(vm.model_copy(update={"node": places[vm.name]}) if vm.name in places else vm for vm in self.vms)
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Cluster.model_construct(**{**fields, "vms": vms})

    def with_backups(self, under_way: Mapping[str, bool]) -> Cluster:
        """The same cluster with backups of these VMs under way, or not, as said."""
        vms = tuple(
            vm.model_copy(update={"backup": under_way[vm.name]}) if vm.name in under_way else vm for vm in self.vms
        )
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Cluster.model_construct(**{**fields, "vms": vms})

    def with_nodes(self, nodes: tuple[Node, ...]) -> Cluster:
        """The same cluster with these nodes, of the same names, in place of its own."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Cluster.model_construct(**{**fields, "nodes": nodes})

    def find_node(self, name: str) -> Node:
        """The node of this name, whatever its case, with its domain or without.

        Raises RequestError, which lists the nodes there are.
        """
        key = key_of(name)
        hosts = [node for node in self.nodes if same_host(key_of(node.name), key)]
        for node in hosts:
            if key_of(node.name) == key or len(hosts) == 1:
                return node
        known = listed((node.name for node in self.nodes), alike=name)
        raise RequestError(f'no node of cluster {self.name} is called "{shown(name)}"; the nodes are {known}')

    def find_vm(self, name: str) -> VirtualMachine:
        """The VM of this name, whatever its case. Raises RequestError."""
        for vm in self.vms:
            if key_of(vm.name) == key_of(name):
                return vm
        known = listed((vm.name for vm in self.vms), alike=name)
        raise RequestError(f'no VM of cluster {self.name} is called "{shown(name)}"; the VMs are {known}')


def memory_held_mib(vms: Iterable[VirtualMachine]) -> int:
    """What those of them use that run, or are paused."""
    return sum([vm.memory_mib for vm in vms if vm.state in HOLDS_MEMORY])
