"""How pictures come to be degraded: the operator H of y = H x + σ0 n for a picture of a given shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from snips.masks import parse_mask

if TYPE_CHECKING:
    from torch import Tensor

    from snips.interfaces import Operator
    from snips.observation import Observation

Shape = tuple[int, int, int]


@runtime_checkable
class Task(Protocol):
    """Makes the operator for a picture.

    Where y has another shape than the picture, a task also says `picture_shape(observed: Shape) -> Shape`, the shape
    of the picture sought given y's. Where y is no picture at all, it has `measurements = True`.
    """

    def operator(self, shape: Shape, seed: int) -> Operator:
        """H for pictures of this shape (C, H, W); what is random about it depends on the seed alone."""
        ...


@dataclass(frozen=True)
class Denoise:
    """H x = x: noise on every pixel, and nothing else."""

    def operator(self, shape: Shape, seed: int) -> Operator:
        from snips.observation import Identity

        return Identity()


@dataclass(frozen=True)
class Inpaint:
    """Missing pixels; the others are observed with noise.

    mask: `text`, `rows[:COUNT]`, `box[:SIDE]`, `eye`, `random[:SHARE missing]`, or a picture file that is bright where
    a pixel is observed. Raises InvalidValue for anything else.
    """

    mask: str = "text"

    def __post_init__(self) -> None:
        parse_mask(self.mask)

    def operator(self, shape: Shape, seed: int) -> Operator:
        """The mask for this picture. Raises InvalidValue if it hides nothing or everything, or is of another size."""
        from snips.observation import Mask

        _, height, width = shape
        return Mask(parse_mask(self.mask)(height, width, seed))


def picture_shape(task: Task, observed: Shape) -> Shape:
    """The shape of the picture that y of this shape was made from: y's own, unless the task says otherwise."""
    of = getattr(task, "picture_shape", None)
    return of(observed) if of else observed


def simulate(clean: Tensor, operator: Operator, sigma: float, seed: int) -> Observation:
    """y = H x + σ0 n from a clean picture x (C, H, W), with white Gaussian noise that depends on the seed alone.

    The noise comes from a stream of its own: no sampler's noise is the same. Raises InvalidValue as Observation does.
    """
    import numpy as np
    import torch

    from snips.observation import Observation

    y = operator.forward(clean[None])
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    n = torch.from_numpy(random.standard_normal(tuple(y.shape))).to(y)
    return Observation((y + sigma * n)[0], sigma, operator)
