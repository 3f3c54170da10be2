"""Any matrix of the user's, small enough to be decomposed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.operators.spectral import Spectral, require_shape, row_by_row

LARGEST = 4096
"""Columns (and rows) that are still decomposed: 64×64 pixels, half a minute and half a gigabyte."""


class Matrix(Spectral):
    """H x = A vec(x), decomposed once by LAPACK.

    Args:
        matrix: A (m, n): a tensor, an array, a scipy sparse matrix, or a scipy LinearOperator.
        shape: (C, H, W) of the picture. n is C·H·W, or H·W: then A acts on every channel by itself.

    y has the picture's shape if m = n; else it is (1, 1, m), or (C, 1, m) channel by channel.
    Raises InvalidValue for another n, for values that are not finite, and above 4096 rows or columns.
    """

    def __init__(self, matrix: Any, shape: tuple[int, int, int]) -> None:
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        channels, height, width = self.shape
        m, n = (int(side) for side in matrix.shape) if len(matrix.shape) == 2 else (0, 0)
        if n not in (height * width, channels * height * width) or m < 1:
            picture = f"{channels}×{height}×{width}"
            wanted = " or ".join(str(k) for k in sorted({height * width, channels * height * width}))
            raise InvalidValue(
                f"a matrix for pictures {picture} has {wanted} columns; this one is {tuple(matrix.shape)}"
            )
        if max(m, n) > LARGEST:
            raise InvalidValue(
                f"a dense matrix is decomposed up to {LARGEST}×{LARGEST} (64×64 pixels), and this one is {m}×{n}; "
                "an operator with its own SVD knows no such limit (snips.SpectralOperator)"
            )
        a = as_dense(matrix)
        if not a.isfinite().all():
            raise InvalidValue("the matrix holds NaN or infinite values")
        self.blocks = channels if n == height * width else 1
        self.observed = self.shape if m == n else (self.blocks, 1, m)
        u, s, vt = torch.linalg.svd(a, full_matrices=m < n)
        s = torch.where(s > 1e-12 * s.max(), s, 0)
        self.left, self.right = u, vt.T.contiguous()
        self.values = torch.cat([s, s.new_zeros(n - len(s))])
        self.rank = len(s)

    @property
    def singular_values(self) -> Tensor:
        channels, height, width = self.shape
        return self.values.reshape(channels // self.blocks, height, width)

    def vt(self, x: Tensor) -> Tensor:
        require_shape("a picture of this Matrix", x, self.shape)
        right = self.right.to(x)
        return row_by_row(lambda row: (self._flat(row) @ right).reshape(row.shape), x)

    def v(self, c: Tensor) -> Tensor:
        right = self.right.to(c)
        return row_by_row(lambda row: (self._flat(row) @ right.T).reshape(row.shape), c)

    def ut(self, y: Tensor) -> Tensor:
        require_shape("what this Matrix gives", y, self.observed)
        left, n = self.left.to(y), len(self.values)

        def transform(row: Tensor) -> Tensor:
            c = self._flat(row) @ left
            return torch.cat([c, c.new_zeros(*c.shape[:-1], n - c.shape[-1])], -1).reshape(*row.shape[:-3], *self.shape)

        return row_by_row(transform, y) * (self.singular_values > 0).to(y)

    def u(self, c: Tensor) -> Tensor:
        left = self.left.to(c)
        return row_by_row(
            lambda row: (self._flat(row)[..., : self.rank] @ left.T).reshape(*row.shape[:-3], *self.observed), c
        )

    def _flat(self, x: Tensor) -> Tensor:
        """(…, blocks, values) of (…, C, H, W)."""
        return x.reshape(*x.shape[:-3], self.blocks, -1)


def as_dense(matrix: Any) -> Tensor:
    """A float64 tensor (m, n) of a tensor, an array, a sparse matrix or a LinearOperator."""
    if isinstance(matrix, Tensor):
        return matrix.double().cpu()
    if hasattr(matrix, "toarray"):
        matrix = matrix.toarray()
    elif hasattr(matrix, "matmat"):
        matrix = matrix.matmat(np.eye(matrix.shape[1]))
    return torch.from_numpy(np.asarray(matrix, dtype=np.float64))


def read_matrix(path: str | Path) -> Any:
    """The matrix in an .npy file, or in an .npz file of one array or of a scipy sparse matrix.

    Raises InvalidValue for a file that is missing, broken or holds anything else.
    """
    from zipfile import BadZipFile

    from scipy import sparse

    try:
        if Path(path).suffix.lower() != ".npz":
            matrix = np.load(path, allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as file:
                names = list(file)
                matrix = sparse.load_npz(path) if "format" in names else file[names[0]] if len(names) == 1 else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InvalidValue(f"{path}: cannot be read as a matrix ({reason})") from error
    if matrix is None or len(matrix.shape) != 2 or matrix.dtype.kind not in "biuf":
        raise InvalidValue(f"{path}: holds no real matrix; save one array (m, n) in .npy or .npz, or scipy's save_npz")
    return matrix
