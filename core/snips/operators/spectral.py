"""What operators made of their singular value decomposition have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from snips.errors import InvalidValue


class Spectral(ABC):
    """H = U S Vᵀ. A subclass says what S, V and U are; H and Hᵀ follow, and so does the move to a device."""

    @property
    @abstractmethod
    def singular_values(self) -> Tensor: ...

    @abstractmethod
    def vt(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def v(self, c: Tensor) -> Tensor: ...

    @abstractmethod
    def ut(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def u(self, c: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """H x = U S Vᵀ x."""
        return self.u(self.singular_values.to(x) * self.vt(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Hᵀ y = V S Uᵀ y."""
        return self.v(self.singular_values.to(y) * self.ut(y))

    def to(self, device: torch.device) -> Self:
        """A copy whose tensors are on `device`."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                vars(moved)[name] = value.to(device)
        return moved


def row_by_row(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The transform of pictures (C, H, W), one at a time on the CPU, where a batch need not round as a single one does.

    There a sample must not depend on its batch; elsewhere all rows go at once.
    """
    if x.device.type != "cpu":
        return transform(x)
    return torch.stack([transform(row) for row in x])


def require_shape(what: str, x: Tensor, shape: tuple[int | None, ...]) -> None:
    """Raises InvalidValue unless x (B, C, H, W) has this shape but for its first entry; None stands for any size."""
    fits = x.ndim == 4 and all(want in (None, have) for want, have in zip(shape, x.shape[1:], strict=True))
    if not fits:
        wanted = ", ".join("C" if side is None else str(side) for side in shape)
        raise InvalidValue(f"{what} is ({wanted}), not {tuple(x.shape[1:])}")


def picture_size(size: tuple[int, int], what: str) -> tuple[int, int]:
    """(height, width), checked. Raises InvalidValue."""
    height, width = size
    if int(height) != height or int(width) != width or min(height, width) < 1:
        raise InvalidValue(f"{what} needs the size (height, width) of the picture, not {tuple(size)}")
    return int(height), int(width)
