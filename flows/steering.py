"""Steering a rolling run from outside while it goes on: Prefect carries what is asked to the run, and its answer back.

Asked is a flow run input of the running flow run, which looks for it every few seconds, heeds it once and answers the
flow run that sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRunInput
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import ValidationError

from shunter.engine.control import Control
from shunter.flows.server import CALL_DEADLINE_S, Logger, PrefectServer, Unavailable
from shunter.flows.spoken import together
from shunter.flows.turns_seen import TurnsSeen

What = Literal["hold", "go on", "skip", "stop", "done by hand"]
OF_A_NODE = ("skip", "done by hand")
LISTEN_EVERY_S = 2.0
KEY, ANSWER_KEY = "shunter-asked", "shunter-heard"
MOST_AT_ONCE = 20


class Asked(RunInput):
    what: What
    node: str | None = None


class Heard(RunInput):
    """`well`: it is done, or will be at the next safe point."""

    well: bool
    said: str


def heed(asked: Asked, control: Control, turns: TurnsSeen) -> Heard:
    """Do what is asked; say what that means now, or why it cannot be."""
    if asked.what in OF_A_NODE:
        return _heed_of_node(asked, control, turns)
    goes_on = _brought_back(turns.in_maintenance())
    match asked.what:
        case "hold":
            control.hold()
            return Heard(well=True, said=f"held: no node leaves and no migration starts until it is to go on{goes_on}")
        case "go on":
            if control.asked:
                return Heard(well=False, said="the run was asked to stop already; start it again instead")
            control.go_on()
            return Heard(well=True, said="the run goes on")
        case _:
            control.request(running="finish")
            return Heard(well=True, said=f"stopping: nothing new begins{goes_on}")


def _brought_back(away: Sequence[str]) -> str:
    if not away:
        return ""
    return f"; {together(away)} {'is' if len(away) == 1 else 'are'} in maintenance and will be brought back"


def _heed_of_node(asked: Asked, control: Control, turns: TurnsSeen) -> Heard:
    node = turns.spelled(asked.node or "")
    if node is None:
        return Heard(well=False, said=f'"{asked.node}" has no turn in this run; those that do: {together(turns.nodes)}')
    if asked.what == "done by hand":
        if node not in control.waiting_for():
            waits = together(control.waiting_for()) if control.waiting_for() else "no node"
            return Heard(well=False, said=f"{node} does not wait for somebody to maintain it; {waits} does so now")
        control.done_by_hand(node)
        return Heard(well=True, said=f"{node} is taken back once it is proven to be well")
    if node in turns.done:
        return Heard(well=False, said=f"{node} is done already")
    if node in turns.in_maintenance():
        return Heard(well=False, said=f"{node} is in maintenance already and will be brought back")
    control.skip(node)
    return Heard(well=True, said=f"{node} is skipped")


@asynccontextmanager
async def steered(server: PrefectServer, control: Control, turns: TurnsSeen, log: Logger) -> AsyncIterator[None]:
    """Inside the block, what is asked of this flow run is heeded."""
    run = flow_run.get_id()
    if not run:
        yield
        return
    ear = asyncio.create_task(_listen(server, UUID(run), control, turns, log), name="steering")
    ear.add_done_callback(lambda ended: _complain(ended, log))
    try:
        yield
    finally:
        ear.cancel()
        await asyncio.wait({ear})


def _complain(ear: asyncio.Task[None], log: Logger) -> None:
    """A run that cannot be steered any more is still worth its report."""
    if not ear.cancelled() and (error := ear.exception()) is not None:
        log.error("nobody can steer this run any more", exc_info=error)


async def _listen(server: PrefectServer, run: UUID, control: Control, turns: TurnsSeen, log: Logger) -> None:
    """What is asked while the server is away is heard once it is back."""
    while True:
        with suppress(Unavailable):
            if turns.nodes:  # before there is a plan nothing could be answered
                for each in await server.ask(_what_was_asked(run)):
                    # first removed: heeded twice would be worse than not answered
                    await server.ask(partial(_remove, run, each.key))
                    await _answer(each, control, turns, log)
        await asyncio.sleep(LISTEN_EVERY_S)


def _what_was_asked(run: UUID) -> Callable[[PrefectClient], Coroutine[Any, Any, list[FlowRunInput]]]:
    return lambda client: client.filter_flow_run_input(run, KEY, limit=MOST_AT_ONCE, exclude_keys=set())


async def _remove(run: UUID, key: str, client: PrefectClient) -> None:
    await client.delete_flow_run_input(run, key)


async def _answer(each: FlowRunInput, control: Control, turns: TurnsSeen, log: Logger) -> None:
    try:
        asked = Asked.load_from_flow_run_input(each)
    except ValidationError as error:
        log.warning("something was asked of this run that it does not understand: %s", error)
        return
    heard = heed(asked, control, turns)
    log.info("asked to %s%s: %s", asked.what, f" {asked.node}" if asked.node else "", heard.said)
    if each.sender:
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await asked.arespond(heard, key_prefix=ANSWER_KEY)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("whoever asked could not be answered: %s", error)
