"""Colour that is lost: a gray picture is one direction of the colour space, and the others are not seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.operators.spectral import Spectral, require_shape, row_by_row

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as `snips.images.to_gray` has it."""


class Grayscale(Spectral):
    """H x = Σ_c w_c x_c: one channel (1, H, W) for the picture's C. V turns the first axis of colour space towards w.

    weights: w, by default those of luma. Raises InvalidValue for fewer than two, or for none but zeros.
    """

    def __init__(self, weights: Sequence[float] = LUMA) -> None:
        w = torch.as_tensor(weights, dtype=torch.float64)
        if w.ndim != 1 or len(w) < 2 or not w.isfinite().all() or not w.any():
            raise InvalidValue(f"Grayscale needs a weight for each of two or more channels, not {tuple(weights)}")
        self.axes = reflection(w / w.norm())
        self.values = torch.zeros(len(w), 1, 1, dtype=torch.float64)
        self.values[0] = w.norm()

    @property
    def singular_values(self) -> Tensor:
        return self.values

    def vt(self, x: Tensor) -> Tensor:
        require_shape("a picture of this Grayscale", x, (len(self.axes), *x.shape[2:]))
        axes = self.axes.to(x)
        return row_by_row(lambda row: torch.einsum("cd,...dhw->...chw", axes, row), x)

    def v(self, c: Tensor) -> Tensor:
        return self.vt(c)  # a reflection is its own inverse

    def ut(self, y: Tensor) -> Tensor:
        require_shape("what this Grayscale gives", y, (1, *y.shape[2:]))
        return torch.cat([y, y.new_zeros(len(y), len(self.axes) - 1, *y.shape[2:])], 1)

    def u(self, c: Tensor) -> Tensor:
        return c[:, :1]


def reflection(direction: Tensor) -> Tensor:
    """The Householder reflection (n, n) that exchanges the first axis and this unit vector."""
    normal = direction.clone()
    normal[0] -= 1
    eye = torch.eye(len(direction), dtype=direction.dtype)
    length = normal.square().sum()
    return eye if length < 1e-30 else eye - 2 * torch.outer(normal, normal) / length
