"""--ray: cells on a Ray cluster, each worker an actor that loads a denoiser once. If one dies its cell goes elsewhere.

The driver writes all results. Workers read pictures and weights by the paths of the study: a file system that all nodes
share, or the same files on each. A worker whose picture differs says so, and one of another version is refused.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snips.errors import SnipsError
from snips_cli.messages import one_line, say
from snips_cli.record import versions
from snips_cli.study.cells import Outcome, compute, failure
from snips_cli.study.extra import need
from snips_cli.study.grid import Cell

TRIES = 4
"""How often a cell is begun whose worker dies, before it counts as failed."""

PATIENCE = 5.0
"""Seconds in which something must listen at the cluster's address."""

SAY_AFTER = 30.0
"""Seconds without any news after which it is said that no worker is there."""


class ClusterError(SnipsError):
    """A cluster that cannot be reached, or has no room for a worker."""


class Computer:
    """What runs in an actor."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)

    def versions(self) -> dict[str, str]:
        return versions()

    def compute(self, cell: Cell, device: str) -> Outcome:
        return compute(cell, device)


@dataclass(frozen=True)
class Cluster:
    """Computes cells in `count` actors. One that dies is replaced as soon as the cluster has room for it."""

    count: int
    gpus: float = 0.0
    """Of each actor."""

    def __call__(self, cells: Iterator[Cell], device: str) -> Iterator[Outcome]:
        ray = need("ray")
        actor = ray.remote(num_cpus=1, num_gpus=self.gpus)(Computer)
        at: dict[Any, tuple[Any, Cell | None]] = {}  # what is under way: worker and cell, or None while it starts
        idle: list[Any] = []
        again: list[Cell] = []
        deaths: Counter[str] = Counter()

        def start() -> None:
            worker = actor.remote()
            at[worker.versions.remote()] = worker, None

        for _ in range(self.count):
            start()
        try:
            while True:
                while idle and (cell := again.pop() if again else next(cells, None)):
                    worker = idle.pop()
                    at[worker.compute.remote(cell, device)] = worker, cell
                if not any(cell for _, cell in at.values()) and idle:
                    return  # a worker without a cell: none is left
                ref = first_of(list(at), waiting=not any(cell for _, cell in at.values()))
                worker, cell = at.pop(ref)
                try:
                    answer = ray.get(ref)
                except ray.exceptions.RayError as error:
                    if cell is None and not at and not idle:
                        raise ClusterError(f"no worker starts on the cluster: {one_line(error)[:300]}") from error
                    if cell is not None:
                        start()
                        deaths[cell.id] += 1
                        if deaths[cell.id] < TRIES:
                            again.append(cell)
                        else:
                            yield failure(cell, f"its worker died {TRIES} times: {one_line(error)[:300]}")
                    continue
                idle.append(worker)
                if cell is None:
                    check_versions(answer)
                else:
                    yield answer
        finally:
            for worker in (*idle, *(worker for worker, _ in at.values())):
                ray.kill(worker)


def first_of(refs: list[Any], waiting: bool) -> Any:
    """The first of these that is there; said, if it takes long and nothing is being computed."""
    ray = need("ray")
    ready, _ = ray.wait(refs, timeout=SAY_AFTER)
    while not ready:
        if waiting:
            say("no worker is there; waiting for the cluster to have room for one")
        ready, _ = ray.wait(refs, timeout=None if waiting else SAY_AFTER)
    return ready[0]


def check_versions(theirs: Mapping[str, str]) -> None:
    """Raises ClusterError if a worker computes with other versions than the driver, which would give other results."""
    ours = versions()
    different = [f"{name} {theirs.get(name)}" for name in ("snips", "torch", "numpy") if theirs.get(name) != ours[name]]
    if different:
        here = ", ".join(f"{name} {ours[name]}" for name in ("snips", "torch", "numpy"))
        raise ClusterError(f"a worker of the cluster has {', '.join(different)}, and here is {here}; make them equal")


def connect(address: str, gpus: float) -> tuple[int, Cluster]:
    """How many workers a cluster has room for, and what computes on them. Raises ClusterError, MissingExtra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = need("ray")
    knock(address)
    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False, ignore_reinit_error=True)
    except Exception as error:  # of its own, of the system, of its RPC library
        raise unreachable(address, error) from error
    room = ray.cluster_resources()
    count = int(room.get("CPU", 0))
    if gpus:
        count = min(count, int(room.get("GPU", 0) / gpus + 1e-9))
    if not count:
        wanted = f"one CPU and {gpus:g} GPU" if gpus else "one CPU"
        raise ClusterError(f"the cluster at {address} has no room for a worker, which takes {wanted}")
    return count, Cluster(count, gpus)


def knock(address: str) -> None:
    """Raises ClusterError if nothing listens there: Ray itself would go on trying."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address != "auto":
            raise ClusterError(f"--ray {address}: an address is HOST:PORT, ray://HOST:PORT, or auto")
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, ValueError) as error:
        raise unreachable(address, error) from error


def unreachable(address: str, error: Exception) -> ClusterError:
    reason = one_line(getattr(error, "strerror", None) or error)[:200]
    return ClusterError(f"no Ray cluster can be reached at {address} ({reason}); `ray start --head` begins one")
