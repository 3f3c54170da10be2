"""Whether Markov chains have mixed: what they say of one scalar after n steps each, (chains, n)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def split_r_hat(chains: Tensor) -> float:
    """R̂ of Gelman and Rubin (1992) on half chains (Gelman et al., Bayesian Data Analysis, 2013, Section 11.4).

    √(variance over all chains / mean variance within one): 1 where every half chain sees the whole law, and more where
    chains still depend on where they began, or drift. NaN for fewer than 4 steps, or where nothing varies.
    """
    halves = split(chains)
    n = halves.shape[1]
    if n < 2 or not bool((halves != halves[0, 0]).any()):
        return math.nan
    within = halves.var(1).mean()
    between = halves.mean(1).var() if len(halves) > 1 else halves.new_zeros(())
    return float(((n - 1) / n + between / within).sqrt())


def effective_samples(chains: Tensor) -> float:
    """How many independent draws tell as much about the mean as all steps of all chains do.

    Vehtari et al., "Rank-Normalization, Folding, and Localization" (2021), Eq. 10 and 11, on half chains, with Geyer's
    initial monotone sequence (1992). NaN as `split_r_hat`.
    """
    halves = split(chains)
    count, n = halves.shape
    if n < 2 or not bool((halves != halves[0, 0]).any()):
        return math.nan
    within = halves.var(1).mean()
    total = (n - 1) / n * within + (halves.mean(1).var() if count > 1 else 0)
    centred = halves - halves.mean(1, keepdim=True)
    tail, last = 0.0, math.inf
    for lag in range(0, n - 1, 2):
        pair = sum(
            float(1 - (within - (centred[:, : n - k] * centred[:, k:]).sum(1).mean() / n) / total)
            for k in (lag, lag + 1)
        )
        if pair < 0:
            break
        last = min(last, pair)
        tail += last
    return count * n / max(2 * tail - 1, 1 / math.log10(max(count * n, 10)))


def split(chains: Tensor) -> Tensor:
    """Each chain as two of half its length (the middle step of an odd number is left out), float64."""
    half = chains.shape[1] // 2
    return torch.cat([chains[:, :half], chains[:, chains.shape[1] - half :]]).double()
