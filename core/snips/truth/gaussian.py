"""How far a sampler is from a Gaussian posterior, exactly.

For a Gaussian prior the denoiser is affine, and so is every step of a sampler whose steps are: the mean and covariance
of what it returns can be propagated exactly, with no Monte-Carlo error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snips.analytic import GaussianPrior
from snips.errors import NotAffine
from snips.interfaces import PosteriorSampler
from snips.observation import Observation
from snips.truth.distances import wasserstein


class _Given:
    """Stands in for Noise: hands out what it was given, or zeros, and counts the draws."""

    def __init__(self, rows: int, shape: tuple[int, ...], draws: dict[int, Tensor] | None = None) -> None:
        self.zeros = torch.zeros(rows, *shape, dtype=torch.float64)
        self.draws = draws or {}
        self.count = 0

    def normal(self) -> Tensor:
        self.count += 1
        return self.draws.get(self.count - 1, self.zeros)

    def __getattr__(self, name: str) -> Any:
        raise NotAffine(f"the sampler uses noise.{name}, and only noise.normal can be propagated")


def propagate(sampler: PosteriorSampler, observation: Observation, prior: GaussianPrior) -> tuple[Tensor, Tensor, int]:
    """Mean (d,) and covariance (d, d) of the sampler's samples for one observed picture, and its NFE.

    The sampler's `init` and `step` must be affine in the state and in the noise, with no other randomness, and rows
    independent. Raises NotAffine where they are not: every step is tried on one random state more.
    """
    plan = sampler.plan(observation, prior.noise_levels)
    shape = prior.shape
    d = math.prod(shape)
    eye = torch.eye(d, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    watched = getattr(sampler, "diagnosed", ())  # fields that only look on: no later step depends on them
    first: Any = None

    def rows(count: int) -> Observation:
        return observation.to(torch.device("cpu"), torch.float64).rows([0] * count)

    def affine(apply: Callable[[Tensor | None, int, Any], Any], width: int) -> tuple[Tensor, Tensor, Tensor]:
        """f(u) = A u + b + B z for u of `width` values: A, b, and B Bᵀ."""
        given = _Given(width + 2, shape)
        trial = torch.randn(1, width, dtype=torch.float64, generator=generator)
        origin, axes = torch.zeros(1, width, dtype=torch.float64), torch.eye(width, dtype=torch.float64)
        out = apply(torch.cat([origin, axes, trial]), width + 2, given)
        b, a = out[0], (out[1:-1] - out[0]).T
        require_affine(out[-1], a @ trial[0] + b)
        spread = torch.zeros(len(b), len(b), dtype=torch.float64)
        for draw in range(given.count):
            kick = torch.cat([eye, torch.randn(1, d, dtype=torch.float64, generator=generator)])
            noise = _Given(d + 1, shape, {draw: kick.reshape(-1, *shape)})
            out = apply(torch.zeros(d + 1, width, dtype=torch.float64), d + 1, noise)
            part = (out[:-1] - b).T
            require_affine(out[-1], part @ kick[-1] + b)
            spread += part @ part.T
        return a, b, spread

    def moving(state: Any) -> dict[str, Tensor]:
        return {name: getattr(state, name) for name in state._fields if name not in watched}

    def flat(state: Any) -> Tensor:
        if any(field.shape[1:] != shape for field in moving(state).values()):
            raise NotAffine("the sampler's state is not made of pictures")
        return torch.cat([field.flatten(1) for field in moving(state).values()], 1)

    def start(_: Tensor | None, count: int, noise: Any) -> Tensor:
        nonlocal first
        first = sampler.init(rows(count), plan, noise)
        return flat(first)

    _, mean, cov = affine(start, 0)
    for level in plan:

        def step(u: Tensor | None, count: int, noise: Any, level: Any = level) -> Tensor:
            assert u is not None
            parts = (part.reshape(count, *shape) for part in u.reshape(count, -1, d).unbind(1))
            still = {name: getattr(first, name)[:1].expand(count, *getattr(first, name).shape[1:]) for name in watched}
            state = first._replace(**dict(zip(moving(first), parts, strict=True)), **still)
            return flat(sampler.step(state, level, prior, rows(count), noise))

        a, b, spread = affine(step, len(mean))
        mean, cov = a @ mean + b, a @ cov @ a.T + spread
    return mean[:d], cov[:d, :d], sum(level.nfe for level in plan)


def require_affine(seen: Tensor, expected: Tensor) -> None:
    if not torch.allclose(seen, expected, rtol=1e-4, atol=1e-4 * float(1 + expected.abs().max())):
        raise NotAffine("a step of this sampler is not affine in its state or noise, or its rows depend on each other")


def relative_w2(sampler: PosteriorSampler, observation: Observation, prior: GaussianPrior) -> tuple[float, int]:
    """Wasserstein-2 distance from the exact posterior over that posterior's total std, and the NFE."""
    exact = prior.posterior(observation)
    mean, cov, nfe = propagate(sampler, observation, prior)
    distance = wasserstein(mean, cov, exact.mean.flatten(), exact.cov)
    return distance / math.sqrt(float(exact.cov.trace())), nfe
