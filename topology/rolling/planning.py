"""The plan of a rolling run: which node when, which VM moves where and when, and how much reserve is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from shunter.topology.choosing import check_reserve, no_reserve, refusal
from shunter.topology.memory import memory
from shunter.topology.model import Cluster
from shunter.topology.plan import Alternative, Finding, Maintenance, Move, Plan
from shunter.topology.precautions import said_beforehand
from shunter.topology.rolling.candidates import Turns, candidates, neighbours, with_seeds
from shunter.topology.rolling.course import Course, Leg, run
from shunter.topology.rolling.exactly import is_small, one_at_a_time
from shunter.topology.rolling.failback import Failback, failback_moves
from shunter.topology.rolling.fleet import Fitness, Fleet, phases_of
from shunter.topology.rolling.floor import Floor, Memory, drain_s, floor
from shunter.topology.rolling.handing_over import HandingOver
from shunter.topology.rolling.hindrances import hindrances, of_pause
from shunter.topology.rolling.left_out import left_out, of_stuck
from shunter.topology.rolling.policy import RollingPolicy, not_together, wanted_nodes
from shunter.topology.rolling.reserve import Reserve
from shunter.topology.rolling.strategy import Strategy
from shunter.topology.underway import arrived, under_way, waits_for

MOST_LEGS, MOST_COURSES = 60_000, 40
"""Of all forecasts together: their moves, and how many there are. What limits the search counts work, not seconds."""

MORE_OF_SIZES = 1.5
"""So many times as many of both where nodes differ in size: there is more to try."""

FIRST_SHARE, GOOD_ENOUGH = 0.6, 1.002
"""How much of the search is for different strategies, before the best is varied; what need not be improved."""

Progress = Callable[[int, float], None]
"""Told after each forecast: how many there were, and the shortest run so far, in s."""


def plan_rolling(
    cluster: Cluster,
    nodes: Sequence[str] = (),
    policy: RollingPolicy | None = None,
    progress: Progress = lambda _, __: None,
) -> Plan:
    """How these nodes (none: all) are maintained one after the other, or several at once. Raises RequestError."""
    return forecast(cluster, nodes, policy, progress)[0]


def forecast(
    cluster: Cluster,
    nodes: Sequence[str] = (),
    policy: RollingPolicy | None = None,
    progress: Progress = lambda _, __: None,
) -> tuple[Plan, Strategy]:
    """The plan, and the strategy that it follows. Raises RequestError."""
    policy = policy or RollingPolicy()
    check_reserve(policy.reserve_nodes)
    as_it_is, cluster = cluster, policy.precautions.planned_on(cluster)
    wanted = wanted_nodes(cluster, nodes, policy)
    stands = arrived(cluster)
    untouched, unplaced = hindrances(stands, wanted, policy, named=bool(nodes))
    able = tuple(name for name in wanted if name not in {each.node for each in untouched})
    refusals: tuple[Finding, ...] = ()
    while True:
        planner = Planner(cluster, able, policy, progress)
        course, reserve_nodes, findings = planner.best_with_reserve()
        handing_over, back = _handed_over(cluster, course, policy, reserve_nodes)
        late, crowded = left_out(stands, course, policy, reserve_nodes)
        stuck = {node: what for node, what in handing_over.stuck.items() if node not in course.undone}
        late += [of_stuck(node, what) for node, what in sorted(stuck.items())]
        untouched, unplaced = [*untouched, *late], [*unplaced, *crowded]
        # what cannot be done is left out from the start: nobody moves for it, and its node may take others
        able = tuple(name for name in able if name not in {each.node for each in late})
        refusals += tuple(finding for finding in findings if finding.severity == "error" and not refusals)
        if not late:
            break
    moves = (*_moves(course), *back.moves)
    ends = {move.vm: move.target for move in moves}
    bound = planner.floor(reserve_nodes, [turn.node for turn in course.turns])
    unplaced = [stays for stays in unplaced if ends.get(stays.vm, stays.node) == stays.node]
    findings = (*refusals, *(finding for finding in findings if finding.severity != "error"))
    said = said_beforehand(as_it_is, policy.precautions, [move.vm for move in moves])
    all_findings = (*findings, *said, *back.findings, *_of_window(course, policy), *_of_storage(cluster, course))
    all_findings += tuple(_of_order(cluster, course, policy))
    all_findings += waits_for(under_way(cluster))
    all_findings += tuple(_of_pauses(cluster, able if nodes else ()))
    plan = Plan(
        kind="rolling_maintenance",
        cluster=cluster.name,
        ok=not (untouched or unplaced) and all(finding.severity != "error" for finding in all_findings),
        reserve_nodes=reserve_nodes,
        findings=all_findings,
        moves=moves,
        role_moves=tuple(handing_over.role_moves),
        volume_moves=tuple(handing_over.volume_moves),
        unplaced=tuple(unplaced),
        makespan_s=max([course.total_s, *(move.end_s for move in back.moves)]),
        lower_bound_s=bound.time_s,
        memory=memory(cluster, cluster.with_vms_on(ends), (), reserve_nodes),
        maintenance=tuple(
            Maintenance(
                node=turn.node,
                paused_s=turn.start_s,
                start_s=turn.start_s,
                end_s=turn.end_s,
                left_mib=turn.left_mib,
            )
            for turn in sorted(course.turns, key=lambda turn: (turn.start_s, turn.node))
        ),
        untouched=tuple(sorted(untouched, key=lambda entry: wanted.index(entry.node))),
        alternatives=planner.alternatives(course, reserve_nodes),
        under_way=under_way(cluster),
    )
    return plan, course.strategy


def _of_pauses(cluster: Cluster, named: Sequence[str]) -> Iterator[Finding]:
    """Nodes that somebody asked for and that were paused already: perhaps somebody works on them."""
    for name in named:
        pause = of_pause(cluster.node_by_name[name])
        if pause is not None:
            ours = cluster.node_by_name[name].paused_by == "us"
            yield Finding(
                rule="I8",
                severity="warning",
                subject=f"node {name}",
                message=f"{pause.reason}; it is maintained because it is named, and "
                + ("takes VMs again afterwards" if ours else "stays paused"),
                remedy=f"make sure that nobody works on {name}",
            )


def _handed_over(
    cluster: Cluster, course: Course, policy: RollingPolicy, reserve_nodes: int
) -> tuple[HandingOver, Failback]:
    """What else leaves the nodes, and the way back. VMs whose followers may not come along are left out of that."""
    closed = [node.name for node in cluster.nodes if node.state == "paused"]
    staying: frozenset[str] = frozenset()
    while True:
        handing_over = HandingOver(cluster)
        handing_over.follow(course, closed)
        back = failback_moves(cluster, handing_over.stands(), course, policy, reserve_nodes, staying=staying)
        legs = [Leg(move.vm, move.source, move.target, move.start_s, move.end_s) for move in back.moves]
        misplaced = handing_over.follow_back(legs)
        if not misplaced:
            return handing_over, back
        staying |= misplaced


@dataclass(slots=True)
class Planner:
    """Forecasts courses of one request, and chooses among them."""

    cluster: Cluster
    nodes: tuple[str, ...]
    policy: RollingPolicy
    progress: Progress = lambda _, __: None
    fitness: Fitness = field(init=False)
    _drains_s: dict[str, float] = field(init=False)
    _vms: dict[str, int] = field(init=False)
    _courses: int = 0

    def __post_init__(self) -> None:
        self.fitness = Fitness(self.cluster)
        self._drains_s = {name: drain_s(self.cluster, name, self.fitness) for name in self.nodes}
        self._vms = {name: sum(vm.holds_memory for vm in self.cluster.vms_by_node[name]) for name in self.nodes}

    def best_with_reserve(self) -> tuple[Course, int, tuple[Finding, ...]]:
        """The best course, the reserve it keeps, and what is to be said of that."""
        asked = self.policy.reserve_nodes
        reserve = 1 if asked == "auto" else asked
        if not Reserve(self._fleet(), reserve).holds():
            why = "it does not hold now already: not all VMs of any lost node would find room on the others"
            return self._without_reserve(reserve, why)
        course = self.best(reserve)
        if reserve == 0 or not course.undone or (self.policy.window_s is not None and course.turns):
            return course, reserve, ()
        without = self.best(0)
        if len(without.undone) >= len(course.undone):
            return course, reserve, ()
        names = ", ".join(course.undone)
        more = "one further node" if reserve == 1 else f"{reserve} further nodes"
        why = f"{names} could not be emptied while the VMs of any {more} have room elsewhere"
        if asked == "auto":
            return without, 0, (no_reserve(self.cluster, why),)
        return course, reserve, (refusal(self.cluster, reserve, why),)

    def _without_reserve(self, reserve: int, why: str) -> tuple[Course, int, tuple[Finding, ...]]:
        """What is planned where a reserve is kept from no moment on."""
        if self.policy.reserve_nodes == "auto":
            return self.best(0), 0, (no_reserve(self.cluster, why),)
        return Course(Strategy(self.nodes, 1), undone=self.nodes), reserve, (refusal(self.cluster, reserve, why),)

    def best(self, reserve_nodes: int, parallel: int | None = None, *, most_courses: int | None = None) -> Course:
        """The course that leaves fewest nodes undone, and of these the one that is preferred. `most_courses`: forecasts
        at most; None: as many as are worth it before a run.
        """
        turns = self._turns(reserve_nodes, parallel)
        more = 1.0 if turns.away_mib is None else MORE_OF_SIZES
        most_courses = round(MOST_COURSES * more) if most_courses is None else most_courses
        search = _Search(self, reserve_nodes, most_courses, round(MOST_LEGS * more))
        if not self.nodes:
            return search.best
        if self.policy.prefer == "moves":
            self._search_moves(search, turns)
            if not search.best.undone and (self.policy.window_s is None or search.is_good):
                return search.best
        first = search.courses
        for strategy in candidates(turns):
            if search.is_over or search.courses - first >= most_courses * FIRST_SHARE:
                break
            search.try_out(strategy)
        self._vary(search, turns)
        if search.best.undone and parallel is None and most_courses > 1:
            self._search_exactly(search)
        return search.best

    def _search_exactly(self, search: _Search) -> None:
        """What no strategy finds: small clusters are decided. Where all can be done one after another, so they are."""
        fleet = self._fleet()
        if not is_small(fleet):
            return
        found = one_at_a_time(fleet, search.reserve_nodes)
        if found.strategy is not None:
            order = found.strategy.order  # nodes that cannot leave as things stand come last
            rest = tuple(name for name in self.nodes if name not in order)
            search.try_out(replace(found.strategy, order=(*order, *rest)))
        elif found.proved:
            search.best.decided = True

    def _vary(self, search: _Search, turns: Turns) -> None:
        """Strategies that differ a little from the best, until it is as good as any can be."""
        tried = 0
        while not search.is_over and not search.best.undone and not search.is_good:
            tried += 1
            search.try_out(neighbours(search.best.strategy, tried, len(turns.first), turns))

    def _search_moves(self, search: _Search, turns: Turns) -> None:
        """As few seeds as leave no node undone; in a window more of them may be needed, which halving finds."""
        if self._leaves_none(search, turns, 1) or self.policy.window_s is None:
            return
        too_few, enough = 1, turns.parallel
        while too_few + 1 < enough and not search.is_over:
            middle = (too_few + enough) // 2
            if self._leaves_none(search, turns, middle):
                enough = middle
            else:
                too_few = middle
        if search.best.undone and enough > too_few:
            self._leaves_none(search, turns, enough)

    def _leaves_none(self, search: _Search, turns: Turns, seeds: int) -> bool:
        """Whether some strategy with so many seeds leaves no node undone."""
        found = False
        for strategy in with_seeds(turns, seeds):
            found = not search.try_out(strategy).undone or found
        return found

    def alternatives(self, chosen: Course, reserve_nodes: int) -> tuple[Alternative, ...]:
        """One at a time and two at a time, beside what was chosen."""
        found = []
        if not chosen.turns:
            return ()
        for parallel, name in ((1, "one at a time"), (2, "two at a time")):
            if parallel < chosen.strategy.parallel:
                strategy = next(candidates(self._turns(reserve_nodes, parallel)), None)
                if strategy is not None:
                    found.append(self._alternative(name, self.course(strategy, reserve_nodes), chosen=False))
        name = "fewest moves" if self.policy.prefer == "moves" else "as planned"
        return (*found, self._alternative(name, chosen, chosen=True))

    def forecast_done(self, best_s: float) -> None:
        """Tell whoever watches."""
        self._courses += 1
        self.progress(self._courses, best_s)

    def floor(self, reserve_nodes: int, nodes: Sequence[str] | None = None) -> Floor:
        """Of maintaining these nodes, all that are asked for where none are given."""
        return floor(
            self.cluster, self.nodes if nodes is None else nodes, self.policy.maintenance_s, reserve_nodes, self.fitness
        )

    # -------------------------------------------------------------- courses

    def _turns(self, reserve_nodes: int, parallel: int | None = None) -> Turns:
        memory = Memory.of(self.cluster, self.nodes, reserve_nodes)
        limits = [limit for limit in (self.policy.parallel, parallel, len(self.nodes)) if limit is not None]
        at_once = min([max(1, memory.most_away()), *limits])
        return Turns(self.nodes, self._drains_s, self._vms, memory, at_once, self._first())

    def _first(self) -> tuple[str, ...]:
        wished = [self.cluster.find_node(name).name for name in self.policy.order]
        return tuple(name for name in wished if name in self.nodes)

    def _fleet(self) -> Fleet:
        return Fleet(self.cluster, phases_of(self.cluster.nodes, self.nodes), self.fitness)

    def course(self, strategy: Strategy, reserve_nodes: int, at_most_s: float = float("inf")) -> Course:
        return run(
            self._fleet(),
            strategy,
            reserve_nodes,
            self.policy.maintenance_s,
            not_with=not_together(self.cluster, self.policy),
            no_later_s=self.policy.window_s,
            at_most_s=at_most_s,
        )

    def cost(self, course: Course) -> tuple[float, ...]:
        """What is compared: less is better. Short runs are no better for moving more than twice what must move twice
        where as many as may be away begin.
        """
        total_s, moves = round(course.total_s, 3), len(course.legs)
        if self.policy.prefer == "moves":
            return len(course.undone), moves, total_s
        return len(course.undone), moves > self.most_moves(course.strategy.parallel), total_s, moves

    def most_moves(self, parallel: int) -> float:
        return sum(self._vms.values()) * (1 + parallel / max(1, len(self.nodes)))

    def _alternative(self, name: str, course: Course, *, chosen: bool) -> Alternative:
        vms = sum(self._vms.values())
        left = [turn.left_mib for turn in course.turns if turn.left_mib is not None]
        return Alternative(
            name=name,
            parallel=_most_at_once(course),
            makespan_s=course.total_s,
            moves=len(course.legs),
            moves_per_vm=round(len(course.legs) / vms, 3) if vms else 0.0,
            left_mib=min(left, default=None),
            chosen=chosen,
        )


@dataclass(slots=True)
class _Search:
    """Tries strategies out, within limits, and keeps the best course."""

    planner: Planner
    reserve_nodes: int
    most_courses: int
    most_legs: int
    best: Course = field(default_factory=lambda: Course(Strategy((), 1)))
    courses: int = 0
    legs: int = 0
    _floor: Floor | None = None

    @property
    def is_over(self) -> bool:
        return self.courses >= self.most_courses or self.legs > self.most_legs

    @property
    def is_good(self) -> bool:
        """Whether the best need not be improved."""
        if self._floor is None:
            self._floor = self.planner.floor(self.reserve_nodes)
        if self.planner.policy.prefer == "moves":
            return len(self.best.legs) <= self._floor.moves
        return self.best.total_s <= self._floor.time_s * GOOD_ENOUGH

    def try_out(self, strategy: Strategy) -> Course:
        best_is_fine = not self.best.undone and not self.planner.cost(self.best)[1]
        prunes = self.courses and best_is_fine and self.planner.policy.prefer == "time"
        at_most_s = self.best.total_s if prunes else float("inf")
        course = self.planner.course(strategy, self.reserve_nodes, at_most_s)
        self.legs += len(course.legs)
        if not self.courses or self.planner.cost(course) < self.planner.cost(self.best):
            self.best = course
        self.courses += 1
        self.planner.forecast_done(self.best.total_s)
        return course


def _most_at_once(course: Course) -> int:
    return max(
        (sum(other.start_s <= turn.start_s < other.end_s for other in course.turns) for turn in course.turns),
        default=0,
    )


def _moves(course: Course) -> Iterator[Move]:
    done_s = {turn.node: turn.end_s for turn in course.turns}
    for leg in course.legs:
        if leg.target not in done_s:
            why = f"{leg.target} is not maintained in this run"
        elif leg.start_s >= done_s[leg.target]:
            why = f"{leg.target} is done"
        else:
            why = f"{leg.target} comes later; no node is done yet that could take it"
        yield Move(vm=leg.vm, source=leg.source, target=leg.target, start_s=leg.start_s, end_s=leg.end_s, why=why)


def _of_window(course: Course, policy: RollingPolicy) -> tuple[Finding, ...]:
    if policy.window_s is None or course.total_s <= policy.window_s:
        return ()
    return (
        Finding(
            rule="R16",
            severity="warning",
            subject="maintenance window",
            message=f"the last migrations end {course.total_s - policy.window_s:.0f} s after the window",
            remedy="give a longer window",
        ),
    )


def _of_storage(cluster: Cluster, course: Course) -> Iterator[Finding]:
    """What every node waits for before it leaves, and nobody knows how long."""
    for job in cluster.storage_jobs if course.turns else ():
        yield Finding(
            rule="I7",
            severity="warning",
            subject=f"storage job {job.name}",
            message=f"no node leaves before {job.name} has rebuilt {job.volume}; it is at {job.percent:g} %",
            remedy="let it finish first (Get-StorageJob); the times of this plan take it to be over when nodes leave",
        )


def _of_order(cluster: Cluster, course: Course, policy: RollingPolicy) -> Iterator[Finding]:
    """Nodes that were to go first, and cannot."""
    start_s = {turn.node: turn.start_s for turn in course.turns}
    wished = [cluster.find_node(name).name for name in policy.order]
    for node in (name for name in wished if name in start_s):
        earlier = [n for n, at_s in start_s.items() if at_s < start_s[node] and n not in wished[: wished.index(node)]]
        if earlier:
            yield Finding(
                rule="R16",
                severity="warning",
                subject=f"node {node}",
                message=f"{node} is to go before {', '.join(sorted(earlier))}, and cannot: it finds room only after",
                remedy="give another order (--first), or free memory",
            )
