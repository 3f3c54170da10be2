"""Sequential Monte Carlo: the samples of a picture are particles, which are drawn, weighted and drawn again together.

The reverse SDE from a level T that drowns the picture draws from the prior. On the way down to ρ (where the noise of y
splits, see noise_split.py) a particle x_s is weighted by what it says of z, the state at ρ, and so of y. Given x_s, and
with the variance τ² = s² a²/(s² + a²), a = .4, for what the picture may still differ from its estimate D = D(x_s, s),

    z_j has mean μ_j = r x_s,j + (1 − r) D_j and variance S = (1 − r)² τ² + ρ² (1 − r),        r = ρ²/s²
    log ψ_s(x_s) = Σ_j log N(u_j/s_j; μ_j, S + ρ² (1 − q_j)/q_j)

which at s = ρ is the exact likelihood of z: whatever τ is, the particles are then of p(z | y) as their number grows. A
step of the reverse SDE, N(m, v₀), is proposed as it is given u under the same Gaussian model, and weighted by the ratio
of the two; the last step, to ρ, is drawn from its product with the likelihood exactly. So this is the twisted sampler
of Wu et al., "Practical and Asymptotically Exact Conditional Sampling in Diffusion Models" (2023), without its
gradients. Resampling is systematic, where the effective sample size has fallen below half, and at ρ in any case.
Langevin moves at ρ then part the particles that are alike, and 2M* takes them from z to x: as in noise-split.

A sample depends on all others of its picture: with another number of samples it is another.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from snips.errors import InvalidValue, SnipsWarning, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Identity, Observation
from snips.tweedie import levels_like
from snips_plugins.samplers.noise_split import baoab_step, moves
from snips_plugins.samplers.reverse_sde import SDELevel, reverse_step, two_m_star
from snips_plugins.samplers.spectral import PURE_NOISE, Split, noisy_start, split_level

SPREAD = 0.4
"""a: how far a picture's values are from their mean, about."""


@dataclass(frozen=True)
class ParticleLevel(Level):
    """From σ = s to `target` = t; `last`: resample in any case."""

    target: float = 0.0
    rho: float = 0.0
    last: bool = False


class ParticleState(NamedTuple):
    x: Tensor
    v: Tensor
    d: Tensor
    log_weight: Tensor
    """(B,), up to a constant, but for ψ of x."""
    ess: Tensor
    """(B,), all equal: the smallest effective sample size so far."""


