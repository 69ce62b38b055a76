"""Small, tight clusters as hypothesis draws them, for judging planners by trying everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm
from hypothesis import strategies as st

from shunter.topology.model import Cluster

Raw = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Nodes by number, VMs with the number of their node, rules with numbers of VMs."""

    rooms: list[int]
    racks: list[int | None]
    processors: list[Raw]
    vms: list[Raw]
    rules: list[tuple[str, list[int]]]

    def cluster(self, *, sound: bool) -> Cluster:
        """`sound`: what would be out of order at the start is left out: VMs without room, owners and rules broken."""
        free = list(self.rooms)
        nodes = [
            node(f"N{i}", room, processor=processor, switches=["lan", "dmz"] if i != 2 else ["lan"])
            | ({"fault_domain": f"rack-{rack}" if rack is not None else None})
            for i, (room, rack, processor) in enumerate(
                zip(self.rooms, self.racks, self.processors, strict=True), start=1
            )
        ]
        vms: list[Raw] = []
        volumes: dict[int, Raw] = {}
        for i, drawn in enumerate(self.vms):
            on = drawn["on"] % len(nodes)
            if sound and free[on] < drawn["mib"]:
                continue
            free[on] -= drawn["mib"]
            owners = {f"N{owner % len(nodes) + 1}" for owner in drawn.get("owners", ())}
            if owners and sound:
                owners.add(f"N{on + 1}")
            fields: Raw = {"possible_owners": sorted(owners), "processor_compatibility": drawn["compatible"]}
            if drawn["dmz"] and not (sound and on == 1):
                fields["switches"] = ["dmz"]
            if drawn["disk"]:
                # the first on a disk runs; another one is off or, now and then, holds the disk by running too
                disk = volumes.setdefault(on, {"name": f"LUN{on + 1}", "kind": "disk", "owner": f"N{on + 1}"})
                fields["volumes"] = [disk["name"]]
            vms.append(vm(f"vm-{i}", f"N{on + 1}", drawn["mib"], **fields))
            if drawn["disk"] == "rider" and any(v["volumes"] == fields["volumes"] for v in vms[:-1] if "volumes" in v):
                vms[-1]["state"] = "off"
        return cluster(nodes, vms, volumes=list(volumes.values()), affinity_rules=self._rules(vms, sound=sound))

    def _rules(self, vms: list[Raw], *, sound: bool) -> list[Raw]:
        rules = []
        for i, (kind, numbers) in enumerate(self.rules):
            names = [v["name"] for v in vms if int(v["name"][3:]) in numbers]
            places = [int(v["node"][1:]) - 1 for v in vms if v["name"] in names]
            has_domains = not kind.endswith("domain") or any(rack is not None for rack in self.racks)
            if has_domains and len(names) > 1 and (not sound or self._holds(kind, places)):
                rules.append({"name": f"rule-{i}", "kind": kind, "vms": names})
        return rules

    def _holds(self, kind: str, places: list[int]) -> bool:
        def near(one: int, other: int) -> bool:
            same_rack = self.racks[one] is not None and self.racks[one] == self.racks[other]
            return one == other or (kind.endswith("domain") and same_rack)

        together = kind.startswith("same")
        pairs = [(one, other) for i, one in enumerate(places) for other in places[:i]]
        return all(near(one, other) is together for one, other in pairs)


small_vms = st.fixed_dictionaries(
    {
        "on": st.integers(0, 3),
        "mib": st.integers(1, 12),
        "compatible": st.sampled_from([True, True, False]),
        "dmz": st.sampled_from([False, False, False, True]),
        "disk": st.sampled_from(["", "", "", "", "", "own", "rider"]),
    },
    optional={"owners": st.sets(st.integers(0, 3), min_size=1, max_size=3)},
)
KINDS = ["different_node", "same_node", "different_fault_domain", "same_fault_domain"]


@st.composite
def small_clusters(draw: st.DrawFn, *, most_vms: int = 7, most_nodes: int = 4) -> Drawn:
    count = draw(st.integers(2, most_nodes))
    one_kind = draw(st.booleans())
    processor = st.just(INTEL) if one_kind else st.sampled_from([INTEL, INTEL, INTEL_OLDER, AMD])
    return Drawn(
        rooms=draw(st.lists(st.integers(8, 24), min_size=count, max_size=count)),
        racks=draw(st.lists(st.sampled_from([1, 2, 3, None]), min_size=count, max_size=count)),
        processors=draw(st.lists(processor, min_size=count, max_size=count)),
        vms=draw(st.lists(small_vms, min_size=1, max_size=most_vms)),
        rules=draw(
            st.lists(
                st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 6), min_size=2, max_size=3, unique=True)),
                max_size=3,
            )
        ),
    )
