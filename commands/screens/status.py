"""How a cluster stands, on one screen: what is wrong first and named, then the nodes, then the rest, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.finding import print_finding
from shunter.commands.screens.rolling_live import bar
from shunter.commands.screens.words import Signs, count, listed, signs_of
from shunter.flows.spoken import GIB_MIB
from shunter.topology.model import NodeState
from shunter.topology.plan import Loss
from shunter.topology.quorum import MEMBER
from shunter.topology.requirements.grouping import Group, grouped
from shunter.topology.status import NodeStatus, Status, VmsByState

MOST_NODES = 20
MOST_NAMED = 2
WIDE, BAR_CELLS = 100, 16
LEAST_NAME, LEAST_IF_LOST = 8, 11
WORST_FIRST: tuple[NodeState, ...] = ("down", "isolated", "quarantined", "joining", "paused", "up")
BY_WHOM = {"us": "by a run of ours", "elsewhere": "by somebody else", None: "by whom is not known"}
BRIEFLY = {"us": "paused (ours)", "elsewhere": "paused (other)", None: "paused (?)"}


@dataclass(frozen=True, slots=True)
class StatusScreen:
    status: Status
    console: Console

    @property
    def signs(self) -> Signs:
        return signs_of(self.console)

    @property
    def _wrong(self) -> list[Group]:
        return grouped(found for found in self.status.findings if found.severity != "info")

    def print(self) -> None:
        """All of it; of many healthy nodes the fullest, and --json has everything."""
        self._say(self.signs.text(f"{self.status.cluster}: {numbers(self.status)}", "bold"))
        if self._wrong:
            self._title("What is wrong")
            for group in self._wrong:
                print_finding(group, self.console)
        self._title("Nodes, the worst first; memory in GiB")
        self._nodes()
        self._say(Text())
        self._facts()
        self._say(Text())
        self._verdict()

    # -------------------------------------------------------------- the nodes

    def _nodes(self) -> None:
        lost = {loss.node: loss for loss in self.status.survives_loss}
        nodes = sorted(self.status.nodes, key=lambda node: _how_bad(node, lost.get(node.name)))
        healthy = sum(_is_healthy(node, lost.get(node.name)) for node in nodes)
        most = max(MOST_NODES, len(nodes) - healthy + 1)
        shown = nodes if len(nodes) <= most else nodes[: most - 1]
        wide, failures = self.console.width >= WIDE, any(node.vms["failed"] for node in shown)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("  node", min_width=LEAST_NAME)
        table.add_column("state", no_wrap=True)
        for name in ("VMs", *(["failed"] if failures else []), "used", "free", "reserve"):
            table.add_column(name, no_wrap=True, justify="right")
        if wide:
            table.add_column("", no_wrap=True)
        table.add_column("if lost", min_width=LEAST_IF_LOST)
        for node in shown:
            table.add_row(*self._row(node, lost.get(node.name), wide=wide, failures=failures))
        self._say(table)
        if left := len(nodes) - len(shown):
            self._say(Text(f"  and {count(left, 'more node')}, up and covered", style="dim"))

    def _row(self, node: NodeStatus, loss: Loss | None, *, wide: bool, failures: bool) -> Iterator[Text]:
        sign, style = self._sign(node, loss)
        yield _cut(Text(f"{sign} ", style=style).append_text(self.signs.text(node.name, "bold")))
        yield Text(BRIEFLY[node.paused_by] if node.state == "paused" else node.state, style=style)
        yield Text(str(_running(node.vms)))
        if failures:
            yield Text(str(node.vms["failed"] or ""), style="bold red")
        yield Text(_gib(node.used_mib))
        yield self._free(node)
        yield Text(_gib(node.reserved_mib), style="dim")
        if wide:
            yield bar(node.used_mib / (node.memory_mib - node.reserved_mib), BAR_CELLS, self.signs)
        yield self._if_lost(loss, wide=wide)

    def _free(self, node: NodeStatus) -> Text:
        """Of a node that takes no VMs nothing is free."""
        if node.state != "up":
            return Text("-", style="dim")
        return self.signs.text(_gib(node.free_mib), "bold red" if node.free_mib < 0 else "")

    def _sign(self, node: NodeStatus, loss: Loss | None) -> tuple[str, str]:
        if node.state not in MEMBER:
            return self.signs.wrong, "bold red"
        if node.free_mib < 0 or (loss is not None and not loss.ok):
            return self.signs.warning, "yellow"
        return (self.signs.done, "green") if node.state == "up" else (self.signs.remark, "yellow")

    def _if_lost(self, loss: Loss | None, *, wide: bool) -> Text:
        if loss is None:
            return Text()
        if loss.ok is None:
            return Text("undecided", style="yellow")
        if loss.ok:
            return Text("all restart", style="green")
        whom = listed(loss.unplaced, MOST_NAMED) if wide else count(len(loss.unplaced), "VM")
        return _cut(self.signs.text(f"{whom} down", "yellow"))

    # -------------------------------------------------------------- the rest, a line each

    def _facts(self) -> None:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for name, facts in (
            ("VMs", self._all_vms()),
            ("Quorum", self._quorum()),
            ("Paused", self._paused()),
            ("Migrations", self._migrations()),
            ("Volumes", self._volumes()),
            ("Backups", self._backups()),
            ("Storage jobs", self._storage_jobs()),
        ):
            lines = list(facts) or [Text("none", style="dim")]
            table.add_row(name, Text("\n").join(lines))
        self._say(table)

    def _all_vms(self) -> Iterator[Text]:
        told = [f"{number} {state}" for state, number in self.status.vms.items() if number]
        pending = sum(vm.restart_pending for vm in self.status.failed_vms)
        waits = f"; the cluster is about to start {pending} of those that failed" if pending else ""
        yield self.signs.text((", ".join(told) or "none") + waits)

    def _quorum(self) -> Iterator[Text]:
        votes = self.status.quorum
        told = f"{votes.votes} of {count(votes.of, 'vote')}"
        if not votes.ok:
            yield self.signs.text(f"lost: {told}", "bold red")
        elif votes.hangs_on:
            yield self.signs.text(f"{told}; it hangs on {listed(votes.hangs_on)}", "yellow")
        else:
            yield self.signs.text(told)

    def _paused(self) -> Iterator[Text]:
        for node in self.status.nodes:
            if node.state == "paused":
                why = f": {node.paused_by_run}" if node.paused_by_run else ""
                yield self.signs.text(f"{node.name} {BY_WHOM[node.paused_by]}{why}")

    def _migrations(self) -> Iterator[Text]:
        for each in self.status.migrations:
            whose = "ours" if each.by == "us" else "started by somebody else"
            yield self.signs.text(f"{each.vm}: {each.source} → {each.target}, {whose}")

    def _volumes(self) -> Iterator[Text]:
        states = {node.name: node.state for node in self.status.nodes}
        lost = {volume.owner for volume in self.status.volumes if states[volume.owner] not in MEMBER}
        odd = [volume for volume in self.status.volumes if volume.state != "online" or volume.owner in lost]
        for volume in odd:
            away = f", which is {states[volume.owner]}" if volume.owner in lost else ""
            yield self.signs.text(f"{volume.name}: {volume.state.replace('_', ' ')}, owned by {volume.owner}{away}")
        if online := len(self.status.volumes) - len(odd):
            yield self.signs.text(f"{count(online, 'other') if odd else online} online")

    def _backups(self) -> Iterator[Text]:
        backups = self.status.backups
        if backups.vms:
            yield self.signs.text(f"of {count(len(backups.vms), 'VM')}: {listed(backups.vms)}")
        if backups.volumes:
            yield self.signs.text(f"of {count(len(backups.volumes), 'volume')}: {listed(backups.volumes)}")

    def _storage_jobs(self) -> Iterator[Text]:
        for job in self.status.storage_jobs:
            yield self.signs.text(f"{job.name} of {job.volume}, {job.percent:g} % done")

    def _verdict(self) -> None:
        severities = [group.severity for group in self._wrong]
        told = " and ".join(
            count(severities.count(severity), severity) for severity in ("error", "warning") if severity in severities
        )
        if not told:
            self._say(Text(f"{self.signs.done} nothing is wrong", style="bold green"))
        elif "error" in severities:
            self._say(Text(f"{self.signs.wrong} {told}", style="bold red"))
        else:
            self._say(Text(f"{self.signs.warning} {told}", style="bold yellow"))

    # -------------------------------------------------------------- small things

    def _title(self, title: str) -> None:
        self._say(Text())
        self._say(Text(title, style="bold"))

    def _say(self, what: Text | Table) -> None:
        self.console.print(what, highlight=False)


def numbers(status: Status) -> str:
    """ "3 of 4 nodes up, 40 VMs running, 2 failed"."""
    up = sum(node.state == "up" for node in status.nodes)
    parts = [f"{up} of {count(len(status.nodes), 'node')} up", f"{count(_running(status.vms), 'VM')} running"]
    if failed := status.vms["failed"]:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _how_bad(node: NodeStatus, loss: Loss | None) -> tuple[int, bool, int, float]:
    """Those that are away, then those with whom something is wrong, most of all if lost, then the fullest."""
    unplaced = len(loss.unplaced) if loss is not None else 0
    return WORST_FIRST.index(node.state), _is_healthy(node, loss), -unplaced, node.free_mib / node.memory_mib


def _is_healthy(node: NodeStatus, loss: Loss | None) -> bool:
    return node.state == "up" and node.free_mib >= 0 and loss is not None and loss.ok is True


def _running(vms: VmsByState) -> int:
    return vms["running"] + vms["paused"]


def _cut(text: Text) -> Text:
    """The same, in one line, however little room there is."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _gib(mib: int) -> str:
    """ "96", "5.5", "−8"."""
    return f"{mib / GIB_MIB:.1f}".removesuffix(".0").replace("-", "−")
