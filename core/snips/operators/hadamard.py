"""Compressive sensing: few coefficients of a Walsh–Hadamard transform of the shuffled pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.operators.spectral import Spectral, picture_size, require_shape


class WalshHadamard(Spectral):
    """H x: some coefficients of the orthonormal Walsh–Hadamard transform of x, its pixels in random order.

    Every channel by itself; y is (C, 1, m). The first coefficient, which is the picture's mean times √(height·width),
    is always among the m; the others, and the order of the pixels, are drawn from the seed.

    Args:
        size: (height, width) of the picture, powers of two.
        share: of the coefficients that is measured, 0 < share ≤ 1.
        seed: of the order and of the choice.

    Raises InvalidValue otherwise.
    """

    def __init__(self, size: tuple[int, int], share: float, seed: int = 0) -> None:
        height, width = self.size = picture_size(size, "WalshHadamard")
        if height & (height - 1) or width & (width - 1):
            raise InvalidValue(
                f"a Walsh–Hadamard transform needs sides that are powers of two, not {height}×{width}; crop the picture"
            )
        if not 0 < share <= 1:
            raise InvalidValue(f"the share of coefficients measured lies between 0 and 1, not at {share}")
        n = height * width
        count = max(round(share * n), 1)
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
        order, chosen = random.permutation(n), random.permutation(n - 1)[: count - 1] + 1
        self.order = torch.from_numpy(order)
        self.place = self.order.argsort()
        self.measured = torch.from_numpy(np.sort(np.append(chosen, 0)))
        self.seen = torch.zeros(n, dtype=torch.float64)
        self.seen[self.measured] = 1

    @property
    def singular_values(self) -> Tensor:
        return self.seen.reshape(self.size)

    def vt(self, x: Tensor) -> Tensor:
        require_shape("a picture of this WalshHadamard", x, (None, *self.size))
        return walsh_hadamard(x.flatten(2)[..., self.order]).reshape(x.shape)

    def v(self, c: Tensor) -> Tensor:
        return walsh_hadamard(c.flatten(2))[..., self.place].reshape(c.shape)

    def ut(self, y: Tensor) -> Tensor:
        require_shape("what this WalshHadamard gives", y, (None, 1, len(self.measured)))
        c = y.new_zeros(*y.shape[:2], len(self.order))
        c[..., self.measured] = y[:, :, 0]
        return c.reshape(*y.shape[:2], *self.size)

    def u(self, c: Tensor) -> Tensor:
        return c.flatten(2)[..., self.measured][:, :, None]


def walsh_hadamard(x: Tensor) -> Tensor:
    """The orthonormal Walsh–Hadamard transform (natural order) along the last axis, whose length is a power of two.

    log₂ n rounds of sums and differences; its own inverse and its own transpose.
    """
    n = x.shape[-1]
    h = 1
    while h < n:
        a, b = x.reshape(*x.shape[:-1], n // (2 * h), 2, h).unbind(-2)
        x = torch.stack((a + b, a - b), -2).reshape(*x.shape)
        h *= 2
    return x / math.sqrt(n)
