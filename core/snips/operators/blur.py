"""Periodic convolution, whose singular vectors are waves.

A real convolution by k with transfer function K = F k multiplies the Fourier coefficient at frequency f by K(f). Over
the reals, the Hartley basis cas(2π f·x/N) = cos + sin is orthonormal and its own inverse (Bracewell 1983), and H maps
its wave at f to the wave of amplitude |K(f)| shifted by the phase of K(f). So S = |K|, V is the Hartley transform, and
U = P V with the all-pass filter P of transfer function K/|K|.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.operators.spectral import Spectral, picture_size, require_shape, row_by_row

NOTHING = 1e-12
"""Below this share of the largest, a singular value is the rounding of 0."""


class Blur(Spectral):
    """H x = k ∗ x, every channel by itself, wrapped around the edges.

    Args:
        kernel: (h, w), its centre at (h // 2, w // 2); taken as it is, so that one of sum 1 keeps the brightness.
        size: (height, width) of the pictures.

    Raises InvalidValue for a kernel that is larger than the picture, not finite, or nothing but zeros.
    """

    def __init__(self, kernel: Tensor, size: tuple[int, int]) -> None:
        self.size = height, width = picture_size(size, "Blur")
        k = torch.as_tensor(kernel, dtype=torch.float64)
        if k.ndim != 2 or not k.isfinite().all() or not k.any():
            raise InvalidValue(f"a kernel is (h, w) of finite values, not all zero; this one is {tuple(k.shape)}")
        if k.shape[0] > height or k.shape[1] > width:
            theirs = f"{k.shape[0]}×{k.shape[1]}"
            raise InvalidValue(
                f"the kernel ({theirs}) is larger than the picture ({height}×{width}); take a smaller one"
            )
        padded = torch.zeros(height, width, dtype=torch.float64)
        padded[: k.shape[0], : k.shape[1]] = k
        transfer = torch.fft.fft2(padded.roll((-(k.shape[0] // 2), -(k.shape[1] // 2)), (0, 1)))
        gain = transfer.abs()
        seen = gain > NOTHING * gain.max()
        self.gain = torch.where(seen, gain, 0)
        self.phase = torch.where(seen, transfer / gain.clamp_min(1e-300), 0)

    @property
    def singular_values(self) -> Tensor:
        return self.gain

    def vt(self, x: Tensor) -> Tensor:
        require_shape("a picture of this Blur", x, (None, *self.size))
        return row_by_row(hartley, x)

    def v(self, c: Tensor) -> Tensor:
        return self.vt(c)

    def ut(self, y: Tensor) -> Tensor:
        require_shape("what this Blur gives", y, (None, *self.size))
        back = as_complex(self.phase.conj(), y)
        return row_by_row(lambda row: _hartley(back * torch.fft.fft2(row, norm="ortho")), y)

    def u(self, c: Tensor) -> Tensor:
        on = as_complex(self.phase, c)
        return row_by_row(lambda row: torch.fft.ifft2(on * torch.fft.fft2(hartley(row))).real, c)


def hartley(x: Tensor) -> Tensor:
    """The orthonormal Hartley transform of pictures (…, H, W): its own inverse and its own transpose."""
    return _hartley(torch.fft.fft2(x, norm="ortho"))


def _hartley(spectrum: Tensor) -> Tensor:
    return spectrum.real - spectrum.imag


def as_complex(z: Tensor, x: Tensor) -> Tensor:
    return z.to(x.device, torch.complex128 if x.dtype == torch.float64 else torch.complex64)


def uniform_kernel(side: int) -> Tensor:
    """(side, side), all equal, of sum 1."""
    return torch.full((side, side), 1 / side**2, dtype=torch.float64)


def gaussian_kernel(std: float) -> Tensor:
    """A Gaussian of this standard deviation in pixels, cut off at three of them, of sum 1."""
    radius = max(math.ceil(3 * std), 1)
    profile = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / std) ** 2)
    kernel = torch.outer(profile, profile)
    return kernel / kernel.sum()
