"""One batch of rows through the plan: the loop that every sampler runs in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snips.errors import Diverged
from snips.job import Job, Row
from snips.noise import Noise

CHECK_EVERY = 64
"""Steps between two looks for NaN, each of which waits for the device."""


@dataclass(frozen=True, eq=False)
class Step:
    """What `iterate` yields: the state of some rows after one step."""

    index: int
    """From 0 to total − 1, over all batches of rows."""
    total: int
    sigma: float
    x: Tensor
    """(rows, C, H, W), on the device."""
    nfe: int
    """Denoiser calls a row so far."""
    rows: Sequence[Row]
    """(image index, sample index) of each row of x."""
    state: Any
    """Everything the sampler needs to go on."""


@torch.inference_mode()
def begin(job: Job, rows: Sequence[Row]) -> Any:
    """The state of these rows before the first step."""
    observed = job.observation.rows([image for image, _ in rows])
    noise = Noise(job.seed, rows, job.observation.image_shape, job.device, job.dtype)
    return job.sampler.init(observed, job.plan, noise.at(0))


def walk(job: Job, rows: Sequence[Row], state: Any, start: int = 0) -> Iterator[Step]:
    """These rows from `state`, which has `start` steps behind it, to the end of the plan. Raises Diverged."""
    observed = job.observation.rows([image for image, _ in rows])
    noise = Noise(job.seed, rows, job.observation.image_shape, job.device, job.dtype)
    plan = job.plan
    behind = job.rows.index(rows[0]) // job.batch * len(plan)
    total = -(-len(job.rows) // job.batch) * len(plan)
    nfe = sum(level.nfe for level in plan[:start])
    for k in range(start, len(plan)):
        with torch.inference_mode():
            state = job.sampler.step(state, plan[k], job.denoiser, observed, noise.at(k + 1))
        nfe += plan[k].nfe
        if (k % CHECK_EVERY == CHECK_EVERY - 1 or k == len(plan) - 1) and not bool(state.x.isfinite().all()):
            raise Diverged(
                f"{type(job.sampler).__name__} arrived at NaN or infinity by step {k + 1} of {len(plan)} "
                f"(σ {plan[k].sigma:.4g}); try smaller steps, or `snips check` the denoiser"
            )
        yield Step(behind + k, total, plan[k].sigma, state.x, nfe, rows, state)
