"""Distances between laws: of Gaussians in closed form, of samples along random directions, of mixture weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from snips.analytic import matrix_root

SLICES = 100
"""Random directions of a sliced distance, as in MCGDiff's experiments."""


def wasserstein(mean: Tensor, cov: Tensor, other_mean: Tensor, other_cov: Tensor) -> float:
    """The Wasserstein-2 distance of two Gaussians (Dowson and Landau 1982)."""
    root = matrix_root(other_cov)
    cross = torch.linalg.eigvalsh(root @ cov @ root).clamp_min(0).sqrt().sum()
    squared = (mean - other_mean).square().sum() + cov.trace() + other_cov.trace() - 2 * cross
    return math.sqrt(max(float(squared), 0.0))


def estimated_wasserstein(samples: Tensor, mean: Tensor, cov: Tensor) -> float:
    """The same from samples (N, d) of the one Gaussian, along the principal directions of the other.

    A lower bound, which is reached where the two covariances commute. What chance adds on average to the squares of the
    differences of means, s²/N, and of standard deviations, s²/2N, is taken off.
    """
    variances, directions = torch.linalg.eigh(cov)
    along = (samples - mean) @ directions
    s, n = along.std(0), len(samples)
    squared = along.mean(0).square() + (s - variances.clamp_min(0).sqrt()).square() - 1.5 * s.square() / n
    return math.sqrt(max(float(squared.sum()), 0.0))


def sliced_wasserstein(samples: Tensor, other: Tensor, order: Literal[1, 2], generator: torch.Generator) -> float:
    """The sliced Wasserstein distance of two sets of samples (N, d), of equal number (Rabin et al. 2011).

    Along each of 100 random directions, the sorted projections are paired: (mean |difference|^order)^(1/order). Order 1
    is the mean of that over the directions, order 2 the root of its mean square.
    """
    directions = torch.randn(SLICES, samples.shape[1], dtype=samples.dtype, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    gaps = (samples @ directions.T).sort(0).values - (other @ directions.T).sort(0).values
    return float(gaps.abs().mean()) if order == 1 else float(gaps.square().mean().sqrt())


def weight_error(responsibilities: Tensor, weights: Tensor) -> float:
    """Total variation between the weights (K,) of a mixture and the mean of samples' responsibilities (N, K).

    Over the posterior, the mean of r_k is the weight of component k exactly.
    """
    return 0.5 * float((responsibilities.mean(0) - weights).abs().sum())
