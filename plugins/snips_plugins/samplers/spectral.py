"""y = H x + σ0 n as samplers see it who know H = U S Vᵀ: one number a coordinate, observed with a noise of its own.

In the coordinates c = Vᵀ x, u = Uᵀ y says c_j = u_j/s_j but for noise of level σ0/s_j; nothing where s_j = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snips.classical import biharmonic_fill, smoothing_spline
from snips.errors import InvalidValue, UnsupportedOperator
from snips.interfaces import NoiseLevels, SpectralOperator
from snips.noise import Noise
from snips.observation import Mask, Observation

START = 0.4
"""First level of an annealing that starts from a picture: about the spread of pictures in [0, 1]."""

PURE_NOISE = 10.0
"""From this σ on, a clean picture is lost in the noise."""

PINNED = 1e-4
"""Where 1 − q is smaller, z is taken to be u/s: the noise that is left out is a hundredth of ρ."""


def spectral(observation: Observation, sampler: str) -> SpectralOperator:
    """The operator, which must have an SVD. Raises UnsupportedOperator, and InvalidValue if H is 0."""
    operator = observation.operator
    if not isinstance(operator, SpectralOperator):
        name = type(operator).__name__
        raise UnsupportedOperator(f"{sampler} needs an operator with an SVD (snips.SpectralOperator), not {name}")
    if not bool((operator.singular_values > 0).any()):
        raise InvalidValue(f"{sampler}: the operator maps every picture to 0, so y says nothing")
    return operator


def norm(observation: Observation, sampler: str) -> float:
    """‖H‖, the largest singular value. Raises as `spectral`."""
    return float(spectral(observation, sampler).singular_values.max())


def targets(observation: Observation) -> Tensor:
    """u_j/s_j (B, C, H, W): where y says that x is; 0 where it says nothing."""
    operator = observation.operator
    assert isinstance(operator, SpectralOperator)
    u = operator.ut(observation.y)
    s = operator.singular_values.to(u)
    return torch.where(s > 0, u / torch.where(s > 0, s, 1), 0)


def starting_picture(observation: Observation) -> Tensor:
    """A classical estimate (B, C, H, W): a fill of what a mask hides, else the smoothest picture that fits y."""
    if isinstance(observation.operator, Mask):
        return biharmonic_fill(observation.y, observation.operator.mask)
    return smoothing_spline(observation.y, observation.operator, observation.sigma)


def noisy_start(observation: Observation, σ: float, noise: Noise) -> Tensor:
    """x at level σ before anything is known: gray, or a classical estimate where σ does not drown it, and noise."""
    z = noise.normal()
    return (0.5 if σ >= PURE_NOISE else starting_picture(observation)) + σ * z


def path_down(levels: NoiseLevels, sigma_max: float | None, count: int, sampler: str) -> list[float]:
    """`count` levels in equal ratios from sigma_max (by default 10, or the denoiser's largest) to .01 or its smallest.

    Raises InvalidValue if there is no way down.
    """
    first, last = sigma_max or min(PURE_NOISE, levels.high), max(0.01, levels.low)
    if not first > last:
        raise InvalidValue(f"{sampler} goes down to σ {last:g}, and sigma_max {first:g} is not above it")
    return [first * (last / first) ** (i / (count - 1)) for i in range(count)]


def split_level(observation: Observation, levels: NoiseLevels, rho: float | None, sampler: str) -> float:
    """ρ as asked for, or as large as may be: up to σ0/‖H‖ the noise of y splits, as far as the denoiser reaches.

    Raises InvalidValue for a larger one, and as `spectral`.
    """
    bound = observation.sigma / norm(observation, sampler)
    if rho is None:
        return min(bound, levels.high)
    if not 0 < rho <= bound * (1 + 1e-6):
        raise InvalidValue(f"{sampler}: rho={rho:g} must lie between 0 and σ0/‖H‖ = {bound:.4g}, or noise cannot split")
    return min(rho, bound)


@dataclass(frozen=True, eq=False)
class Split:
    """The noise of y split at level ρ: z = x + ρ n₁, and u_j = s_j z_j + n₂ with variance σ0² − ρ² s_j².

    Given x, z has mean (1 − q) x + q u/s and variance ρ² (1 − q), q = ρ² s²/σ0²: x and noise where nothing is observed,
    and u/s without noise where ρ = σ0/s. At a level t > ρ the same q holds for y with its noise inflated to t σ0/ρ.
    """

    operator: SpectralOperator
    rho: float
    q: Tensor
    """In [0, 1], broadcastable to a picture's shape, float64."""
    target: Tensor
    """u/s, (B, C, H, W)."""

    @classmethod
    def of(cls, observation: Observation, rho: float) -> Split:
        operator = observation.operator
        assert isinstance(operator, SpectralOperator)
        q = (rho / observation.sigma * operator.singular_values.double()).square()
        return cls(operator, rho, torch.where(q > 1 - PINNED, 1.0, q), targets(observation))

    @property
    def free(self) -> Tensor:
        """√(1 − q): 0 where z is pinned, 1 where nothing is observed."""
        return (1 - self.q).sqrt().to(self.target)

    def pull(self, c: Tensor, t: float) -> Tensor:
        """√(1 − q) ∇_c log p(u | z = c) at level t, 0 where c is pinned."""
        pinned = self.q == 1
        stiffness = torch.where(pinned, 0, self.q / (t**2 * (1 - torch.where(pinned, 0, self.q)).sqrt()))
        return stiffness.to(c) * (self.target - c)

    def draw(self, mean: Tensor, t: float, r: float, z: Tensor, noised: bool = True) -> Tensor:
        """z_t at level t given y, where without y it is `mean` with noise of variance t² (1 − r).

        noised: what is observed is first brought to level t by noise of its own, as is the rest of the picture; else
        it is taken as it is, with its noise inflated.
        """
        w = self.q * (1 - r) / torch.where(self.q == 1, 1 - r, 1 - self.q * r)
        variance = t**2 * (1 - r) * (1 - w)
        if noised:
            variance = variance + w * (w / self.q.clamp_min(1e-300)) * max(t**2 - self.rho**2, 0)
        w = w.to(mean)
        c = (1 - w) * self.operator.vt(mean) + w * self.target + variance.sqrt().to(mean) * z
        return self.operator.v(c)
