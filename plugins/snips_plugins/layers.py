"""Layers whose answer to a picture is the same, bit for bit, whatever the batch it is in (on the CPU, channels last).

PyTorch's own differ in the last bits: a small picture by itself goes through another convolution than a batch does, and
the last values of a tensor through another exponential than the rest. Samplers would carry that on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NATIVE = 20480
"""Up to so many values, PyTorch convolves a batch of one with its native kernel instead of oneDNN's."""


def is_native(x: Tensor) -> bool:
    """Whether PyTorch would convolve x otherwise than the same picture in a batch."""
    return len(x) == 1 and x.numel() <= NATIVE and x.device.type == "cpu"


class Conv2d(nn.Conv2d):
    """torch's Conv2d; a small picture by itself is convolved as one of two."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.expand(2, -1, -1, -1))[:1] if is_native(x) else super().forward(x)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's ConvTranspose2d, likewise."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x.expand(2, -1, -1, -1))[:1] if is_native(x) else super().forward(x)


class Linear(nn.Linear):
    """torch's Linear for rows (B, in), which multiplies one row otherwise than several."""

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None, :] * self.weight).sum(-1) + self.bias


def elu(x: Tensor) -> Tensor:
    """x where it is positive, eˣ − 1 elsewhere."""
    return F.relu(x) + torch.expm1(x.clamp(max=0))
