"""What was observed: y = H x + σ0 n, and the two operators H every sampler knows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import Operator


@dataclass(frozen=True)
class Identity:
    """H x = x: plain denoising."""

    @property
    def singular_values(self) -> Tensor:
        return torch.ones(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x

    adjoint = vt = v = ut = u = forward

    def to(self, device: torch.device) -> Self:
        return self


@dataclass(frozen=True, eq=False)
class Mask:
    """H x = x on the observed pixels and 0 elsewhere: inpainting.

    mask: (H, W) or (C, H, W), 1 (True) where a pixel is observed. What y holds elsewhere is never looked at.
    Raises InvalidValue for another shape, for values other than 0 and 1, or if it hides everything.
    """

    mask: Tensor

    def __init__(self, mask: ArrayLike | Tensor) -> None:
        values = torch.as_tensor(np.asarray(mask) if not isinstance(mask, Tensor) else mask)
        if values.ndim not in (2, 3):
            raise InvalidValue(f"a mask is (H, W) or (C, H, W), not {tuple(values.shape)}")
        if not ((values == 0) | (values == 1)).all():
            raise InvalidValue("a mask holds 1 where a pixel is observed and 0 elsewhere, nothing between")
        if not values.any():
            raise InvalidValue("the mask hides every pixel: there is nothing to go by; 1 marks an observed pixel")
        object.__setattr__(self, "mask", values.bool())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(self.mask, x, 0)

    adjoint = ut = u = forward

    @property
    def singular_values(self) -> Tensor:
        return self.mask.double()

    def vt(self, x: Tensor) -> Tensor:
        return x

    v = vt

    def to(self, device: torch.device) -> Self:
        return type(self)(self.mask.to(device)) if self.mask.device != device else self


@dataclass(frozen=True, eq=False)
class Observation:
    """An observed picture, or a batch of them.

    Args:
        y: (C, H, W) or (B, C, H, W), a tensor or an array; clean values in [0, 1], noisy ones beyond them.
        sigma: σ0 > 0, the standard deviation of its white Gaussian noise.
        operator: how y came from x.

    Raises InvalidValue for a shape, a σ or an operator that does not fit, and for NaN or infinite observed pixels.
    """

    y: Tensor
    sigma: float
    operator: Operator = field(default_factory=Identity)

    def __post_init__(self) -> None:
        y = self.y if isinstance(self.y, Tensor) else torch.as_tensor(np.asarray(self.y))
        y = y if y.is_floating_point() else y.to(torch.get_default_dtype())
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "sigma", float(self.sigma))
        if y.ndim not in (3, 4):
            raise InvalidValue(f"y is (C, H, W) or (B, C, H, W), not {tuple(y.shape)}; a gray picture is (1, H, W)")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InvalidValue(f"sigma must be a positive number, not {self.sigma}")
        try:
            picture = self.operator.adjoint(self.batch)
        except RuntimeError as error:
            raise InvalidValue(f"the operator does not fit y of shape {tuple(y.shape)}: {error}") from error
        if isinstance(self.operator, Mask) and picture.shape[1:] != self.batch.shape[1:]:
            raise InvalidValue(f"a mask {tuple(self.operator.mask.shape)} does not fit y of shape {tuple(y.shape)}")
        if not picture.isfinite().all():
            bad = int((~picture.isfinite()).sum())
            raise InvalidValue(f"{bad} observed values of y are NaN or infinite; mark missing pixels with a Mask")

    @property
    def batch(self) -> Tensor:
        """y with a batch dimension, (B, C, H, W)."""
        return self.y if self.y.ndim == 4 else self.y[None]

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the picture sought."""
        channels, height, width = self.operator.adjoint(self.batch[:1]).shape[1:]
        return channels, height, width

    def rows(self, images: list[int]) -> Observation:
        """The observation with one entry of y for each of these image indices."""
        return replace(self, y=self.batch[images])

    def to(self, device: torch.device, dtype: torch.dtype) -> Observation:
        return replace(self, y=self.y.to(device, dtype), operator=self.operator.to(device))
