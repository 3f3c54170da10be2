"""scikit-image's denoisers on batches: rows in threads, no value clipped, the same for any offset of the picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet
from torch import Tensor

from snips.adapters import NumpyFunction
from snips.devices import usable_cpus
from snips.errors import InvalidValue
from snips.interfaces import NoiseLevels
from snips_plugins.classical import LEVELS, MEASURED

Picture = NDArray[np.floating]
"""(H, W) or (H, W, 3), before noise in [0, 1]."""

TINY = 1e-12
"""In place of σ = 0, by which all three would divide."""

CALIBRATION = Path(__file__).with_name("calibration.json")

OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""An orthonormal luminance and two chrominances: white noise of σ stays so."""


@dataclass(frozen=True)
class Rows:
    """A function of one picture as a denoiser of batches, `workers` rows at once. Raises InvalidValue for none."""

    name: str
    function: Callable[[Picture, float], Picture]
    noise_levels: NoiseLevels
    workers: int
    channels: tuple[int, ...] = (1, 3)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidValue(f"{self.name}'s workers must be at least 1, not {self.workers}")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The estimate for each row: x (B, 1 or 3, H, W) with clean range [0, 1], sigma (B,) in the same units.

        Computed in float64. Raises InvalidValue for another number of channels.
        """
        if x.shape[1] not in self.channels:
            raise InvalidValue(f"{self.name} denoises pictures of 1 or 3 channels, not of {x.shape[1]}")
        if not len(x):
            return x.clone()
        one = NumpyFunction(self.function, self.noise_levels)
        rows = x.detach().double().split(1)
        pool = ThreadPoolExecutor(min(self.workers, len(rows)))
        try:
            clean = list(pool.map(one.denoise, rows, sigma.detach().double().split(1)))
        finally:
            pool.shutdown(cancel_futures=True)  # when interrupted, rows that have not begun never do
        return torch.cat(clean).to(x)


def nlm(picture: Picture, sigma: float, strength: float | None = None) -> Picture:
    """Non-local means: patches of 7 × 7 within 11 pixels, h = strength · σ (default: the measured one)."""
    axis = None if picture.ndim == 2 else -1
    factor = strength or measured("nlm", "gray" if axis is None else "colour", sigma)
    h = max(factor * sigma, TINY)
    clean = denoise_nl_means(picture, 7, 11, h, True, sigma, preserve_range=True, channel_axis=axis)
    return np.asarray(clean).reshape(picture.shape)


def tv(picture: Picture, sigma: float) -> Picture:
    """Total variation, gray or of each opponent channel, of the weights measured."""
    if picture.ndim == 2:
        return rof(picture, sigma, measured("tv", "gray", sigma))
    luminance, chrominance = (measured("tv", kind, sigma) for kind in ("luminance", "chrominance"))
    strengths = iter((luminance, chrominance, chrominance))
    return by_channel(lambda channel: rof(channel, sigma, next(strengths)), picture)


def rof(channel: Picture, sigma: float, strength: float) -> Picture:
    """Chambolle's 200 steps to the solution of Rudin, Osher and Fatemi's problem, of weight strength · σ.

    channel: (H, W). All steps are made (eps = 0): the usual criterion stops early by chance, and loses up to 10 dB at
    σ = 1.
    """
    return np.asarray(denoise_tv_chambolle(channel, max(strength * sigma, TINY), eps=0, max_num_iter=200))


def wavelet(picture: Picture, sigma: float, shifts: int) -> Picture:
    """BayesShrink of the Haar coefficients of each opponent channel, the mean over shifts × shifts of its pixels.

    Haar wavelets at full depth are the best of five that were tried, .1 to .2 dB before Daubechies' second; 4 × 4
    shifts bring 1 dB, 8 × 8 another .1 at σ ≥ 50/255.
    """
    return by_channel(partial(bayes_shrink, sigma=sigma, shifts=shifts), picture)


def bayes_shrink(channel: Picture, sigma: float, shifts: int) -> Picture:
    """Of one channel (H, W), mirrored at its borders."""
    height, width = channel.shape
    total = np.zeros_like(channel)
    for top, left in np.ndindex(shifts, shifts):
        shifted = np.pad(channel, ((top, shifts - top), (left, shifts - left)), "symmetric")
        levels = min(shifted.shape).bit_length() - 1
        clean = denoise_wavelet(
            shifted, sigma=max(sigma, TINY), wavelet="haar", wavelet_levels=levels, rescale_sigma=False
        )
        total += clean[top : top + height, left : left + width]
    return total / shifts**2


def by_channel(function: Callable[[Picture], Picture], picture: Picture) -> Picture:
    """The function of a gray picture, or of each opponent channel."""
    if picture.ndim == 2:
        return function(picture)
    channels = np.moveaxis(picture @ OPPONENT.T, -1, 0)
    return np.stack([function(channel) for channel in channels], axis=-1) @ OPPONENT


@cache
def calibration() -> dict[str, Any]:
    """The strengths that `calibrate` measured, and where from."""
    loaded: dict[str, Any] = json.loads(CALIBRATION.read_text())
    return loaded


def measured(name: str, kind: str, sigma: float) -> float:
    """The best strength at σ: log-linear between the levels measured, and beyond them that of the last."""
    levels, strengths = (np.log(calibration()[key]) for key in ("sigma", f"{name}.{kind}"))
    return float(np.exp(np.interp(np.log(max(sigma, 1e-12)), levels, strengths)))


def load(name: str, workers: int | None = None, shifts: int = 4) -> Rows:
    """nlm, tv or wavelet. Raises InvalidValue for less than one worker or shift; ImportError without PyWavelets."""
    workers = usable_cpus() if workers is None else workers
    if name != "wavelet":
        return Rows(name, {"nlm": nlm, "tv": tv}[name], MEASURED, workers)
    import pywt  # noqa: F401  (scikit-image asks for it only when called)

    if shifts < 1:
        raise InvalidValue(f"wavelet's shifts must be at least 1, not {shifts}")
    return Rows(name, partial(wavelet, shifts=shifts), LEVELS, workers)
