"""Sampling, from one call: rows in batches, a stream of noise a row, progress, snapshots, stop and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from snips.errors import Diverged, InvalidValue, OutputError
from snips.interfaces import MMSEDenoiser, PosteriorSampler
from snips.job import prepare
from snips.observation import Observation
from snips.posterior import Posterior
from snips.progress import progress_bar
from snips.ranges import Policy
from snips.runs import Run, Saver, Stop, held_back
from snips.walk import Step, begin, walk

__all__ = ["Step", "iterate", "sample"]


def iterate(
    observation: Observation,
    denoiser: MMSEDenoiser | str,
    sampler: PosteriorSampler | str = "langevin",
    **options: Any,
) -> Iterator[Step]:
    """Sample p(x | y), yielding after every step, one batch of rows after another.

    Options as in `sample`: samples, seed, batch, device, dtype, compile, out_of_range. Raises as `sample`.
    """
    job = prepare(observation, denoiser, sampler, **options)
    for first in range(0, len(job.rows), job.batch):
        rows = job.rows[first : first + job.batch]
        yield from walk(job, rows, begin(job, rows))


def sample(
    observation: Observation,
    denoiser: MMSEDenoiser | str,
    sampler: PosteriorSampler | str = "langevin",
    *,
    samples: int = 1,
    seed: int = 0,
    batch: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    compile: bool = False,
    out_of_range: Policy = "error",
    keep: int | None = None,
    progress: bool | Callable[[Step], None] = False,
    snapshots: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Posterior:
    """Draw samples of p(x | y).

    Args:
        observation: y, σ0 and the operator.
        denoiser, sampler: objects, or names of registered ones.
        samples: how many of each picture.
        seed: each row's noise is a function of (seed, image, sample, step), whatever the batches.
        batch: rows at once; by default as many as make 4 million values. The result does not depend on it.
        device: where to compute; by default where the denoiser is.
        dtype: of the state, float32 or float64; "bfloat16" keeps it in float32 and calls the denoiser in bfloat16.
        compile: pass the denoiser through `torch.compile`.
        out_of_range: where a step's σ is none the denoiser is made for: "error", "clamp" or "scale" (see WithinRange).
        keep: samples of each picture to return, by default all; mean and std are over all in any case.
        progress: a bar on stderr, or a function called with each Step.
        snapshots: intermediate states of the first sample to return, evenly over the plan.
        checkpoint: a file in which the run is saved every few seconds and when it is stopped.
        resume: go on from that file if it is there. It must be of the same run (one more denoiser call tells).

    Raises:
        InvalidValue and its kinds for arguments that cannot be, NoiseLevelError for σ outside the denoiser's range,
        UnknownName, DeviceError, CheckpointError, OutputError, and Diverged if the result is not finite.
    """
    job = prepare(
        observation,
        denoiser,
        sampler,
        samples=samples,
        seed=seed,
        batch=batch,
        device=device,
        dtype=dtype,
        compile=compile,
        out_of_range=out_of_range,
    )
    if keep is not None and keep < 1:
        raise InvalidValue(f"keep must be at least 1, not {keep}")
    run = Run(job, samples if keep is None else min(keep, samples), snapshots)
    with ExitStack() as stack:
        tell = stack.enter_context(progress_bar()) if progress is True else progress or None
        if checkpoint is None:
            for step in run.steps():
                if tell:
                    tell(step)
        else:
            saver = Saver(run, Path(checkpoint), resume)
            stop = stack.enter_context(held_back())
            _run_saved(run, saver, stop, tell)
    return run.posterior()


def _run_saved(run: Run, saver: Saver, stop: Stop, tell: Callable[[Step], None] | None) -> None:
    """All steps, the state saved now and then, when a signal asks to stop, and when a step fails."""
    try:
        for step in run.steps():
            if tell:
                tell(step)
            if stop.signal is not None:
                saver.save()
                stop.obey()
            saver.save_if_due()
    except (Diverged, OutputError):
        raise
    except Exception:
        saver.save()
        raise
    saver.save()
