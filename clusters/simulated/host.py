"""Serves one simulated cluster to several processes on this machine, over the loopback interface.

    python -m shunter.clusters.simulated.host --cluster FILE [--port 0] [--log FILE] [--speed X] [--seed N]
        [--reboot-s S] [--balances]

It prints `listening on 127.0.0.1:PORT` when it is ready, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from shunter.clusters.clock import Clock
from shunter.clusters.port import ClusterError
from shunter.clusters.simulated.cluster import SimulatedCluster
from shunter.clusters.simulated.wire import LONGEST_WAIT_S, MOST_ASKED_BYTES, error_message, line_of, said_in
from shunter.clusters.simulated.witness import log_file
from shunter.topology.clusterfile import read_cluster
from shunter.topology.errors import RequestError, ShunterError
from shunter.topology.model import Cluster

LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
ASK_WITHIN_S = 10.0

Request = dict[str, Any]


class Host:
    """Answers requests about one cluster. Snapshots are numbered, so that one a client has is not sent again."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._shown: Cluster | None = None
        self._number = 0
        self._shown_line = b""
        self._connections: set[asyncio.Task[None]] = set()
        self._verbs: dict[str, Callable[[Request], Awaitable[Any]]] = {
            "hello": self._hello,
            "wait_for_change": self._wait_for_change,
            "pause_node": lambda asked: cluster.pause_node(_name(asked, "node")),
            "resume_node": lambda asked: cluster.resume_node(_name(asked, "node")),
            "reboot_node": lambda asked: cluster.reboot_node(_name(asked, "node")),
            "booted_s": lambda asked: cluster.booted_s(_name(asked, "node")),
            "start_migration": lambda asked: cluster.start_migration(_name(asked, "vm"), _name(asked, "target")),
            "cancel_migration": lambda asked: cluster.cancel_migration(_name(asked, "vm")),
            "move_role": lambda asked: cluster.move_role(_name(asked, "name"), _name(asked, "target")),
            "move_volume": lambda asked: cluster.move_volume(_name(asked, "volume"), _name(asked, "target")),
            "start_vm": lambda asked: cluster.start_vm(_name(asked, "vm"), _name(asked, "node")),
            "restore_direct_io": lambda asked: cluster.restore_direct_io(_name(asked, "volume")),
            "refresh_configuration": lambda asked: cluster.refresh_configuration(_name(asked, "vm")),
            "migration_log": self._migration_log,
        }

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a new connection, in the background."""
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._ended)

    def _ended(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if not connection.cancelled():
            connection.result()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except RequestError as error:
            writer.write(line_of({"bad_request": str(error)}))
        except ConnectionError as error:
            LOG.debug("a client went away: %s", error)
        finally:
            writer.close()

    async def close(self) -> None:
        """End all connections; what was ordered over them stays ordered."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client that goes away ends its waits, never its orders."""
        asked = await _request(reader)
        answering = asyncio.create_task(self._answer(asked, writer))
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and asked["verb"] in ("wait_for_change", "follow_migration"):
                answering.cancel()
            await asyncio.wait({answering})
        finally:
            leaving.cancel()
            answering.cancel()
        if not answering.cancelled():
            answering.result()

    async def _answer(self, asked: Request, writer: asyncio.StreamWriter) -> None:
        verb = asked["verb"]
        try:
            if verb == "look":
                await self._look(asked, writer)
            elif verb == "follow_migration":
                async for seen in self._cluster.follow_migration(_name(asked, "vm")):
                    writer.write(line_of({"seen": seen._asdict()}))
                    await writer.drain()
                writer.write(line_of({"answer": None}))
            elif verb in self._verbs:
                writer.write(line_of({"answer": await self._verbs[verb](asked)}))
            else:
                raise RequestError(f"no such verb; there are look, follow_migration, {', '.join(self._verbs)}")
        except ClusterError as error:
            writer.write(line_of(error_message(error)))
        await writer.drain()

    async def _hello(self, asked: Request) -> dict[str, float]:  # noqa: ARG002  every verb takes the request
        clock = self._cluster.clock
        return {"now_s": clock.now_s(), "speed": clock.speed}

    async def _look(self, asked: Request, writer: asyncio.StreamWriter) -> None:
        number = self._numbered(await self._cluster.look())
        known = asked.get("number") == number
        writer.write(line_of({"answer": {"number": number, "cluster_follows": not known}}))
        if not known:
            writer.write(self._shown_line)

    async def _wait_for_change(self, asked: Request) -> None:
        within_s = asked.get("within_s")
        if not isinstance(within_s, int | float) or not within_s <= LONGEST_WAIT_S:
            raise RequestError(f"within_s: give seconds, at most {LONGEST_WAIT_S:g}")
        seen, node = await self._cluster.look(), asked.get("node")
        if node is not None and (not isinstance(node, str) or node not in seen.node_by_name):
            raise RequestError("node: is none of the cluster's")
        if self._numbered(seen) == asked.get("number"):
            await self._cluster.wait_for_change(seen, within_s, node=node)

    async def _migration_log(self, asked: Request) -> list[dict[str, Any]]:  # noqa: ARG002  every verb takes it
        return [asdict(record) for record in await self._cluster.migration_log()]

    def _numbered(self, seen: Cluster) -> int:
        if seen is not self._shown:
            self._shown, self._shown_line = seen, seen.model_dump_json().encode() + b"\n"
            self._number += 1
        return self._number


