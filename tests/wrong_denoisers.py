"""Deliberately wrong denoisers, each with one mistake that people make around the right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

import snips
from snips.analytic import PowerLawField


class RightDenoiser:
    """A Gaussian field's; the mistakes below are made around it."""

    noise_levels = snips.NoiseLevels(0.01, 1.0)
    channels = 1

    def denoise(self, x, sigma):
        return PowerLawField().denoise(x, sigma)


class Clips(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x.clamp(0, 1), sigma)


class EightBits(RightDenoiser):
    """Through 8-bit pictures, as when a library takes no others."""

    def denoise(self, x, sigma):
        return super().denoise((x * 255).round().clamp(0, 255) / 255, sigma)


class IgnoresSigma(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, torch.full_like(sigma, 0.2))


class ModifiesInput(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x.mul_(2).sub_(1).add_(1), sigma * 2) / 2


class ModifiesSigma(RightDenoiser):
    def denoise(self, x, sigma):
        clean = super().denoise(x, sigma)
        sigma.mul_(255)
        return clean


class DrawsGlobally(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x + 0.05 * sigma[:, None, None, None] * torch.randn_like(x), sigma)


class DrawsForItself(RightDenoiser):
    """From a generator of its own, which goes on and on."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def denoise(self, x, sigma):
        z = torch.randn(x.shape, generator=self.generator, dtype=x.dtype)
        return super().denoise(x + 0.05 * sigma[:, None, None, None] * z, sigma)


class DrawsFromNumPy(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, sigma * float(1 + 1e-9 * np.random.random()))


class SeedsGlobally(RightDenoiser):
    """Reproducible, at the cost of everybody else."""

    def denoise(self, x, sigma):
        torch.manual_seed(0)
        return super().denoise(x, sigma)


class Remembers(RightDenoiser):
    """A running mean that is still updated when it should be used, as in batch norm that was left in training mode."""

    mean = 0.5

    def denoise(self, x, sigma):
        self.mean = 0.9 * self.mean + 0.1 * float(x.mean() + x.std())
        return super().denoise(x, sigma) + 0.1 * (self.mean - 0.5)


class UsesBatchStatistics(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x - x.mean() + 0.5, sigma) + x.mean() - 0.5


class UsesFirstSigma(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, sigma[:1].expand(len(x)))


class AlwaysFloat32(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, sigma).float()


class Squeezes(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, sigma).squeeze(0)


class LosesDevice(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x, sigma).to("meta")


class Views(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x.view(len(x), -1).view(x.shape), sigma)


class CropsOddSizes(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], sigma)


def ReplicatesNoise():
    """Pads by copies of the last row and column, noise and all."""
    return replace(snips.load_denoiser("drunet-small"), padding="replicate")


class RefusesOddSizes(RightDenoiser):
    def denoise(self, x, sigma):
        return super().denoise(torch.nn.functional.pixel_shuffle(torch.pixel_unshuffle(x, 2), 2), sigma)


class ShiftsOddSizes(RightDenoiser):
    """Pads on the left and crops on the right."""

    def denoise(self, x, sigma):
        return super().denoise(x, sigma).roll(x.shape[3] % 2, dims=3)


class MakesWorse(RightDenoiser):
    def denoise(self, x, sigma):
        return 2 * x - super().denoise(x, sigma)


class ReturnsNoise(RightDenoiser):
    """The residual instead of the picture."""

    def denoise(self, x, sigma):
        return x - super().denoise(x, sigma)


class ReturnsInput(RightDenoiser):
    def denoise(self, x, sigma):
        return x.clone()


class HalfStep(RightDenoiser):
    def denoise(self, x, sigma):
        return (x + super().denoise(x, sigma)) / 2


class HalfSigma(RightDenoiser):
    """σ in the units of [−1, 1], where its pictures are in [0, 1]."""

    def denoise(self, x, sigma):
        return super().denoise(x, sigma / 2)


class OverSmooths(RightDenoiser):
    def denoise(self, x, sigma):
        return x.mean((2, 3), keepdim=True).expand_as(x) + 1e-3 * super().denoise(x, sigma)


class DividesByZero(RightDenoiser):
    noise_levels = snips.NoiseLevels(0.0, 1.0)

    def denoise(self, x, sigma):
        return super().denoise(x, sigma) + 0 / sigma[:, None, None, None]


class ClaimsGrayLevels(RightDenoiser):
    noise_levels = snips.NoiseLevels(5, 50)


class ClaimsNothing(RightDenoiser):
    noise_levels = (0.01, 1.0)
