"""One operator of every kind, on small pictures of odd and even sizes, for the tests of operators and samplers."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

import snips
from snips.operators.blur import gaussian_kernel, uniform_kernel


def dense(m, n, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n)) / n**0.5


SKEW = torch.tensor([[0.0, 0.3, 0.1], [0.2, 0.9, -0.1]])
"""A kernel of even height that is its own mirror image in no direction."""

OPERATORS = {
    "identity": (snips.Identity(), (1, 4, 6)),
    "mask": (snips.Mask(np.arange(35).reshape(5, 7) % 3 > 0), (2, 5, 7)),
    "mask of colours": (snips.Mask(np.arange(24).reshape(2, 3, 4) % 5 > 0), (2, 3, 4)),
    "blur, uniform": (snips.Blur(uniform_kernel(3), (6, 9)), (1, 6, 9)),
    "blur, even": (snips.Blur(uniform_kernel(2), (6, 8)), (1, 6, 8)),
    "blur, Gaussian": (snips.Blur(gaussian_kernel(0.8), (7, 8)), (2, 7, 8)),
    "blur, skew": (snips.Blur(SKEW, (5, 7)), (1, 5, 7)),
    "mean, 2": (snips.Downsample((4, 6), 2), (2, 4, 6)),
    "mean, 3": (snips.Downsample((9, 3), 3), (1, 9, 3)),
    "bicubic, 2": (snips.Downsample((10, 6), 2, "bicubic"), (1, 10, 6)),
    "bicubic, 3": (snips.Downsample((9, 15), 3, "bicubic"), (1, 9, 15)),
    "gray": (snips.Grayscale(), (3, 5, 4)),
    "gray, by hand": (snips.Grayscale([1.0, 0.0]), (2, 3, 3)),
    "hadamard": (snips.WalshHadamard((4, 8), 0.4, 1), (2, 4, 8)),
    "hadamard, all": (snips.WalshHadamard((4, 4), 1.0), (1, 4, 4)),
    "matrix, wide": (snips.Matrix(dense(7, 24), (2, 3, 4)), (2, 3, 4)),
    "matrix, tall": (snips.Matrix(dense(20, 12), (1, 3, 4)), (1, 3, 4)),
    "matrix, square": (snips.Matrix(dense(12, 12), (1, 3, 4)), (1, 3, 4)),
    "matrix, by channel": (snips.Matrix(dense(5, 12), (2, 3, 4)), (2, 3, 4)),
    "matrix, deficient": (snips.Matrix(dense(9, 3) @ dense(3, 12, 1), (1, 3, 4)), (1, 3, 4)),
    "matrix, sparse": (snips.Matrix(sparse.csr_array(np.eye(12)[::2]), (1, 3, 4)), (1, 3, 4)),
}
