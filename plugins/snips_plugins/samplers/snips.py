"""SNIPS: annealed Langevin dynamics for any linear operator, one singular value at a time.

Kawar, Vaksman and Elad, "SNIPS: Solving Noisy Inverse Problems Stochastically" (2021). In the coordinates v = Vᵀ x and
u = Uᵀ y of H = U S Vᵀ, with a = ε/σ_L² and g = Vᵀ s(x, σ_i), a level has steps v ← v + step · gradient + √(2 step) z:

    s_j σ_i > σ0:      step a (σ_i² − σ0²/s_j²)        gradient s_j (u_j − s_j v_j)/(s_j² σ_i² − σ0²)
    0 < s_j σ_i < σ0:  step a σ_i² (1 − s_j² σ_i²/σ0²)  gradient g_j + s_j (u_j − s_j v_j)/(σ0² − s_j² σ_i²)
    s_j = 0:           step a σ_i²                      gradient g_j

With k = s_j σ_i/σ0 all three are a step of a σ_i² (1 − min(k², 1/k²)), and a min(k², 1) (u_j/s_j − v_j) towards y: the
poles of the gradient have cancelled. (The authors' released code ignores y where no singular value is 0; this one does
not.) It is approximate as `langevin` is: each level has finite time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.langevin import PRESETS, SIGMA_L, geometric
from snips.noise import Noise
from snips.observation import Observation
from snips.tweedie import score
from snips_plugins.samplers.spectral import noisy_start, spectral, targets


@dataclass(frozen=True)
class SnipsLevel(Level):
    """One Langevin step at σ = σ_i; `a` is ε/σ_L²."""

    a: float = 0.0


class SnipsState(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class Snips:
    """Options left at None are the preset's: those of `langevin`, for T = 5 steps a level unless it says otherwise.

    epsilon: ε. steps_per_level: T. ratio: of successive σ_i. sigma_min, sigma_max: ends of the sequence, as far as the
    denoiser reaches. Raises InvalidValue for values that make no sequence, or steps that are not stable.
    """

    preset: str = "quick"
    epsilon: float | None = None
    steps_per_level: int | None = None
    ratio: float | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InvalidValue(f"preset {self.preset}: one of {', '.join(PRESETS)}")
        for name in ("epsilon", "steps_per_level", "sigma_min", "sigma_max"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidValue(f"snips's {name} must be positive, not {value}")
        if self.ratio is not None and not 0 < self.ratio < 1:
            raise InvalidValue(f"snips's ratio must be between 0 and 1, not {self.ratio}")
        if self.epsilon is not None and self.epsilon / SIGMA_L**2 >= 2:
            raise InvalidValue(f"snips is stable for epsilon below {2 * SIGMA_L**2:g}, not at {self.epsilon:g}")

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[SnipsLevel]:
        """T steps at each σ_i from σ_max down to σ_min. Raises UnsupportedOperator for an operator without an SVD."""
        spectral(observation, "snips")
        preset = PRESETS[self.preset]
        σ_min = self.sigma_min or max(SIGMA_L, levels.low)
        σ_max = self.sigma_max or min(preset.sigma_max, levels.high)
        if σ_min >= σ_max:
            raise InvalidValue(f"snips: σ_max = {σ_max:g} is not above σ_min = {σ_min:g}")
        a, T = (self.epsilon or preset.epsilon) / SIGMA_L**2, self.steps_per_level or preset.inpaint_steps
        σ = [σ_max, *geometric(σ_max, σ_min, self.ratio or preset.ratio)]
        return [SnipsLevel(σ_i, a=a) for σ_i in σ for _ in range(T)]

    def init(self, observation: Observation, plan: Sequence[SnipsLevel], noise: Noise) -> SnipsState:
        return SnipsState(noisy_start(observation, plan[0].sigma, noise))

    def step(
        self, state: Any, level: SnipsLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SnipsState:
        operator, σ_i, a = spectral(observation, "snips"), level.sigma, level.a
        k2 = (operator.singular_values.double() * σ_i / observation.sigma).square()
        step = a * σ_i**2 * (1 - torch.minimum(k2, 1 / k2))
        v, g = operator.vt(state.x), operator.vt(score(denoiser, state.x, σ_i))
        prior = torch.where(k2 < 1, step, 0).to(v) * g
        toward_y = (a * k2.clamp_max(1)).to(v) * (targets(observation) - v)
        return SnipsState(operator.v(v + prior + toward_y + (2 * step).sqrt().to(v) * noise.normal()))
