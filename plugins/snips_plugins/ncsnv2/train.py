"""Train an NCSNv2 score network by denoising score matching, on folders of pictures and dead leaves.

    torchrun --nproc-per-node 2 -m snips_plugins.ncsnv2.train --images PHOTOS --images KODAK --out runs/ncsnv2

One process a core. State is kept in the output folder: the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from skimage import data
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from snips_plugins.corpora import Picture, crops, dead_leaves, photographs
from snips_plugins.ncsnv2.network import NCSNv2

SIGMA_MIN, SIGMA_MAX = 0.01, 1.0
ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}


def draw_sigmas(count: int, rng: np.random.Generator) -> Tensor:
    """σ (count,), 70% log-normal around .12 and the rest log-uniform, within the range."""
    usual = np.exp(rng.normal(math.log(0.12), 1.0, count))
    spread = np.exp(rng.uniform(math.log(SIGMA_MIN), math.log(SIGMA_MAX), count))
    return torch.tensor(np.where(rng.uniform(size=count) < 0.7, usual, spread)).clamp(SIGMA_MIN, SIGMA_MAX).float()


def to_tensor(pictures: Picture) -> Tensor:
    """(B, H, W, C) bytes to (B, C, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)


def corpus(images: tuple[Path, ...], patch: int, leaves: int) -> list[Picture]:
    paths = sorted(p for folder in images for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
    pictures = photographs(paths, patch) + [data.coffee(), data.rocket()]
    rng = np.random.default_rng(0)
    return pictures + [dead_leaves(2 * patch, rng) for _ in range(leaves)]


@torch.no_grad()
def validate(net: torch.nn.Module, clean: Tensor) -> dict[str, float]:
    """PSNR in dB at a few σ (in 255ths), on fixed crops with fixed noise."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    figures = {}
    for level in (5, 15, 25, 50, 100, 255):
        sigma = torch.full((len(clean),), level / 255)
        noisy = clean + noise * level / 255
        denoised = noisy + sigma[0] ** 2 * net(noisy, sigma)
        figures[str(level)] = round(-10 * math.log10((denoised - clean).square().mean().item()), 2)
    return figures


@click.command()
@click.option("--images", multiple=True, type=click.Path(exists=True, path_type=Path), help="Folder of pictures.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="State, log and weights.")
@click.option("--steps", default=12_000, show_default=True)
@click.option("--rows", default=8, show_default=True, help="Crops a step and process.")
@click.option("--patch", default=64, show_default=True)
@click.option("--ngf", default=24, show_default=True)
@click.option("--rate", default=8e-4, show_default=True)
@click.option("--leaves", default=200, show_default=True, help="Dead-leaves pictures in the corpus.")
@click.option("--seed", default=0, show_default=True)
def main(images, out, steps, rows, patch, ngf, rate, leaves, seed) -> None:  # type: ignore[no-untyped-def]
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    net = NCSNv2(ngf=ngf, levels=1).to(memory_format=torch.channels_last)
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    model = DistributedDataParallel(net) if world > 1 else net
    optimiser = torch.optim.Adam(net.parameters(), rate)
    warmup = 200
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min((i + 1) / warmup, 0.5 * (1 + math.cos(math.pi * min(i / steps, 1))) + 1e-3)
    )
    parts: dict[str, Any] = {"net": net, "ema": ema, "optimiser": optimiser, "schedule": schedule}
    first, state = 0, out / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        first = saved["step"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    pictures = corpus(images, patch, leaves)
    held_out = [data.astronaut()[::2, ::2], data.chelsea()]
    clean = to_tensor(np.stack([p[60:188, 60:188] for p in held_out]))
    started, total = time.monotonic(), 0.0
    for step in range(first, steps):
        rng = np.random.default_rng([seed, rank, step])
        x = to_tensor(crops(pictures, rows, patch, rng))
        sigma = draw_sigmas(rows, rng)
        noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            score = model(x + sigma[:, None, None, None] * noise, sigma)
        # Denoising score matching weighted by σ²: ‖σ s(x + σn, σ) + n‖².
        loss = (score.float() * sigma[:, None, None, None] + noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        ema.update_parameters(net)
        total += loss.item()
        if rank == 0 and (step + 1) % 250 == 0:
            figures = validate(ema.module, clean)
            line = {"step": step + 1, "loss": round(total / 250, 4), "seconds": round(time.monotonic() - started)}
            total = 0.0
            click.echo(json.dumps(line | {"psnr": figures}))
            torch.save({"step": step + 1} | {k: v.state_dict() for k, v in parts.items()}, out / "state.tmp")
            os.replace(out / "state.tmp", state)
            weights = {k: v.contiguous() for k, v in ema.module.state_dict().items() if k != "sigmas"}
            card = {"sigma": f"{SIGMA_MIN} {SIGMA_MAX}", "step": str(step + 1)}
            save_file(weights, out / "weights.safetensors", card)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