@dataclass(frozen=True)
class SMC:
    """`steps` denoiser calls: `correct` at ρ, `descend` from ρ to 0, the rest from sigma_max down to ρ.

    rho: ρ, by default σ0/‖H‖, as far as the denoiser reaches. Raises InvalidValue for what leaves no step.
    """

    steps: int = 100
    correct: int = 10
    descend: int = 10
    sigma_max: float | None = None
    rho: float | None = None

    couples_rows: ClassVar[bool] = True
    diagnosed: ClassVar[tuple[str, ...]] = ("ess",)

    def __post_init__(self) -> None:
        if self.descend < 2 or self.correct < 0 or self.steps <= self.correct + self.descend:
            raise InvalidValue(
                f"smc cannot split {self.steps} steps into correct {self.correct} + descend {self.descend} and a rest; "
                "descend needs 2"
            )

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[Level]:
        """All steps. Raises UnsupportedOperator for Identity and without an SVD, InvalidValue for too large a ρ."""
        if isinstance(observation.operator, Identity):
            raise UnsupportedOperator("smc has nothing to split when all is observed; reverse-sde denoises")
        ρ = split_level(observation, levels, self.rho, "smc")
        T = min(self.sigma_max or max(PURE_NOISE, 2 * ρ), levels.high)
        if ρ >= T:
            raise InvalidValue(
                f"smc begins at σ {T:g}, which is not above ρ = {ρ:.4g}; give a larger sigma_max or less rho"
            )
        count = self.steps - self.correct - self.descend
        σ = [T * (ρ / T) ** (i / count) for i in range(count)] + [ρ]
        down = [ParticleLevel(s, target=t, rho=ρ, last=t == ρ) for s, t in pairwise(σ)]
        return [
            *down,
            *(moves([ρ] * self.correct, ρ) if self.correct else []),
            *two_m_star(ρ, self.descend, levels.low),
        ]

    def init(self, observation: Observation, plan: Sequence[Any], noise: Noise) -> ParticleState:
        x = noisy_start(observation, math.hypot(plan[0].sigma, SPREAD), noise)
        return ParticleState(
            x, noise.normal(), torch.zeros_like(x), x.new_zeros(len(x)), x.new_full((len(x),), float(len(x)))
        )

    def step(
        self, state: Any, level: Any, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> ParticleState:
        x, v, d, log_weight, ess = state
        if isinstance(level, SDELevel):
            x, d = reverse_step(x, d, level, denoiser, noise)
        elif not isinstance(level, ParticleLevel):
            x, v = baoab_step(x, v, level, denoiser, observation, noise)
        else:
            x, log_weight, ess = particle_step(x, log_weight, ess, level, denoiser, observation, noise)
        return ParticleState(x, v, d, log_weight, ess)

    def diagnose(self, ess: Tensor) -> dict[str, float]:
        """The smallest effective sample size on the way. Warns if it is below 2, or a hundredth of the particles."""
        smallest, count = float(ess[0]), len(ess)
        if smallest < max(2.0, count / 100):
            warnings.warn(
                f"smc: of {count} particles {smallest:.1f} were effective at a level; take more, or noise-split",
                SnipsWarning,
                stacklevel=2,
            )
        return {"smallest_ess": smallest, "particles": float(count)}


def particle_step(
    x: Tensor,
    log_weight: Tensor,
    ess: Tensor,
    level: ParticleLevel,
    denoiser: MMSEDenoiser,
    observation: Observation,
    noise: Noise,
) -> tuple[Tensor, Tensor, Tensor]:
    split, s, t, ρ2 = Split.of(observation, level.rho), level.sigma, level.target, level.rho**2
    q, vt = split.q, split.operator.vt
    c, D = vt(x), vt(denoiser.denoise(x, levels_like(x, s)))
    r, τ2 = ρ2 / s**2, (s * SPREAD) ** 2 / (s**2 + SPREAD**2)

    μ, qS = r * c + (1 - r) * D, q * ((1 - r) ** 2 * τ2 + ρ2 * (1 - r)) + ρ2 * (1 - q)
    log_ψ = fit(split, μ, qS)
    log_weight, ess_now, chosen = resampled(log_weight + log_ψ, noise.normal(), always=False)
    c, D, μ, log_weight = c[chosen], D[chosen], μ[chosen], log_weight - log_ψ[chosen]
    ess = torch.minimum(ess, ess_now.to(ess))

    step, ahead = (t / s) ** 2, ρ2 / t**2
    m, v0, z = step * c + (1 - step) * D, t**2 * (1 - step), noise.normal()
    if not level.last:
        covariance = ahead * v0 + (1 - step) * (1 - r) * τ2  # of x_t and z, given x_s
        shift = (q * covariance / qS).to(m) * (split.target - μ)
        v = v0 * (1 - q * ahead**2 * v0 / qS)
        new = m + shift + v.sqrt().to(m) * z
        ratio = (new - m - shift).double().square() / v - (new - m).double().square() / v0
        return split.operator.v(new), (log_weight + ratio.flatten(1).sum(1) / 2).to(x), ess
    total = q * v0 + ρ2 * (1 - q)
    w = q * v0 / total
    new = m + w.to(m) * (split.target - m) + (v0 * (1 - w)).sqrt().to(m) * z
    log_weight, ess_now, chosen = resampled(log_weight + fit(split, m, total), noise.normal(), always=True)
    return split.operator.v(new)[chosen], log_weight.to(x), torch.minimum(ess, ess_now.to(ess))


def fit(split: Split, c: Tensor, qv: Tensor) -> Tensor:
    """Σ_j log N(u_j/s_j; c_j, V_j) (B,) for qv = q V, but for what no particle changes, in float64."""
    return -0.5 * (split.q * (split.target - c).double().square() / qv).flatten(1).sum(1)


def resampled(log_weight: Tensor, z: Tensor, always: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The log weights (B,) after resampling, the effective sample size before, and where each particle comes from (B,).

    Systematic resampling (Carpenter, Clifford and Fearnhead 1999) where the effective sample size is below half, or
    always; z gives its one uniform number.
    """
    count = len(log_weight)
    weights = log_weight.softmax(0)
    ess = 1 / weights.square().sum()
    now = (ess < count / 2) | always
    uniform = 0.5 * (1 + torch.erf(z.flatten()[0].double() / math.sqrt(2)))
    stay = torch.arange(count, device=weights.device)
    chosen = torch.searchsorted(weights.cumsum(0), (stay + uniform) / count).clamp_max(count - 1)
    return torch.where(now, 0.0, log_weight), ess, torch.where(now, chosen, stay)
