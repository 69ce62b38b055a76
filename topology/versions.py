"""What the versions of Windows Server allow: limits, editions, ways to count votes, and what they forbid (R02–R07).

Sources, by the titles of Microsoft's documents:
- 2008 R2: "Hyper-V: Live Migration FAQ" (May 2010) for nodes, editions, versions, installations, networks;
  "Requirements and Limits for Virtual Machines and Hyper-V in Windows Server 2008 R2" for numbers of VMs.
- 2012 and 2012 R2: "Hyper-V scalability in Windows Server 2012 and Windows Server 2012 R2"; from 2016 on "Plan for
  Hyper-V scalability in Windows Server" (maximum scale limits).
- Votes: "Configure and manage quorum", "What's New in Failover Clustering in Windows Server 2012" (dynamic quorum) and
  "… in Windows Server 2012 R2" (dynamic witness).
- Mixed versions: "Cluster operating system rolling upgrade" (from 2016 on).
- Editions: "What's New in Live Migration" (2012: no longer Enterprise and Datacenter alone), "Microsoft Hyper-V Server
  2008 R2" (the free product clusters and migrates live; 2019 was the last), "Azure Stack HCI" (now Azure Local).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shunter.topology.model import WindowsVersion
from shunter.topology.plan import Severity

Quorum = Literal["static", "dynamic", "dynamic_with_witness"]
"""static: every vote counts, whether its node is there or not. dynamic: votes of nodes that are gone no longer count.
dynamic_with_witness: and the witness votes only where the nodes' votes are even in number."""


@dataclass(frozen=True, slots=True)
class Windows:
    """One version. `editions`: those that exist; `no_live_migration`: those of them that cannot migrate live.

    `mixed_…`, `network`: how grave it is where nodes differ in their version (R02) or their kind of installation
    (R05), and where the networks are not as R07 has it.
    """

    nodes: int
    vms: int
    vms_on_a_node: int
    quorum: Quorum
    editions: frozenset[str]
    no_live_migration: frozenset[str] = frozenset()
    mixed_versions: Severity = "warning"
    mixed_installations: Severity = "warning"
    network: Severity = "warning"


_SERVER = frozenset({"datacenter", "standard", "hyperv_server"})

VERSIONS: Mapping[WindowsVersion, Windows] = {
    "2008R2": Windows(
        nodes=16,
        vms=1000,
        vms_on_a_node=384,
        quorum="static",
        editions=_SERVER | {"enterprise"},
        no_live_migration=frozenset({"standard"}),
        mixed_versions="error",
        mixed_installations="error",
        network="error",
    ),
    "2012": Windows(64, 8000, 1024, "dynamic", _SERVER, mixed_versions="error"),
    "2012R2": Windows(64, 8000, 1024, "dynamic_with_witness", _SERVER, mixed_versions="error"),
    "2016": Windows(64, 8000, 1024, "dynamic_with_witness", _SERVER),
    "2019": Windows(64, 8000, 1024, "dynamic_with_witness", _SERVER | {"azure_local"}),
    "2022": Windows(64, 8000, 1024, "dynamic_with_witness", frozenset({"datacenter", "standard", "azure_local"})),
    "2025": Windows(64, 8000, 1024, "dynamic_with_witness", frozenset({"datacenter", "standard", "azure_local"})),
}
