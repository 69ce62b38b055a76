"""Node locks against a real Prefect server. Cluster and node names are this test's own: the server is shared."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import uuid

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_side import locks_of, silent

from shunter.engine.holds import Denied
from shunter.flows import locks, server
from shunter.flows.claims import read_claims
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import RunRefused
from shunter.flows.lock_server import LockServer
from shunter.flows.locks import PrefectHold, PrefectHolds, limit_name
from shunter.flows.processes import ProcessIdentity
from shunter.flows.whole_cluster import WholeCluster


@pytest.fixture
def cluster() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


async def taken(cluster: str, node: str) -> int:
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name(limit_name(cluster, node))).active_slots


async def until_held(holds: PrefectHolds, nodes: tuple[str, ...]) -> PrefectHold:
    """Asked again, as an engine does."""
    async with asyncio.timeout(10):
        while isinstance(hold := await holds.try_hold(nodes), Denied):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    return hold


async def update(cluster: str, node: str, change: GlobalConcurrencyLimitUpdate) -> None:
    async with get_client() as client:
        await client.update_global_concurrency_limit(limit_name(cluster, node), change)


@pytest.mark.parametrize(
    ("cluster", "node", "expected"),
    [
        ("prod-1", "N1", "shunter:prod-1:N1"),
        ("a/b", "50%", "shunter:a=2Fb:50=25"),
        ("a", "b:c", "shunter:a:b=3Ac"),
        ("a:b", "c", "shunter:a=3Ab:c"),
        ("ü", "x=y ?#", "shunter:=C3=BC:x=3Dy =3F=23"),
    ],
)
def test_each_node_has_a_limit_of_its_own_whatever_its_name(cluster: str, node: str, expected: str) -> None:
    assert limit_name(cluster, node) == expected


@pytest.mark.usefixtures("prefect_server")
def test_a_held_node_is_refused_to_another_run_until_released(cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster) as ours, locks_of(cluster) as theirs:
            hold = await ours.try_hold(("N1", "N2"))
            assert isinstance(hold, PrefectHold)
            assert await hold.why_not_ours() == ""
            assert isinstance(await theirs.try_hold(("N2", "N3")), Denied)
            assert await taken(cluster, "N3") == 0, "a refused hold takes nothing"
            await hold.release()
            await hold.release()
            assert await hold.why_not_ours() != ""
            again = await theirs.try_hold(("N2", "N3"))
            assert isinstance(again, PrefectHold)
            assert isinstance(await ours.try_hold(("N1", "N4")), PrefectHold)
            await again.release()
            assert await taken(cluster, "N2") == 0

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_names_with_odd_characters_are_locked(cluster: str) -> None:
    nodes = ("rack/1 <a>&%", "Knoten-ü:=?#")

    async def story() -> None:
        async with locks_of(cluster) as holds:
            hold = await holds.try_hold(nodes)
            assert isinstance(hold, PrefectHold)
            assert [await taken(cluster, node) for node in nodes] == [1, 1]
            await hold.release()
            assert [await taken(cluster, node) for node in nodes] == [0, 0]

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_of_many_who_ask_at_once_one_gets_the_nodes(cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster) as first, locks_of(cluster) as second:
            await first.prepare(["N1", "N2"])  # as a run does when it begins
            tries = [holds.try_hold(("N1", "N2")) for holds in (first, second) for _ in range(5)]
            got = [hold for hold in await asyncio.gather(*tries) if isinstance(hold, PrefectHold)]
            assert len(got) == 1
            await got[0].release()

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_a_lease_that_the_server_ended_is_lost(cluster: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with locks_of(cluster) as holds, get_client() as client:
            hold = await holds.try_hold(("N1", "N2"))
            assert isinstance(hold, PrefectHold)
            await client.release_concurrency_slots_with_lease(lease_id=hold.lease)
            assert await hold.why_not_ours() != ""
            assert hold.lost
            await hold.release()

    asyncio.run(story())
    assert "the lock on N1 and N2 is lost" in caplog.text


@pytest.mark.usefixtures("prefect_server")
def test_a_hold_is_renewed_as_long_as_it_is_held(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_EVERY_S", 0.1)
    renewed = asyncio.Semaphore(0)
    renew = LockServer.renew

    async def counted(self: LockServer, lease: uuid.UUID) -> bool:
        answer = await renew(self, lease)
        renewed.release()
        return answer

    monkeypatch.setattr(LockServer, "renew", counted)

    async def story() -> None:
        async with locks_of(cluster) as holds, get_client() as client:
            hold = await holds.try_hold(("N1",))
            assert isinstance(hold, PrefectHold)
            async with asyncio.timeout(10):
                for _ in range(3):
                    await renewed.acquire()
            assert not hold.lost
            await client.release_concurrency_slots_with_lease(lease_id=hold.lease)
            async with asyncio.timeout(10):
                while not hold.lost:  # noqa: ASYNC110 - nobody asks it; it finds out by renewing
                    await asyncio.sleep(0.05)
            await hold.release()

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_the_whole_cluster_is_held_apart_from_its_nodes_and_by_one_run_at_a_time(cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster) as ours, locks_of(cluster) as theirs:
            assert await theirs.who_holds_cluster() == ""
            async with WholeCluster.held(ours, cluster):
                assert (await theirs.who_holds_cluster()).startswith("is held by the run of a test (until ")
                assert isinstance(await theirs.try_hold(("N1", "rolling maintenance")), PrefectHold)
                with pytest.raises(RunRefused, match=f"a rolling run is under way on {cluster}"):
                    async with WholeCluster.held(theirs, cluster):
                        pass
            assert await theirs.who_holds_cluster() == ""

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_a_lost_hold_on_the_cluster_is_taken_again_unless_another_run_has_it(cluster: str) -> None:
    async def story() -> None:
        async with (
            locks_of(cluster) as ours,
            locks_of(cluster) as theirs,
            WholeCluster.held(ours, cluster) as whole,
            get_client() as client,
        ):
            for taken_by_them in (False, True):
                await client.release_concurrency_slots_with_lease(lease_id=whole.hold.lease)
                assert await whole.hold.why_not_ours() != ""
                other = await theirs.try_hold_cluster() if taken_by_them else None
                assert isinstance(other, PrefectHold) == taken_by_them
                assert (await whole.why_not_ours() == "") == (not taken_by_them)

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("change", [GlobalConcurrencyLimitUpdate(active=False)], ids=["disabled"])
def test_a_limit_that_locks_nothing_is_no_lock(
    cluster: str, change: GlobalConcurrencyLimitUpdate, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with locks_of(cluster) as holds:
            hold = await holds.try_hold(("N1", "N2"))
            assert isinstance(hold, PrefectHold)
            await hold.release()
            await update(cluster, "N2", change)
            assert isinstance(await holds.try_hold(("N1", "N2")), Denied)
            assert await taken(cluster, "N1") == 0

    asyncio.run(story())
    assert f"shunter:{cluster}:N2 would lock nothing" in caplog.text


@pytest.mark.usefixtures("prefect_server")
def test_a_widened_limit_is_narrowed_before_it_is_trusted(cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster) as ours, locks_of(cluster) as theirs:
            first = await ours.try_hold(("N1", "N2"))
            assert isinstance(first, PrefectHold)
            await update(cluster, "N2", GlobalConcurrencyLimitUpdate(limit=2))
            assert isinstance(await theirs.try_hold(("N2", "N3")), Denied)
            await first.release()

    asyncio.run(story())


def test_a_server_out_of_reach_locks_nothing_and_fails_nothing() -> None:
    async def story() -> None:
        async with locks_of("c") as holds:
            hold = await holds.try_hold(("N1", "N2"))
            assert isinstance(hold, Denied)
            assert re.match(r"N1 cannot be locked: the Prefect server does not answer since \d\d:\d\d:\d\d", str(hold))
            assert set(hold.why) == {"N1", "N2"}

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        asyncio.run(story())


# ---------------------------------------------------------------- a server that falls silent


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CALL_DEADLINE_S", 0.5)
    monkeypatch.setattr(server, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(locks, "GIVE_BACK_AT_ONCE_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_what_could_not_be_given_back_is_given_back_once_the_server_answers_again(
    prefect_server: EmbeddedServer, cluster: str
) -> None:
    async def story() -> None:
        async with locks_of(cluster) as holds:
            hold = await holds.try_hold(("N1", "N2"))
            assert isinstance(hold, PrefectHold)
            with silent(prefect_server):
                await hold.release()
                denied = await holds.try_hold(("N1", "N3"))
                assert isinstance(denied, Denied)
                assert "the Prefect server does not answer since" in str(denied)
            again = await until_held(holds, ("N1", "N3"))
            assert await taken(cluster, "N2") == 0
            await again.release()
            assert holds.server.silences[0].lasted_s is not None

    asyncio.run(story())


@pytest.mark.usefixtures("impatient")
def test_what_the_server_grants_too_late_is_given_back_at_once(prefect_server: EmbeddedServer, cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster) as holds, locks_of(cluster) as theirs:
            await holds.prepare(["N1"])
            with silent(prefect_server):
                # it does not know yet that the server is silent: what it asks for is granted later
                assert isinstance(await holds.try_hold(("N1",)), Denied)
            await (await until_held(theirs, ("N1",))).release()

    asyncio.run(story())


# ---------------------------------------------------------------- who holds what


@pytest.mark.usefixtures("prefect_server")
def test_whoever_is_denied_a_node_is_told_which_run_has_it_and_until_when(cluster: str) -> None:
    async def story() -> None:
        async with locks_of(cluster, "evacuate N1 of prod-1") as ours, locks_of(cluster) as theirs:
            hold = await ours.try_hold(("N1", "N2"))
            assert isinstance(hold, PrefectHold)
            denied = await theirs.try_hold(("N2", "N3"))
            assert isinstance(denied, Denied)
            assert list(denied.why) == ["N2"]
            assert denied.why["N2"].reason == "is held by the run evacuate N1 of prod-1"
            assert re.fullmatch(r"until \d\d:\d\d:\d\d, unless it renews its lease", denied.why["N2"].until)
            await hold.release()
            assert isinstance(await theirs.try_hold(("N2", "N3")), PrefectHold)

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_what_kept_a_run_waiting_is_told_with_its_duration(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WORTH_REPORTING_S", 0.1)

    async def story() -> None:
        async with locks_of(cluster) as ours, locks_of(cluster) as theirs:
            hold = await ours.try_hold(("N1",))
            assert isinstance(hold, PrefectHold)
            assert isinstance(await theirs.try_hold(("N1", "N2")), Denied)
            await asyncio.sleep(0.2)
            await hold.release()
            assert isinstance(await theirs.try_hold(("N1", "N2")), PrefectHold)
            (told,) = theirs.findings()
            assert re.fullmatch(r"N1 is held by the run of a test: this run waited \d\.\d s for it", told.message)

    asyncio.run(story())


HOLDER = """
import asyncio, logging, sys
from shunter.flows.locks import PrefectHolds
from shunter.flows.server import PrefectServer

