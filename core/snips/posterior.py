"""What sampling returns: the samples, and their mean and spread, summed up while they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from snips.errors import OutputError
from snips.interfaces import Level


@dataclass(frozen=True, eq=False)
class Snapshot:
    """An intermediate state: x, of y's picture shape, of the first sample after step `index` at level `sigma`."""

    index: int
    sigma: float
    x: Tensor


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of p(x | y), on the CPU. *shape is the picture's: (C, H, W), or (B, C, H, W) for a batch y."""

    samples: Tensor
    """(N, *shape), the first `keep` of those drawn."""
    mean: Tensor
    """(*shape), over all samples drawn."""
    std: Tensor
    """(*shape), over all samples drawn (n − 1); NaN if only one was."""
    nfe: int
    """Denoiser calls a sample."""
    seconds: float
    seed: int
    plan: Sequence[Level] = field(repr=False)
    snapshots: tuple[Snapshot, ...] = field(default=(), repr=False)
    diagnostics: tuple[Mapping[str, float], ...] = field(default=(), repr=False)
    """What the sampler says of its chains, one a picture; empty if it says nothing."""

    def save(self, folder: str | Path) -> Path:
        """Write `samples.safetensors` (samples, mean, std) and PNGs into a new folder, whole or not at all.

        Raises OutputError if it exists or cannot be written.
        """
        from safetensors.torch import save_file

        from snips.files import new_folder
        from snips.images import write_png

        if self.samples.ndim > 4:
            raise OutputError(f"save takes one picture's samples, not a batch {tuple(self.samples.shape)}")
        with new_folder(folder) as hidden:
            tensors = {"samples": self.samples, "mean": self.mean, "std": self.std}
            save_file({name: t.contiguous() for name, t in tensors.items()}, hidden / "samples.safetensors")
            write_png(hidden / "mean.png", self.mean)
            write_png(hidden / "std.png", self.std.nan_to_num() / max(float(self.std.nan_to_num().max()), 1e-12))
            for index, picture in enumerate(self.samples):
                write_png(hidden / f"sample-{index:03d}.png", picture)
        return Path(folder)


class Tally:
    """Mean and spread of many samples without keeping them (Welford 1962), one sample after another in float64.

    So the sums do not depend on the batches in which samples arrive. They come in the order of `rows`, (image, sample).
    """

    def __init__(self, rows: Sequence[tuple[int, int]], images: int, shape: Sequence[int], keep: int) -> None:
        self.rows = rows
        self.images = images
        self.kept: list[Tensor] = []
        self.limit = keep * images
        self.count = 0
        self.mean = torch.zeros(images, *shape, dtype=torch.float64)
        self.m2 = torch.zeros_like(self.mean)

    def add(self, rows: Tensor) -> None:
        for x in rows.cpu():
            image, sample = self.rows[self.count]
            if self._is_kept(sample):
                self.kept.append(x)
            delta = x.double() - self.mean[image]
            self.mean[image] += delta / (sample + 1)
            self.m2[image] += delta * (x.double() - self.mean[image])
            self.count += 1

    def _is_kept(self, sample: int) -> bool:
        return sample * self.images < self.limit

    def samples(self) -> Tensor:
        """Those kept, (samples, images, *shape)."""
        order = [(sample, image) for image, sample in self.rows if self._is_kept(sample)]
        kept = dict(zip(order, self.kept, strict=True))
        ordered = torch.stack([kept[place] for place in sorted(kept)])
        return ordered.reshape(-1, self.images, *ordered.shape[1:])

    def std(self) -> Tensor:
        n = self.count // self.images
        return (self.m2 / (n - 1)).sqrt() if n > 1 else torch.full_like(self.m2, torch.nan)
