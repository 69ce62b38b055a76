"""What `--cluster` may be, and what is said when it is nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import prefect_side
import pytest
from building import cluster
from commanding import apart, command_line
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster
from shunter.clusters.simulated.host import hosted
from shunter.flows.clusters import SimulatedClusterHost, is_file, open_cluster
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable
from shunter.topology.errors import ClusterFileError, RequestError


async def nodes_of(name: str, speed: float | None = None) -> list[str]:
    async with open_cluster(name, speed=speed) as port:
        return [node.name for node in (await port.look()).nodes]


@pytest.mark.parametrize(
    ("name", "file"),
    [("prod-1", False), ("c.json", True), ("./prod", True), ("C:\\c\\prod", True), ("json", False)],
)
def test_a_separator_or_json_at_the_end_makes_a_file(name: str, file: bool) -> None:
    assert is_file(name) is file


def test_a_file_becomes_a_simulated_cluster_in_real_time_or_at_the_speed_given(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"name": "c", "nodes": [{"name": "N1", "memory_mib": 4096}]}), encoding="utf-8")

    async def speed(given: float | None) -> float:
        async with open_cluster(str(path), speed=given) as port:
            return port.clock.speed

    assert asyncio.run(nodes_of(str(path))) == ["N1"]
    assert asyncio.run(speed(None)) == 1.0
    assert asyncio.run(speed(25.0)) == 25.0


def test_what_goes_wrong_in_a_simulated_cluster_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    nodes = [{"name": name, "memory_mib": 4096} for name in ("N1", "N2", "N3")]
    path.write_text(json.dumps({"name": "c", "nodes": nodes}), encoding="utf-8")

    async def states() -> list[str]:
        falls = Fault(do="node_down", node="N2", at_s=5.0)
        async with open_cluster(str(path), speed=1000.0, faults=(falls,)) as port:
            await port.clock.sleep(10.0)
            return [node.state for node in (await port.look()).nodes]

    assert asyncio.run(states()) == ["up", "down", "up"]


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(RequestError, match="there is no such file") as missing:
        asyncio.run(nodes_of(str(path)))
    assert str(path) in str(missing.value)


def test_a_bad_file_is_refused_with_the_path_of_the_field(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"name": "c", "nodes": [{"name": "N1", "memory_mib": -1}]}', encoding="utf-8")
    with pytest.raises(ClusterFileError, match=r"nodes\[0\]\.memory_mib"):
        asyncio.run(nodes_of(str(path)))


@pytest.mark.usefixtures("prefect_server")
def test_a_registered_name_reaches_the_process_that_hosts_the_cluster() -> None:
    name = f"lab-{uuid.uuid4().hex[:8]}"

    async def story() -> None:
        world = SimulatedCluster(cluster(3), clock=Clock(7.0))
        async with hosted(world) as address:
            await SimulatedClusterHost(address=address).asave(name)
            assert await nodes_of(name) == ["N1", "N2", "N3"]
            with pytest.raises(RequestError, match=f"speed 2: {name} is a registered cluster"):
                await nodes_of(name, speed=2.0)
            with pytest.raises(RequestError, match="no cluster is registered as") as missing:
                await nodes_of("nowhere")
            assert name in str(missing.value)
        await world.close()

    asyncio.run(story())


@pytest.mark.heavy
def test_the_status_of_a_registered_cluster_is_what_its_host_shows_and_names_the_run_that_paused_a_node(
    prefect_server: EmbeddedServer, tmp_path: Path
) -> None:
    name = f"lab-{uuid.uuid4().hex[:8]}"
    status = command_line("status", "--cluster", name, "--json")
    with prefect_side.hosted(name, tmp_path):
        done = apart(*status, prefect=prefect_server)
        assert (done.code, done.document["cluster"], done.document["vms"]["running"]) == (0, name, 4), done.err
        apart(*command_line("evacuate", "N1", "--cluster", name), prefect=prefect_server)
        nodes = apart(*status, prefect=prefect_server).document["nodes"]
    by_run = {node["name"]: node["paused_by_run"] for node in nodes}
    assert by_run.pop("N1").startswith("the run evacuate N1 of ")
    assert not any(by_run.values())


def test_without_a_prefect_server_no_name_can_be_looked_up() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(PrefectUnreachable, match="cluster prod-1: the Prefect server cannot be asked"),
    ):
        asyncio.run(nodes_of("prod-1"))
