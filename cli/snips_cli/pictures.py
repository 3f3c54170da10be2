"""What is written of one restored picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from snips.images import write_png
from snips_cli.measure import Restored
from snips_cli.overview import heat_map, overview


def write_pictures(folder: Path, restored: Restored, entry: dict[str, Any], title: str) -> None:
    """The PNGs for the eye, clipped to [0, 1], and the exact values in samples.safetensors."""
    case, posterior = restored.case, restored.posterior
    write_png(folder / "observed.png", case.seen)
    if restored.mmse is not None:
        write_png(folder / "mmse.png", restored.mmse)
    write_png(folder / "mean.png", posterior.mean)
    if len(posterior.samples) > 1:
        heat_map(posterior.std).save(folder / "std.png")
    for index, sample in enumerate(posterior.samples):
        write_png(folder / f"sample-{index:03d}.png", sample)
    for index, snapshot in enumerate(posterior.snapshots):
        write_png(folder / f"snapshot-{index:03d}.png", snapshot.x)
    overview(restored, entry, title).save(folder / "overview.png")
    (folder / "samples.safetensors").write_bytes(save(tensors(restored)))


def tensors(restored: Restored) -> dict[str, Tensor]:
    """Exact values by name: pictures (C, H, W) as float32, samples (N, C, H, W), mask (H, W) as bool."""
    case, posterior = restored.case, restored.posterior
    pictures = {
        "samples": posterior.samples,
        "mean": posterior.mean,
        "std": posterior.std,
        "observed": case.seen,
        "clean": case.clean,
        "mmse": restored.mmse,
        "snapshots": torch.stack([s.x for s in posterior.snapshots]) if posterior.snapshots else None,
    }
    found = {name: x.float().contiguous() for name, x in pictures.items() if x is not None}
    return found | ({"mask": case.observed.contiguous()} if case.observed is not None else {})
