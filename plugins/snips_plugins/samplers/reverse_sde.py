"""The reverse diffusion started at y.

A noisy picture y = x₀ + σ0 n is the state at level σ0 of the diffusion x_σ = x₀ + σ n. The reverse of that diffusion
(Anderson 1982; Song et al. 2021) run from y to σ = 0 draws from p(x₀ | y), exactly as the steps shrink, and with no
likelihood term. From level s to t < s, r = (t/s)², with D = D(x, s):

    x ← r x + (1 − r) D̃ + t √(1 − r + c) z,        D̃ = D + w (D − D_prev)

w = c = 0 is Euler's method in σ². The martingale property E[D(x_t, t) | x_s] = D(x_s, s) makes D − D_prev of mean zero
whatever the prior, so a weight w changes the covariance of the samples and never their mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from snips.errors import InvalidValue, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Identity, Observation
from snips.tweedie import levels_like

Variant = Literal["2m-star", "2m", "euler", "heun"]

FLOOR = 0.01
"""Last level of the plain variants, where the remaining noise is below one gray level in 255 after a last D."""


@dataclass(frozen=True)
class SDELevel(Level):
    """One step from σ = s to `target` = t; at the last level (target 0), x ← D_f + f (D_f − D_prev)."""

    target: float = 0.0
    weight: float = 0.0
    inflate: float = 0.0


class SDEState(NamedTuple):
    x: Tensor
    d: Tensor
    """D of the step before."""


@dataclass(frozen=True)
class ReverseSDE:
    """Denoising by the reverse SDE.

    steps: denoiser calls a sample, at least 2 (heun: odd). variant: "2m-star" (weights fixed for every step but the
    first two, levels by a power law), "2m" (w = h/2h_prev on log-spaced levels, h = ln(s/t)), "euler", "heun" (two
    calls a step). sigma_min: the last level. Raises InvalidValue for anything else.
    """

    steps: int = 20
    variant: Variant = "2m-star"
    sigma_min: float | None = None

    def __post_init__(self) -> None:
        if self.variant not in ("2m-star", "2m", "euler", "heun"):
            raise InvalidValue(f"reverse-sde variant {self.variant}: one of 2m-star, 2m, euler, heun")
        if self.steps < 2 or (self.variant == "heun" and self.steps % 2 == 0):
            least = "3, 5, 7, … (two a step and one last)" if self.variant == "heun" else "at least 2"
            raise InvalidValue(f"reverse-sde {self.variant} needs steps {least}, not {self.steps}")
        if self.sigma_min is not None and not self.sigma_min > 0:
            raise InvalidValue(f"reverse-sde's sigma_min must be positive, not {self.sigma_min}")

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[SDELevel]:
        """Every step from σ0 down. Raises UnsupportedOperator for an operator other than Identity."""
        if not isinstance(observation.operator, Identity):
            name = type(observation.operator).__name__
            raise UnsupportedOperator(f"reverse-sde only denoises; for the operator {name} there is noise-split")
        return reverse_plan(observation.sigma, self.steps, self.variant, levels, self.sigma_min)

    def init(self, observation: Observation, plan: Sequence[SDELevel], noise: Noise) -> SDEState:
        return SDEState(observation.y.clone(), torch.zeros_like(observation.y))

    def step(
        self, state: Any, level: SDELevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SDEState:
        return reverse_step(state.x, state.d, level, denoiser, noise)


def reverse_step(x: Tensor, d_prev: Tensor, level: SDELevel, denoiser: MMSEDenoiser, noise: Noise) -> SDEState:
    s, t, w = level.sigma, level.target, level.weight
    D = denoiser.denoise(x, levels_like(x, s))
    if t == 0:
        return SDEState(D + w * (D - d_prev), D)
    r = (t / s) ** 2
    z = noise.normal()
    if level.nfe == 2:  # Heun: the mean of D at both ends of the step
        ahead = r * x + (1 - r) * D + t * math.sqrt(1 - r) * z
        D_tilde = (D + denoiser.denoise(ahead, levels_like(x, t))) / 2
    else:
        D_tilde = D + w * (D - d_prev)
    return SDEState(r * x + (1 - r) * D_tilde + t * math.sqrt(1 - r + level.inflate) * z, D)


def reverse_plan(
    σ0: float, N: int, variant: Variant, levels: NoiseLevels, sigma_min: float | None = None
) -> list[SDELevel]:
    """The steps from level σ0 to a clean picture in N denoiser calls."""
    if variant == "2m-star":
        return two_m_star(σ0, N, sigma_min or levels.low)
    lowest = sigma_min or min(max(FLOOR, levels.low), σ0 / 2)
    count = (N + 1) // 2 if variant == "heun" else N
    σ = [σ0 * (lowest / σ0) ** (i / (count - 1)) for i in range(count)]
    steps = [SDELevel(s, target=t, nfe=2 if variant == "heun" else 1) for s, t in pairwise(σ)]
    if variant == "2m":
        steps = [steps[0], *(replace(step, weight=0.5) for step in steps[1:])]  # h = h_prev on log-spaced levels
    return [*steps, SDELevel(σ[-1])]


def two_m_star(σ0: float, N: int, lowest: float) -> list[SDELevel]:
    """One denoiser call a level, with weights that restore the covariance (rule A from 8 calls on, rule B below).

    lowest: the level to end at. Where that is σ0 itself, as for a denoiser of one σ, there would be no way down, and
    the levels go below it: outside the denoiser's range, which the engine does not do unasked.
    """
    lowest = lowest if lowest < 0.9 * σ0 else 0.0
    σ_min = min(max(0.004, lowest, σ0 * math.exp(-0.9 * (N - 1))), max(σ0 / 4, lowest))
    a = [1 / 3, 3 / 4, *[1.0] * N][: N - 1]
    u = [sum(a[:i]) / sum(a) for i in range(N)]
    σ = [(σ0**0.25 + u_i * (σ_min**0.25 - σ0**0.25)) ** 4 for u_i in u]
    σ[0], σ[-1] = σ0, σ_min
    if N >= 8:
        rest, e, f = 0.45, 1.0, 0.25
    else:
        rest, e, f = 0.44, 0.5, 0.46 + 0.45 * max(math.log(σ[-2] / σ_min) - 0.8, 0)
    w = [0.0, 0.5, *[rest] * N]
    steps = [
        SDELevel(s, target=t, weight=w[i], inflate=e if i == N - 2 else 0.0) for i, (s, t) in enumerate(pairwise(σ))
    ]
    return [*steps, SDELevel(σ_min, weight=f)]
