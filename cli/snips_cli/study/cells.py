"""One cell, computed: its picture read and degraded, restored, and measured. The same in any process."""

from __future__ import annotations

import json
import time
import traceback
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from snips.engine import sample
from snips.errors import SnipsError, SnipsWarning, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.observation import Identity, Observation
from snips.plugins import in_one_line, load_denoiser
from snips.posterior import Posterior
from snips_cli.cases import Case, make_case, settings
from snips_cli.loading import Parts, load_parts
from snips_cli.measure import Restored, compare
from snips_cli.messages import one_line
from snips_cli.pictures import tensors
from snips_cli.record import device_name
from snips_cli.study import metrics
from snips_cli.study.grid import Cell

LOADED = 2
"""Denoisers that a process keeps: cells come prior by prior."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, ready to be written."""

    cell: Cell
    columns: dict[str, Any]
    """Of cells.parquet; of a cell that failed only the keys, status and error."""
    rows: tuple[dict[str, Any], ...] = ()
    """Of rows.parquet."""
    pictures: bytes | None = None
    """The content of pictures.safetensors."""

    @property
    def failed(self) -> bool:
        return bool(self.columns["error"])


class Timed:
    """A denoiser that adds up the time it takes, and is otherwise as before. On a GPU it waits for nothing."""

    def __init__(self, denoiser: MMSEDenoiser) -> None:
        self.denoiser = denoiser
        self.reset()

    def reset(self) -> None:
        self._seconds: float = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def seconds(self) -> float:
        """In `denoise` since `reset`."""
        if self._events:
            torch.cuda.synchronize()
        on_gpu: float = sum(start.elapsed_time(end) for start, end in self._events) / 1000
        return self._seconds + on_gpu

    @property
    def noise_levels(self) -> NoiseLevels:
        return self.denoiser.noise_levels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            clean = self.denoiser.denoise(x, sigma)
            end.record()
            self._events.append((start, end))
            return clean
        started = time.perf_counter()
        clean = self.denoiser.denoise(x, sigma)
        self._seconds += time.perf_counter() - started
        return clean

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)


class Estimate:
    """In the place of a sampler where only D(y, σ0) is asked."""

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[Level]:
        if not isinstance(observation.operator, Identity):
            raise UnsupportedOperator("D(y, σ0) is the MMSE estimate only of denoising; samples = 0 has nothing else")
        return [Level(observation.sigma)]


@lru_cache(LOADED)
def _loaded(name: str, device: torch.device, options: tuple[tuple[str, str], ...]) -> Timed:
    return Timed(load_denoiser(name, device=device, **dict(options)))


def loaded(name: str, device: torch.device, **options: str) -> Timed:
    """As `snips.load_denoiser`, but loaded once."""
    return _loaded(name, device, tuple(sorted(options.items())))


def cell_parts(cell: Cell, device: str) -> Parts:
    """Denoiser, sampler and task of a cell. Raises SnipsError of many kinds."""
    parts = load_parts(cell.request(device), loaded)
    return parts if cell.samples else replace(parts, sampler=Estimate())  # type: ignore[arg-type]


def cell_case(cell: Cell, parts: Parts, device: str) -> Case:
    """Its picture degraded, and the run settled. Raises SnipsError of many kinds."""
    image = cell.image
    return make_case(cell.request(device), parts, cell.sigma, 0, image.name, image.name, image.read())


def compute(cell: Cell, device: str) -> Outcome:
    """The cell's outcome; what goes wrong becomes part of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SnipsWarning)
            return restored_cell(cell, device)
    except Exception as error:
        return failure(
            cell, str(error) if isinstance(error, SnipsError) else in_one_line(error), traceback.format_exc()
        )


def failure(cell: Cell, error: str, trace: str = "") -> Outcome:
    return Outcome(cell, cell.facts() | {"status": "failed", "error": one_line(error), "trace": trace})


def restored_cell(cell: Cell, device: str) -> Outcome:
    """Sample, measure, and put together what is kept. Raises whatever goes wrong."""
    started = time.perf_counter()
    parts = cell_parts(cell, device)
    case = cell_case(cell, parts, device)
    clock = parts.denoiser
    assert isinstance(clock, Timed)
    clock.reset()
    sampling = time.perf_counter()
    posterior = draw(cell, case, parts, device)
    measuring = time.perf_counter()
    restored = compare(case, posterior)
    assert case.clean is not None
    measured = metrics.measure(case.clean, case.observation, restored.mmse, posterior.samples, cell.spec.metrics)
    ended = time.perf_counter()
    pictures = kept(cell, restored, measured)
    columns = cell.facts() | {
        "status": "ok",
        "error": "",
        "nfe": posterior.nfe,
        "outside": case.job.outside,
        "seconds": time.perf_counter() - started,
        "seconds_sampling": measuring - sampling,
        "seconds_denoiser": clock.seconds(),
        "seconds_measuring": ended - measuring,
        "device": device_name(parts.device),
        "pictures": cell.keep_pictures,
        **measured.per_cell,
    }
    row = {"nfe": posterior.nfe, "seconds": (measuring - sampling) / max(cell.samples, 1)}
    rows = tuple(
        cell.keys() | {"sample": i} | row | {name: values[i] for name, values in measured.per_sample.items()}
        for i in range(cell.samples)
    )
    return Outcome(cell, columns, rows, pictures)


def draw(cell: Cell, case: Case, parts: Parts, device: str) -> Posterior:
    """The samples of a cell; none, at the cost of one call, where only the MMSE estimate is asked."""
    if not cell.samples:
        nothing = torch.empty(0, *cell.image.shape)
        return Posterior(nothing, nothing.sum(0), nothing.sum(0), 1, 0.0, case.seed, case.job.plan)
    request = cell.request(device)
    return sample(
        case.observation,
        parts.denoiser,
        parts.sampler,
        snapshots=request.snapshots,
        **settings(request, parts, case.seed),
    )


def kept(cell: Cell, restored: Restored, measured: metrics.Measured) -> bytes | None:
    """The content of pictures.safetensors, None if nothing is kept."""
    found = dict(measured.tensors)
    posterior = restored.posterior
    if cell.keep_pictures:
        absent = {"mean": not cell.samples, "std": cell.samples < 2, "samples": not cell.spec.keep_samples}
        pictures = tensors(restored) | {"samples": posterior.samples[: cell.spec.keep_samples].float().contiguous()}
        if restored.fill is not None:
            pictures["fill"] = restored.fill.float().contiguous()
        found |= {name: x for name, x in pictures.items() if not absent.get(name)}
    snapshots = {"sigmas": [s.sigma for s in posterior.snapshots], "steps": [s.index for s in posterior.snapshots]}
    return save(found, {"snapshots": json.dumps(snapshots)}) if found else None
