"""Kawar, Vaksman and Elad, "Stochastic Image Denoising by Sampling from the Posterior Distribution" (2021).

Annealed Langevin dynamics driven by any MMSE denoiser: Algorithm 1 (denoising) and Algorithm 2 (noisy inpainting) are
one loop, denoising being the case where every pixel is observed.

Noise levels σ_i fall geometrically; on the observed pixels M, y is x plus noise of level σ0, and given x at level σ_i:

    σ_i > σ0:  ∇ log p(x_i | y) on M  =  (y − x)/(σ_i² − σ0²)                          (Eq. 14)
    σ_i < σ0:  ∇ log p(x_i | y) on M  =  s(x, σ_i) + (y − x)/(σ0² − σ_i²)              (Eq. 10)

and the score s(x, σ_i) alone on the rest R. Each level is T steps x ← x + α_i Δ + √(2 α_i) z with α_i = ε σ_i²/σ_L².
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snips.classical import biharmonic_fill
from snips.errors import InvalidValue, SnipsWarning, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Identity, Mask, Observation
from snips.tweedie import levels_like, score

SIGMA_L = 0.01
"""The last level of the paper's sequences, to which its ε belongs: α_i = ε σ_i²/σ_L²."""

PURE_NOISE = 10.0
"""From this σ on, a clean picture is lost in the noise, and sampling starts from noise alone."""


@dataclass(frozen=True)
class Preset:
    """A row of the paper's Tables 2 and 3, or our own."""

    epsilon: float
    denoise_steps: int
    inpaint_steps: int
    sigma_max: float
    levels: int

    @property
    def ratio(self) -> float:
        return float((SIGMA_L / self.sigma_max) ** (1 / (self.levels - 1)))


PRESETS = {
    # Ours: levels and steps six times as coarse, with celeba's T and margin of stability. On Gaussian fields it is as
    # near to the exact posterior as celeba, at a sixth of the denoiser calls (`snips bench truth`).
    "quick": Preset(2e-5, 5, 5, 90, 92),
    "celeba": Preset(3.3e-6, 5, 5, 90, 500),
    "lsun": Preset(1.8e-6, 3, 3, 190, 1086),
    "ffhq": Preset(1.8e-6, 3, 5, 348, 2311),
}


@dataclass(frozen=True)
class LangevinLevel(Level):
    """One Langevin step: σ = σ_i and its step size α_i; `final`: x ← D(x, σ_i) instead."""

    alpha: float = 0.0
    final: bool = False


