"""DDRM: a biased baseline, for comparison.

Kawar, Elad, Ermon and Song, "Denoising Diffusion Restoration Models" (2022), Eq. 7 and 8, in the variance-exploding
form. With x̄ = Vᵀ x, x̄_θ = Vᵀ D(x, s) and ȳ = u/s_j, whose noise has level σ_y = σ0/s_j, a step from level s to t draws

    s_j = 0:    x̄_θ + √(1 − η²) t (x̄ − x̄_θ)/s          + η t z
    t < σ_y:    x̄_θ + √(1 − η²) t (ȳ − x̄_θ)/σ_y        + η t z
    t ≥ σ_y:    (1 − η_b) x̄_θ + η_b ȳ                  + √(t² − η_b² σ_y²) z

Its samples are not of the posterior, however many steps they take: the direction to ȳ is used again at every level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Observation
from snips.tweedie import levels_like
from snips_plugins.samplers.spectral import noisy_start, path_down, spectral, targets


@dataclass(frozen=True)
class DDRMLevel(Level):
    """From σ = s to `target` = t; 0 ends with D."""

    target: float = 0.0


class DDRMState(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class DDRM:
    """steps: denoiser calls. eta: η, eta_b: η_b, the paper's by default. sigma_max: the first level.

    Raises InvalidValue for fewer than 2 steps, and for an η outside [0, 1].
    """

    steps: int = 20
    eta: float = 0.85
    eta_b: float = 1.0
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 2 or not (0 <= self.eta <= 1 and 0 <= self.eta_b <= 1):
            raise InvalidValue("ddrm needs steps from 2 on, and eta and eta_b in [0, 1]")

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[DDRMLevel]:
        """Raises UnsupportedOperator for an operator without an SVD."""
        spectral(observation, "ddrm")
        return [
            DDRMLevel(s, target=t) for s, t in pairwise([*path_down(levels, self.sigma_max, self.steps, "ddrm"), 0.0])
        ]

    def init(self, observation: Observation, plan: Sequence[DDRMLevel], noise: Noise) -> DDRMState:
        return DDRMState(noisy_start(observation, plan[0].sigma, noise))

    def step(
        self, state: Any, level: DDRMLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> DDRMState:
        s, t, η, η_b = level.sigma, level.target, self.eta, self.eta_b
        D = denoiser.denoise(state.x, levels_like(state.x, s))
        if t == 0:
            return DDRMState(D)
        operator = spectral(observation, "ddrm")
        x, x_θ, y = operator.vt(state.x), operator.vt(D), targets(observation)
        σ_y = observation.sigma / operator.singular_values.to(x)  # infinite where nothing is observed
        unseen = x_θ + math.sqrt(1 - η**2) * t * (x - x_θ) / s
        vague = x_θ + math.sqrt(1 - η**2) * t * (y - x_θ) / σ_y
        clear = (1 - η_b) * x_θ + η_b * y
        mean = torch.where(σ_y.isinf(), unseen, torch.where(σ_y > t, vague, clear))
        std = torch.where(σ_y > t, η * t, (t**2 - η_b**2 * σ_y.clamp_max(t).square()).clamp_min(0).sqrt())
        return DDRMState(operator.v(mean + std * noise.normal()))
