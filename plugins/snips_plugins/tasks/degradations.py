"""The operators of the tasks, made for a picture's shape from a few words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from snips.cards import number
from snips.errors import InvalidValue
from snips.images import read_picture
from snips.interfaces import Operator
from snips.operators import Blur, Downsample, Grayscale, Matrix, WalshHadamard
from snips.operators.blur import gaussian_kernel, uniform_kernel
from snips.operators.matrix import read_matrix
from snips.tasks import Shape

WIDEST = 4096
"""Pixels of a kernel's side that are still made before the picture is known."""


@dataclass(frozen=True)
class Deblur:
    """kernel: `uniform:SIDE`, `gaussian:STD` in pixels, or a file: a picture, or an .npy of (h, w) numbers.

    A kernel from a file is scaled to a sum of 1. Raises InvalidValue for anything else, and for a kernel that is larger
    than the picture; ImageError for a file that cannot be read.
    """

    kernel: str = "uniform:9"

    def __post_init__(self) -> None:
        parse_kernel(self.kernel)

    def operator(self, shape: Shape, seed: int) -> Operator:
        return Blur(parse_kernel(self.kernel), shape[1:])


@dataclass(frozen=True)
class Superres:
    """Smaller by a factor, by the mean of blocks or antialiased bicubic. Raises InvalidValue as Downsample does."""

    factor: int = 4
    kind: Literal["mean", "bicubic"] = "mean"

    def operator(self, shape: Shape, seed: int) -> Operator:
        return Downsample(shape[1:], self.factor, self.kind)

    def picture_shape(self, observed: Shape) -> Shape:
        channels, height, width = observed
        return channels, self.factor * height, self.factor * width


@dataclass(frozen=True)
class Colorize:
    """The luma of a colour picture."""

    def operator(self, shape: Shape, seed: int) -> Operator:
        """Raises InvalidValue unless the picture has three channels."""
        if shape[0] != 3:
            raise InvalidValue(f"colorize is for colour pictures, and this one has {shape[0]} channel; take another")
        return Grayscale()

    def picture_shape(self, observed: Shape) -> Shape:
        if observed[0] != 1:
            raise InvalidValue("colorize needs a gray picture, and this one has colours; --gray takes them away")
        return (3, *observed[1:])


@dataclass(frozen=True)
class Compressive:
    """share: of the Walsh–Hadamard coefficients. size: HEIGHTxWIDTH of the picture, for what was not simulated."""

    share: float = 0.25
    size: str | None = None
    measurements: ClassVar[bool] = True

    def operator(self, shape: Shape, seed: int) -> Operator:
        """Raises InvalidValue unless both sides are powers of two, and for a share outside (0, 1]."""
        return WalshHadamard(shape[1:], self.share, seed)

    def picture_shape(self, observed: Shape) -> Shape:
        height, width = sides("size", self.size, 2, "HEIGHTxWIDTH, as in 64x64")
        return observed[0], height, width


@dataclass(frozen=True)
class Linear:
    """matrix: an .npy or .npz file (m, n). shape: CxHxW of the picture, for what was not simulated."""

    matrix: str | None = None
    shape: str | None = None
    measurements: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.matrix is None:
            raise InvalidValue("linear needs its matrix: -t matrix=FILE.npy (m, n)")
        read_matrix(self.matrix)

    def operator(self, shape: Shape, seed: int) -> Operator:
        """Raises InvalidValue for a matrix that does not fit the picture, or is too large."""
        assert self.matrix is not None
        return Matrix(read_matrix(self.matrix), shape)

    def picture_shape(self, observed: Shape) -> Shape:
        channels, height, width = sides("shape", self.shape, 3, "CxHxW, as in 1x32x32")
        return channels, height, width


def parse_kernel(description: str) -> Tensor:
    """(h, w) of sum 1, from `uniform:SIDE`, `gaussian:STD` or a file. Raises InvalidValue and ImageError."""
    kind, colon, text = description.partition(":")
    if kind in ("uniform", "gaussian") and colon:
        value = _number(text)
        if kind == "uniform" and 1 <= value <= WIDEST and value.is_integer():
            return uniform_kernel(int(value))
        if kind == "gaussian" and 0 < value <= WIDEST / 6:
            return gaussian_kernel(value)
    elif os.path.isfile(description):
        return file_kernel(description)
    raise InvalidValue(f"kernel={description}: neither uniform:SIDE nor gaussian:STD nor a file that is there")


def file_kernel(path: str) -> Tensor:
    """Scaled to a sum of 1. Raises ImageError, and InvalidValue for a sum that is not positive."""
    if path.lower().endswith(".npy"):
        values = read_matrix(path)
    else:
        picture = read_picture(path)
        values = picture.mean(0) if len(picture) > 1 else picture[0]
    kernel = torch.from_numpy(np.asarray(values, dtype=np.float64))
    total = float(kernel.sum())
    if not 0 < total < float("inf"):
        raise InvalidValue(f"kernel={path}: its values add up to {total:g}, and a kernel's must be positive")
    return kernel / total


def sides(name: str, text: str | None, count: int, like: str) -> list[int]:
    """Whole numbers between crosses. Raises InvalidValue."""
    words = (text or "").lower().replace("×", "x").split("x")
    if len(words) != count or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise InvalidValue(f"{name}={text or ''}: give the picture's {like} (-t {name}=…)")
    return [int(word) for word in words]


def _number(text: str) -> float:
    try:
        return number(text)
    except (ValueError, ZeroDivisionError):
        return float("nan")
