"""Fewer pixels: what a row keeps of its pixels, and a column of its own, are two small matrices.

H = A ⊗ B maps a picture x to A x Bᵀ. With A = U_A S_A V_Aᵀ and B likewise, V = V_A ⊗ V_B, S = S_A ⊗ S_B and
U = U_A ⊗ U_B: two decompositions of the size of a side, none of the size of a picture.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from snips.errors import InvalidValue
from snips.operators.spectral import Spectral, picture_size, require_shape, row_by_row

Kind = Literal["mean", "bicubic"]


class Downsample(Spectral):
    """Smaller by a whole factor, every channel by itself.

    kind "mean": each pixel is the mean of a block of factor × factor. "bicubic": Keys's cubic (1981, a = −1/2)
    stretched by the factor, which image libraries call antialiased bicubic downsampling; wrapped around the edges.

    Args:
        size: (height, width) of the large picture.
        factor: at least 2; it must divide both.

    Raises InvalidValue otherwise.
    """

    def __init__(self, size: tuple[int, int], factor: int, kind: Kind = "mean") -> None:
        height, width = self.size = picture_size(size, "Downsample")
        if int(factor) != factor or factor < 2:
            raise InvalidValue(f"a picture is made smaller by a whole factor from 2 on, not {factor}")
        if kind not in _PROFILES:
            raise InvalidValue(f"downsampling is {' or '.join(_PROFILES)}, not {kind}")
        if height % factor or width % factor:
            raise InvalidValue(f"factor {factor} does not divide the picture's {height}×{width}; crop the picture")
        self.small = height // factor, width // factor
        self.ua, self.sa, self.va = decomposition(_PROFILES[kind](height, int(factor)))
        self.ub, self.sb, self.vb = decomposition(_PROFILES[kind](width, int(factor)))

    @property
    def singular_values(self) -> Tensor:
        return torch.outer(self.sa, self.sb)

    def vt(self, x: Tensor) -> Tensor:
        require_shape("a picture of this Downsample", x, (None, *self.size))
        a, b = self.va.to(x), self.vb.to(x)
        return row_by_row(lambda row: a.T @ row @ b, x)

    def v(self, c: Tensor) -> Tensor:
        a, b = self.va.to(c), self.vb.to(c)
        return row_by_row(lambda row: a @ row @ b.T, c)

    def ut(self, y: Tensor) -> Tensor:
        require_shape("what this Downsample gives", y, (None, *self.small))
        (height, width), (h, w) = self.size, self.small
        a, b = self.ua.to(y), self.ub.to(y)
        return pad(row_by_row(lambda row: a.T @ row @ b, y), (0, width - w, 0, height - h))

    def u(self, c: Tensor) -> Tensor:
        (h, w), a, b = self.small, self.ua.to(c), self.ub.to(c)
        return row_by_row(lambda row: a @ row[..., :h, :w] @ b.T, c)


def decomposition(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (n, n), s (N,) with zeros at the end, V (N, N) of a matrix (n, N), n ≤ N."""
    u, s, vt = torch.linalg.svd(matrix, full_matrices=True)
    return u, pad(s, (0, matrix.shape[1] - len(s))), vt.T.contiguous()


def block_means(side: int, factor: int) -> Tensor:
    """(side // factor, side)."""
    return torch.eye(side // factor, dtype=torch.float64).repeat_interleave(factor, 1) / factor


def cubic_averages(side: int, factor: int) -> Tensor:
    """(side // factor, side): rows of Keys's cubic around the centre of each block, of sum 1, wrapped around."""
    centres = (torch.arange(side // factor, dtype=torch.float64) + 0.5) * factor - 0.5
    offsets = torch.arange(-2 * factor, 2 * factor + 1, dtype=torch.float64)
    positions = centres.floor()[:, None] + offsets
    weights = cubic((positions - centres[:, None]) / factor)
    weights = weights / weights.sum(1, keepdim=True)
    matrix = torch.zeros(side // factor, side, dtype=torch.float64)
    return matrix.scatter_add_(1, positions.long() % side, weights)


def cubic(t: Tensor) -> Tensor:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), Eq. 15."""
    t = t.abs()
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0))


_PROFILES = {"mean": block_means, "bicubic": cubic_averages}
