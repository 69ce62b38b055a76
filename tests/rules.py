"""What every rule asks, where it is enforced, which test holds it, and what breaks it; and the table of it in docs/.

python tests/rules.py docs/rules.md            writes the table
python tests/rules.py --check docs/rules.md    ends with 1 where it is stale
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Break:
    """A change of one file that breaks a rule: `old`, which is there exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Rule:
    """`where`: files that enforce it, the one that decides first; `tests`: of those that hold it, what `mutant` fails.
    `further`: what holds it elsewhere, each test with the change that it fails by.

    A test is named `file::name`.
    """

    name: str
    demand: str
    where: tuple[str, ...]
    tests: tuple[str, ...]
    mutant: Break
    further: tuple[tuple[str, Break], ...] = ()

    @property
    def breaks(self) -> tuple[tuple[Break, tuple[str, ...]], ...]:
        """Each change, with the tests that it must fail."""
        return ((self.mutant, self.tests), *((change, (test,)) for test, change in self.further))

    @property
    def all_tests(self) -> tuple[str, ...]:
        return (*self.tests, *(test for test, _ in self.further))


ELIGIBILITY = "topology/eligibility.py"
WHOLE = "topology/requirements/whole.py"
NETWORKS = "topology/requirements/networks.py"
OF_RULES = "tests/topology/test_rules.py"
OF_REQUIREMENTS = "tests/topology/test_requirements.py"
OF_FAILOVER = "tests/topology/test_failover.py"
FAILOVER_FINDINGS = "topology/failover_findings.py"
OF_EVACUATE = "tests/engine/test_evacuate.py"

