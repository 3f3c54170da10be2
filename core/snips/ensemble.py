"""What several samples of one posterior say together: how far they are apart, and whether the truth is among them.

Samples are (N, C, H, W), the clean picture (C, H, W), arrays or CPU tensors. `where` limits a figure to some pixels,
True being counted: bool, (H, W) or (C, H, W). What too few samples cannot say is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def diversity(samples: ArrayLike, where: ArrayLike | None = None) -> float:
    """The root mean squared distance between two samples, a pixel: √2 times the posterior's standard deviation.

    The mean of the squares over all pairs, unbiased for any N ≥ 2; NaN for fewer.
    """
    x = _counted(samples, where)
    return float(np.sqrt(2 * np.mean(x.var(0, ddof=1)))) if len(x) > 1 else float("nan")


def spread_skill(clean: ArrayLike, samples: ArrayLike, where: ArrayLike | None = None) -> float:
    """The spread of the samples over the error of their mean: 1 for an exact sampler, less if it is overconfident.

    √((N + 1)/N · mean variance) / RMSE of the mean (Fortin et al., "Why should ensemble spread match the RMSE of the
    ensemble mean?", 2014). NaN for fewer than 2 samples.
    """
    x, truth = _counted(samples, where), _counted(clean, where)
    if len(x) < 2:
        return float("nan")
    spread = np.sqrt((len(x) + 1) / len(x) * np.mean(x.var(0, ddof=1)))
    skill = np.sqrt(np.mean((x.mean(0) - truth) ** 2))
    return float(spread / skill) if skill > 0 else float("nan")


def rank_shares(clean: ArrayLike, samples: ArrayLike, where: ArrayLike | None = None) -> Array:
    """(N + 1,): the share of pixels whose true value exceeds 0, 1, …, N of the samples. Equal for an exact sampler.

    A value that equals some samples counts in equal parts for every rank it may have.
    """
    x, truth = _counted(samples, where), _counted(clean, where)
    below, equal = (x < truth).sum(0), (x == truth).sum(0)
    shares = np.zeros(len(x) + 1)
    for ties in np.unique(equal):
        ranks = np.bincount(below[equal == ties], minlength=len(x) + 1)
        for k in range(ties + 1):
            shares[k:] += ranks[: len(ranks) - k] / (ties + 1)
    return shares / max(truth.size, 1)


def pit_histogram(shares: ArrayLike, bins: int = 10) -> Array:
    """(bins,): the histogram over [0, 1] of the probability integral transform, from the ranks of N samples.

    Rank r stands for any value in [r, r + 1]/(N + 1), so that an exact sampler has 1/bins everywhere for every N.
    """
    ranks = np.asarray(shares, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    cumulative = np.interp(edges, np.linspace(0, 1, len(ranks) + 1), np.concatenate([[0.0], np.cumsum(ranks)]))
    return np.diff(cumulative)


def coverage(shares: ArrayLike, probability: float) -> float:
    """The share of pixels whose true value lies in the central band of this probability between order statistics.

    `probability` itself for an exact sampler. NaN for fewer than 2/(1 − probability) − 1 samples, whose extremes do not
    reach the ends of the band.
    """
    ranks = np.asarray(shares, dtype=np.float64)
    tail = (1 - probability) / 2
    if len(ranks) * tail < 1 - 1e-9:
        return float("nan")
    cumulative = np.concatenate([[0.0], np.cumsum(ranks)])
    low, high = np.interp([tail, 1 - tail], np.linspace(0, 1, len(cumulative)), cumulative)
    return float(high - low)


def samples_for(probability: float) -> int:
    """How many samples `coverage` needs: 3 for .5, 19 for .9."""
    return int(np.ceil(2 / (1 - probability) - 1 - 1e-9))


def _counted(values: ArrayLike, where: ArrayLike | None) -> Array:
    """(N, pixels) of samples (N, C, H, W), or (pixels,) of a picture."""
    x = np.asarray(values, dtype=np.float64)
    mask = np.broadcast_to(True if where is None else np.asarray(where, dtype=bool), x.shape[-3:])
    counted: Array = x[..., mask]
    return counted
