"""The noise level of a picture, from the picture alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from snips.errors import ImageError

MAD_TO_STD = 0.6744897501960817
"""The median of |n| for n ~ N(0, 1)."""


def estimate_sigma(y: ArrayLike, observed: ArrayLike | None = None) -> float:
    """σ of white Gaussian noise in a picture (C, H, W), by the median of its finest diagonal Haar coefficients.

    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage" (1994), with every 2×2 block whose four
    pixels are observed (True in `observed`, (H, W) or (C, H, W)), averaged over channels. Fine texture counts as noise.
    Raises ImageError if no channel has such a block.
    """
    x = np.asarray(y, dtype=np.float64)
    seen = np.broadcast_to(True if observed is None else np.asarray(observed, dtype=bool), x.shape)
    detail = (x[:, :-1, :-1] - x[:, :-1, 1:] - x[:, 1:, :-1] + x[:, 1:, 1:]) / 2
    whole = seen[:, :-1, :-1] & seen[:, :-1, 1:] & seen[:, 1:, :-1] & seen[:, 1:, 1:]
    medians = [np.median(np.abs(d[w])) for d, w in zip(detail, whole, strict=True) if w.any()]
    if not medians:
        raise ImageError("too few neighbouring pixels are observed to estimate σ; give it with --sigma")
    return float(np.mean(medians)) / MAD_TO_STD
