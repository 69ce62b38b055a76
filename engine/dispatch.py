"""The event-driven loop: whenever a migration ends or the world changes, idle nodes are paired and start (R15).

No rounds, no barriers. Each turn begins with a fresh look, asks the goal what is still to be moved, and starts every
pair of idle nodes that it may; then it waits for the next event.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.engine.audience import Waiting
from shunter.engine.crew import Crew, isolated
from shunter.engine.goals import Goal
from shunter.engine.holds import PATIENCE_S
from shunter.engine.looking import change_or_event, look
from shunter.engine.migrate import Errand
from shunter.engine.stop import Stop
from shunter.statemachines.migration import MIGRATION, Event, Migration, State
from shunter.topology.model import Cluster, MigrationUnderWay
from shunter.topology.pairing import Backlog, Wanted, pair
from shunter.topology.placement import Placement, wanted_move
from shunter.topology.plan import Finding, Move, Verdict
from shunter.topology.reasons import Tried
from shunter.topology.timeline import how_to_start

BUSY_PATIENCE_S = 1800.0
OFF_PLAN = 0.02
"""By so much of its estimate a migration took another time than planned."""


@dataclass(slots=True, eq=False)
class Dispatcher:
    """Moves what the goal wants moved. After `run`: `crew.errands` are the migrations that were carried out or refused,
    `unplaced` says of each VM that could not be moved why not, `findings` what came up when targets had to be chosen
    anew, by rule and subject.
    """

    goal: Goal
    crew: Crew
    stop: Stop
    unplaced: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _backlog: Backlog = field(default_factory=Backlog)
    _waiting: dict[str, Migration] = field(default_factory=dict)
    _helpers: set[str] = field(default_factory=set)
    _passing: set[str] = field(default_factory=set)
    _considered: tuple[Cluster, tuple[int, list[str]]] | None = None
    _off_plan: bool = False
    _waits_for: str = ""
    _others_moves: tuple[MigrationUnderWay, ...] = ()

    async def run(self, seen: Cluster, planned: Sequence[Move]) -> None:
        """Until nothing is left that can be moved. `planned`: from the look `seen`, in the order of their start; among
        them may be VMs that only make room for others. Where a VM moves twice, the second move is found when it is due.

        Cancelled, it starts nothing new, brings what runs to its end as `stop` says, and then raises CancelledError.
        """
        self.crew.last_event_s = self._now_s()
        first = {move.vm: move for move in reversed(planned)}
        self._passing = {vm for vm, times in Counter(move.vm for move in planned).items() if times > 1}
        moves = [
            Wanted(m.vm, m.source, m.target, m.end_s - m.start_s, frozenset(m.after or ())) for m in first.values()
        ]
        weigh, in_order = how_to_start(moves, max((move.end_s for move in first.values()), default=0.0))
        self._backlog = Backlog(weigh=weigh)
        self._want(
            seen,
            {vm: move.target for vm, move in first.items()},
            {vm: move.after or () for vm, move in first.items()},
            {vm: rank for rank, vm in enumerate(reversed(first))} if in_order else {},
        )
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                if await self._turn():
                    break
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    raise
                cancelled = error
                self.stop.request(running=self.stop.running)
            except Exception:
                # whatever went wrong here, the migrations under way are seen to their end
                await asyncio.gather(*self.crew.running, return_exceptions=True)
                raise
        self._drop_all("stopped" if self.stop.asked else "nothing left to do")
        self.crew.audience.waiting(())
        if cancelled is not None:
            raise cancelled

    # -------------------------------------------------------------- one turn

    async def _turn(self) -> bool:
        """One turn of the loop; True when it was the last."""
        looked = await look(self.crew.cluster)
        self.crew.lives.observe(looked)
        for errand in self.crew.find_the_lost(looked):
            self._conclude(errand)
        if not self.stop.asked:
            looked = await self.crew.care.attend(looked)
        seen = self.crew.care.as_decided_on(looked)
        self._waits_for = self.crew.care.why_nothing_moves(looked)
        if seen.migrations != self._others_moves:
            # as long as others get on, their nodes will be free some day
            self._others_moves, self.crew.last_event_s = seen.migrations, self._now_s()
            self.crew.ask_again()
        if self.stop.asked:
            self._drop_all("the run was stopped")
            await self.crew.hold_back()
            if self.stop.running == "cancel":
                await self.crew.call_off()
        else:
            self._revise(seen)
            if not self._waits_for:
                await self._start_pairs(seen)
        if not self.crew.running and (self.stop.asked or not self._worth_waiting(seen)):
            return True
        self.crew.audience.waiting(self._who_waits(seen))
        await self._next_event(looked)
        return False

    async def _next_event(self, seen: Cluster) -> None:
        """Until a migration of ours ends, the cluster changes, somebody asks to stop, or a wait is over."""
        waits_s = (self.crew.asked_again_in_s(), self.crew.care.changes_in_s(), BUSY_PATIENCE_S)
        within_s = min(wait_s for wait_s in waits_s if wait_s is not None)
        stopped = asyncio.create_task(self.stop.wait())
        try:
            await change_or_event(self.crew.cluster, seen, within_s, {stopped, *self.crew.running})
        finally:
            stopped.cancel()
        for errand in self.crew.conclude():
            self._backlog.end(errand.migration.vm)
            if errand.asked_s is not None and errand.ended_s is not None:
                took_s = errand.ended_s - errand.asked_s
                self._off_plan |= abs(took_s - errand.estimate_s) > OFF_PLAN * errand.estimate_s
            self._conclude(errand)

    def _conclude(self, errand: Errand) -> None:
        """Draw the consequences of a migration that is over for those that wait."""
        migration = errand.migration
        if migration.state is State.WAITING:
            self._waiting[migration.vm] = migration
            self._backlog.add(Wanted(migration.vm, *errand.nodes, errand.estimate_s))
        elif migration.state is not State.DONE:
            self._drop_linked(Wanted(migration.vm, *errand.nodes, 0.0), f"{migration.vm} did not move as planned")

    def _now_s(self) -> float:
        return self.crew.cluster.clock.now_s()

    # -------------------------------------------------------------- what is wanted

    def _want(
        self,
        seen: Cluster,
        targets: Mapping[str, str],
        after: Mapping[str, Collection[str]],
        order: Mapping[str, int],
    ) -> None:
        asked_for = {vm.name for vm in self.goal.to_move(seen)}
        for name, target in targets.items():
            vm = seen.vm_by_name[name]
            if not vm.holds_memory:
                continue
            if name not in asked_for:
                self._helpers.add(name)
            self._waiting[name] = self.crew.enqueue(seen, name, target)
            self._backlog.add(wanted_move(seen, name, target, after.get(name, ()), order.get(name)))

    def _drop(self, name: str, why: str) -> None:
        """Want this move no more. Whoever waited for its room is planned anew, and so is who made room for it."""
        if name not in self._backlog:
            return
        move = self._backlog.remove(name)
        self._helpers.discard(name)
        self.crew.lives.step(MIGRATION, self._waiting.pop(name), Event.CANCEL, why)
        self._drop_linked(move, why)

    def _drop_linked(self, move: Wanted, why: str) -> None:
        for other in self._backlog:
            if move.vm in other.after or (other.vm in move.after and other.vm in self._helpers):
                self._drop(other.vm, why)

    def _drop_all(self, why: str) -> None:
        for move in self._backlog:
            self._drop(move.vm, why)

    def _revise(self, seen: Cluster) -> None:
        """Bring the backlog in line with the world: drop what is no longer right, find targets for what has none."""
        to_move = {vm.name: vm for vm in self.goal.to_move(seen)}
        for move in self._backlog:
            vm, state = seen.vm_by_name[move.vm], seen.node_by_name[move.target].state
            wanted = move.vm in to_move or move.vm in self._helpers
            if not wanted or vm.node != move.source or not vm.holds_memory:
                self._drop(move.vm, "it need not move any more")
            elif state != "up":
                self._drop(move.vm, f"{move.target} is {state}")
        self._drop_what_has_no_room(seen)
        in_hand = self.crew.in_hand()
        homeless = [vm for name, vm in to_move.items() if name not in self._backlog and name not in in_hand]
        self.unplaced = {name: why for name, why in self.unplaced.items() if name in to_move}
        names = [vm.name for vm in homeless]
        asked = (self.crew.tries, names)
        if names and not (self._considered and self._considered[0] is seen and self._considered[1] == asked):
            self._considered = seen, asked
            self._find_targets(seen, names)

    def _find_targets(self, seen: Cluster, names: list[str]) -> None:
        given_up = self.crew.given_up()
        patient = [name for name in names if name not in given_up]
        placement = self._placement(seen, patient)
        if placement.unplaced and self.crew.tried:
            # where no other way is left, one that failed before may do better now
            anew = self._placement(seen, patient, tried={})
            if len(anew.unplaced) < len(placement.unplaced):
                placement = anew
                for vm, node in anew.targets.items():
                    self.crew.forgive(vm, node)
        if placement.targets or not self.crew.running:
            self.goal.take({**self._promised(), **placement.targets})
        self.unplaced = {name: why for name, why in self.unplaced.items() if name not in placement.targets}
        self.unplaced.update(placement.unplaced)
        for name in names:
            if name in given_up:
                self.unplaced[name] = self._given_up(seen, name)
        self._passing = self._passing - placement.targets.keys() | {vm for vm, _ in placement.onward}
        self._want(seen, placement.targets, placement.after, placement.order)

    def _placement(self, seen: Cluster, names: list[str], tried: Tried | None = None) -> Placement:
        vms = [seen.vm_by_name[name] for name in names]
        if not vms:
            return Placement()
        # while others move anyway, there is time: a long search is for when nothing else is left
        tried = {**(self.crew.tried if tried is None else tried), **self._exhausted(seen)}
        choice = self.goal.targets(seen, vms, self._promised(), tried, search=not self.crew.running)
        self.findings |= {(finding.rule, finding.subject): finding for finding in choice.findings}
        return choice.placement

    def _exhausted(self, seen: Cluster) -> dict[tuple[str, str], Verdict]:
        """VMs that were tried often enough make no room for others either."""
        tired = sorted(self.crew.given_up())
        return {(vm, verdict.target): verdict for vm in tired for verdict in self._given_up(seen, vm)}

    def _promised(self) -> dict[str, str]:
        waiting = {move.vm: move.target for move in self._backlog}
        return waiting | self.crew.heading()

    def _given_up(self, seen: Cluster, name: str) -> tuple[Verdict, ...]:
        tries = [errand for errand in self.crew.errands if errand.migration.vm == name]
        last = tries[-1].why if tries else "refused"
        return tuple(
            self.crew.tried.get((name, node.name))
            or Verdict(
                target=node.name,
                rule="R01",
                reason=f"given up after {len(tries)} attempts, the last: {last}",
                remedy="find the cause in the event logs of both nodes, then run again",
            )
            for node in seen.nodes
            if node.name != seen.vm_by_name[name].node
        )

    def _drop_what_has_no_room(self, seen: Cluster) -> None:
        """A target may have filled up since it was chosen: the largest VMs that wait for it must go elsewhere."""
        under_way = {migration.vm for migration in seen.migrations}
        room = {node.name: seen.free_mib(node.name) for node in seen.nodes}
        for migration in seen.migrations:
            room[migration.source] += seen.vm_by_name[migration.vm].memory_mib
        ends = [(e.migration.vm, *e.nodes) for e in self.crew.running.values() if e.migration.vm not in under_way]
        for name, source, target in (*ends, *((move.vm, move.source, move.target) for move in self._backlog)):
            vm = seen.vm_by_name[name]
            if vm.node == source:
                room[target] -= vm.memory_mib
                room[source] += vm.memory_mib
        crowded = {name for name, mib in room.items() if mib < 0}
        if not crowded:
            return
        for move in sorted(self._backlog, key=lambda move: (-seen.vm_by_name[move.vm].memory_mib, move.vm)):
            if move.target in crowded and room[move.target] < 0:
                room[move.target] += seen.vm_by_name[move.vm].memory_mib
                self._drop(move.vm, f"{move.target} has filled up")

    # -------------------------------------------------------------- starting

    async def _start_pairs(self, seen: Cluster) -> None:
        """Start what can start. Nodes that another run holds are passed over, and asked for again soon."""
        while not self.stop.asked:
            pairs = pair(self._backlog, self.crew.busy(seen))
            if not pairs and not self._redirect(seen):
                return
            for move in pairs:
                hold = await self.crew.hold(move.source, move.target)
                if hold is None:
                    continue
                self._backlog.begin(move.vm)
                self.crew.begin(
                    hold,
                    self._waiting.pop(move.vm),
                    move.duration_s,
                    self.goal.emptied,
                    self._promised(),
                    passing=move.vm in self._passing,
                )

    def _redirect(self, seen: Cluster) -> bool:
        """Once the plan's times do not hold: other targets for moves that wait, so that no node waits that need not."""
        if not self._off_plan:
            return False
        tried = {**self.crew.tried, **self._exhausted(seen)}
        targets = self.goal.redirected(seen, self._backlog, self.crew.busy(seen), self._promised(), tried)
        for name in targets:
            self._drop(name, "another target is idle already")
        self._want(seen, targets, {}, {})
        return bool(targets)

    # -------------------------------------------------------------- waiting

    def _worth_waiting(self, seen: Cluster) -> bool:
        """Whether something that waits may still come to pass within its patience."""
        if self._waits_for:
            return bool(len(self._backlog) or self.unplaced) and self.crew.care.direct_io.is_worth_waiting(seen)
        denied_for_s = self.crew.denied_for_s()
        if len(self._backlog) and denied_for_s is not None:
            return denied_for_s < PATIENCE_S
        waited_s = self._now_s() - self.crew.last_event_s
        if (len(self._backlog) or self._still_busy(seen)) and waited_s < BUSY_PATIENCE_S:
            return True
        return any(
            any(verdict.rule == "R17" for verdict in why)
            for name, why in self.unplaced.items()
            if self.crew.care.backups.is_waited_for(name)
        )

    def _still_busy(self, seen: Cluster) -> list[MigrationUnderWay]:
        """Migrations that others have under way at nodes that are to end up empty; all, where somebody finds no place:
        each leaves room behind.
        """
        if self.unplaced:
            return list(seen.migrations)
        return [m for m in seen.migrations if m.source in self.goal.emptied or m.target in self.goal.emptied]

    def _who_waits(self, seen: Cluster) -> tuple[Waiting, ...]:
        moving, denied, unreached = self.crew.moving(seen), self.crew.denied_now(), isolated(seen)
        ours = set[str]().union(*(errand.nodes for errand in self.crew.running.values()))
        until_s = self.crew.last_event_s + BUSY_PATIENCE_S
        found = []
        for move in self._backlog:
            nodes = (move.source, move.target)
            occupied = [f"{n}{'' if n in ours else ' (another migration)'}" for n in nodes if n in moving]
            occupied += [f"{node}, which {denied[node]}" for node in nodes if node in denied and node not in moving]
            occupied += [f"{node} (isolated)" for node in nodes if node in unreached]
            reason = self._waits_for or f"waits for {' and '.join(occupied) or 'its turn'}"
            found.append(Waiting(f"{move.vm}: {move.source} → {move.target}", reason, until_s))
        ours_vms = self.crew.heading()
        for other in self._still_busy(seen):
            if other.vm not in ours_vms:
                label, reason = f"{other.vm}: {other.source} → {other.target}", "is moved by somebody else"
                found.append(Waiting(label, reason, until_s))
        return (*found, *self.crew.care.backups.waiting(list(self.unplaced)))
