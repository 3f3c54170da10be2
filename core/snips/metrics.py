"""How good a restoration is where the truth is known, and how consistent with what was observed where it is not.

Pictures are (C, H, W), arrays or CPU tensors, with a clean range of [0, 1]. `where` limits a figure to some pixels,
True being counted: bool, (H, W) or (C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SSIM_WINDOW = 7
"""Side of scikit-image's window; SSIM needs a picture at least this large."""


def mse(clean: ArrayLike, picture: ArrayLike, where: ArrayLike | None = None) -> float:
    """The mean squared difference."""
    return float(np.mean(_counted(_float(picture) - _float(clean), where) ** 2))


def psnr(clean: ArrayLike, picture: ArrayLike, where: ArrayLike | None = None) -> float:
    """The peak signal-to-noise ratio −10 log₁₀ MSE in dB, for a peak of 1; infinite if the two are equal."""
    error = mse(clean, picture, where)
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(clean: ArrayLike, picture: ArrayLike, where: ArrayLike | None = None) -> float:
    """The structural similarity (Wang et al. 2004) as scikit-image computes it, mean over channels and pixels.

    NaN for a picture smaller than its 7×7 window.
    """
    from skimage.metrics import structural_similarity

    a, b = _float(clean), _float(picture)
    if min(a.shape[1:]) < SSIM_WINDOW:
        return float("nan")
    value, local = structural_similarity(a, b, data_range=1.0, channel_axis=0, full=True)
    return float(value if where is None else _counted(local, where).mean())


def mse_ratio(clean: ArrayLike, samples: Iterable[ArrayLike], mmse: ArrayLike, where: ArrayLike | None = None) -> float:
    """MSE of the samples, averaged, over that of the MMSE estimate: exactly 2 in expectation for an exact sampler."""
    errors = [mse(clean, sample, where) for sample in samples]
    best = mse(clean, mmse, where)
    return float(np.mean(errors)) / best if best > 0 else float("nan")


@dataclass(frozen=True)
class ResidualTests:
    """The paper's tests of y − x̂ against white Gaussian noise of level σ0 (its Section 4.2)."""

    std_over_sigma: float
    """1 for a sample of the posterior."""
    rho: float
    """The Pearson correlation of adjacent pixels, in the direction where it is largest in absolute value: about 0."""
    p_value: float
    """Of D'Agostino and Pearson's test of normality: uniform in [0, 1] if Gaussian."""


def residual_tests(residual: ArrayLike, sigma: float, observed: ArrayLike | None = None) -> ResidualTests:
    """What y − x̂ looks like beside the noise N(0, σ0² I) that it should be.

    Args:
        residual: y − x̂, (C, H, W).
        sigma: σ0.
        observed: True where a pixel is observed; the others count nowhere, nor do pairs with one of them.
    """
    r = _float(residual)
    counted = _counted(r, observed)
    std = float(np.sqrt(np.mean((counted - counted.mean()) ** 2)))
    return ResidualTests(std / sigma, neighbour_correlation(r, observed), normality_p_value(counted))


def neighbour_correlation(residual: ArrayLike, observed: ArrayLike | None = None) -> float:
    """Pearson's ρ of adjacent pixels, of the largest |ρ| over the 8 directions, pairs of all channels taken together.

    Opposite directions pair the same pixels, so 4 need computing. NaN if no direction has pairs that vary.
    """
    r = _float(residual)
    seen = np.broadcast_to(True if observed is None else np.asarray(observed, dtype=bool), r.shape)
    rhos = [_pearson(*_pairs(r, seen, dy, dx)) for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))]
    return max((rho for rho in rhos if np.isfinite(rho)), key=abs, default=float("nan"))


def normality_p_value(values: ArrayLike) -> float:
    """The p-value of D'Agostino and Pearson's omnibus test (scipy.stats.normaltest); NaN for fewer than 20 values."""
    from scipy.stats import normaltest

    flat = _float(values).ravel()
    return float(normaltest(flat).pvalue) if len(flat) >= 20 and flat.std() > 0 else float("nan")


def _pairs(r: Array, seen: NDArray[np.bool_], dy: int, dx: int) -> tuple[Array, Array]:
    """The values of the pixels that have an observed neighbour at (dy, dx), and of these neighbours."""
    height, width = r.shape[1:]
    here = np.s_[:, : height - dy, max(-dx, 0) : width - max(dx, 0)]
    there = np.s_[:, dy:, max(dx, 0) : width - max(-dx, 0)]
    both = seen[here] & seen[there]
    return r[here][both], r[there][both]


def _pearson(a: Array, b: Array) -> float:
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _float(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _counted(values: Array, where: ArrayLike | None) -> Array:
    if where is None:
        return values.ravel()
    counted: Array = values[np.broadcast_to(np.asarray(where, dtype=bool), values.shape)]
    return counted