async def hold():
    log = logging.getLogger("holder")
    async with (
        PrefectServer.connected(log) as server,
        PrefectHolds.opened(server, sys.argv[1], log, None, "dead") as holds,
    ):
        assert (await holds.try_hold(("N1", "N2"))).lease
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


def test_what_a_run_held_whose_process_was_killed_is_taken_over_at_once(
    prefect_server: EmbeddedServer, cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = {"PREFECT_API_URL": prefect_server.api_url, "PREFECT_HOME": str(prefect_server.home)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, cluster], env={**os.environ, **here}, stdout=subprocess.PIPE, text=True
    )

    async def story() -> None:
        async with locks_of(cluster) as holds:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            denied = await holds.try_hold(("N2", "N3"))
            assert isinstance(denied, Denied), "it lives"
            holder.kill()
            holder.wait()
            assert isinstance(await holds.try_hold(("N2", "N3")), PrefectHold)
            assert await taken(cluster, "N1") == 0
            assert await read_claims(holds.server, cluster) == {holds.claims.variable: holds.claims.own}

    try:
        asyncio.run(story())
    finally:
        holder.kill()
        holder.communicate()
    assert "the run dead is dead, its process is gone (process" in caplog.text


def test_nothing_is_proven_of_a_process_of_another_boot_and_a_process_number_that_is_used_again_proves_death() -> None:
    own = ProcessIdentity.own()
    assert not own.is_proven_gone
    assert not own.model_copy(update={"boot": "elsewhere", "pid": 2**22}).is_proven_gone
    assert own.model_copy(update={"started": own.started - 60}).is_proven_gone
