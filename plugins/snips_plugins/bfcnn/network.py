"""The bias-free U-Net (Mohan, Kadkhodaie, Simoncelli, Fernandez-Granda, ICLR 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snips_plugins.layers import Conv2d, ConvTranspose2d


class UNet(nn.Module):
    """Two scales, the coarse one dilated. Blind; returns the clean picture.

    Forward: x (B, C, H, W) in [0, 1] before noise, H and W even; σ is not looked at.
    """

    def __init__(self, channels: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, 32, 5, padding=2, bias=bias)
        self.conv2 = Conv2d(32, 32, 3, padding=1, bias=bias)
        self.conv3 = Conv2d(32, 64, 3, stride=2, padding=1, bias=bias)
        self.conv4 = Conv2d(64, 64, 3, padding=1, bias=bias)
        self.conv5 = Conv2d(64, 64, 3, padding=2, dilation=2, bias=bias)
        self.conv6 = Conv2d(64, 64, 3, padding=4, dilation=4, bias=bias)
        self.conv7 = ConvTranspose2d(64, 64, 4, stride=2, padding=1, bias=bias)
        self.conv8 = Conv2d(96, 32, 3, padding=1, bias=bias)
        self.conv9 = Conv2d(32, channels, 5, padding=2, bias=bias)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        fine = F.relu(self.conv2(F.relu(self.conv1(x))))
        coarse = F.relu(self.conv3(fine))
        for conv in (self.conv4, self.conv5, self.conv6, self.conv7):
            coarse = F.relu(conv(coarse))
        clean: Tensor = self.conv9(F.relu(self.conv8(torch.cat([coarse, fine], 1))))
        return clean
