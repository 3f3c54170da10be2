"""A small U-Net that is told σ, for gray and for colour pictures.

After DRUNet (Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", 2021): residual blocks without
normalisation at several scales, sums for skips. It differs where it saves time: the first scale is half the picture's,
σ scales and shifts the features of every block (FiLM) instead of being one more channel, and the network computes what
Karras et al. (2022) precondition, so that one size of error serves every σ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snips_plugins.layers import Conv2d, ConvTranspose2d, Linear

SIGMA_DATA = 0.25
"""About the standard deviation of pixels of photographs in [0, 1]."""

EMBEDDING = 64


class Block(nn.Module):
    """x + conv(relu(scale · conv(x) + shift)), scale and shift from the embedding of σ."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, 3, padding=1)
        self.conv2 = Conv2d(channels, channels, 3, padding=1)
        self.film = Linear(EMBEDDING, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        out: Tensor = x + self.conv2(F.relu((1 + scale) * self.conv1(x) + shift))
        return out


class Scale(nn.Module):
    """Blocks at one scale, one after another."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, e)
        return x


class SmallDRUNet(nn.Module):
    """The denoiser D(x, σ) itself.

    channels: numbers of channels of the pictures it takes, each with a first and a last layer of its own. widths: of
    features, from half the picture's size on down. blocks: a scale, on either side.

    Forward: x (B, C, H, W), clean range [0, 1], H and W multiples of `multiple`; sigma (B,). Returns the clean picture.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.embed = nn.Sequential(Linear(2, EMBEDDING), nn.ReLU(), Linear(EMBEDDING, EMBEDDING), nn.ReLU())
        self.heads = nn.ModuleDict({str(c): Conv2d(4 * c, widths[0], 3, padding=1) for c in channels})
        self.tails = nn.ModuleDict({str(c): Conv2d(widths[0], 4 * c, 3, padding=1) for c in channels})
        self.encoder = nn.ModuleList(Scale(width, blocks) for width in widths)
        self.decoder = nn.ModuleList(Scale(width, blocks) for width in widths[:-1])
        self.down = nn.ModuleList(Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D = c_skip x + c_out F(c_in x, σ) on pictures centred at ½ (Karras et al. 2022, Eq. 7 and Table 1)."""
        σ, total = sigma[:, None, None, None], (sigma.square() + SIGMA_DATA**2)[:, None, None, None]
        skip, out, scale = SIGMA_DATA**2 / total, σ * SIGMA_DATA / total.sqrt(), total.rsqrt()
        centred = x - 0.5
        f = self.features(scale * centred, sigma)
        return 0.5 + skip * centred + out * f

    def features(self, x: Tensor, sigma: Tensor) -> Tensor:
        """F: a U-Net."""
        channels = str(x.shape[1])
        gray = torch.full_like(sigma, float(x.shape[1] == 1))
        level = sigma.double().log().to(sigma) / 4  # in float32 its last bit would depend on the place in the batch
        e = self.embed(torch.stack([level, gray], 1))
        with torch.autocast(x.device.type, enabled=False):  # the 8 bits of bfloat16 would drown noise of small σ
            h = self.heads[channels](F.pixel_unshuffle(x, 2))
        skips = []
        for i, scale in enumerate(self.encoder):
            h = scale(h, e)
            if i < len(self.down):
                skips.append(h)
                h = self.down[i](h)
        for i in reversed(range(len(self.decoder))):
            h = self.decoder[i](self.up[i](h) + skips.pop(), e)
        return F.pixel_shuffle(self.tails[channels](h), 2)
