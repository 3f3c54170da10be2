"""A study's folder whose truth is known: Gaussian fields and exact samples, written as `snips study run` does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import snips
from snips.analytic import GaussianPrior
from snips.classical import biharmonic_fill
from snips_cli.study.metrics import DEFAULT, measure

SIDE = 16
OUTSIDE_CELLS = {"seconds": 2.0, "seconds_sampling": 1.5, "seconds_denoiser": 1.2, "seconds_measuring": 0.1}


def write_study(
    path: Path,
    images: int = 6,
    samples: int = 4,
    sigmas: tuple[float, ...] = (0.1, 51 / 255),
    spread: float = 1.0,
    kept: int = 2,
    metrics: tuple[str, ...] = DEFAULT,
    name: str = "Fields <known>",
) -> Path:
    """`exact` has exact samples, `narrow` the same with their deviations from the mean times `spread`, `mmse` none."""
    import pandas as pd

    prior = GaussianPrior.power_law((1, SIDE, SIDE))
    generator = torch.Generator().manual_seed(0)
    clean = prior.draw(images, generator).float()
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    mask[6:10] = False
    cells: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for label, task, sampler in (
        ("exact", "denoise", "posterior"),
        ("exact", "inpaint", "posterior"),
        ("narrow", "denoise", "posterior"),
        ("mmse", "denoise", ""),
    ):
        for index, x in enumerate(clean):
            for sigma in sigmas:
                noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(index))
                operator = snips.Identity() if task == "denoise" else snips.Mask(mask)
                y = operator.forward((x + sigma * noise)[None])[0]
                observation = snips.Observation(y, sigma, operator)
                posterior = prior.posterior(observation)
                count = samples if sampler else 0
                drawn = posterior.draw(samples, torch.Generator().manual_seed(index)).float()[:count]
                if label == "narrow":
                    drawn = (posterior.mean + spread * (drawn - posterior.mean)).float()
                best = posterior.mean.float() if task == "denoise" else None
                key = keys(label, task, sampler, sigma, index)
                measured = measure(x, observation, best, drawn, metrics)
                keep = index < kept
                cells.append(key | ran(count, keep) | measured.per_cell)
                for k in range(count):
                    values = {column: figures[k] for column, figures in measured.per_sample.items()}
                    rows.append(key | {"sample": k, "nfe": 20, "seconds": 0.375} | values)
                if keep:
                    keep_pictures(path, key["cell"], x, observation, best, drawn)
    cells.append(keys("mmse", "inpaint", "", 0.1, 0) | {"status": "skipped", "error": "an MMSE estimate only denoises"})
    cells.append(keys("exact", "denoise", "posterior", 0.9, 0) | {"status": "failed", "error": "boom & <bang>"})
    path.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(cells).to_parquet(path / "cells.parquet")
    pd.DataFrame(rows).to_parquet(path / "rows.parquet")
    (path / "study.json").write_text(json.dumps(about(name, images, sigmas, metrics, len(cells))), encoding="utf-8")
    return path


def keys(label: str, task: str, sampler: str, sigma: float, index: int) -> dict[str, Any]:
    id = hashlib.sha256(f"{label} {task} {sampler} {sigma} {index}".encode()).hexdigest()[:16]
    return {
        "cell": id,
        "label": label,
        "denoiser": "gaussian-field",
        "denoiser_options": "{}",
        "task_label": task if task == "denoise" else "inpaint mask=box",
        "task": task,
        "task_options": "{}",
        "sampler_label": sampler,
        "sampler": sampler,
        "sampler_options": "{}",
        "sigma": sigma,
        "image": f"field-{index}",
        "image_index": index,
        "seed": 0,
    }


def ran(samples: int, keep: bool) -> dict[str, Any]:
    size = {"channels": 1, "height": SIDE, "width": SIDE}
    said = {"status": "ok", "error": "", "cell_seed": 0, "outside": 0, "device": "cpu", "dtype": "float32"}
    return size | said | OUTSIDE_CELLS | {"samples": samples, "nfe": 20 if samples else 0, "pictures": keep}


def keep_pictures(
    path: Path, id: str, clean: Tensor, observation: snips.Observation, mmse: Tensor | None, samples: Tensor
) -> None:
    kept = {"clean": clean, "observed": observation.y}
    if mmse is not None:
        kept["mmse"] = mmse
    if isinstance(observation.operator, snips.Mask):
        kept["mask"] = observation.operator.mask
        kept["fill"] = biharmonic_fill(observation.y[None], observation.operator.mask)[0]
    if len(samples):
        kept |= {"samples": samples, "mean": samples.mean(0), "std": samples.std(0)}
        kept["snapshots"] = torch.stack([samples[0] + s * torch.ones_like(clean) for s in (0.2, 0.1, 0.0)])
    folder = path / "cells" / id[:2] / id
    folder.mkdir(parents=True)
    metadata = {"snapshots": json.dumps({"sigmas": [0.2, 0.1, 0.004], "steps": [3, 6, 9]})}
    save_file({n: t.contiguous() for n, t in kept.items()}, folder / "pictures.safetensors", metadata)


def about(name: str, images: int, sigmas: tuple[float, ...], metrics: tuple[str, ...], cells: int) -> dict[str, Any]:
    card = {"summary": "a Gaussian field", "licence": "MIT"}
    levels = {"low": 0.0, "high": None, "only": [], "blind": False}
    priors = [
        {
            "label": label,
            "denoiser": "gaussian-field",
            "options": {},
            "samples": 4,
            "card": card,
            "noise_levels": levels,
        }
        | {"channels": [], "weights_sha256": None}
        for label in ("exact", "narrow", "mmse")
    ]
    return {
        "format": 1,
        "name": name,
        "identity": "0" * 64,
        "spec": {"metrics": list(metrics), "sigmas": list(sigmas)},
        "priors": priors,
        "tasks": [
            {"label": "denoise", "task": "denoise", "options": {}},
            {"label": "inpaint mask=box", "task": "inpaint", "options": {}},
        ],
        "samplers": [{"label": "posterior", "sampler": "posterior", "options": {}}],
        "images": [
            {"image": f"field-{i}", "source": f"drawn {i}", "channels": 1, "height": SIDE, "width": SIDE, "sha256": ""}
            for i in range(images)
        ],
        "cells": cells,
        "nfe": 0,
        "estimated_seconds": None,
        "runs": [
            {
                "command": ["snips", "study", "run", "my fields.toml"],
                "started": "2026-01-01T00:00:00",
                "versions": {"snips": "0"},
            }
        ],
    }
