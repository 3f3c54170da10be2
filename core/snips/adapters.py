"""What people have, made into an MMSE denoiser: score networks, noise predictors, banks, blind and NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import MMSEDenoiser, NoiseLevels

Network = Callable[[Tensor, Tensor], Tensor]
"""Called with x (B, C, H, W) and σ (B,)."""


def _per_row(sigma: Tensor) -> Tensor:
    return sigma[:, None, None, None]


@dataclass(frozen=True)
class ScoreNetwork:
    """`network(x, σ)` returns ∇ log p_σ(x): D = x + σ² s (Tweedie)."""

    network: Network
    noise_levels: NoiseLevels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x + _per_row(sigma).square() * self.network(x, sigma)


@dataclass(frozen=True)
class NoisePredictor:
    """`network(x, σ)` returns the noise in units of σ (as the ε-networks of diffusion models): D = x − σ n̂."""

    network: Network
    noise_levels: NoiseLevels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - _per_row(sigma) * self.network(x, sigma)


@dataclass(frozen=True)
class ResidualPredictor:
    """`network(x, σ)`, or `network(x)` if `sigma_input` is false, returns the noise itself: D = x − r."""

    network: Callable[..., Tensor]
    noise_levels: NoiseLevels
    sigma_input: bool = True

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - (self.network(x, sigma) if self.sigma_input else self.network(x))


@dataclass(frozen=True)
class Blind:
    """`network(x)` returns the clean picture and finds the noise level itself, in `noise_levels`."""

    network: Callable[[Tensor], Tensor]
    low: float
    high: float

    @property
    def noise_levels(self) -> NoiseLevels:
        return NoiseLevels(self.low, self.high, blind=True)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.network(x)


@dataclass(frozen=True)
class Bank:
    """One network a noise level, each `network(x)` returning the clean picture; for these σ and no others.

    Looking up the network of each row reads σ on the host: one wait for the device a call.
    Raises InvalidValue for an empty bank, and when called at a σ that no network is for.
    """

    networks: Mapping[float, Callable[[Tensor], Tensor]]

    def __post_init__(self) -> None:
        if not self.networks:
            raise InvalidValue("a bank needs at least one network")

    @property
    def noise_levels(self) -> NoiseLevels:
        only = tuple(sorted(self.networks))
        return NoiseLevels(only[0], only[-1], only=only)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        wanted = sigma.tolist()
        nearest = [min(self.networks, key=lambda level: abs(level - s)) for s in wanted]
        for s, level in zip(wanted, nearest, strict=True):
            if abs(s - level) > 1e-3 * level:
                raise InvalidValue(f"the bank has networks for σ in {self.noise_levels}, not for {s:.4g}")
        clean = torch.empty_like(x)
        for level in set(nearest):
            rows = [row for row, chosen in enumerate(nearest) if chosen == level]
            clean[rows] = self.networks[level](x[rows])
        return clean


@dataclass(frozen=True)
class Symmetric:
    """A denoiser of pictures in [−1, 1], σ in those units, as one of pictures in [0, 1]."""

    denoiser: MMSEDenoiser

    @property
    def noise_levels(self) -> NoiseLevels:
        inner = self.denoiser.noise_levels
        return NoiseLevels(inner.low / 2, inner.high / 2, tuple(s / 2 for s in inner.only), inner.blind)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (self.denoiser.denoise(2 * x - 1, 2 * sigma) + 1) / 2


@dataclass(frozen=True)
class NumpyFunction:
    """`function(picture, σ)` denoises one NumPy picture, (H, W) for gray and (H, W, C) for colour, σ a number.

    Rows are called one after another on the CPU.
    """

    function: Callable[[NDArray[np.floating], float], NDArray[np.floating]]
    noise_levels: NoiseLevels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        pictures = x.detach().movedim(1, -1).cpu().numpy()
        rows = [
            self.function(picture[..., 0] if picture.shape[-1] == 1 else picture.copy(), float(s))
            for picture, s in zip(pictures, sigma.tolist(), strict=True)
        ]
        clean = torch.from_numpy(np.stack(rows).reshape(pictures.shape))
        return clean.movedim(-1, 1).to(x)
