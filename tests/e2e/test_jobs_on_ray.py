"""The same tasks on a real Ray cluster of two nodes, one of which dies in the middle."""

from collections.abc import Iterator

import pytest

from offline_jobs.engine.executor import Local

ray = pytest.importorskip("ray", reason="needs the extra `ray`")

# Ray warns of a coming change of its own and leaves sockets to the collector
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.long]


def slow_square(number: int) -> int:
    import time

    time.sleep(0.2)
    return number * number


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    # a node may take long to start where the processors have other work
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=2)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes, second
    ray.shutdown()
    nodes.shutdown()


def test_a_node_that_dies_in_the_middle_costs_no_result(cluster: tuple[object, object]) -> None:
    from offline_jobs.engine.on_ray import Cluster

    nodes, second = cluster
    executor = Cluster(2)
    found = []
    for place, result in enumerate(executor.map(slow_square, range(24))):
        found.append(result)
        if place == 5:
            nodes.remove_node(second)  # type: ignore[attr-defined] - ray's own test cluster, which is not typed
    executor.close()
    assert found == list(Local().map(slow_square, range(24))) == [number * number for number in range(24)]
