"""What a cluster must be like for live migration, rule by rule: what is found, how grave, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster, MigrationUnderWay
from shunter.topology.requirements import findings

VERSIONS = ("2008R2", "2012", "2012R2", "2016", "2019", "2022", "2025")


def found(of: Cluster, *rules: str) -> list[tuple[str, str, str]]:
    """(rule, severity, subject) of all findings, or of those under these rules."""
    of_all = findings(of)
    assert all(finding.message and finding.remedy for finding in of_all)
    assert len({(finding.rule, finding.subject, finding.message) for finding in of_all}) == len(of_all)
    return [(f.rule, f.severity, f.subject) for f in of_all if not rules or f.rule in rules]


def message(of: Cluster, rule: str) -> str:
    (finding,) = [finding for finding in findings(of) if finding.rule == rule]
    return finding.message


def nodes(count: int, **odd: Any) -> list[dict[str, Any]]:
    """Nodes alike, the last of them with other fields; each field is given for all where it is given for one."""
    usual = {field: values[0] for field, values in odd.items()}
    last = {field: values[1] for field, values in odd.items()}
    return [*(node(f"N{i}", **usual) for i in range(1, count)), node(f"N{count}", **last)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sound_cluster_gives_no_finding_whatever_its_version(version: str) -> None:
    vms = [vm("web", volumes=["CSV1"]), vm("db", on="N2", volumes=["CSV1"])]
    assert found(cluster(3, vms, windows_version=version, volumes=[{"name": "CSV1"}])) == []


def test_a_cluster_of_ten_lines_gives_no_finding() -> None:
    assert found(cluster([node("N1"), node("N2")], [vm("web")])) == []


# ---------------------------------------------------------------- nodes that should be alike


def test_r02_architectures_are_never_mixed() -> None:
    of = cluster(nodes(3, architecture=("x64", "ia64")), windows_version="2008R2")
    assert found(of) == [("R02", "error", "node N3")]


@pytest.mark.parametrize(
    ("version", "severity"), [("2008R2", "error"), ("2012", "error"), ("2012R2", "error"), ("2016", "warning")]
)
def test_r02_versions_are_mixed_only_in_a_rolling_upgrade_from_2016_on(version: str, severity: str) -> None:
    of = cluster(nodes(3, os_build=("9700.1", "9800.1")), windows_version=version)
    assert found(of) == [("R02", severity, "node N3")]
    assert "9800 on N3" in message(of, "R02")


def test_r02_half_and_half_is_a_finding_about_the_cluster() -> None:
    of = cluster(nodes(2, os_build=("20348.1", "26100.1")))
    assert found(of) == [("R02", "warning", "cluster test")]


def test_r03_a_node_without_an_update_that_others_have_is_a_warning() -> None:
    of = cluster(nodes(3, updates=(["KB1", "KB2"], ["kb1"])))
    assert found(of) == [("R03", "warning", "node N3")]
    assert "lacks KB2" in message(of, "R03")


def test_r03_an_older_revision_is_a_warning_and_is_compared_as_a_number() -> None:
    of = cluster(nodes(3, os_build=("20348.900", "20348.2700")))
    assert found(of) == [("R03", "warning", "cluster test")]
    assert "N1, N2: revision 900" in message(of, "R03")


def test_r03_sixty_four_nodes_behind_are_one_finding() -> None:
    assert found(cluster(nodes(64, updates=([], ["KB1"])))) == [("R03", "warning", "cluster test")]


def test_r03_updates_are_compared_among_nodes_of_one_version_only() -> None:
    of = cluster(nodes(2, os_build=("20348.1", "26100.7"), updates=(["KB1"], ["KB2"])))
    assert found(of, "R03") == []


@pytest.mark.parametrize(
    ("version", "edition", "expected"),
    [
        ("2008R2", "standard", [("R04", "error", "node N3")]),
        ("2008R2", "enterprise", []),
        ("2008R2", "hyperv_server", []),
        ("2012", "standard", []),
        ("2012", "enterprise", [("R04", "warning", "node N3")]),
        ("2019", "hyperv_server", []),
        ("2022", "hyperv_server", [("R04", "warning", "node N3")]),
        ("2016", "azure_local", [("R04", "warning", "node N3")]),
        ("2025", "azure_local", []),
    ],
)
def test_r04_which_editions_migrate_live_depends_on_the_version(version: str, edition: str, expected: Any) -> None:
    of = cluster(nodes(3, edition=("datacenter", edition)), windows_version=version)
    assert found(of) == expected


def test_r04_nodes_of_the_same_wrong_edition_are_one_finding() -> None:
    of = cluster([node(f"N{i}", edition="standard") for i in (1, 2, 3)], windows_version="2008R2")
    assert found(of) == [("R04", "error", "cluster test")]


@pytest.mark.parametrize(("version", "severity"), [("2008R2", "error"), ("2012", "warning"), ("2022", "warning")])
def test_r05_kinds_of_installation_are_mixed(version: str, severity: str) -> None:
    of = cluster(nodes(3, installation=("core", "full")), windows_version=version)
    assert found(of) == [("R05", severity, "node N3")]


@pytest.mark.parametrize(("version", "most"), [("2008R2", 16), ("2012", 64), ("2022", 64), ("2025", 64)])
def test_r06_more_nodes_than_the_version_supports_stand_against_every_run(version: str, most: int) -> None:
    assert found(cluster(most, windows_version=version)) == []
    assert found(cluster(most + 1, windows_version=version)) == [("R06", "error", "cluster test")]


@pytest.mark.parametrize(("version", "most"), [("2008R2", 384), ("2012", 1024), ("2025", 1024)])
def test_r06_more_running_vms_on_a_node_than_supported_are_a_warning(version: str, most: int) -> None:
    def crowd(count: int) -> Cluster:
        vms = [vm(f"vm-{i}", memory_mib=1) for i in range(count)]
        return cluster(2, [*vms, vm("old", state="off")], windows_version=version)

    assert found(crowd(most)) == []
    assert found(crowd(most + 1)) == [("R06", "warning", "node N1")]


def test_r06_more_running_vms_in_the_cluster_than_supported_are_a_warning() -> None:
    def crowd(count: int) -> Cluster:
        return cluster(
            4, [vm(f"vm-{i}", f"N{i % 4 + 1}", memory_mib=1) for i in range(count)], windows_version="2008R2"
        )

    assert found(crowd(1000)) == []
    assert found(crowd(1001)) == [("R06", "warning", "cluster test")]


def test_r20_switches_have_the_same_names_on_all_nodes() -> None:
    of = cluster(nodes(3, switches=(["lan", "dmz"], ["LAN"])))
    assert found(of) == [("R20", "warning", "node N3")]
    assert '"dmz"' in message(of, "R20")
    assert found(cluster(nodes(3, switches=(["lan"], ["LAN"])))) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_r21_with_csv_all_nodes_boot_from_one_drive_letter(version: str) -> None:
    csv = [{"name": "CSV1"}]
    of = cluster(nodes(3, system_drive=("C:", "D:")), volumes=csv, windows_version=version)
    assert found(of) == [("R21", "error", "node N3")]
    assert found(cluster(nodes(3, system_drive=("C:", "c:")), volumes=csv)) == []


def test_r21_without_csv_the_drive_letter_does_not_matter() -> None:
    disk = [{"name": "LUN1", "kind": "disk"}]
    assert found(cluster(nodes(3, system_drive=("C:", "D:")), volumes=disk)) == []


# ---------------------------------------------------------------- networks

PRIVATE = {"name": "private", "roles": ["cluster"]}
LM = {"name": "LM", "roles": ["live_migration"]}
OFFICE = {"name": "office", "roles": ["management", "vm"]}


def networks(*given: dict[str, Any], **fields: Any) -> Cluster:
    return cluster(fields.pop("nodes", 3), networks=list(given), **fields)


@pytest.mark.parametrize(("version", "severity"), [("2008R2", "error"), ("2012", "warning"), ("2022", "warning")])
def test_r07_a_network_is_there_for_live_migration_and_joins_all_nodes(version: str, severity: str) -> None:
    assert found(networks(LM, PRIVATE, OFFICE, windows_version=version)) == []
    assert found(networks(PRIVATE, OFFICE, windows_version=version)) == [("R07", severity, "cluster test")]
    partial = {**LM, "nodes": ["N1", "N2"]}
    assert found(networks(partial, PRIVATE, OFFICE, windows_version=version)) == [("R07", severity, "node N3")]


@pytest.mark.parametrize(("version", "severity"), [("2008R2", "error"), ("2012R2", "warning"), ("2025", "warning")])
def test_r07_several_subnets(version: str, severity: str) -> None:
    assert found(cluster(3, same_subnet=False, windows_version=version)) == [("R07", severity, "cluster test")]


@pytest.mark.parametrize("other", ["management", "vm"])
@pytest.mark.parametrize(("version", "severity"), [("2008R2", "error"), ("2019", "warning")])
def test_r07_the_migration_network_is_not_shared(other: str, version: str, severity: str) -> None:
    shared = {**LM, "roles": ["live_migration", other]}
    assert found(networks(shared, PRIVATE, OFFICE, windows_version=version), "R07") == [("R07", severity, "network LM")]


def test_r07_a_dedicated_network_is_enough_even_if_another_is_shared() -> None:
    assert found(networks(LM, {**OFFICE, "roles": ["management", "live_migration"]}, PRIVATE)) == []


def test_r07_a_node_without_an_adapter_there_is_not_on_the_network() -> None:
    wired = [node(f"N{i}", adapters=[adapter("LM"), adapter("private")]) for i in (1, 2)]
    of = networks(LM, PRIVATE, nodes=[*wired, node("N3", adapters=[adapter("private")])])
    assert found(of) == [("R07", "warning", "node N3")]


def adapter(network: str, link_mbps: int = 10_000) -> dict[str, Any]:
    return {"name": f"to {network}", "network": network, "link_mbps": link_mbps}


@pytest.mark.parametrize("version", VERSIONS)
def test_r10_a_node_without_any_adapter_stands_against_every_run(version: str) -> None:
    wired = [node(f"N{i}", adapters=[adapter("LM"), adapter("private")]) for i in (1, 2)]
    of = networks(LM, PRIVATE, nodes=[*wired, node("N3", adapters=[])], windows_version=version)
    assert found(of) == [("R10", "error", "node N3")]


def test_r10_each_node_has_an_adapter_on_a_network_for_cluster_traffic() -> None:
    wired = [node(f"N{i}", adapters=[adapter("LM"), adapter("private")]) for i in (1, 2)]
    of = networks(LM, PRIVATE, nodes=[*wired, node("N3", adapters=[adapter("LM")])])
    assert found(of) == [("R10", "warning", "node N3")]


@pytest.mark.parametrize("slow", ["LM", "private"])
def test_r10_networks_for_migration_and_cluster_have_a_gigabit(slow: str) -> None:
    def at(mbps: int) -> Cluster:
        return networks(*({**net, "link_mbps": mbps if net["name"] == slow else 1000} for net in (LM, PRIVATE, OFFICE)))

    assert found(at(1000)) == []
    assert found(at(999)) == [("R10", "warning", f"network {slow}")]


def test_r10_the_office_network_may_be_slow() -> None:
    assert found(networks(LM, PRIVATE, {**OFFICE, "link_mbps": 100})) == []


def test_r10_one_slow_adapter_is_a_finding_about_its_node() -> None:
    of = networks(
        LM,
        PRIVATE,
        nodes=[node(f"N{i}", adapters=[adapter("LM", 100 if i == 2 else 1000), adapter("private")]) for i in (1, 2, 3)],
    )
    assert found(of) == [("R10", "warning", "node N2")]
    assert "100 Mbit/s" in message(of, "R10")


def test_r10_migration_and_cluster_traffic_have_a_network_each() -> None:
    assert found(networks({**LM, "roles": ["live_migration", "cluster"]}, OFFICE)) == [("R10", "warning", "network LM")]


@pytest.mark.parametrize("other", ["management", "vm"])
def test_r10_cluster_traffic_is_apart_from_management_and_vms(other: str) -> None:
    of = networks(LM, {**PRIVATE, "roles": ["cluster", other]})
    assert found(of) == [("R10", "warning", "network private")]
    assert found(networks(LM, {"name": "all", "roles": ["cluster", other]}, PRIVATE)) == []


def test_r10_some_network_is_for_cluster_traffic() -> None:
    assert found(networks(LM, OFFICE)) == [("R10", "warning", "cluster test")]


# ---------------------------------------------------------------- storage


def test_r08_a_volume_out_of_reach_of_a_node_is_a_warning() -> None:
    of = cluster(3, volumes=[{"name": "CSV1", "reachable_from": ["N1", "N2"]}])
    assert found(of) == [("R08", "warning", "volume CSV1")]
    assert "N3" in message(of, "R08")
    assert found(cluster(3, volumes=[{"name": "CSV1", "reachable_from": ["N1", "N2", "N3"]}])) == []


def test_r08_a_node_without_its_storage_connection_is_one_finding() -> None:
    volumes = [{"name": f"CSV{i}", "reachable_from": ["N1", "N2"]} for i in range(40)]
    assert found(cluster(3, volumes=volumes)) == [("R08", "warning", "node N3")]


@pytest.mark.parametrize("state", ["offline", "failed", "redirected_no_path"])
def test_r08_a_volume_that_is_not_there_is_a_warning(state: str) -> None:
    assert found(cluster(3, volumes=[{"name": "CSV1", "state": state}])) == [("R08", "warning", "volume CSV1")]


def test_r11_two_running_vms_on_one_disk_are_a_warning() -> None:
    disk = [{"name": "LUN1", "kind": "disk"}]
    both = [vm("a", volumes=["LUN1"]), vm("b", volumes=["LUN1"])]
    assert found(cluster(3, both, volumes=disk)) == [("R11", "warning", "volume LUN1")]
    assert found(cluster(3, [both[0], {**both[1], "state": "off"}], volumes=disk)) == []
    assert found(cluster(3, both, volumes=[{"name": "LUN1", "kind": "csv"}])) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_r18_a_volume_stuck_in_redirected_io_stands_against_every_run(version: str) -> None:
    of = cluster(3, volumes=[{"name": "CSV1", "state": "redirected_stuck"}], windows_version=version)
    assert found(of) == [("R18", "error", "volume CSV1")]


def test_r18_redirected_by_a_backup_that_is_over_is_stuck() -> None:
    volume = {"name": "CSV1", "state": "redirected_backup"}
    elsewhere = [vm("web", volumes=["CSV2"], backup=True)]
    of = cluster(3, elsewhere, volumes=[volume, {"name": "CSV2"}])
    assert found(of, "R18") == [("R18", "error", "volume CSV1")]


def test_r18_redirected_while_its_backup_runs_is_as_it_should_be() -> None:
    volume = {"name": "CSV1", "state": "redirected_backup"}
    assert found(cluster(3, volumes=[{**volume, "backup": True}]), "R18") == []
    assert found(cluster(3, [vm("web", volumes=["CSV1"], backup=True)], volumes=[volume]), "R18") == []


@pytest.mark.parametrize("state", ["redirected_by_design", "redirected_by_user", "redirected_no_path", "maintenance"])
def test_r18_redirected_on_purpose_or_for_want_of_a_path_is_something_else(state: str) -> None:
    of = cluster(3, volumes=[{"name": "CSV1", "state": state}])
    assert found(of, "R18") == []
    assert all(severity != "error" for _, severity, _ in found(of))


def test_i7_a_volume_whose_owner_is_away_is_a_warning() -> None:
    of = cluster([node("N1"), node("N2"), node("N3", state="down")], volumes=[{"name": "CSV1", "owner": "N3"}])
    assert found(of, "I7") == [("I7", "warning", "volume CSV1")]


def test_i7_redundancy_that_is_being_restored_is_told() -> None:
    jobs = [{"name": "repair", "volume": "CSV1", "percent": 40}]
    assert found(cluster(3, volumes=[{"name": "CSV1"}], storage_jobs=jobs)) == [("I7", "info", "volume CSV1")]


# ---------------------------------------------------------------- how things stand


@pytest.mark.parametrize("state", ["down", "joining", "isolated", "quarantined"])
def test_r01_a_node_that_is_not_there_is_a_warning(state: str) -> None:
    assert found(cluster([node("N1"), node("N2"), node("N3", state=state)])) == [("R01", "warning", "node N3")]


def test_r01_one_node_alone_has_nowhere_to_send_its_vms() -> None:
    of = cluster([node("N1"), node("N2", state="down")], [vm("web"), vm("db")])
    assert found(of, "R01") == [("R01", "warning", "cluster test"), ("R01", "warning", "node N2")]


@pytest.mark.parametrize(
    ("whom", "told"), [("us", "a run of ours"), ("elsewhere", "somebody else"), (None, "not known")]
)
def test_i8_a_paused_node_is_told_and_who_paused_it(whom: str | None, told: str) -> None:
    of = cluster([node("N1"), node("N2"), node("N3", state="paused", paused_by=whom)])
    assert found(of) == [("I8", "info", "node N3")]
    assert told in message(of, "I8")


@pytest.mark.parametrize(("by", "told"), [("us", "a run of ours"), ("elsewhere", "somebody else")])
def test_r09_a_migration_under_way_is_told_and_who_started_it(by: str, told: str) -> None:
    of = cluster(3, [vm("web")], migrations=[{"vm": "web", "source": "N1", "target": "N2", "by": by}])
    assert found(of) == [("R09", "info", "vm web")]
    assert told in message(of, "R09")


def test_r15_a_node_in_two_migrations_at_once_is_a_warning() -> None:
    apart = [{"vm": "a", "source": "N1", "target": "N2"}, {"vm": "c", "source": "N3", "target": "N4"}]
    of = cluster(4, [vm("a"), vm("b"), vm("c", on="N3")], migrations=apart)
    assert found(of, "R15") == []
    together = (*of.migrations, MigrationUnderWay(vm="b", source="N1", target="N3"))  # as a live cluster may show
    assert found(of.model_copy(update={"migrations": together}), "R15") == [
        ("R15", "warning", "node N1"),
        ("R15", "warning", "node N3"),
    ]


def test_r17_backups_under_way_are_told() -> None:
    of = cluster(3, [vm("web", backup=True), vm("db")], volumes=[{"name": "CSV1", "backup": True}])
    assert found(of) == [("R17", "info", "vm web"), ("R17", "info", "volume CSV1")]


def test_r19_a_vm_changed_outside_the_cluster_is_a_warning() -> None:
    stale = {"configuration_in_cluster_is_current": False}
    of = cluster(3, [vm("web", **stale), vm("db")])
    assert found(of) == [("R19", "warning", "vm web")]
    (finding,) = findings(of)
    assert 'Update-ClusterVirtualMachineConfiguration -Name "Virtual Machine Configuration web"' in finding.remedy
    assert found(cluster(3, [vm("web", clustered=False, **stale)]), "R19") == []


def test_i3_a_node_that_is_too_full_is_a_warning() -> None:
    assert found(cluster(3, [vm("web", memory_mib=65537)]), "I3") == [("I3", "warning", "node N1")]
    assert found(cluster(3, [vm("web", memory_mib=65536)]), "I3") == []


def test_i3_memory_that_may_grow_beyond_its_node_is_a_warning() -> None:
    growing = vm("web", memory_mib=4096, memory_maximum_mib=65537)
    assert found(cluster(3, [growing])) == [("I3", "warning", "node N1")]
    assert found(cluster(3, [{**growing, "state": "off"}])) == []


@pytest.mark.parametrize(
    ("kind", "places", "broken"),
    [
        ("different_node", ("N1", "N1"), True),
        ("different_node", ("N1", "N2"), False),
        ("same_node", ("N1", "N2"), True),
        ("same_node", ("N1", "N1"), False),
        ("different_fault_domain", ("N1", "N2"), True),
        ("different_fault_domain", ("N1", "N3"), False),
        ("same_fault_domain", ("N1", "N3"), True),
        ("same_fault_domain", ("N1", "N2"), False),
    ],
)
@pytest.mark.parametrize(("soft", "severity"), [(False, "warning"), (True, "info")])
def test_i4_an_affinity_rule_that_does_not_hold_is_told(
    kind: str, places: tuple[str, str], broken: bool, soft: bool, severity: str
) -> None:
    racks = [node("N1", fault_domain="A"), node("N2", fault_domain="A"), node("N3", fault_domain="B")]
    racks.append(node("N4", fault_domain="B"))
    rule = {"name": "pair", "kind": kind, "vms": ["a", "b"], "soft": soft}
    of = cluster(racks, [vm("a", on=places[0]), vm("b", on=places[1])], affinity_rules=[rule])
    assert found(of) == ([("I4", severity, "rule pair")] if broken else [])


def test_i4_vms_that_do_not_run_break_no_rule() -> None:
    rule = {"name": "pair", "kind": "different_node", "vms": ["a", "b"]}
    assert found(cluster(3, [vm("a"), vm("b", state="off")], affinity_rules=[rule])) == []


@pytest.mark.parametrize(
    ("fields", "rule"),
    [({"possible_owners": ["N2", "N3"]}, "I4"), ({"switches": ["lan"]}, "R20"), ({"volumes": ["CSV1"]}, "R08")],
)
def test_a_vm_on_a_node_where_it_must_not_be_is_a_warning(fields: dict[str, Any], rule: str) -> None:
    of = cluster(
        [node("N1", switches=[]), node("N2", switches=["lan"]), node("N3", switches=["lan"])],
        [vm("web", **fields)],
        volumes=[{"name": "CSV1", "reachable_from": ["N2", "N3"]}],
    )
    assert (rule, "warning", "vm web") in found(of)


# ---------------------------------------------------------------- VMs


@pytest.mark.parametrize(("state", "severity"), [("running", "warning"), ("off", "info")])
def test_r01_a_vm_outside_the_clusters_care_is_told(state: str, severity: str) -> None:
    assert found(cluster(3, [vm("lab", clustered=False, state=state)])) == [("R01", severity, "vm lab")]


def test_i2_a_vm_that_failed_is_a_warning() -> None:
    assert found(cluster(3, [vm("web", state="failed")])) == [("I2", "warning", "vm web")]


def test_i4_a_vm_that_no_other_node_may_own_is_named_with_its_reason() -> None:
    of = cluster(3, [vm("web", possible_owners=["N1"]), vm("db", possible_owners=["N1", "N2"])])
    assert found(of) == [("I4", "warning", "vm web")]
    assert "N2 and N3: the node is not a possible owner of web" in message(of, "I4")


def test_r13_a_vm_whose_processor_nobody_else_has_is_named() -> None:
    mixed = [node("N1", processor=INTEL), node("N2", processor=AMD), node("N3", processor=AMD)]
    assert found(cluster(mixed, [vm("web"), vm("db", on="N2"), vm("old", state="off")])) == [
        ("R13", "warning", "vm web")
    ]


def test_a_vm_that_only_lacks_room_elsewhere_is_not_among_those_that_nobody_can_take() -> None:
    assert found(cluster(2, [vm("web", memory_mib=60000), vm("db", on="N2", memory_mib=60000)])) == []


def test_r17_a_vm_in_its_backup_is_not_among_those_that_nobody_can_take() -> None:
    assert found(cluster(2, [vm("web", backup=True)])) == [("R17", "info", "vm web")]


def test_i8_a_vm_whose_only_other_node_is_paused_is_named() -> None:
    of = cluster([node("N1"), node("N2", state="paused"), node("N3")], [vm("web", possible_owners=["N1", "N2"])])
    (finding,) = [finding for finding in findings(of) if finding.subject == "vm web"]
    assert finding.severity == "warning"
    assert "N2 is paused" in finding.message
    assert "N3 is not a possible owner" in finding.message


def test_i4_vms_that_belong_together_can_be_taken_together() -> None:
    pair = [vm("a"), vm("b")]
    rule = {"name": "pair", "kind": "same_node", "vms": ["a", "b"]}
    assert found(cluster(2, pair, affinity_rules=[rule])) == []


def test_i4_vms_kept_apart_by_a_rule_on_two_nodes_have_nowhere_to_go() -> None:
    rule = {"name": "pair", "kind": "different_node", "vms": ["a", "b"]}
    of = cluster(2, [vm("a"), vm("b", on="N2")], affinity_rules=[rule])
    assert found(of) == [("I4", "warning", "vm a"), ("I4", "warning", "vm b")]


def test_errors_come_before_warnings_and_warnings_before_what_is_only_told() -> None:
    of = cluster(
        nodes(3, installation=("core", "full")),
        [vm("w", backup=True)],
        volumes=[{"name": "C", "state": "redirected_stuck"}],
    )
    assert [severity for _, severity, _ in found(of)] == ["error", "warning", "info"]


def test_r17_a_backup_that_does_not_redirect_is_no_backup_of_2008_r2() -> None:
    volume = {"name": "CSV1", "owner": "N1", "backup": True}
    assert ("R17", "warning", "volume CSV1") in found(cluster(2, volumes=[volume], windows_version="2008R2"))
    assert ("R17", "warning", "volume CSV1") not in found(cluster(2, volumes=[volume], windows_version="2012"))


def test_gib_that_are_written_as_mib_are_noticed() -> None:
    small = [node(f"N{i}", memory_mib=512) for i in (1, 2)]
    of = cluster(small, [vm("a", memory_mib=8), vm("b", memory_mib=16)])
    assert ("I3", "warning", "cluster test") in found(of)
    assert "is GiB written as MiB?" in message(of, "I3")
