"""A flow run from its start to its report: display, requests to end, and a Prefect server that does not come back."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from shunter.commands import background, output
from shunter.commands.jobs import Job
from shunter.commands.output import can_redraw
from shunter.commands.run_thread import Requests
from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.run_view import RunView
from shunter.commands.screens.words import listed
from shunter.engine.audience import Audience
from shunter.engine.control import Control
from shunter.flows.errors import PrefectUnreachable, RunError, StoppedWaiting
from shunter.flows.listeners import listening
from shunter.flows.restarts_seen import Fate
from shunter.flows.run_folder import Keep
from shunter.flows.settings import PrefectAtHand
from shunter.flows.spoken import duration
from shunter.topology.plan import Plan

LATE_S = 15.0
LOOK_EVERY_S = 1.0
ASK_AGAIN_S = 2.0
IDLE_S = 10.0
"""With nothing under way: what could begin would have begun."""
LET_GO_AFTER_S = 2.0
"""Once the run has done what it can without its server."""


class _LetGo(Exception):
    """The run is over; Prefect alone is still at it, with a server that nobody waits for any longer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run that is seen through. `requests`: those to end, which ask it to stop. `prefect`: its server."""

    job: Job
    view: RunView
    console: Console
    requests: Requests
    keep: Keep
    prefect: PrefectAtHand | None = None

    async def report(self) -> Plan:
        """Of the flow run; once there is one, it counts, whatever Prefect comes to."""
        try:
            return await self._watched()
        except RunError as error:
            return error.plan
        except Exception as error:
            if self.keep.report is None:
                raise
            output.complain(f"the work is over, and Prefect could not be told how it ended ({error or repr(error)})")
            return self.keep.report

    async def _watched(self) -> Plan:
        """The flow run with a display."""
        job, view, stop = self.job, self.view, Control()
        async with AsyncExitStack() as stack:
            if can_redraw(self.console):
                screen = LiveScreen(view, job.title, self.console)
                audience: Audience = view
                tell: Callable[[str], None] = screen.note
                await stack.enter_async_context(screen)
            else:
                audience = lines = Lines(view, self.console)
                tell = lines.say
            stack.enter_context(self.requests.answered_by(_stopping(stop, view, tell)))
            stack.enter_context(self._patient(tell))
            witness = stack.enter_context(output.opened(job.log)) if job.log else None
            stack.enter_context(listening(audience, stop=stop, witness=witness, faults=job.faults, keep=self.keep))
            stack.enter_context(_beside(self._stop_without_server(stop, tell)))
            return await self._insisted(stop, tell)

    async def _insisted(self, stop: Control, tell: Callable[[str], None]) -> Plan:
        """What the flow returns. Before it has begun, a server that falls silent is waited for like one that was
        silent before: Prefect itself gives up after seconds. Raises PrefectUnreachable.
        """
        from shunter.flows.server import PATIENCE_S
        from shunter.flows.unanswered import is_silence

        until_s, told = time.monotonic() + PATIENCE_S, False
        while True:
            try:
                with run_needs_prefect(lambda: self.view.plan is not None):
                    return await self._ended(self.job.flow())
            except PrefectUnreachable as error:
                if self.keep.begun or not is_silence(error.__cause__) or time.monotonic() >= until_s:
                    raise
                if stop.asked:
                    raise StoppedWaiting(f"stopped while waiting: {error}") from error
                if not told:
                    tell("nothing has begun: the Prefect server does not answer, and is waited for")
                    told = True
            await asyncio.sleep(ASK_AGAIN_S)

    async def _ended(self, flow: Awaitable[Plan]) -> Plan:
        """What the flow returns. Raises _LetGo where only Prefect is left, which would try for minutes."""
        loop = asyncio.get_running_loop()
        running, given_up = asyncio.ensure_future(flow), loop.create_future()
        self.keep.when_given_up = given_up.set_result
        ends: set[asyncio.Future[Any]] = {running, given_up}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.wait({running}, timeout=LET_GO_AFTER_S)
        if running.done():
            return running.result()
        while not running.done():  # each breaks off one of its tries only
            running.cancel()
            await asyncio.wait({running}, timeout=LET_GO_AFTER_S)
        background.drop()
        raise _LetGo(given_up.result())

    async def _stop_without_server(self, stop: Control, tell: Callable[[str], None]) -> None:
        """Nobody waits for one that has ended for good: what is under way may finish, and nothing else begins."""
        told, idle_since_s = False, time.monotonic()
        while not stop.asked:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.prefect is None or not self.prefect.is_gone:
                continue
            if not told:
                tell("the embedded Prefect server has ended and does not come back: without locks nothing new starts")
                told, idle_since_s = True, time.monotonic()
            if self.view.running or _starting(self.view):
                idle_since_s = time.monotonic()
            if self.keep.report is not None or time.monotonic() - idle_since_s >= IDLE_S:
                stop.request(running="finish")

    @contextmanager
    def _patient(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Say what is waited for where a server that is silent delays the end of a run whose work is over."""
        loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()

        def late() -> None:
            kept = f"its report is in {self.keep.folder}; " if self.keep.folder is not None else ""
            tell(
                f"the work is over; {kept}the Prefect server does not answer, and is waited for some minutes at most; "
                "Ctrl-C ends the waiting"
            )

        self.keep.when_reported = lambda: timers.append(loop.call_later(LATE_S, late))
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()


