"""A random stream for every row, so that a sample does not depend on its company.

A row is one sample of one image. Its noise at a step is a function of (seed, image, sample, step) alone: of neither
the batch it runs in, nor of the worker, nor of a stop and resume in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_WORD = (1 << 64) - 1


def _mix(key: int, step: int) -> int:
    """SplitMix64 (Steele, Lea and Flood 2014): the `step`-th output of the stream that starts at `key`."""
    z = (key + (step + 1) * 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


class Noise:
    """White Gaussian noise for a batch of rows.

    Args:
        seed: of the whole run.
        rows: (image index, sample index) of each row.
        shape: (C, H, W) of a row.
        device, dtype: of what is drawn. A CPU and a GPU have different streams.
    """

    def __init__(
        self,
        seed: int,
        rows: Sequence[tuple[int, int]],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.shape = tuple(shape)
        self.device = torch.device(device)
        self.dtype = dtype
        self._keys = [int(np.random.SeedSequence((seed, *row)).generate_state(1, np.uint64)[0]) for row in rows]
        self._streams = [torch.Generator(self.device) for _ in rows]
        self.at(0)

    def at(self, step: int) -> Noise:
        """Go to the start of a step's stream: 0 for `init`, k + 1 for the k-th level."""
        for key, stream in zip(self._keys, self._streams, strict=True):
            stream.manual_seed(_mix(key, step))
        return self

    def normal(self) -> Tensor:
        """N(0, I) of shape (B, C, H, W); each call within a step draws anew."""
        z = torch.empty((len(self._streams), *self.shape), dtype=self.dtype, device=self.device)
        for row, stream in zip(z, self._streams, strict=True):
            row.normal_(generator=stream)
        return z
