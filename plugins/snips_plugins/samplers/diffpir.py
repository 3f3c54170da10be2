"""DiffPIR: a biased baseline, for comparison.

Zhu et al., "Denoising Diffusion Models for Plug-and-Play Image Restoration" (2023), Algorithm 1, in the
variance-exploding form. From level s to t:

    x₀ = D(x, s);   x̂₀ = argmin ‖y − H x̂‖²/σ0² + ‖x̂ − x₀‖²/(s²/λ);   ε̂ = (x − x̂₀)/s
    x ← x̂₀ + t (√(1 − ζ) ε̂ + √ζ z)

Its samples are not of the posterior: λ trades y against the prior by hand, and x̂₀ is a point, not a draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Observation
from snips.tweedie import levels_like
from snips_plugins.samplers.spectral import noisy_start, path_down, spectral, targets


@dataclass(frozen=True)
class DiffPIRLevel(Level):
    """From σ = s to `target` = t; 0 ends with x̂₀."""

    target: float = 0.0


class DiffPIRState(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class DiffPIR:
    """steps: denoiser calls. lam: λ, zeta: ζ, of the paper's range by default. sigma_max: the first level.

    Raises InvalidValue for fewer than 2 steps, a λ that is not positive and a ζ outside [0, 1].
    """

    steps: int = 100
    lam: float = 7.0
    zeta: float = 0.3
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 2 or not self.lam > 0 or not 0 <= self.zeta <= 1:
            raise InvalidValue("diffpir needs steps from 2 on, lam above 0, and zeta in [0, 1]")

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[DiffPIRLevel]:
        """Raises UnsupportedOperator for an operator without an SVD."""
        spectral(observation, "diffpir")
        σ = [*path_down(levels, self.sigma_max, self.steps, "diffpir"), 0.0]
        return [DiffPIRLevel(s, target=t) for s, t in pairwise(σ)]

    def init(self, observation: Observation, plan: Sequence[DiffPIRLevel], noise: Noise) -> DiffPIRState:
        return DiffPIRState(noisy_start(observation, plan[0].sigma, noise))

    def step(
        self, state: Any, level: DiffPIRLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> DiffPIRState:
        operator, x, s, t = spectral(observation, "diffpir"), state.x, level.sigma, level.target
        x0 = operator.vt(denoiser.denoise(x, levels_like(x, s)))
        k2 = (operator.singular_values.double() * s / observation.sigma).square() / self.lam
        x0_hat = operator.v(x0 + (k2 / (1 + k2)).to(x) * (targets(observation) - x0))
        eps_hat = (x - x0_hat) / s
        return DiffPIRState(x0_hat + t * (math.sqrt(1 - self.zeta) * eps_hat + math.sqrt(self.zeta) * noise.normal()))
