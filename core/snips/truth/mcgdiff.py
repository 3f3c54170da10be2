"""MCGDiff's table: the sliced Wasserstein distance on mixtures of 25 Gaussians, observed by random matrices.

Cardoso et al., "Monte Carlo guided diffusion for Bayesian linear inverse problems" (2023): components at (8i, 8j), i
and j in −2…2, repeated d/2 times, of unit covariance and random weights; a random matrix H of d_y rows; d = 8, 80, 800;
20 random problems each. Shrunk by 1/40 about .5 to lie in [0, 1] as pictures do; distances are in the paper's units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snips.analytic import GaussianMixturePrior
from snips.operators import Matrix
from snips.truth.problems import Case, KnownProblem, observe

SCALE = 40.0

SEEDS = 20


def mcgdiff() -> list[KnownProblem]:
    """`mcgdiff-D-M` for M values observed of D."""

    def problem(d: int, observed: int) -> KnownProblem:
        return KnownProblem(
            f"mcgdiff-{d}-{observed}",
            f"MCGDiff's mixture, d {d}, d_y {observed}",
            "sliced",
            lambda seed: mcgdiff_case(d, observed, seed),
            SEEDS,
            (50, 200),
            SCALE,
            quick=False,
        )

    return [problem(d, observed) for d in (8, 80, 800) for observed in (1, 2, 4)]


def mcgdiff_case(d: int, observed: int, seed: int) -> Case:
    """One of MCGDiff's random problems, as a picture (1, d/2, 2) of values .5 + x/40.

    Weights ∝ N(0, 1)²; H = U diag(s) V with U and V random orthonormal and s sorted U(0, 1); σ_y = U(0, 1) · max s.
    """
    generator = torch.Generator().manual_seed(1000 * d + 100 * observed + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=generator)

    shape = (1, d // 2, 2)
    grid = torch.cartesian_prod(*[torch.arange(-2.0, 3.0, dtype=torch.float64)] * 2)
    means = 0.5 + 8 * grid.repeat(1, d // 2).reshape(25, *shape) / SCALE
    prior = GaussianMixturePrior(normal(25).square(), means, torch.eye(d, dtype=torch.float64) / SCALE**2)
    u, v = torch.linalg.qr(normal(observed, observed)).Q, torch.linalg.qr(normal(d, observed)).Q
    s = uniform(observed).sort(descending=True).values
    sigma = float(uniform(1) * s.max()) / SCALE
    return Case(prior, observe(prior.draw(1, generator)[0], Matrix((u * s) @ v.T, shape), sigma, generator))
