"""The denoising networks of KAIR (Kai Zhang's image restoration toolbox), under the names of its checkpoints.

DnCNN: Zhang et al., "Beyond a Gaussian Denoiser", 2017. IRCNN: "Learning Deep CNN Denoiser Prior", 2017. FFDNet and
FDnCNN: "FFDNet: Toward a Fast and Flexible Solution", 2018. DRUNet: "Plug-and-Play Image Restoration with Deep
Denoiser Prior", 2021. All take x (B, C, H, W) in [0, 1] before noise, and σ (B,).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snips_plugins.layers import Conv2d, ConvTranspose2d
from snips_plugins.stack import Layout, Stack


def noise_map(x: Tensor, sigma: Tensor) -> Tensor:
    """σ at every pixel of x, (B, 1, H, W)."""
    return sigma[:, None, None, None].expand(-1, 1, *x.shape[2:])


class DnCNN(Stack):
    """Returns the noise; sees no σ."""


class IRCNN(Stack):
    """A dilated stack for one σ. Returns the noise."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, dilations=(1, 2, 3, 4, 3, 2, 1))


class FDnCNN(Stack):
    """DnCNN with σ as one more channel. Returns the clean picture."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().forward(torch.cat([x, noise_map(x, sigma)], 1), sigma)


class FFDNet(Stack):
    """A stack at half the resolution, with σ as one more channel. H and W even; returns the clean picture."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        h = F.pixel_unshuffle(x, 2)
        return F.pixel_shuffle(super().forward(torch.cat([h, noise_map(h, sigma)], 1), sigma), 2)


class ResidualBlock(nn.Module):
    """x plus two convolutions with a ReLU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = (Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.res = nn.Sequential(next(convs), nn.ReLU(), next(convs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.res(x)
        return out


class DRUNet(nn.Module):
    """A bias-free U-Net of residual blocks, σ as one more channel. H and W multiples of 8; returns the clean picture.

    channels: of the pictures. widths: of features, from the finest scale to the coarsest. blocks: a scale.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (64, 128, 256, 512), blocks: int = 4) -> None:
        super().__init__()
        self.scales = len(widths) - 1
        self.m_head = Conv2d(channels + 1, widths[0], 3, padding=1, bias=False)
        for i, (fine, coarse) in enumerate(pairwise(widths), 1):
            down = [ResidualBlock(fine) for _ in range(blocks)]
            up = [ResidualBlock(fine) for _ in range(blocks)]
            self.add_module(f"m_down{i}", nn.Sequential(*down, Conv2d(fine, coarse, 2, stride=2, bias=False)))
            self.add_module(f"m_up{i}", nn.Sequential(ConvTranspose2d(coarse, fine, 2, stride=2, bias=False), *up))
        self.m_body = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(blocks)))
        self.m_tail = Conv2d(widths[0], channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        skips = [self.m_head(torch.cat([x, noise_map(x, sigma)], 1))]
        for i in range(1, self.scales + 1):
            skips.append(self.get_submodule(f"m_down{i}")(skips[-1]))
        h = self.m_body(skips[-1])
        for i in range(self.scales, 0, -1):
            h = self.get_submodule(f"m_up{i}")(h + skips.pop())
        clean: Tensor = self.m_tail(h + skips.pop())
        return clean
