"""A simulated cluster that lives in another process of this machine (see `host.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import TypeAdapter

from shunter.clusters.clock import Clock
from shunter.clusters.port import (
    ClusterError,
    MigrationRecord,
    MigrationSeen,
    OutcomeUnknown,
    Phase,
    Refused,
    Unreachable,
)
from shunter.clusters.simulated.wire import LONGEST_WAIT_S, MOST_ANSWERED_BYTES, error_of, line_of, loopback, said_in
from shunter.topology.errors import ClusterFileError
from shunter.topology.jsontext import half_characters, shown
from shunter.topology.model import Cluster
from shunter.topology.references import check_references

ANSWER_WITHIN_S = 30.0
FASTEST = 1e6
LATEST_S = 1e12
RECORDS = TypeAdapter(tuple[MigrationRecord, ...])


class RemoteCluster:
    """The port to a hosted cluster, with the host's clock. Made by `connect`.

    Every request has a connection of its own, so there is nothing to close, and the host may come and go. A
    connection that breaks while it carries an order is OutcomeUnknown; while it carries a look, Unreachable.
    """

    def __init__(self, address: str, clock: Clock) -> None:
        self._address, self._host_and_port = address, loopback(address)
        self._clock = clock
        self._known: tuple[int, Cluster] | None = None

    @classmethod
    async def connect(cls, address: str) -> RemoteCluster:
        """Learn the time of the cluster at `127.0.0.1:PORT`. Raises RequestError (not loopback) and Unreachable."""
        remote = cls(address, Clock())
        async with remote._asking({"verb": "hello"}, Unreachable) as answer:
            told = (await answer.message_soon())["answer"]
            remote._clock = Clock(_number(told["speed"], FASTEST), now_s=_number(told["now_s"], LATEST_S))
        return remote

    @classmethod
    @asynccontextmanager
    async def connected(cls, address: str) -> AsyncIterator[RemoteCluster]:
        """`connect`, for `async with`."""
        yield await cls.connect(address)

    @property
    def clock(self) -> Clock:
        return self._clock

    # ------------------------------------------------------------------ looking

    async def look(self) -> Cluster:
        known = self._known
        asked = {"verb": "look", "number": known[0] if known is not None else None}
        async with self._asking(asked, Unreachable) as answer:
            told = (await answer.message_soon())["answer"]
            if told["cluster_follows"] is True:
                seen = Cluster.model_validate_json(await answer.line_soon())
                check_references(seen)
                known = (told["number"], seen)
            elif known is None or told["number"] != known[0]:
                raise ValueError("it sends no cluster, and we know none of this number")
        self._known = known
        return known[1]

    async def wait_for_change(self, seen: Cluster, within_s: float, node: str | None = None) -> None:
        if self._known is None or seen is not self._known[1]:
            await asyncio.sleep(0)
            return
        within_s = max(0.0, min(within_s, LONGEST_WAIT_S))
        asked = {"verb": "wait_for_change", "number": self._known[0], "within_s": within_s, "node": node}
        async with self._asking(asked, Unreachable) as answer:
            await answer.message_soon(after_s=self._clock.loop_s(within_s))

    async def follow_migration(self, vm: str) -> AsyncIterator[MigrationSeen]:
        async with self._asking({"verb": "follow_migration", "vm": vm}, Unreachable) as answer:
            while "seen" in (told := await answer.message()):
                yield _seen(told["seen"])

    async def migration_log(self) -> tuple[MigrationRecord, ...]:
        async with self._asking({"verb": "migration_log"}, Unreachable) as answer:
            records = RECORDS.validate_python((await answer.message_soon())["answer"])
            if not all(record.started_s <= record.ended_s <= LATEST_S for record in records):
                raise ValueError("it tells of migrations that ended before they began")
            return records

    async def booted_s(self, node: str) -> float | None:
        async with self._asking({"verb": "booted_s", "node": node}, Unreachable) as answer:
            told = (await answer.message_soon())["answer"]
            return None if told is None else _number(told, LATEST_S)

    # ------------------------------------------------------------------ orders

    async def pause_node(self, node: str) -> None:
        await self._order(verb="pause_node", node=node)

    async def resume_node(self, node: str) -> None:
        await self._order(verb="resume_node", node=node)

    async def reboot_node(self, node: str) -> None:
        await self._order(verb="reboot_node", node=node)

    async def start_migration(self, vm: str, target: str) -> None:
        await self._order(verb="start_migration", vm=vm, target=target)

    async def cancel_migration(self, vm: str) -> None:
        await self._order(verb="cancel_migration", vm=vm)

    async def move_role(self, name: str, target: str) -> None:
        await self._order(verb="move_role", name=name, target=target)

    async def move_volume(self, volume: str, target: str) -> None:
        await self._order(verb="move_volume", volume=volume, target=target)

    async def start_vm(self, vm: str, node: str) -> None:
        await self._order(verb="start_vm", vm=vm, node=node)

    async def restore_direct_io(self, volume: str) -> None:
        await self._order(verb="restore_direct_io", volume=volume)

    async def refresh_configuration(self, vm: str) -> None:
        await self._order(verb="refresh_configuration", vm=vm)

    async def _order(self, **asked: str) -> None:
        async with self._asking(asked, OutcomeUnknown) as answer:
            await answer.message_soon()

    # ------------------------------------------------------------------ the connection

    @asynccontextmanager
    async def _asking(self, asked: dict[str, Any], lost: type[ClusterError]) -> AsyncIterator[_Answer]:
        """A connection that carries one request; what goes wrong with it is raised as `lost`."""
        line = _line_of(asked, lost)
        try:
            reader, writer = await asyncio.open_connection(*self._host_and_port, limit=MOST_ANSWERED_BYTES)
            try:
                writer.write(line)
                await writer.drain()
                yield _Answer(reader, lost)
            finally:
                writer.close()
        except OSError as error:
            what = str(error) or "no answer in time"
            raise lost(f"{asked['verb']}: the simulated cluster at {self._address} is out of reach: {what}") from error
        except (KeyError, TypeError, ValueError, RecursionError, OverflowError, ClusterFileError) as error:
            message = f"{asked['verb']}: what listens on {self._address} does not answer like a simulated cluster"
            raise lost(f"{message}: {error!r}"[:500]) from error


class _Answer:
    def __init__(self, reader: asyncio.StreamReader, lost: type[ClusterError]) -> None:
        self._reader, self._lost = reader, lost

    async def line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("it closed the connection")
        return line

    async def line_soon(self, after_s: float = 0.0) -> bytes:
        """A line that must come within the usual time, or that much after `after_s` of the event loop's seconds."""
        async with asyncio.timeout(after_s + ANSWER_WITHIN_S):
            return await self.line()

    async def message(self) -> dict[str, Any]:
        return self._understood(await self.line())

    async def message_soon(self, after_s: float = 0.0) -> dict[str, Any]:
        return self._understood(await self.line_soon(after_s))

    def _understood(self, line: bytes) -> dict[str, Any]:
        """What the host says. Raises the error that it tells of."""
        message = said_in(line)
        if not isinstance(message, dict):
            raise TypeError("an answer is one JSON object")
        if "error" in message:
            raise error_of(message)
        if "bad_request" in message:
            said = f"the host of the simulated cluster does not understand: {message['bad_request']}"
            raise _nothing_happened(self._lost)(said)
        return message


def _line_of(asked: dict[str, Any], lost: type[ClusterError]) -> bytes:
    """Raises ClusterError where a name holds what cannot be sent: nothing is asked then."""
    try:
        return line_of(asked)
    except ValueError as error:
        field = half_characters(asked)[0]
        said = f'{asked["verb"]}: {field} "{shown(asked[field])}" holds half a character; no cluster has such a name'
        raise _nothing_happened(lost)(said) from error


def _nothing_happened(lost: type[ClusterError]) -> type[ClusterError]:
    """What to raise where it is certain that an order was not carried out, instead of `lost`."""
    return Refused if lost is OutcomeUnknown else lost


def _seen(told: dict[str, Any]) -> MigrationSeen:
    return MigrationSeen(
        at_s=_number(told["at_s"], LATEST_S), phase=Phase(told["phase"]), percent=_number(told["percent"], 100.0)
    )


def _number(told: Any, most: float) -> float:
    """Raises ValueError for what is no number from 0 to `most`; a number that is none (NaN) included."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= most:
        raise ValueError(f"{told!r} is no number from 0 to {most:g}")
    return float(told)
