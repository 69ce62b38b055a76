"""R12: how long a migration takes follows from memory, dirty rate, bandwidth and the load of both nodes."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.estimate import Estimate, estimate


def expected(
    nodes: list[dict[str, Any]] | None = None, networks: list[dict[str, Any]] | None = None, **of_vm: Any
) -> Estimate:
    fields = {"networks": networks} if networks else {}
    of = cluster(nodes or [node("N1"), node("N2")], [vm("web", **{"memory_mib": 8192, **of_vm})], **fields)
    found = estimate(of, of.vms[0], "N2")
    assert found is not None
    return found


def test_r12_a_vm_that_writes_nothing_takes_its_memory_over_the_rate_and_two_and_a_half_seconds() -> None:
    quiet = expected(dirty_mib_per_s=0)
    # 10 Gbit/s are 1192.09 MiB/s; 90 % of it, and 91 % of that beside a load of 30 %, are 976.32 MiB/s
    assert quiet.rate_mib_per_s == pytest.approx(976.32, abs=0.01)
    assert quiet.duration_s == pytest.approx(2.5 + 8192 / 976.32, abs=0.001)
    assert quiet.downtime_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    "slower",
    [
        {"memory_mib": 16384},
        {"dirty_mib_per_s": 200},
        {"nodes": [node("N1", cpu_percent=80), node("N2", cpu_percent=30)]},
        {"nodes": [node("N1", cpu_percent=30), node("N2", cpu_percent=80)]},
        {"networks": [{"name": "LM", "roles": ["live_migration"], "link_mbps": 1000}]},
    ],
)
def test_r12_more_memory_more_writing_more_load_on_either_node_or_less_bandwidth_takes_longer(
    slower: dict[str, Any],
) -> None:
    assert expected(**slower).duration_s > expected().duration_s


def test_r12_the_slower_adapter_of_the_two_nodes_counts() -> None:
    slow = [{"name": "a", "network": "LM", "link_mbps": 1000}]
    fast = [{"name": "a", "network": "LM", "link_mbps": 10000}]
    network = [{"name": "LM", "roles": ["live_migration"]}]
    one_slow = expected([node("N1", adapters=fast), node("N2", adapters=slow)], network)
    both_slow = expected([node("N1", adapters=slow), node("N2", adapters=slow)], network)
    assert one_slow == both_slow


def test_r12_a_vm_that_writes_faster_than_the_link_copies_does_not_converge() -> None:
    busy = expected(dirty_mib_per_s=5000)
    assert not busy.converges
    assert busy.downtime_s > 8


def test_a_vm_that_stands_still_writes_nothing() -> None:
    assert expected(state="paused", dirty_mib_per_s=500) == expected(state="running", dirty_mib_per_s=0)


def test_nodes_that_no_network_joins_have_no_estimate() -> None:
    networks = [{"name": "LM", "roles": ["live_migration"], "nodes": ["N1"]}]
    of = cluster([node("N1"), node("N2", adapters=[])], [vm("web")], networks=networks)
    assert estimate(of, of.vms[0], "N2") is None


@given(memory_mib=st.integers(1, 2**22), dirty=st.floats(0, 2000), load=st.floats(0, 100))
def test_whatever_the_inputs_the_downtime_is_part_of_the_duration_and_both_are_finite(
    memory_mib: int, dirty: float, load: float
) -> None:
    nodes = [node("N1", 2**23, cpu_percent=load), node("N2", 2**23, cpu_percent=load)]
    found = expected(nodes, memory_mib=memory_mib, dirty_mib_per_s=dirty)
    assert 0.5 <= found.downtime_s < found.duration_s < 1e7
    assert found.duration_s >= 2.5 + memory_mib / found.rate_mib_per_s - 1e-6
