"""Which placement is taken: a fast one, the solver's, or one for which others make room; and the reserve it keeps (I3).

Who can be moved with nobody else moving is moved so. Only where that leaves somebody behind do VMs of the nodes that
stay in service make room, as few as possible, in an order that is valid live at every step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal

from shunter.topology.capacity import survives_loss
from shunter.topology.detours import Way, straight_way
from shunter.topology.errors import RequestError
from shunter.topology.evening import evened_out
from shunter.topology.exact import LARGE_LITERALS, MOST_LITERALS, Answer, Mover, Question
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Placement, Problem
from shunter.topology.plan import Finding
from shunter.topology.reasons import Tried
from shunter.topology.relaxation import relaxed_targets
from shunter.topology.reserve import first_failure
from shunter.topology.room import make_room
from shunter.topology.units import Unit, units_at_home
from shunter.topology.ways import solutions

WELL_SPREAD = 1.01
MOST_HALVINGS = 5
ENOUGH = (1.0, 0.97, 0.9, 0.0)
"""How early all targets should be done, as shares of the bound. With some time to spare pairs are easier to find."""
MOST_ROOMY_NODES = 8

ReserveNodes = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A placement, the reserve that it keeps, and what is to be said about both."""

    placement: Placement
    reserve_nodes: int
    findings: tuple[Finding, ...] = field(default=())


def choose_targets(
    cluster: Cluster,
    vms: Sequence[VirtualMachine],
    emptied: Collection[str],
    reserve_nodes: ReserveNodes,
    *,
    promised: Mapping[str, str] | None = None,
    tried: Tried | None = None,
    search: bool = True,
) -> Choice:
    """The best placement that keeps the reserve; with `auto`, the best one and what reserve it can keep.

    `search`: where the fast passes leave somebody behind, ask the solver, and let others make room.

    A number of nodes that cannot be kept is a finding of severity error; the placement then is one without reserve.
    """
    chooser = _Chooser(Problem(cluster, vms, emptied, promised, tried), search=search)
    if reserve_nodes == "auto":
        now = survives_loss(cluster, 1)
        if not now.ok:
            placement, _ = chooser.choose([(0, False), (0, True)])
            return Choice(placement, 0, (no_reserve(cluster, "now already, " + now.why()), *chooser.said(placement)))
        placement, kept = chooser.choose([(1, False), (0, False), (1, True), (0, True)])
        lowered = () if kept else (no_reserve(cluster, chooser.why_not_kept()),)
        return Choice(placement, kept, (*lowered, *chooser.said(placement)))
    placement, kept = chooser.choose([(r, helped) for r in (reserve_nodes, 0) for helped in (False, True)])
    refused = () if kept == reserve_nodes else (refusal(cluster, reserve_nodes, chooser.why_not_kept()),)
    return Choice(placement, reserve_nodes, (*refused, *chooser.said(placement)))