class LangevinState(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class Langevin:
    """The paper's sampler. Options left at None are the preset's.

    preset: "quick", or the paper's "celeba", "lsun" or "ffhq".
    epsilon: ε. steps_per_level: T. ratio: of successive σ_i. sigma_min, sigma_max:
    ends of the sequence, by default the preset's, as far as the denoiser reaches. final_denoise: end with one more
    D(x, σ_L), which the paper does not do. Raises InvalidValue for values that make no sequence.
    """

    preset: str = "quick"
    epsilon: float | None = None
    steps_per_level: int | None = None
    ratio: float | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    final_denoise: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InvalidValue(f"preset {self.preset}: one of {', '.join(PRESETS)}")
        for name in ("epsilon", "steps_per_level", "sigma_min", "sigma_max"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidValue(f"langevin's {name} must be positive, not {value}")
        if self.ratio is not None and not 0 < self.ratio < 1:
            raise InvalidValue(f"langevin's ratio must be between 0 and 1, not {self.ratio}")

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[LangevinLevel]:
        """T steps at each σ_i, from σ_max (inpainting) or the first σ_i < σ0 (denoising) down to σ_min.

        The sequence is built from σ0 outwards, so that it holds for every σ0. Levels whose step would be unstable are
        dropped, with a warning. Raises UnsupportedOperator unless the operator is Identity or Mask.
        """
        preset, σ0 = PRESETS[self.preset], observation.sigma
        masked = isinstance(observation.operator, Mask)
        if not masked and not isinstance(observation.operator, Identity):
            name = type(observation.operator).__name__
            raise UnsupportedOperator(f"langevin denoises and inpaints; for the operator {name} there is noise-split")
        T = self.steps_per_level or (preset.inpaint_steps if masked else preset.denoise_steps)
        ratio = self.ratio or preset.ratio
        σ_min = self.sigma_min or max(SIGMA_L, levels.low)
        σ_max = self.sigma_max or min(preset.sigma_max, levels.high)

        if σ_min >= σ0 and not masked:
            raise InvalidValue(f"σ0 = {σ0:g} is not above the last level {σ_min:g}: there is nothing to sample at")
        above = geometric(max(σ0, σ_min), σ_max, 1 / ratio)[::-1] if masked else []
        below = geometric(σ0, σ_min, ratio) or [σ_min]
        ε = self.epsilon or preset.epsilon
        steps = [LangevinLevel(σ, alpha=ε * σ**2 / SIGMA_L**2) for σ in above + below]
        stable = [level for level in steps if is_stable(level, σ0)]
        if len(stable) < len(steps):
            dropped = [f"{level.sigma:.4g}" for level in steps if level not in stable]
            warnings.warn(
                f"langevin: {len(dropped)} of {len(steps)} levels dropped, their step is unstable (σ {dropped[0]}"
                f"{' to ' + dropped[-1] if len(dropped) > 1 else ''}); a smaller epsilon keeps them",
                SnipsWarning,
                stacklevel=2,
            )
        if not stable:
            raise InvalidValue(f"langevin: no level is stable with epsilon {ε:g}; take a smaller epsilon or ratio")
        plan = [level for level in stable for _ in range(T)]
        return plan + [LangevinLevel(σ_min, final=True)] if self.final_denoise else plan

    def init(self, observation: Observation, plan: Sequence[LangevinLevel], noise: Noise) -> LangevinState:
        """Denoising starts at y; inpainting from noise, or from a classical fill plus noise if σ_max is small."""
        y, σ_max = observation.y, plan[0].sigma
        if not isinstance(observation.operator, Mask):
            return LangevinState(y.clone())
        if σ_max >= PURE_NOISE:
            return LangevinState(σ_max * noise.normal())
        return LangevinState(biharmonic_fill(y, observation.operator.mask) + σ_max * noise.normal())

    def step(
        self, state: Any, level: LangevinLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> LangevinState:
        x, y = state.x, observation.operator.adjoint(observation.y)
        σ0, σ_i, α_i = observation.sigma, level.sigma, level.alpha
        if level.final:
            return LangevinState(denoiser.denoise(x, levels_like(x, σ_i)))
        s = score(denoiser, x, σ_i)
        toward_y = (y - x) / abs(σ_i**2 - σ0**2)
        if isinstance(observation.operator, Mask):
            M = observation.operator.mask
            Δ = torch.where(M, toward_y if σ_i > σ0 else s + toward_y, s)
        else:
            Δ = s + toward_y
        z = noise.normal()
        return LangevinState(x + α_i * Δ + math.sqrt(2 * α_i) * z)


def geometric(start: float, end: float, ratio: float) -> list[float]:
    """Levels strictly after `start` up to `end`, in steps as near to `ratio` as makes the last one `end` exactly."""
    span = math.log(end / start) / math.log(ratio)
    if span <= 1e-6:
        return []
    count = max(round(span), 1)
    return [start * (end / start) ** (j / count) for j in range(1, count)] + [end]


def is_stable(level: LangevinLevel, σ0: float) -> bool:
    """α_i (1/|σ0² − σ_i²| + 1/σ_i²) < 2: the step contracts on observed pixels."""
    gap = abs(σ0**2 - level.sigma**2)
    return gap > 0 and level.alpha * (1 / gap + 1 / level.sigma**2) < 2