RULES: tuple[Rule, ...] = (
    Rule(
        "R01",
        "A VM moves live within its cluster and runs all the time, on exactly one node",
        ("engine/migrate.py", "statemachines/migration.py", ELIGIBILITY),
        ("tests/statemachines/test_migration.py::test_r01_the_vm_changes_hands_only_in_the_switch_or_by_a_look",),
        Break(
            "statemachines/migration.py",
            "Row(Event.SWITCHED_OVER, State.SWITCHING, State.SETTLING)",
            "Row(Event.SWITCHED_OVER, (State.COPYING, State.SWITCHING), State.SETTLING)",
        ),
    ),
    Rule(
        "R02",
        "All nodes have one processor architecture and one version of Windows",
        (WHOLE,),
        (f"{OF_REQUIREMENTS}::test_r02_architectures_are_never_mixed",),
        Break(WHOLE, "lambda node: node.architecture)", 'lambda node: "")'),
    ),
    Rule(
        "R03",
        "All nodes have the same updates",
        (WHOLE,),
        (f"{OF_REQUIREMENTS}::test_r03_a_node_without_an_update_that_others_have_is_a_warning",),
        Break(WHOLE, "if update not in own]", "if not own]"),
    ),
    Rule(
        "R04",
        "The edition of Windows can migrate live",
        (WHOLE, "topology/versions.py"),
        (f"{OF_REQUIREMENTS}::test_r04_which_editions_migrate_live_depends_on_the_version",),
        Break(WHOLE, "if name in windows.no_live_migration:", "if name not in windows.editions:"),
    ),
    Rule(
        "R05",
        "All nodes are installed alike, full or Server Core",
        (WHOLE, "topology/versions.py"),
        (f"{OF_REQUIREMENTS}::test_r05_kinds_of_installation_are_mixed",),
        Break(WHOLE, "lambda node: node.installation)", 'lambda node: "")'),
    ),
    Rule(
        "R06",
        "No more nodes than the version of Windows supports",
        (WHOLE, "topology/versions.py"),
        (f"{OF_REQUIREMENTS}::test_r06_more_nodes_than_the_version_supports_stand_against_every_run",),
        Break(WHOLE, "if len(cluster.nodes) > windows.nodes:", "if len(cluster.nodes) > windows.nodes + 1:"),
    ),
    Rule(
        "R07",
        "One network for live migration alone joins all nodes, in one subnet",
        (NETWORKS, ELIGIBILITY),
        (f"{OF_REQUIREMENTS}::test_r07_the_migration_network_is_not_shared",),
        Break(NETWORKS, '{"management", "vm"} & set(network.roles)]', '{"management"} - set(network.roles)]'),
    ),
    Rule(
        "R08",
        "A VM goes only where its storage is in reach and online",
        (ELIGIBILITY, "topology/requirements/storage.py"),
        (f"{OF_RULES}::test_r08_a_vm_goes_only_where_its_storage_is_in_reach",),
        Break(ELIGIBILITY, "and ask.target.name not in volume.reachable_from:", "and not volume.reachable_from:"),
    ),
    Rule(
        "R09",
        "Whoever started a migration: it is seen and respected; all ways to start one are the same flow",
        ("engine/dispatch.py", "engine/crew.py", "engine/migrate.py", "topology/requirements/standing.py"),
        (f"{OF_EVACUATE}::test_r09_a_migration_that_somebody_else_started_is_respected",),
        Break(
            "engine/crew.py",
            "moving = {node for migration in seen.migrations for",
            "moving = {node for migration in () for",
        ),
    ),
    Rule(
        "R10",
        "Each node has adapters; networks for migration and cluster traffic are separate and have a gigabit",
        (NETWORKS,),
        (f"{OF_REQUIREMENTS}::test_r10_networks_for_migration_and_cluster_have_a_gigabit",),
        Break(NETWORKS, "LEAST_MBPS = 1000", "LEAST_MBPS = 100"),
    ),
    Rule(
        "R11",
        "A disk has one owner: it follows one running VM, with what is off on it; two that run hold it",
        (ELIGIBILITY, "topology/units.py", "engine/followers.py", "topology/new_owners.py"),
        (f"{OF_RULES}::test_r11_two_running_vms_on_one_disk_cannot_move_live",),
        Break(ELIGIBILITY, "if ask.vm.holds_memory and others:", "if ask.vm.holds_memory and not others:"),
        (
            (
                f"{OF_FAILOVER}::test_r11_a_disk_follows_the_vm_that_uses_it_and_what_is_off_on_it_comes_along",
                Break("topology/new_owners.py", "and user in reaching else", "and user not in reaching else"),
            ),
        ),
    ),
    Rule(
        "R12",
        "A migration takes as long as bandwidth, the load of both nodes and the VM's memory say",
        ("topology/estimate.py", "engine/report.py"),
        (
            "tests/topology/test_estimate.py"
            "::test_r12_more_memory_more_writing_more_load_on_either_node_or_less_bandwidth_takes_longer",
        ),
        Break("topology/estimate.py", "max(source.cpu_percent, target.cpu_percent)", "source.cpu_percent"),
    ),
    Rule(
        "R13",
        "Another version of a processor only with the VM's setting, another manufacturer never",
        (ELIGIBILITY, "topology/loss/problem.py"),
        (f"{OF_RULES}::test_r13_no_setting_bridges_manufacturers",),
        Break(ELIGIBILITY, "if here.manufacturer.casefold() != there.manufacturer.casefold():", "if False:"),
        (
            (
                f"{OF_FAILOVER}::test_r13_a_cold_restart_may_go_to_any_processor_and_a_saved_state_may_not",
                Break(
                    ELIGIBILITY,
                    "= (_node_takes_vms, *STANDING, _storage_online)",
                    "= (_node_takes_vms, *STANDING, _storage_online, _same_kind_of_processor)",
                ),
            ),
        ),
    ),
    Rule(
        "R14",
        "TCP offload is taken back before the copy, and restored where the target supports it",
        ("statemachines/migration.py", "engine/crew.py", "engine/migrate.py"),
        (
            f"{OF_EVACUATE}"
            "::test_r14_offload_is_unloaded_before_the_copy_and_restored_only_where_the_target_supports_it",
        ),
        Break("engine/crew.py", "source_offloads=seen.node_by_name[source].tcp_offload", "source_offloads=False"),
    ),
    Rule(
        "R15",
        "A node takes part in one migration at a time, whoever starts it",
        ("topology/pairing.py", "engine/dispatch.py", "engine/crew.py", "engine/migrate.py", "flows/locks.py"),
        ("tests/topology/test_pairing.py::test_r15_no_node_joins_two_migrations_and_no_further_one_could_start",),
        Break(
            "topology/pairing.py", "if taken.isdisjoint((move.source, move.target)):", "if move.source not in taken:"
        ),
    ),
    Rule(
        "R16",
        "An evacuated node is paused, empty, and never a target meanwhile",
        ("engine/evacuate.py", ELIGIBILITY),
        (f"{OF_EVACUATE}::test_r16_an_evacuated_node_is_empty_paused_and_stays_so",),
        Break(
            "engine/evacuate.py",
            "await self.pausing.pause(self.emptied)\n            if not",
            "await self.pausing.pause(())\n            if not",
        ),
    ),
    Rule(
        "R17",
        "A VM is held until its backup is done, or the report names the backup that was degraded",
        (ELIGIBILITY, "engine/backups.py"),
        (f"{OF_EVACUATE}::test_r17_a_vm_is_held_until_its_backup_is_done_and_the_others_go_on",),
        Break(
            ELIGIBILITY, "if ask.vm.backup and ask.vm.holds_memory:", "if ask.vm.backup and not ask.vm.holds_memory:"
        ),
    ),
    Rule(
        "R18",
        "While a backup that is over leaves a volume in redirected I/O nothing moves; direct I/O is restored",
        ("topology/precautions.py", "engine/direct_io.py", "statemachines/volume.py"),
        (f"{OF_REQUIREMENTS}::test_r18_redirected_by_a_backup_that_is_over_is_stuck",),
        Break(
            "topology/precautions.py",
            'return volume.state == "redirected_stuck" or left_over',
            'return volume.state == "redirected_stuck"',
        ),
    ),
    Rule(
        "R19",
        "A VM that was changed outside the cluster's tools is named, and refreshed before it moves if that is wanted",
        ("topology/requirements/vms.py", FAILOVER_FINDINGS, "topology/preflight.py", "engine/drift.py"),
        (f"{OF_REQUIREMENTS}::test_r19_a_vm_changed_outside_the_cluster_is_a_warning",),
        Break(
            "topology/requirements/vms.py",
            "if vm.clustered and not vm.configuration_in_cluster_is_current:",
            "if not vm.clustered and not vm.configuration_in_cluster_is_current:",
        ),
        (
            (
                f"{OF_FAILOVER}::test_r19_what_may_come_up_wrongly_configured_is_named",
                Break(
                    FAILOVER_FINDINGS,
                    "if not cluster.vm_by_name[name].configuration_in_cluster_is_current:",
                    "if cluster.vm_by_name[name].configuration_in_cluster_is_current:",
                ),
            ),
        ),
    ),
    Rule(
        "R20",
        "Each virtual switch that a VM uses exists under the same name on its target",
        (ELIGIBILITY, WHOLE),
        (f"{OF_RULES}::test_r20_each_switch_must_exist_on_the_target_under_the_same_name",),
        Break(ELIGIBILITY, "if switch.casefold() not in there:", "if switch.casefold() in there:"),
    ),
    Rule(
        "R21",
        "With Cluster Shared Volumes all nodes boot from the same drive letter",
        (WHOLE, FAILOVER_FINDINGS),
        (f"{OF_REQUIREMENTS}::test_r21_with_csv_all_nodes_boot_from_one_drive_letter",),
        Break(WHOLE, "lambda node: node.system_drive.upper())", 'lambda node: "")'),
        (
            (
                f"{OF_FAILOVER}::test_r21_another_system_drive_is_told_where_csvs_are_in_use",
                Break(FAILOVER_FINDINGS, "if here != there and csvs", "if here == there and csvs"),
            ),
        ),
    ),
)


def table() -> str:
    """The Markdown page."""
    lines = [
        "# The rules, where they are enforced, and the tests that hold them",
        "",
        "Generated by `python tests/rules.py docs/rules.md`. `python tests/mutations.py` breaks each rule in turn, by",
        "the change that `tests/rules.py` names, and sees that its test fails.",
        "",
        "| rule | what it asks | enforced in | held by |",
        "|---|---|---|---|",
    ]
    for rule in RULES:
        where = ", ".join(f"[{file}](../{file})" for file in rule.where)
        tests = ", ".join(_linked(test) for test in rule.all_tests)
        lines.append(f"| {rule.name} | {rule.demand} | {where} | {tests} |")
    return "\n".join([*lines, ""])


def _linked(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name}](../{file})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="where the table is")
    parser.add_argument("--check", action="store_true", help="only see whether it is up to date")
    options = parser.parse_args()
    if not options.check:
        options.page.write_text(table(), encoding="utf-8")
        return 0
    if options.page.read_text(encoding="utf-8") == table():
        return 0
    sys.stderr.write(f"{options.page} is stale: python tests/rules.py {options.page}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
