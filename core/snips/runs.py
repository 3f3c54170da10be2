"""A run in progress: what is finished, what is under way, and how that goes into a checkpoint and comes back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snips.checkpoint import Checkpoint
from snips.errors import CheckpointError
from snips.job import Job, Row
from snips.posterior import Posterior, Snapshot, Tally
from snips.walk import Step, begin, walk

SAVE_EVERY = 5.0
"""Seconds between two saves; more where saving would take over a twentieth of the time."""


class Flight(NamedTuple):
    """The rows under way: their state after `steps` steps."""

    rows: list[Row]
    state: Any
    steps: int


class Run:
    """Yields the steps of a job, and keeps what it needs to be stopped and to end."""

    def __init__(self, job: Job, keep: int, snapshots: int) -> None:
        self.job = job
        self.tally = Tally(job.rows, job.images, job.observation.image_shape, keep)
        self.diagnosed: dict[str, list[Tensor]] = {name: [] for name in getattr(job.sampler, "diagnosed", ())}
        count = min(snapshots, len(job.plan))
        self.snapshot_at = [round((i + 1) * len(job.plan) / count) - 1 for i in range(count)]
        self.snapshots: dict[int, Tensor] = {}
        self.seconds = 0.0
        self.flight: Flight | None = None

    def steps(self) -> Iterator[Step]:
        job = self.job
        started = time.monotonic() - self.seconds
        while self.tally.count < len(job.rows):
            if self.flight is None:
                rows = list(job.rows[self.tally.count : self.tally.count + job.batch])
                self.flight = Flight(rows, begin(job, rows), 0)
            rows, state, behind = self.flight
            for done, step in enumerate(walk(job, rows, state, behind), behind + 1):
                self.flight = Flight(rows, step.state, done)
                if done - 1 in self.snapshot_at:
                    self._snap(done - 1, step)
                self.seconds = time.monotonic() - started
                yield step
            self.tally.add(self.flight.state.x)
            for name, rows_of in self.diagnosed.items():
                rows_of += getattr(self.flight.state, name).cpu()
            self.flight = None
        self.seconds = time.monotonic() - started

    def _snap(self, k: int, step: Step) -> None:
        """Keep the first sample of every image."""
        first = [x.cpu() for x, (_, sample) in zip(step.x, step.rows, strict=True) if sample == 0]
        if first:
            before = [self.snapshots[k]] if k in self.snapshots else []
            self.snapshots[k] = torch.cat([*before, torch.stack(first)])

    def posterior(self) -> Posterior:
        job, batched = self.job, self.job.observation.y.ndim == 4
        samples = self.tally.samples()

        def picture(x: Tensor) -> Tensor:
            return (x if batched else x[0]).to(job.dtype)

        return Posterior(
            samples=samples if batched else samples[:, 0],
            mean=picture(self.tally.mean),
            std=picture(self.tally.std()),
            nfe=sum(level.nfe for level in job.plan),
            seconds=self.seconds,
            seed=job.seed,
            plan=tuple(job.plan),
            snapshots=tuple(Snapshot(k, job.plan[k].sigma, picture(x)) for k, x in sorted(self.snapshots.items())),
            diagnostics=tuple(self.diagnose(image) for image in range(job.images)) if self.diagnosed else (),
        )

    def diagnose(self, image: int) -> Mapping[str, float]:
        """What the sampler says of the chains of one picture."""
        mine = [place for place, row in enumerate(self.job.rows) if row[0] == image]
        fields = {name: torch.stack([rows[place] for place in mine]) for name, rows in self.diagnosed.items()}
        answer: Mapping[str, float] = getattr(self.job.sampler, "diagnose")(**fields)  # noqa: B009
        return answer

    def identity(self) -> dict[str, Any]:
        return self.job.identity() | {"keep": self.tally.limit, "snapshots": len(self.snapshot_at)}

    def freeze(self, probe: Tensor) -> Checkpoint:
        tensors = {"probe": probe, "mean": self.tally.mean, "m2": self.tally.m2}
        place = {"count": self.tally.count, "seconds": self.seconds, "flying": 0, "steps": 0}
        if self.tally.kept:
            tensors["kept"] = torch.stack(self.tally.kept)
        tensors |= {f"snapshot.{k}": x for k, x in self.snapshots.items()}
        tensors |= {f"diagnosed.{name}": torch.stack(rows) for name, rows in self.diagnosed.items() if rows}
        if self.flight is not None:
            place |= {"flying": len(self.flight.rows), "steps": self.flight.steps}
            state = self.flight.state
            tensors |= {f"state.{name}": getattr(state, name) for name in state._fields}
        return Checkpoint(self.identity(), place, tensors)

    def thaw(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint of this very run."""
        place, tensors, job, tally = saved.place, saved.tensors, self.job, self.tally
        tally.mean, tally.m2, tally.count = tensors["mean"], tensors["m2"], place["count"]
        tally.kept = list(tensors.get("kept", ()))
        self.snapshots = {int(name[9:]): x for name, x in tensors.items() if name.startswith("snapshot.")}
        self.diagnosed = {name: list(tensors.get(f"diagnosed.{name}", ())) for name in self.diagnosed}
        self.seconds = place["seconds"]
        if place["flying"]:
            rows = list(job.rows[tally.count : tally.count + place["flying"]])
            fields = {name[6:]: x.to(job.device) for name, x in tensors.items() if name.startswith("state.")}
            self.flight = Flight(rows, begin(job, rows)._replace(**fields), place["steps"])


class Saver:
    """Saves a run every few seconds.

    Raises CheckpointError if the file is there and is not to be resumed, is broken, or is another run's.
    """

    def __init__(self, run: Run, path: Path, resume: bool) -> None:
        self.run, self.path = run, path
        self.probe = run.job.probe()
        if path.exists():
            if not resume:
                raise CheckpointError(f"{path} exists; resume=True goes on from it, or delete it to start afresh")
            saved = Checkpoint.load(path)
            saved.check(path, run.identity())
            if not torch.allclose(saved.tensors["probe"], self.probe, rtol=1e-3, atol=1e-4):
                raise CheckpointError(f"{path} was made with other weights: the denoiser answers differently now")
            run.thaw(saved)
        self.due = time.monotonic() + SAVE_EVERY

    def save_if_due(self) -> None:
        if time.monotonic() >= self.due:
            self.save()

    def save(self) -> None:
        started = time.monotonic()
        self.run.freeze(self.probe).save(self.path)
        now = time.monotonic()
        self.due = now + max(SAVE_EVERY, 20 * (now - started))


class Stop:
    """Ctrl-C and SIGTERM, held back until a step is complete. A second signal is not held back."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if self.signal is not None:
            self.obey()
        self.signal = number

    def obey(self) -> None:
        raise KeyboardInterrupt if self.signal == signal.SIGINT else SystemExit(128 + (self.signal or 0))


@contextmanager
def held_back() -> Iterator[Stop]:
    """Within the block a signal only sets `Stop.signal` (in the main thread; elsewhere there are none)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
