"""What parts are checked with: clean pictures, noise, noise levels. All of it from generators of its own."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import NoiseLevels

SMALLEST, LARGEST = 1 / 255, 1.0
"""Between these σ a denoiser is asked to do well, as far as its own noise levels reach."""


@dataclass(frozen=True)
class Bench:
    """Clean pictures (N, C, H, W) that a denoiser is tried on, at least four of them.

    Raises InvalidValue for fewer, or for another shape.
    """

    pictures: Tensor

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or len(self.pictures) < 4:
            raise InvalidValue(f"pictures must be (N, C, H, W) with N ≥ 4, not {tuple(self.pictures.shape)}")

    @property
    def few(self) -> Bench:
        """The first four pictures, for what needs no statistics."""
        return Bench(self.pictures[:4])

    def noisy(self, sigma: float | Tensor, seed: int = 0) -> Tensor:
        """x₀ + σn for every picture, σ one number or one a picture (N,)."""
        s = sigma[:, None, None, None] if isinstance(sigma, Tensor) else sigma
        return self.pictures + s * noise_like(self.pictures, seed)


def noise_like(x: Tensor, seed: int = 0) -> Tensor:
    """N(0, I) of x's shape, dtype and device, the same numbers on every device."""
    return torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(x)


def smooth_pictures(count: int, channels: int, height: int, width: int) -> Tensor:
    """Clean test pictures (N, C, H, W) in [0, 1]: slow waves, a disc with a soft edge, some areas black or white."""
    random_ = torch.Generator().manual_seed(2021)
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    pictures = torch.empty(count, channels, height, width, dtype=torch.float64)
    for picture in pictures:
        kx, ky, phase, cx, cy = torch.rand(5, generator=random_, dtype=torch.float64)
        wave = torch.cos(2 * math.pi * ((1 + kx) * columns / 48 + (ky - 0.5) * rows / 24 + phase))
        distance = torch.hypot(rows - (0.3 + 0.4 * cy) * height, columns - (0.3 + 0.4 * cx) * width)
        disc = torch.sigmoid(0.25 * min(height, width) - distance)
        tint = 0.7 + 0.6 * torch.rand(channels, 1, 1, generator=random_, dtype=torch.float64)
        picture[:] = 0.5 + 0.35 * tint * wave + 0.5 * (disc - 0.3)
    return pictures.clamp(0, 1).float()


def trial_levels(levels: NoiseLevels) -> list[float]:
    """Three σ, ascending, at which a denoiser with these noise levels must do well."""
    if levels.only:
        usual = [σ for σ in sorted(levels.only) if SMALLEST <= σ <= LARGEST] or sorted(levels.only)
        return usual[:: max(1, len(usual) // 3)][-3:]
    low, high = max(levels.low, SMALLEST), min(levels.high, LARGEST)
    if low > high:
        low, high = levels.low, levels.high
    return [low * (high / low) ** share for share in (0.4, 0.7, 1.0)]


def global_rng() -> tuple[Any, ...]:
    """The state of every global random generator: of torch (CPU and GPUs), NumPy and Python."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = [bytes(state.numpy()) for state in (torch.get_rng_state(), *devices)]
    return (*states, pickle.dumps(np.random.get_state()), random.getstate())


@contextmanager
def seeded_globally(seed: int) -> Iterator[None]:
    """The global random generators at `seed`; afterwards they are as before."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