@contextmanager
def _beside(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()


@contextmanager
def run_needs_prefect(begun: Callable[[], bool]) -> Iterator[None]:
    """Around a flow that is run here. Raises PrefectUnreachable where it breaks off at its server.

    `begun`: whether it may have touched something.
    """
    from shunter.flows.unanswered import told_as_unreachable

    def consequence() -> str:
        if begun():
            return ". The run had begun: look at the cluster before anything else, then start it again; it goes on"
        return "; nothing was touched. Look at the server (PREFECT_API_URL) and what stands in between, then try again"

    with told_as_unreachable("the run cannot go on without its Prefect server", consequence):
        yield


def asked_to_stop(view: RunView, *, again: bool) -> str:
    """What Ctrl-C comes to now, and what the second one does. Nodes that are away are brought back first."""
    names = [mover.vm for mover in view.running.values()]
    running, one = listed(names), len(names) == 1
    away = view.rolling.away if view.rolling is not None else []
    if again:
        stay = "stays where it is, unless it is" if one else "stay where they are, unless they are"
        told = f"{running} {stay} switching over already"
    else:
        told = f"{running} may finish; Ctrl-C again calls that off"
    said = [told] if running else ["no migration is under way"]
    if view.failover is not None:
        starting = listed(_starting(view))
        of_starts = f"the start of {starting} is waited for" if starting else "no VM is being started"
        said = [of_starts, *([told] if running else [])]
    if away:
        left_s = max(turn.back_s(view.elapsed_s) for turn in away) - view.elapsed_s
        verb = "is" if len(away) == 1 else "are"
        said.append(
            f"{listed([turn.node for turn in away])} {verb} away and brought back first, about {duration(left_s)}"
        )
    return f"{'Calling off: ' if again else 'Stopping: nothing new starts; '}{'; '.join(said)}."


def _starting(view: RunView) -> list[str]:
    return [vm.vm for vm in view.failover.at(Fate.STARTING, Fate.LOST_SIGHT)] if view.failover is not None else []


def _stopping(stop: Control, view: RunView, tell: Callable[[str], None]) -> Callable[[], None]:
    """Asked once: nothing new starts, what runs finishes. Once more: what runs is called off. Never just an end."""

    def ask() -> None:
        again = stop.asked
        stop.request(running="cancel" if again else "finish")
        view.stopping = True
        tell(asked_to_stop(view, again=again))

    return ask
