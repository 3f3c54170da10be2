"""Pictures on which reference PSNR of third-party denoisers is known (../shared/oracle/eval_*.json)."""

from __future__ import annotations

import json

import imageio.v3 as iio
import numpy as np
import torch
from skimage import data
from torch import Tensor

import snips
from shared import SHARED


def _tensor(values: np.ndarray) -> Tensor:
    picture = torch.from_numpy(values).float() / 255
    return picture[None, None] if picture.ndim == 2 else picture.permute(2, 0, 1)[None]


def pictures(channels: int) -> dict[str, Tensor]:
    """256×256 pictures (1, C, H, W), by the names of the reference."""
    assert SHARED
    images = SHARED / "images"
    if channels == 1:
        ours = {"camera": data.camera()[128:384, 128:384], "coins": data.coins()[:256, :256]}
        files = {name: iio.imread(images / f"{name}.png") for name in ("Set12/01", "Set12/04")}
    else:
        ours = {"astronaut": data.astronaut()[:256, :256]}
        files = {f"Kodak24/{i}": iio.imread(images / f"Kodak24/kodim{i}.webp")[:256, :256] for i in ("01", "08")}
    return {name: _tensor(values) for name, values in (ours | files).items()}


def reference_psnr(file: str, name: str, sigma: int) -> dict[str, float]:
    """PSNR in dB by picture, at σ = sigma/255."""
    assert SHARED
    entries = json.loads((SHARED / "oracle" / file).read_text())
    (found,) = [entry["psnr"] for entry in entries if (entry["name"], entry["sigma"]) == (name, sigma)]
    return dict(found)


def psnr(denoiser: snips.MMSEDenoiser, clean: Tensor, sigma: int, seed: int = 0) -> float:
    """Of the picture denoised at σ = sigma/255, in dB."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    restored = snips.denoise(denoiser, clean + sigma / 255 * noise, sigma / 255)
    return float(-10 * (restored - clean).square().mean().log10())


def excess(denoiser: snips.MMSEDenoiser, channels: int, known: dict[str, float], sigma: int, seeds: int = 2) -> float:
    """Mean PSNR over that of the reference, in dB; which noise the reference had is not known."""
    apart = [
        psnr(denoiser, clean, sigma, seed) - known[name]
        for name, clean in pictures(channels).items()
        if name in known
        for seed in range(seeds)
    ]
    return sum(apart) / len(apart)
