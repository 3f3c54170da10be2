"""What samplers are checked on: tiny pictures whose posterior is known exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snips.analytic import GaussianPrior
from snips.engine import sample
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels, PosteriorSampler
from snips.noise import Noise
from snips.observation import Identity, Mask, Observation
from snips.operators import Blur
from snips.operators.blur import uniform_kernel
from snips.testing.bench import noise_like

SHAPE = (1, 4, 4)
SAMPLES = 400
"""Draws from which mean and spread are estimated."""


@dataclass(frozen=True)
class White:
    """D of x ~ N(1/2, .2² I). It is elementwise, so that samples compare bit by bit whatever the batch."""

    noise_levels = NoiseLevels(0.001, 1000.0)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        gain = 0.04 / (0.04 + sigma.square())
        return 0.5 + gain[:, None, None, None] * (x - 0.5)


@dataclass(eq=False)
class Recorder:
    """A denoiser that keeps the σ of every row it was called with."""

    denoiser: MMSEDenoiser
    sigmas: list[float] = field(default_factory=list)

    @property
    def noise_levels(self) -> NoiseLevels:
        return self.denoiser.noise_levels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.sigmas += sigma.tolist()
        return self.denoiser.denoise(x, sigma)


@dataclass(frozen=True, eq=False)
class Problem:
    """An observation, and the prior its picture came from."""

    task: str
    prior: GaussianPrior
    observation: Observation
    _drawn: list[tuple[PosteriorSampler, Tensor]] = field(default_factory=list, repr=False)

    def two_rows(self) -> Observation:
        """What a sampler is handed for two samples, of the engine's own dtype; new tensors every time."""
        return self.observation.to(torch.device("cpu"), torch.float32).rows([0, 0])

    def samples(self, sampler: PosteriorSampler) -> Tensor:
        """Draws (SAMPLES, d) of this sampler in float64, made once."""
        for known, drawn in self._drawn:
            if known is sampler:
                return drawn
        drawn = sample(self.observation, self.prior, sampler, samples=SAMPLES).samples.flatten(1).double()
        self._drawn[:] = [(sampler, drawn)]
        return drawn


def problems() -> list[Problem]:
    """Denoising at σ0 = .2, inpainting every other pixel and deblurring at σ0 = .1, of a field with spectrum |k|⁻²."""
    prior = GaussianPrior.power_law(SHAPE)
    clean = prior.draw(1, torch.Generator().manual_seed(3))[0]
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    every_other = Mask((rows + columns) % 2 == 0)
    blur = Blur(uniform_kernel(3), SHAPE[1:])
    blurred = blur.forward(clean[None])[0]
    return [
        Problem("denoise", prior, Observation(clean + 0.2 * noise_like(clean, 4), 0.2, Identity())),
        Problem("inpaint", prior, Observation(clean + 0.1 * noise_like(clean, 5), 0.1, every_other)),
        Problem("deblur", prior, Observation(blurred + 0.1 * noise_like(blurred, 6), 0.1, blur)),
    ]


def steps_by_hand(
    sampler: PosteriorSampler, observed: Observation, denoiser: MMSEDenoiser
) -> Iterator[tuple[Level | None, Any]]:
    """The state after `init` (with None) and after each level, without the engine. `observed` is Problem.two_rows."""
    plan = sampler.plan(observed, denoiser.noise_levels)
    noise = Noise(0, [(0, row) for row in range(len(observed.y))], observed.image_shape)
    with torch.inference_mode():
        state = sampler.init(observed, plan, noise.at(0))
    yield None, state
    for k, level in enumerate(plan):
        with torch.inference_mode():
            state = sampler.step(state, level, denoiser, observed, noise.at(k + 1))
        yield level, state
