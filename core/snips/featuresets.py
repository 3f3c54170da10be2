"""How far two sets of pictures are apart, by the features (n, D) that a network sees in each picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def kernel_distance(a: ArrayLike, b: ArrayLike) -> float:
    """The kernel inception distance (Bińkowski et al. 2018): MMD² with the kernel (x·y/D + 1)³, unbiased.

    Row i of both sets may be of the same picture: pairs (i, i) are left out where the sets are of one size. So 0 is
    expected for two sets of one law, paired or not, and negative values happen. NaN for fewer than 2 rows.
    """
    x, y = _rows(a), _rows(b)
    if min(len(x), len(y)) < 2:
        return float("nan")
    return _mean_apart(_kernel(x, x)) + _mean_apart(_kernel(y, y)) - 2 * _mean_apart(_kernel(x, y))


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """The Fréchet distance (Heusel et al. 2017) of the normal distributions fitted to the two sets: FID.

    |μ − μ'|² + tr(Σ + Σ' − 2 (Σ^½ Σ' Σ^½)^½). Biased upwards for few rows: NaN for fewer than two a feature.
    """
    x, y = _rows(a), _rows(b)
    if min(len(x), len(y)) < 2 * x.shape[1]:
        return float("nan")
    cov_x, cov_y = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (x, y))
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    return float(apart + np.trace(cov_x) + np.trace(cov_y) - 2 * common)


def _kernel(x: Array, y: Array) -> Array:
    return (x @ y.T / x.shape[1] + 1) ** 3  # type: ignore[no-any-return]


def _mean_apart(kernel: Array) -> float:
    """Without the diagonal, unless the two sets are of different sizes."""
    n, m = kernel.shape
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)) if n == m else kernel.mean())


def _rows(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)
