"""--ray: a real cluster of two nodes on this machine, one of which is killed during a study."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on any system this keeps Ray to 127.0.0.1
pytest.importorskip("ray", reason="needs the extra ray")
pytest.importorskip("pyarrow", reason="needs the extra study")

from snips_cli.record import versions
from snips_cli.study.cluster import ClusterError, check_versions
from studies import STUDY, assert_same, done, landed, study

LONG = STUDY.replace("ratio = 0.7", "ratio = 0.97, steps_per_level = 3").replace("seeds = [0, 1]", "")
"""Eight cells, long enough that a node dies in the middle of one."""


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster with a worker's room on each node."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 otherwise: on a busy machine they would hardly ever run
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = made.add_node(**node)
    yield made, second
    ray.shutdown()
    made.shutdown()


def computing() -> int:
    """The processes that are at a cell: Ray names them by what they do."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended since
            count += path.read_bytes().startswith(b"ray::Computer.compute")
    return count


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="asks Linux what processes do")
def test_a_node_dies_and_all_cells_complete_once(here, two_nodes):
    made, second = two_nodes
    done("--out", "reference", text=LONG)
    seen: list[int] = []

    def kill() -> None:
        while computing() < 2:
            time.sleep(0.01)
        seen.append(len(landed("first")))
        made.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    done("--out", "first", "--ray", made.address, text=LONG)
    killer.join()
    assert seen[0] <= 6  # two cells were under way, one of them on the node that died
    assert len(landed("first")) == 8
    assert_same("first", "reference")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "no Ray cluster can be reached at 127.0.0.1:1 (Connection refused"),
        ("ray://127.0.0.1:1", "no Ray cluster can be reached at ray://127.0.0.1:1"),
        ("nowhere.invalid:6379", "no Ray cluster can be reached at nowhere.invalid:6379"),
        ("somewhere", "an address is HOST:PORT, ray://HOST:PORT, or auto"),
        ("127.0.0.1:port", "no Ray cluster can be reached"),
    ],
)
def test_a_cluster_that_cannot_be_reached(here, address, says):
    result = study("--out", "first", "--ray", address)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("first").exists()


def test_jobs_and_ray_are_not_for_one_study(here):
    assert "give one of them" in study("--jobs", 2, "--ray", "auto").stderr


def test_other_versions_are_refused():
    check_versions(versions())
    with pytest.raises(ClusterError, match=r"a worker of the cluster has torch 1\.0, and here is snips"):
        check_versions(versions() | {"torch": "1.0"})
