"""The engine's cost, measured beside the denoiser it calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

import snips
from snips.interfaces import MMSEDenoiser
from snips.tweedie import levels_like


def step_over_forward(
    denoiser: MMSEDenoiser, shape: tuple[int, int, int], rows: int, device: torch.device, rounds: int, steps: int
) -> tuple[float, float, float]:
    """Seconds of a bare forward and of a step of `langevin`, and their ratio: medians of timings taken in turn."""
    y = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    sampler = snips.load_sampler("langevin", preset="celeba")
    walk = snips.iterate(
        snips.Observation(y, 0.9), denoiser, sampler, samples=rows, batch=rows, device=device, out_of_range="clamp"
    )
    x = y.expand(rows, *shape).contiguous()
    sigma = levels_like(x, 0.5)

    def timed(action: Callable[[], object]) -> float:
        synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            action()
        synchronize(device)
        return (time.perf_counter() - started) / steps

    def forward() -> None:
        with torch.inference_mode():
            denoiser.denoise(x, sigma)

    def step() -> None:
        next(walk)

    timed(forward), timed(step)
    pairs = [(timed(forward), timed(step)) for _ in range(rounds)]
    bare, full = (statistics.median(column) for column in zip(*pairs, strict=True))
    return bare, full, statistics.median(b / a for a, b in pairs)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
