"""The picture of a comparison, with a row a prior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snips import metrics
from snips.files import new_file
from snips.images import as_image
from snips_cli.overview import Tile, draw, heat_map, pale
from snips_cli.study.folder import StudyFolder

if TYPE_CHECKING:
    from torch import Tensor

TILES = 4
"""Samples a row, at most."""


def write_pictures(folder: StudyFolder) -> list[Path]:
    """compare.png, or one for each picture and noise level."""
    cells = folder.cells()
    groups = list(cells[cells.status == "ok"].groupby(["image", "sigma"], sort=False))
    paths = []
    for (image, sigma), group in groups:
        path = folder.path / ("compare.png" if len(groups) == 1 else f"compare-{image}-{sigma:.3g}.png")
        restored = [(cell, folder.pictures(cell.cell)) for cell in group.itertuples()]
        first = group.iloc[0]
        heading = f"{image}  ·  {first.task_label}  ·  {first.sampler_label}"
        rows = [given(restored[0][1]), *(tiles(cell.label, pictures) for cell, pictures in restored)]
        figures = f"sigma {sigma:.4f} ({255 * sigma:.1f}/255)  ·  {first.samples} samples of {first.nfe} NFE"
        with new_file(path) as hidden:
            draw(rows, heading, figures).save(hidden, format="PNG")
        paths.append(path)
    return paths


def given(pictures: dict[str, Tensor]) -> list[Tile]:
    """What all priors have before them."""
    clean, seen = pictures["clean"], pictures["observed"]
    figure = "" if "mask" in pictures else decibels(clean, seen)
    tiles = [Tile(as_image(clean), "clean"), Tile(as_image(seen), "observed", figure)]
    return tiles + ([Tile(as_image(pictures["fill"]), "biharmonic fill")] if "fill" in pictures else [])


def tiles(label: str, pictures: dict[str, Tensor]) -> list[Tile]:
    """What a prior makes of it: the MMSE estimate, or the samples' mean where there is none, samples, their spread."""
    clean = pictures["clean"]
    where = ~pictures["mask"] if "mask" in pictures else None
    best, name = (pictures["mmse"], "MMSE") if "mmse" in pictures else (pictures["mean"], "mean")
    shown = [Tile(as_image(best), f"{label}: {name}", decibels(clean, best, where))]
    shown += [
        Tile(as_image(x), f"sample {i}", decibels(clean, x, where)) for i, x in enumerate(pictures["samples"][:TILES])
    ]
    if "std" in pictures:
        shown.append(Tile(heat_map(pictures["std"]), "std", f"pale {pale(pictures['std']):.2f}"))
    return shown


def decibels(clean: Tensor, picture: Tensor, where: Tensor | None = None) -> str:
    return f"{'hole ' if where is not None else ''}{metrics.psnr(clean, picture, where):.1f} dB"
