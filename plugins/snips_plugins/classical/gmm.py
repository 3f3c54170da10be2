"""The posterior mean of every patch under a Gaussian mixture, averaged where patches overlap.

With y = x + σn and x ~ Σ_k π_k N(μ_k, Σ_k), the posterior mean is

    E[x | y] = y − σ² Σ_k p(k | y) (Σ_k + σ²I)⁻¹ (y − μ_k),   p(k | y) ∝ π_k N(y; μ_k, Σ_k + σ²I).

The prior says nothing of a patch's mean (it is flat there), so an offset of the picture is kept. Zoran and Weiss 2011
take the one most likely k instead, in several rounds.

What is broader than a patch is taken from the same estimate of the picture at half its size, where σ is half as large
(Papyan and Elad, "Multi-Scale Patch-Based Image Restoration", 2016), as far as σ is large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from scipy.linalg import helmert
from torch import Tensor

from snips.errors import InvalidValue, WeightsError
from snips.interfaces import NoiseLevels
from snips.weights import State, as_state, read_weights
from snips_plugins.classical import LEVELS
from snips_plugins.padding import on_multiples

PACKAGED = Path(__file__).with_name("gmm.safetensors")

CHANNELS = {"gray": 1, "colour": 3}

COARSEST = 16
"""Pixels a side, of the smallest of the halved pictures."""

HALF = 0.1
"""The σ from which on the coarse estimate counts more than half; for gray, .2 is as good to .05 dB."""

PATCHES_AT_ONCE = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True, eq=False)
class PatchMixture:
    """A Gaussian mixture of patches of D = C · side² values, in the d = D − 1 dimensions besides their mean."""

    side: int
    log_weights: Tensor
    """(K,): log π_k."""
    axes: Tensor
    """(D, K · d): the eigenvectors of every Σ_k, as patches of mean 0."""
    centres: Tensor
    """(K, d): μ_k in the coordinates of these."""
    variances: Tensor
    """(K, d): the eigenvalues."""

    @classmethod
    def learned(cls, weights: Tensor, means: Tensor, factors: Tensor, channels: int) -> Self:
        """From what `train_gmm` writes: π (K,), μ (K, d), and the lower triangles of Cholesky factors."""
        count, d = means.shape
        lower = torch.zeros(count, d, d, dtype=torch.float64)
        lower[(slice(None), *torch.tril_indices(d, d))] = factors.double()
        axes, scales, _ = torch.linalg.svd(lower)
        basis = torch.from_numpy(helmert(d + 1))
        return cls(
            math.isqrt((d + 1) // channels),
            weights.double().log().float(),
            torch.einsum("iD,kij->Dkj", basis, axes).flatten(1).float(),
            torch.einsum("ki,kij->kj", means.double(), axes).float(),
            scales.square().float(),
        )

    def to(self, device: str | torch.device) -> Self:
        tensors = (self.log_weights, self.axes, self.centres, self.variances)
        return type(self)(self.side, *(tensor.to(device) for tensor in tensors))

    def noise(self, patches: Tensor, sigma: Tensor) -> Tensor:
        """E[y − x | y] of patches (N, D), σ a tensor of one value."""
        y = patches - patches.mean(1, keepdim=True)
        precision = 1 / (self.variances + sigma.square())
        parts = torch.addmm(-self.centres.flatten(), y, self.axes).view(-1, *self.centres.shape)
        whitened = precision * parts
        logits = self.log_weights + 0.5 * precision.log().sum(1) - 0.5 * torch.linalg.vecdot(whitened, parts)
        noise: Tensor = sigma.square() * (logits.softmax(1)[..., None] * whitened).flatten(1) @ self.axes.T
        return noise


@dataclass(frozen=True, eq=False)
class PatchDenoiser:
    """Patch mixtures by number of channels, as a denoiser of pictures of any size."""

    mixtures: Mapping[int, PatchMixture]
    noise_levels: NoiseLevels = LEVELS

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(sorted(self.mixtures))

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The estimate for each row: x (B, 1 or 3, H, W) with clean range [0, 1], sigma (B,) in the same units.

        Computed in float32. Raises InvalidValue for a number of channels that there is no mixture of.
        """
        if x.shape[1] not in self.mixtures:
            some = " or ".join(map(str, self.channels))
            raise InvalidValue(f"gmm denoises pictures of {some} channels, not of {x.shape[1]}")
        if not len(x):
            return x.clone()
        mixture = self.mixtures[x.shape[1]]
        noise = [
            on_multiples(partial(noise_of, mixture, σ), row, 2, "reflect", mixture.side)
            for row, σ in zip(x.float().split(1), sigma.float(), strict=True)
        ]
        return x - torch.cat(noise).to(x.dtype)


def noise_of(mixture: PatchMixture, sigma: Tensor, x: Tensor) -> Tensor:
    """The noise seen in x (1, C, H, W), H and W even: in its patches, and in those of x at half its size."""
    fine = noise_in_patches(mixture, sigma, x)
    if min(x.shape[-2:]) < 2 * COARSEST:
        return fine
    half = on_multiples(partial(noise_of, mixture, sigma / 2), F.avg_pool2d(x, 2), 2, "reflect")
    share = sigma.square() / (sigma.square() + HALF**2)
    return fine + share * F.interpolate(half - F.avg_pool2d(fine, 2), scale_factor=2, mode="bilinear")


def noise_in_patches(mixture: PatchMixture, sigma: Tensor, x: Tensor) -> Tensor:
    """The mean over all patches that hold a pixel of what noise they see in it: x (1, C, H, W)."""
    size = x.shape[-2:]
    patches = F.unfold(x, mixture.side)[0].T
    noise = torch.cat([mixture.noise(part, sigma) for part in patches.split(PATCHES_AT_ONCE.get(x.device.type, 1024))])
    count = F.fold(torch.ones_like(patches).T[None], size, mixture.side)
    return F.fold(noise.T[None], size, mixture.side) / count


def load_mixtures(path: str | Path, device: str | torch.device) -> PatchDenoiser:
    """The denoiser of a file of `train_gmm`. Raises WeightsError if it is another."""
    state = as_state(read_weights(path), str(path))
    kinds = [kind for kind in CHANNELS if f"{kind}.means" in state]
    if not kinds:
        raise WeightsError(f"{path}: no patch mixtures, which have gray.means or colour.means; train_gmm writes them")
    return PatchDenoiser({CHANNELS[kind]: mixture_of(state, kind, str(path)).to(device) for kind in kinds})


def mixture_of(state: State, kind: str, what: str) -> PatchMixture:
    """One mixture of a file. Raises WeightsError for tensors that lack, do not fit or are not finite."""
    channels = CHANNELS[kind]
    names = ("weights", "means", "factors")
    tensors = [state.get(f"{kind}.{name}", torch.empty(0)) for name in names]
    count, d = (*tensors[1].shape, 0, 0)[:2]
    side = math.isqrt((d + 1) // channels)
    wanted = ((count,), (count, d), (count, d * (d + 1) // 2))
    for name, tensor, shape in zip(names, tensors, wanted, strict=True):
        if tuple(tensor.shape) != shape or channels * side**2 != d + 1 or not tensor.isfinite().all():
            raise WeightsError(f"{what}: {kind}.{name} of shape {tuple(tensor.shape)} is not that of a patch mixture")
    weights, means, factors = tensors
    return PatchMixture.learned(weights, means, factors, channels)
