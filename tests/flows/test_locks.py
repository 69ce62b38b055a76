"""Node locks against a real Prefect server. Cluster and node names are this test's own: the server is shared."""

from __future__ import annotations

import asyncio
import logging
import uuid

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings

from shunter.flows import locks
from shunter.flows.errors import RunRefused
from shunter.flows.lock_server import LockServer
from shunter.flows.locks import PrefectHolds, limit_name
from shunter.flows.whole_cluster import WholeCluster

LOG = logging.getLogger("test")


@pytest.fixture
def cluster() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


async def taken(cluster: str, node: str) -> int:
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name(limit_name(cluster, node))).active_slots


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
        async with PrefectHolds.opened(cluster, LOG) as ours, PrefectHolds.opened(cluster, LOG) as theirs:
            hold = await ours.try_hold(("N1", "N2"))
            assert hold is not None
            assert await hold.still_ours()
            assert await theirs.try_hold(("N2", "N3")) is None
            assert await taken(cluster, "N3") == 0, "a refused hold takes nothing"
            await hold.release()
            await hold.release()
            assert not await hold.still_ours()
            again = await theirs.try_hold(("N2", "N3"))
            assert again is not None
            assert await ours.try_hold(("N1", "N4")) is not None
            await again.release()
            assert await taken(cluster, "N2") == 0

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_names_with_odd_characters_are_locked(cluster: str) -> None:
    nodes = ("rack/1 <a>&%", "Knoten-ü:=?#")

    async def story() -> None:
        async with PrefectHolds.opened(cluster, LOG) as holds:
            hold = await holds.try_hold(nodes)
            assert hold is not None
            assert [await taken(cluster, node) for node in nodes] == [1, 1]
            await hold.release()
            assert [await taken(cluster, node) for node in nodes] == [0, 0]

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_of_many_who_ask_at_once_one_gets_the_nodes(cluster: str) -> None:
    async def story() -> None:
        async with PrefectHolds.opened(cluster, LOG) as first, PrefectHolds.opened(cluster, LOG) as second:
            tries = [holds.try_hold(("N1", "N2")) for holds in (first, second) for _ in range(5)]
            got = [hold for hold in await asyncio.gather(*tries) if hold is not None]
            assert len(got) == 1
            await got[0].release()

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_a_lease_that_the_server_ended_is_lost(cluster: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with PrefectHolds.opened(cluster, LOG) as holds, get_client() as client:
            hold = await holds.try_hold(("N1", "N2"))
            assert hold is not None
            await client.release_concurrency_slots_with_lease(lease_id=hold.lease)
            assert not await hold.still_ours()
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
        async with PrefectHolds.opened(cluster, LOG) as holds, get_client() as client:
            hold = await holds.try_hold(("N1",))
            assert hold is not None
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
        async with PrefectHolds.opened(cluster, LOG) as ours, PrefectHolds.opened(cluster, LOG) as theirs:
            assert not await theirs.cluster_is_held()
            async with WholeCluster.held(ours, cluster):
                assert await theirs.cluster_is_held()
                assert await theirs.try_hold(("N1", "rolling maintenance")) is not None
                with pytest.raises(RunRefused, match=f"a rolling run is under way on {cluster}"):
                    async with WholeCluster.held(theirs, cluster):
                        pass
            assert not await theirs.cluster_is_held()

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_a_lost_hold_on_the_cluster_is_taken_again_unless_another_run_has_it(cluster: str) -> None:
    async def story() -> None:
        async with (
            PrefectHolds.opened(cluster, LOG) as ours,
            PrefectHolds.opened(cluster, LOG) as theirs,
            WholeCluster.held(ours, cluster) as whole,
            get_client() as client,
        ):
            for taken_by_them in (False, True):
                await client.release_concurrency_slots_with_lease(lease_id=whole.hold.lease)
                assert not await whole.hold.still_ours()
                other = await theirs.try_hold_cluster() if taken_by_them else None
                assert (other is not None) == taken_by_them
                assert await whole.still_ours() == (not taken_by_them)

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("change", [GlobalConcurrencyLimitUpdate(active=False)], ids=["disabled"])
def test_a_limit_that_locks_nothing_is_no_lock(
    cluster: str, change: GlobalConcurrencyLimitUpdate, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with PrefectHolds.opened(cluster, LOG) as holds:
            hold = await holds.try_hold(("N1", "N2"))
            assert hold is not None
            await hold.release()
            await update(cluster, "N2", change)
            assert await holds.try_hold(("N1", "N2")) is None
            assert await taken(cluster, "N1") == 0

    asyncio.run(story())
    assert f"shunter:{cluster}:N2 would lock nothing" in caplog.text


@pytest.mark.usefixtures("prefect_server")
def test_a_widened_limit_is_narrowed_before_it_is_trusted(cluster: str) -> None:
    async def story() -> None:
        async with PrefectHolds.opened(cluster, LOG) as ours, PrefectHolds.opened(cluster, LOG) as theirs:
            first = await ours.try_hold(("N1", "N2"))
            assert first is not None
            await update(cluster, "N2", GlobalConcurrencyLimitUpdate(limit=2))
            assert await theirs.try_hold(("N2", "N3")) is None
            await first.release()

    asyncio.run(story())


def test_a_server_out_of_reach_locks_nothing_and_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with PrefectHolds.opened("c", LOG) as holds:
            assert await holds.try_hold(("N1", "N2")) is None

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        asyncio.run(story())
    assert "N1 and N2 cannot be locked, the Prefect server is out of reach" in caplog.text