class _Chooser:
    def __init__(
        self,
        problem: Problem,
        *,
        search: bool,
    ) -> None:
        self.problem, self.search = problem, search
        self.cluster, self.emptied, self.promised = problem.cluster, problem.emptied, problem.promised
        # nothing that others do helps a VM that may go nowhere at all
        self.hopeful = [unit for unit in self.problem.units if self.problem.fit_nodes(unit)]
        self.hopeless = sum(len(unit.vms) for unit in problem.units) - sum(len(unit.vms) for unit in self.hopeful)
        self.fast: list[Placement] = []
        self._more_fast = self.problem.candidates()
        self.partial: list[Placement] = []
        self.why = ""
        self.undecided = self.no_order = False

    def choose(self, levels: Sequence[tuple[int, bool]]) -> tuple[Placement, int]:
        """A placement of all, tried in the order of the levels (reserve, whether others may make room), and the
        reserve it keeps. Where there is none: of those that place most, the one that keeps most.
        """
        for reserve, helped in levels:
            if not self._could_keep(reserve):
                self._keeps(next(self._fast()), reserve)  # which says why not
                continue
            for placement in self._complete(reserve, helped=helped):
                if self._keeps(placement, reserve):
                    best = placement if helped else self._evened(placement, reserve)
                    return self.problem.with_reasons(best), reserve
        pool = sorted([*self._fast(), *self.partial], key=lambda placement: len(placement.unplaced))
        most = [placement for placement in pool if len(placement.unplaced) == len(pool[0].unplaced)]
        for reserve in dict.fromkeys(reserve for reserve, _ in levels):
            for placement in most:
                if self._keeps(placement, reserve):
                    return self.problem.with_reasons(placement), reserve
        raise AssertionError("without a reserve everything keeps it")

    def _complete(self, reserve: int, *, helped: bool) -> Iterator[Placement]:
        """Placements of all that may go somewhere, the fast ones first."""
        if not helped:
            for placement in self._fast():
                if len(placement.unplaced) > self.hopeless:
                    break
                yield placement
        if self._could_place_more() and self.search:
            yield from self._solved(reserve, helped=helped)

    def _could_keep(self, reserve: int) -> bool:
        """Whether all placed VMs that restart at all would fit without the largest nodes, as far as the sum tells."""
        room_mib = sorted(self.cluster.node_by_name[node].for_vms_mib for node in self.problem.nodes)
        staying = (vm for node in self.problem.nodes for vm in self.cluster.vms_by_node[node])
        coming = (vm for unit in self.hopeful for vm in unit.vms)
        needed = (vm.memory_mib for vm in (*staying, *coming) if vm.holds_memory and vm.priority)
        return not reserve or sum(needed) <= sum(room_mib[:-reserve])

    def _could_place_more(self) -> bool:
        """Whether more could be placed than the fast passes did, as far as the sum of what is free tells."""
        free_mib = sum(max(0, self.problem.free_mib[node]) for node in self.problem.nodes)
        by_size = sorted(unit.memory_mib for unit in self.hopeful)
        most = sum(used_mib <= free_mib for used_mib in accumulate(by_size))
        if most < len(self.hopeful):
            unplaced = min(len(placement.unplaced) for placement in self._fast())
            return unplaced - self.hopeless > len(self.hopeful) - most
        return bool(self.hopeful)

    def _fast(self) -> Iterator[Placement]:
        yield from self.fast
        for placement in self._more_fast:
            self.fast.append(placement)
            yield placement

    def _keeps(self, placement: Placement, reserve: int) -> bool:
        fails = first_failure(self.cluster, reserve, placement, promised=self.promised, emptied=self.emptied)
        if fails is not None:
            self.why = self.why or fails.why()
        return fails is None

    # -------------------------------------------------------------- the solver

    def _solved(self, reserve: int, *, helped: bool) -> Iterator[Placement]:
        leavers = [Mover(unit, tuple(self.problem.fit_nodes(unit)), must=True) for unit in self.hopeful]
        known = next(self._fast()).targets
        if helped and reserve == 0 and len(self.cluster.vms) * len(self.problem.nodes) > LARGE_LITERALS:
            yield from self._with_room_made()
        for helpers, all_of_them in self._helpers(len(leavers)) if helped else [([], True)]:
            movers = [*leavers, *helpers]
            question = Question(self.cluster, movers, self.emptied, self.promised, reserve, known=known)
            yield from self._answered(question, whole=all_of_them, chained=helped and reserve > 0)

    def _with_room_made(self) -> Iterator[Placement]:
        fewest_left = min(self._fast(), key=lambda placement: len(placement.unplaced))
        targets = make_room(self.problem, fewest_left.targets)
        way = straight_way(self.cluster, targets, self.promised) if targets else None
        if targets and way:
            yield self.problem.settled(targets, way)

    def _answered(self, question: Question, *, whole: bool, chained: bool) -> Iterator[Placement]:
        """Placements of all; what places fewer is kept as partial. `whole`: nobody else could help."""
        for answer, way in solutions(question):
            decided = answer.proved and whole
            if not answer.found:
                self.undecided |= not decided
                return
            self.no_order |= way is None
            placements = list(self._settled(answer, way, chained=chained)) if way else []
            if not answer.left:
                yield from placements
            elif placements:
                self.partial += placements
                self.undecided |= not decided
                return

    def _settled(self, answer: Answer, way: Way, *, chained: bool) -> Iterator[Placement]:
        """`chained`: also with one move after the other, which needs least room at a time."""
        yield self.problem.settled(answer.targets, way)
        if chained and not way.onward:
            names = [vm for vm, _ in way.steps]
            chain = {vm: frozenset(names[:i]) for i, vm in enumerate(names)}
            yield self.problem.settled(answer.targets, replace(way, after=chain))

    def _evened(self, placement: Placement, reserve: int) -> Placement:
        """Where the targets bound the time, as when half of the nodes leave, a placement that ends sooner, if found."""
        goal_s = placement.least_bound_s
        best = placement
        for targets in self._evener(placement):
            for share in ENOUGH:
                if best.makespan_s > goal_s * WELL_SPREAD:
                    best = self._sooner(best, evened_out(self.problem, targets, share * goal_s), reserve)
        return self._somewhat_evened(best, reserve) if best is placement and reserve else best

    def _evener(self, placement: Placement) -> Iterator[Mapping[str, str]]:
        yield placement.targets
        for share in (1.0, 0.0) if self.search else ():
            relaxed = relaxed_targets(self.problem, placement.targets, share * placement.least_bound_s)
            if relaxed is not None:
                yield relaxed

    def _somewhat_evened(self, placement: Placement, reserve: int) -> Placement:
        """Only so far as the gaps that the reserve needs are left."""
        best, too_soon_s = placement, placement.least_bound_s
        for _ in range(MOST_HALVINGS):
            if best.makespan_s <= too_soon_s * WELL_SPREAD:
                break
            goal_s = (best.makespan_s + too_soon_s) / 2
            sooner = self._sooner(best, evened_out(self.problem, best.targets, goal_s), reserve)
            if sooner is best:
                too_soon_s = goal_s
            best = sooner
        return best

    def _sooner(self, placement: Placement, targets: Mapping[str, str], reserve: int) -> Placement:
        """The placement with these targets where that ends sooner and keeps the reserve; else the one given."""
        way = straight_way(self.cluster, targets, self.promised)
        if way is None:
            return placement
        other = self.problem.settled(targets, way)
        return other if other.makespan_s < placement.makespan_s and self._keeps(other, reserve) else placement

    def _helpers(self, leaving: int) -> Iterator[tuple[list[Mover], bool]]:
        """VMs that may make room, and whether these are all that could. In a large cluster first those on the nodes
        that have most room already; then all, or of very many some of all sizes and nodes.
        """
        in_hand = self.promised.keys() | self.cluster.heading.keys()
        # from a node that somebody has paused VMs may go, too
        nodes = [n.name for n in self.cluster.nodes if n.name not in self.emptied and n.state in {"up", "paused"}]
        staying = [
            vm for node in nodes for vm in self.cluster.vms_by_node[node] if vm.clustered and vm.name not in in_hand
        ]
        units = [unit for unit in units_at_home(self.cluster, staying) if unit.live]
        most = max(0, MOST_LITERALS // max(len(self.problem.nodes), 1) - leaving)
        if not most:
            return
        if len(self.problem.nodes) > 2 * MOST_ROOMY_NODES:
            by_room = sorted(self.problem.nodes, key=lambda node: (-self.problem.free_mib[node], node))
            roomy = set(by_room[:MOST_ROOMY_NODES])
            yield list(self._as_helpers(unit for unit in units if unit.vms[0].node in roomy)), False
        if units:
            yield list(self._as_helpers(_spread(units, min(most, len(units))))), len(units) <= most

    def _as_helpers(self, units: Iterable[Unit]) -> Iterator[Mover]:
        for unit in units:
            options = tuple(self.problem.fit_nodes(unit))
            if options:
                yield Mover(unit, options, must=False)

    # -------------------------------------------------------------- words

    def why_not_kept(self) -> str:
        if self.why:
            return self.why
        if self.undecided:
            return "whether a placement could keep it was not decided within the limits of the search"
        return "no placement of these VMs leaves room for the VMs of one more node"

    def said(self, placement: Placement) -> tuple[Finding, ...]:
        subject = f"cluster {self.cluster.name}"
        found = []
        helpers = [vm for vm in placement.ends if self.cluster.vm_by_name[vm].node not in self.emptied]
        if helpers:
            message = f"not all would fit: {_listed(helpers)} {'makes' if len(helpers) == 1 else 'make'} room first"
            remedy = "nothing; to move only what must leave, free memory or evacuate fewer nodes at once"
            found.append(Finding(rule="I3", severity="info", subject=subject, message=message, remedy=remedy))
        crowded = len(placement.unplaced) > self.hopeless
        if crowded and self.no_order:
            message = "all would fit if others made room, but no order was found in which these moves can be made live"
            remedy = "free memory on one node for the time of the moves (a moving VM needs its memory on both nodes)"
            found.append(Finding(rule="I3", severity="warning", subject=subject, message=message, remedy=remedy))
        elif crowded and self.undecided:
            message = "whether all VMs can be placed was not decided within the limits of the search"
            remedy = "evacuate fewer nodes at once, or free memory on the nodes that stay"
            found.append(Finding(rule="I3", severity="warning", subject=subject, message=message, remedy=remedy))
        return tuple(found)


def _spread(units: Sequence[Unit], count: int) -> list[Unit]:
    """So many of them, of all sizes and from all nodes."""
    by_size = sorted(units, key=lambda unit: (unit.memory_mib, unit.vms[0].node, unit.name))
    return [by_size[i * len(by_size) // count] for i in range(count)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def check_reserve(reserve_nodes: ReserveNodes) -> None:
    """Raises RequestError."""
    if isinstance(reserve_nodes, int) and reserve_nodes < 0:
        raise RequestError(f"a reserve of {reserve_nodes} nodes makes no sense: give a number from 0 on, or auto")


def refusal(cluster: Cluster, reserve_nodes: int, why: str) -> Finding:
    """That this reserve, which was demanded, cannot be kept."""
    return Finding(
        rule="I3",
        severity="error",
        subject=f"cluster {cluster.name}",
        message=f"a reserve of {reserve_nodes} node{'s' if reserve_nodes != 1 else ''} cannot be kept: {why}",
        remedy="take fewer nodes out of service at once, free memory, or lower the reserve (--reserve-nodes)",
    )


def no_reserve(cluster: Cluster, why: str) -> Finding:
    """That no reserve is kept where none was demanded."""
    return Finding(
        rule="I3",
        severity="warning",
        subject=f"cluster {cluster.name}",
        message=f"no room is kept for the loss of another node: {why}",
        remedy="watch the nodes while this runs, free memory, or demand the reserve with --reserve-nodes 1",
    )
