"""The `bm3d` package as a denoiser of batches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from bm3d import BM3DProfile, bm3d, bm3d_rgb
from numpy.typing import NDArray
from torch import Tensor

from snips.errors import InvalidValue
from snips_plugins.bm3d import BM3D, LEVELS
from snips_plugins.padding import on_multiples

Picture = NDArray[np.float64]

LEAST = 16
"""Pixels a side; smaller pictures are padded. BM3D refuses less than a block, and crashes on a single one."""

OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, -1 / 2], [1 / 4, -1 / 2, 1 / 4]])
"""BM3D's colour space: one luminance and two chrominances."""

PROFILE = BM3DProfile()
PROFILE.num_threads = 1  # with more, its sums depend on which thread comes first


class BM3DDenoiser:
    """Gray or colour BM3D, rows in parallel, on the CPU wherever x is.

    Threads do: the library lets go of Python's lock, and calls of one thread each share nothing.

    workers: rows at once. Raises InvalidValue if that is less than 1.
    """

    noise_levels = LEVELS
    channels = BM3D.channels

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise InvalidValue(f"bm3d's workers must be at least 1, not {workers}")
        self.workers = workers

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """BM3D's estimate for each row: x (B, 1 or 3, H, W) with clean range [0, 1], sigma (B,) in the same units.

        Raises InvalidValue for another number of channels.
        """
        if x.shape[1] not in self.channels:
            raise InvalidValue(f"bm3d denoises pictures of 1 or 3 channels, not of {x.shape[1]}")
        rows = x.detach().to("cpu", torch.float64)
        return on_multiples(lambda padded: self._rows(padded, sigma.tolist()), rows, 1, "reflect", LEAST).to(x)

    def _rows(self, x: Tensor, sigma: list[float]) -> Tensor:
        pictures = list(x.movedim(1, -1).contiguous().numpy())
        pool = ThreadPoolExecutor(min(self.workers, max(len(pictures), 1)))
        try:
            clean = list(pool.map(estimate, pictures, sigma))
        finally:
            pool.shutdown(cancel_futures=True)  # when interrupted, rows that have not begun never do
        return torch.from_numpy(np.stack(clean)).movedim(-1, 1)


def estimate(picture: Picture, sigma: float) -> Picture:
    """BM3D of one picture (H, W, 1 or 3), of values in [0, 1] before noise of standard deviation `sigma`."""
    if picture.shape[-1] == 3 and (np.ptp(picture @ OPPONENT.T, axis=(0, 1)) > 1e-6).all():
        return np.asarray(bm3d_rgb(picture, sigma, PROFILE))
    # A colour picture without colours would be divided by their range.
    return np.stack([bm3d(channel, sigma, PROFILE) for channel in np.moveaxis(picture, -1, 0)], axis=-1)
