"""`shunter evacuate`: the Prefect flow, run here, with its live display and Ctrl-C."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.plan import PlanScreen
from shunter.commands.screens.run_view import RunView
from shunter.commands.screens.words import listed, signs_of
from shunter.engine.audience import Audience
from shunter.engine.stop import Stop
from shunter.flows.errors import RunError
from shunter.flows.listeners import listening
from shunter.flows.settings import PrefectAtHand, prefect_at_hand
from shunter.topology.choosing import ReserveNodes
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import emptied_nodes, plan_evacuation


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `speed` None: real time. `log`: for the witness log of a cluster that is simulated here."""

    nodes: Sequence[str]
    cluster: str
    reserve_nodes: ReserveNodes = "auto"
    speed: float | None = None
    undo_pause: bool = False
    log: Path | None = None


def evacuate(order: Order, *, as_json: bool, svg: Path | None) -> Plan:
    """Carry it out and show the report. Raises RequestError, Unreachable and PrefectUnreachable."""
    seen = cluster_of_file(order.cluster) if is_file(order.cluster) else None
    nodes = emptied_nodes(seen, order.nodes) if seen else tuple(order.nodes)
    plan = plan_evacuation(seen, nodes, order.reserve_nodes) if seen else None
    if plan is not None and svg is not None:
        output.draw(plan, svg)  # finds out before the first move whether it can be written
    if plan is not None and plan.errors:
        output.show(plan, nodes, seen, as_json=as_json, svg=None)
        return plan
    report, forecast_s = carry_out(order, nodes, seen, plan)
    output.show(report, nodes, seen, as_json=as_json, svg=svg, forecast_s=forecast_s)
    return report


def carry_out(order: Order, nodes: Sequence[str], seen: Cluster | None, plan: Plan | None) -> tuple[Plan, float | None]:
    """Run the flow; return its report and what had been forecast. `seen` and `plan` are shown while Prefect starts."""
    console = output.messages()
    with prefect_at_hand(quiet=True) as prefect:
        if plan is not None:
            PlanScreen.of(plan, nodes, console, seen).print()
        _wait_for_prefect(prefect, console)
        view = RunView(time.monotonic, order.speed or 1.0)
        with asyncio.Runner() as runner:
            report = runner.run(_watched(order, nodes, view, console))
    return report, view.plan.makespan_s if view.plan else None


def _wait_for_prefect(prefect: PrefectAtHand, console: Console) -> None:
    """Import the flows while an embedded server starts, and say what is waited for."""
    whose = "an embedded Prefect server starts, in about 15 s" if prefect.embedded else f"asking {prefect.api_url}"
    what = signs_of(console).plain(f"waiting for Prefect: {whose}")
    with ExitStack() as stack:
        if _can_redraw(console):
            stack.enter_context(console.status(what))
        else:
            console.print(what, soft_wrap=True)
        import shunter.flows.evacuate  # noqa: F401  takes a second or two, which the server needs anyway

        prefect.wait_until_ready()


async def _watched(order: Order, nodes: Sequence[str], view: RunView, console: Console) -> Plan:
    """The flow run with a display; Ctrl-C asks it to stop."""
    from shunter.flows.evacuate import evacuate_nodes

    stop = Stop()
    async with AsyncExitStack() as stack:
        if _can_redraw(console):
            screen = LiveScreen(view, f"Emptying {listed(nodes)}", console)
            audience: Audience = view
            tell: Callable[[str], None] = screen.note
            await stack.enter_async_context(screen)
        else:
            audience = lines = Lines(view, console)
            tell = lines.say
        stack.enter_context(_interrupts(stop, view, tell))
        witness = stack.enter_context(output.opened(order.log)) if order.log else None
        stack.enter_context(listening(audience, stop=stop, witness=witness))
        try:
            return await evacuate_nodes(
                cluster=order.cluster,
                nodes=list(nodes),
                reserve_nodes=order.reserve_nodes,
                speed=order.speed,
                undo_pause=order.undo_pause,
            )
        except RunError as error:
            return error.plan


def _can_redraw(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def _interrupts(stop: Stop, view: RunView, tell: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: nothing new starts, what runs finishes. Once more: what runs is called off. Never just an end."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        running = listed([mover.vm for mover in view.running.values()])
        if not stop.asked:
            stop.request(running="finish")
            what = f"{running} may finish; Ctrl-C again calls that off" if running else "nothing is under way"
            tell(f"Stopping: nothing new starts, {what}.")
        else:
            stop.request(running="cancel")
            what = f"{running} stays where it is, unless it is switching over already" if running else "wrapping up"
            tell(f"Calling off: {what}.")

    def caught(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ask)

    before = signal.signal(signal.SIGINT, caught)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
