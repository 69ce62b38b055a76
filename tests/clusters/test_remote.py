"""A simulated cluster in a process of its own: what is special about the way there."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from building import cluster, vm
from patience import PATIENCE_S

from shunter.clusters.clock import Clock
from shunter.clusters.port import OutcomeUnknown, Refused, Unreachable
from shunter.clusters.simulated import RemoteCluster, SimulatedCluster, read_faults
from shunter.clusters.simulated.host import hosted, main
from shunter.topology.clusterfile import cluster_json
from shunter.topology.errors import RequestError

HOST = [sys.executable, "-m", "shunter.clusters.simulated.host"]


@pytest.mark.parametrize("address", ["192.0.2.1:80", "0.0.0.0:80", "example.org:80", "[2001:db8::1]:80", "evil:1"])
def test_only_this_machine_is_spoken_to(address: str) -> None:
    with pytest.raises(RequestError, match="on this machine only"):
        asyncio.run(RemoteCluster.connect(address))


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_needs_a_port(address: str) -> None:
    with pytest.raises(RequestError, match=r"127\.0\.0\.1:7411"):
        asyncio.run(RemoteCluster.connect(address))


def test_where_nobody_listens_the_cluster_is_unreachable() -> None:
    async def body() -> None:
        async with hosted(SimulatedCluster(cluster(2), clock=Clock())) as address:
            pass
        with pytest.raises(Unreachable, match=address):
            await RemoteCluster.connect(address)

    asyncio.run(body())


def test_a_host_that_goes_away_is_unreachable_for_looks_and_leaves_orders_unknown() -> None:
    async def body() -> None:
        async with hosted(SimulatedCluster(cluster(2), clock=Clock())) as address:
            remote = await RemoteCluster.connect(address)
            seen = await remote.look()
            waiting = asyncio.create_task(remote.wait_for_change(seen, 1000))
            while not remote_is_heard(waiting):
                await remote.look()
        with pytest.raises(Unreachable):
            await waiting
        with pytest.raises(Unreachable):
            await remote.look()
        with pytest.raises(Unreachable):
            await remote.migration_log()
        with pytest.raises(OutcomeUnknown):
            await remote.pause_node("N1")

    rounds = 0

    def remote_is_heard(waiting: asyncio.Task[None]) -> bool:
        nonlocal rounds
        assert not waiting.done()
        rounds += 1
        return rounds > 5

    asyncio.run(body())


async def _answering(answer: bytes, ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask something that listens on loopback and always says the same."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        await ask(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"{}\n",
        b"[]\n",
        b'{"answer": {"speed": 0, "now_s": 0}}\n',
        b'{"answer": {"speed": NaN, "now_s": 0}}\n',
        b'{"answer": {"speed": true, "now_s": 0}}\n',
        b'{"answer": {"speed": 1, "now_s": 1e999}}\n',
        b'{"answer": {"speed": 1, "now_s": ' + b"9" * 400 + b"}}\n",
        b'{"answer": {"speed": 1, "now_s": ' + b"9" * 5000 + b"}}\n",
        b'{"answer": null}\n',
        b'{"error": "refused"}\n',
        b'{"error": "on fire", "message": "", "busy": false}\n',
        b'{"error": "refused", "message": "web\\ud800", "busy": false}\n',
        b'{"error": "unreachable", "message": "web\xed\xa0\x80", "busy": false}\n',
        b'{"bad_request": "\\ud800"}\n',
        b'"error"\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
        b"7\n",
    ],
)
def test_what_does_not_answer_like_a_simulated_cluster_is_unreachable(answer: bytes) -> None:
    async def ask(address: str) -> None:
        with pytest.raises(Unreachable, match=address):
            await RemoteCluster.connect(address)
        with pytest.raises(Unreachable):
            await RemoteCluster(address, Clock()).look()

    asyncio.run(_answering(answer, ask))


NODE = {"name": "N1", "memory_mib": 4096, "reserved_mib": 0}
VM = {"name": "web", "node": "N1", "memory_mib": 1, "memory_startup_mib": 1, "memory_maximum_mib": 1}


@pytest.mark.parametrize(
    "cluster_line",
    [
        {"name": "c", "nodes": [NODE], "vms": [{**VM, "node": "N9"}]},
        {"name": "c", "nodes": [NODE], "vms": [{**VM, "node": "n1"}]},
        {"name": "c", "nodes": [NODE, NODE]},
        {"name": "c", "nodes": [NODE], "vms": [VM], "migrations": [{"vm": "web", "source": "N1", "target": "N2"}]},
        {"name": "c", "nodes": [NODE], "volumes": [{"name": "CSV1", "owner": "N7"}]},
        {"name": "c", "nodes": [{**NODE, "memory_mib": -4}]},
        {"name": "c", "nodes": [NODE], "vms": [{**VM, "memory_mib": float("nan")}]},
        {"name": "c", "nodes": []},
        [],
        None,
    ],
    ids=str,
)
def test_a_snapshot_that_contradicts_itself_is_no_look_at_the_cluster(cluster_line: Any) -> None:
    told = {"answer": {"number": 1, "cluster_follows": True}}

    async def ask(address: str) -> None:
        with pytest.raises(Unreachable, match="does not answer like a simulated cluster"):
            await RemoteCluster(address, Clock()).look()

    asyncio.run(_answering(f"{json.dumps(told)}\n{json.dumps(cluster_line)}\n".encode(), ask))


def test_a_host_that_sends_no_snapshot_to_one_who_has_none_is_unreachable() -> None:
    async def ask(address: str) -> None:
        with pytest.raises(Unreachable, match="we know none of this number"):
            await RemoteCluster(address, Clock()).look()

    asyncio.run(_answering(b'{"answer": {"number": 1, "cluster_follows": false}}\n', ask))


@pytest.mark.parametrize(
    "seen",
    [
        {"at_s": 1, "phase": "flying", "percent": 5},
        {"at_s": 1, "phase": "copying", "percent": 101},
        {"at_s": "now", "phase": "copying", "percent": 5},
        {"at_s": 1, "phase": "copying"},
        None,
    ],
    ids=str,
)
def test_a_migration_that_cannot_be_so_is_lost_from_sight(seen: Any) -> None:
    async def ask(address: str) -> None:
        with pytest.raises(Unreachable):
            async for _ in RemoteCluster(address, Clock()).follow_migration("web"):
                pass

    asyncio.run(_answering(f"{json.dumps({'seen': seen})}\n".encode(), ask))


RECORD = {
    "vm": "web",
    "source": "N1",
    "target": "N2",
    "by": "us",
    "started_s": 1,
    "ended_s": 2,
    "outcome": "done",
    "node": "N2",
}


@pytest.mark.parametrize(
    "record",
    [
        {**RECORD, "outcome": "lost"},
        {**RECORD, "ended_s": 0},
        {**RECORD, "ended_s": float("nan")},
        {**RECORD, "vm": 5},
        {"vm": "web"},
        "web",
    ],
    ids=str,
)
def test_a_migration_log_that_cannot_be_so_is_none(record: Any) -> None:
    async def ask(address: str) -> None:
        with pytest.raises(Unreachable):
            await RemoteCluster(address, Clock()).migration_log()

    asyncio.run(_answering(f"{json.dumps({'answer': [record]})}\n".encode(), ask))


@pytest.mark.parametrize("answer", [b"", b'{"answer": nu'])
def test_an_order_whose_answer_breaks_off_has_an_unknown_outcome(answer: bytes) -> None:
    async def ask(address: str) -> None:
        with pytest.raises(OutcomeUnknown):
            await RemoteCluster(address, Clock()).start_migration("web", "N2")

    asyncio.run(_answering(answer, ask))


def test_a_name_with_half_a_character_is_refused_before_anything_is_asked() -> None:
    async def body() -> None:
        world = SimulatedCluster(cluster(2, [vm("web")]), clock=Clock())
        async with hosted(world) as address, RemoteCluster.connected(address) as remote:
            with pytest.raises(Refused, match=r'start_migration: vm "web\\ud800" holds half a character'):
                await remote.start_migration("web\ud800", "N2")
            with pytest.raises(Refused, match=r"node .* half a character"):
                await remote.pause_node("\udcff")
            with pytest.raises(Unreachable, match=r"node .* half a character"):
                await remote.booted_s("\udcff")
        assert [json.loads(line)["what"] for line in world.witness.lines] == ["cluster"]
        await world.close()

    asyncio.run(body())


def test_a_lost_answer_in_the_cluster_is_a_lost_answer_here() -> None:
    async def body() -> None:
        of = cluster(2)
        faults = read_faults('[{"when": {"node": "N1"}, "do": "answer_lost", "moved": true}]', of)
        world = SimulatedCluster(of, clock=Clock(), faults=faults)
        async with hosted(world) as address, RemoteCluster.connected(address) as remote:
            with pytest.raises(OutcomeUnknown):
                await remote.pause_node("N1")
            assert (await remote.look()).node_by_name["N1"].state == "paused"
        await world.close()

    asyncio.run(body())


def test_the_clock_is_the_hosts() -> None:
    async def body() -> None:
        world = SimulatedCluster(cluster(1), clock=Clock(50, now_s=1000))
        async with hosted(world) as address, RemoteCluster.connected(address) as remote:
            assert remote.clock.speed == 50
            assert 1000 < remote.clock.now_s() <= world.clock.now_s()
        await world.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    "asked",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"[]\n",
        b'{"verb": 1}\n',
        b'{"verb": "stop"}\n',
        b'{"verb": "pause_node"}\n',
        b"[" * 9000 + b"\n",
        b"x" * 200_000 + b"\n",
        b'{"verb": "start_migration", "vm": "web\\ud800", "target": "N1"}\n',
        b'{"verb": "start_migration", "vm": "web\xed\xa0\x80", "target": "N1"}\n',
        b'{"verb": "pause_node", "node": "\\udfff"}\n',
        b'{"verb": "hello", "\\ud800": 1}\n',
        b'{"verb": "\\ud800"}\n',
    ],
)
def test_the_host_refuses_what_it_does_not_understand_and_goes_on(asked: bytes) -> None:
    async def body() -> None:
        async with hosted(SimulatedCluster(cluster(1), clock=Clock())) as address:
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(asked)
            assert "bad_request" in json.loads(await reader.readline())
            writer.close()
            assert (await (await RemoteCluster.connect(address)).look()).name == "test"

    asyncio.run(body())


def test_r15_two_clients_see_each_others_migrations() -> None:
    async def body() -> None:
        world = SimulatedCluster(cluster(3, [vm("a", memory_mib=60000), vm("b")]), clock=Clock())
        async with hosted(world) as address:
            one, other = await RemoteCluster.connect(address), await RemoteCluster.connect(address)
            before = await other.look()
            await one.start_migration("a", "N2")
            await other.wait_for_change(before, 1000)
            assert [m.vm for m in (await other.look()).migrations] == ["a"]
            with pytest.raises(Refused) as refusal:
                await other.start_migration("b", "N2")
            assert refusal.value.busy
        await world.close()

    asyncio.run(body())


def test_a_large_snapshot_comes_across_whole() -> None:
    async def body() -> None:
        of = cluster(4, [vm(f"vm-{i}", f"N{i % 4 + 1}", 8) for i in range(8000)])
        world = SimulatedCluster(of, clock=Clock())
        async with hosted(world) as address, RemoteCluster.connected(address) as remote:
            assert await remote.look() == of
        await world.close()

    asyncio.run(body())


# ------------------------------------------------------------------ the process


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to send")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_listens_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "c.json").write_text(cluster_json(cluster(2, [vm("web")])))
    log = tmp_path / "log.jsonl"
    arguments = ["--cluster", str(tmp_path / "c.json"), "--log", str(log), "--speed", "1000", "--seed", "3"]
    with subprocess.Popen([*HOST, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().removeprefix("listening on ").strip()

        async def migrate() -> None:
            remote = await RemoteCluster.connect(address)
            await remote.start_migration("web", "N2")
            async for _ in remote.follow_migration("web"):
                pass
            assert (await remote.look()).vm_by_name["web"].node == "N2"

        asyncio.run(migrate())
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""
    happened: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["what"] for line in happened] == ["cluster", "migration_started", "migration_ended"]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "there is no such file"), ("{", "is not JSON"), ('{"name": "c", "nodes": []}', "nodes")],
)
def test_a_cluster_file_that_cannot_be_read_ends_the_process_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    assert main(["--cluster", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_an_impossible_speed_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--cluster", "c.json", "--speed", speed])
    assert ended.value.code == 2
    assert "--speed" in capsys.readouterr().err


@pytest.mark.parametrize("reboot_s", ["0", "nan", "inf"])
def test_a_reboot_that_takes_no_time_or_for_ever_ends_the_process_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reboot_s: str
) -> None:
    (tmp_path / "c.json").write_text(cluster_json(cluster(2)))
    assert main(["--cluster", str(tmp_path / "c.json"), "--reboot-s", reboot_s]) == 2
    assert "reboot_s" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to send")
def test_the_process_reboots_as_fast_and_balances_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(cluster_json(cluster(3, [vm(f"vm-{i}", "N2") for i in range(6)])))
    arguments = ["--cluster", str(tmp_path / "c.json"), "--speed", "1000", "--reboot-s", "50", "--balances"]
    with subprocess.Popen([*HOST, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening on ").strip()

        async def reboot() -> None:
            remote = await RemoteCluster.connect(address)
            ordered_s = remote.clock.now_s()
            await remote.reboot_node("N1")
            while not (seen := await remote.look()).migrations:
                await remote.wait_for_change(seen, 1000)
            assert (seen.migrations[0].target, seen.migrations[0].by) == ("N1", "elsewhere")
            booted_s = await remote.booted_s("N1")
            assert booted_s is not None
            assert ordered_s + 49 <= booted_s <= remote.clock.now_s() - 59

        asyncio.run(reboot())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("answer", [b'{"answer": "soon"}\n', b'{"answer": NaN}\n', b'{"answer": -1}\n', b"{}\n"])
def test_a_boot_time_that_is_none_is_not_believed(answer: bytes) -> None:
    async def ask(address: str) -> None:
        with pytest.raises(Unreachable, match=address):
            await RemoteCluster(address, Clock()).booted_s("N1")

    asyncio.run(_answering(answer, ask))