async def _request(reader: asyncio.StreamReader) -> Request:
    """What a client asks. Raises RequestError."""
    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            line = await reader.readline()
        asked = said_in(line)
    except TimeoutError:
        raise RequestError(f"no request within {ASK_WITHIN_S:g} s") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, half a character, or a line too long
        raise RequestError(f"a request is one JSON object on one line: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("verb"), str):
        raise RequestError("a request is one JSON object with a verb")
    return asked


def _name(asked: Request, field: str) -> str:
    name = asked.get(field)
    if not isinstance(name, str):
        raise RequestError(f"{field}: give a name")
    return name


@asynccontextmanager
async def hosted(cluster: SimulatedCluster, port: int = 0) -> AsyncIterator[str]:
    """Serve the cluster while the context is open; yields the address. `port` 0: any that is free. Raises OSError."""
    host = Host(cluster)
    server = await asyncio.start_server(host.accept, LOOPBACK, port, limit=MOST_ASKED_BYTES)
    try:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await host.close()
        await server.wait_closed()


# ------------------------------------------------------------------ as a process


def _told_to_end() -> asyncio.Event:
    """Set once a signal says so; from now on none ends the process at once."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def tell(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  what a signal handler is given
        loop.call_soon_threadsafe(told.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return told


async def _run(options: argparse.Namespace) -> None:
    cluster = read_cluster(options.cluster)
    with ExitStack() as files:
        log = None
        if options.log is not None:
            log = files.enter_context(log_file(options.log))
        simulated = SimulatedCluster(
            cluster,
            clock=Clock(options.speed),
            seed=options.seed,
            log=log,
            reboot_s=options.reboot_s,
            balances=options.balances,
        )
        try:
            told = _told_to_end()
            async with hosted(simulated, options.port) as address:
                print(f"listening on {address}", flush=True)  # noqa: T201  the line that who started it waits for
                await told.wait()
        finally:
            await simulated.close()


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed <= 1_000_000:
        raise ValueError(text)
    return speed


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a signal to end, 2 where the request is wrong."""
    parser = argparse.ArgumentParser(prog="python -m shunter.clusters.simulated.host", description=__doc__)
    parser.add_argument("--cluster", type=Path, required=True, help="the cluster file it starts from")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any that is free")
    parser.add_argument("--log", type=Path, help="where the witness log is written as it grows")
    parser.add_argument("--speed", type=_speed, default=1.0, help="how many times as fast as real time")
    parser.add_argument("--seed", type=int, default=0, help="what chance is drawn from")
    parser.add_argument("--reboot-s", type=float, default=600.0, help="how long a node is away that reboots, in s")
    parser.add_argument("--balances", action="store_true", help="the cluster gives VMs to nodes that have come back")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (ShunterError, OSError, OverflowError) as error:
        print(error, file=sys.stderr)  # noqa: T201  a person or a script started it
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
