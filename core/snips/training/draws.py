"""What a step learns from: pictures, σ and noise, a function of the seed, the process and the step alone."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from snips.operators.colour import LUMA
from snips.training.corpora import Corpus

Draw = tuple[Tensor, Tensor]
"""Pictures (B, H, W, 3), bytes, and their σ (B,)."""


@dataclass(frozen=True, eq=False)
class Draws(Dataset[Draw]):
    """The draw of each step, by its number, from 0 on."""

    corpus: Corpus
    rows: int
    patch: int
    sigma_min: float
    sigma_max: float
    seed: int
    steps: int

    def __getitem__(self, step: int) -> Draw:
        pictures = self.corpus.crops(self.rows, self.patch, self.seed, step)
        rng = np.random.default_rng([self.seed, step, 1])
        return torch.from_numpy(pictures), draw_sigmas(self.rows, self.sigma_min, self.sigma_max, rng)

    def noise(self, x0: Tensor, step: int) -> Tensor:
        """Standard normal n of the shape and on the device of x0; each kind of device has its own."""
        (state,) = np.random.SeedSequence([self.seed, step, 2]).generate_state(1, np.uint64).tolist()
        generator = torch.Generator(x0.device).manual_seed(state)
        return torch.empty_like(x0).normal_(generator=generator)

    def ahead(self, first: int, workers: int, device: torch.device) -> Iterator[Draw]:
        """The draws from one step on, on the device. So many processes work ahead; with 0 this one does it."""
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first, self.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=device.type == "cuda",
            worker_init_fn=unmoved,
        )
        for pictures, σ in loader:
            yield pictures.to(device, non_blocking=True), σ.to(device, non_blocking=True)


def unmoved(worker: int) -> None:
    """By the signals that stop a training, which ends its workers itself."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)


def draw_sigmas(count: int, low: float, high: float, rng: np.random.Generator) -> Tensor:
    """σ (count,): 70% log-normal around .12, where photographs are decided, and the rest log-uniform in the range."""
    usual = np.exp(rng.normal(math.log(0.12), 1.0, count))
    spread = np.exp(rng.uniform(math.log(low), math.log(high), count))
    usual = np.where((usual >= low) & (usual <= high), usual, spread)
    return torch.from_numpy(np.where(rng.uniform(size=count) < 0.7, usual, spread)).float()


def to_clean(pictures: Tensor, channels: int = 3) -> Tensor:
    """x₀ (B, C, H, W) in [0, 1], channels last in memory, of pictures (B, H, W, 3), bytes; gray is luma."""
    x = pictures.permute(0, 3, 1, 2).float().div(255)
    if channels == 1:
        x = torch.einsum("c,bchw->bhw", x.new_tensor(LUMA), x)[:, None]
    return x.contiguous(memory_format=torch.channels_last)
