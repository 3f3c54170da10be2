"""What a comparison shows: a table with a line a prior, and a picture with a row a prior."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from snips import metrics
from snips.files import new_file
from snips.images import as_image
from snips_cli.overview import Tile, draw, heat_map, pale
from snips_cli.study.folder import StudyFolder
from snips_cli.table import WIDE, number

if TYPE_CHECKING:
    import pandas
    from torch import Tensor

TILES = 4
"""Samples a row, at most."""


def print_table(folder: StudyFolder) -> None:
    """Figures of every prior at every noise level, means over pictures, samples and seeds."""
    cells, rows = folder.cells(), folder.rows()
    cells = cells[cells.status == "ok"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [column for column in columns(cells, rows) if column[1].notna().any()]
    for place, (name, _, _) in enumerate(shown):
        table.add_column(name, justify="right" if place else "left")
    for index in shown[0][1].index:
        table.add_row(*(text(values[index], digits) for _, values, digits in shown))
    Console(width=max(Console().width, WIDE)).print(table)


def columns(cells: pandas.DataFrame, rows: pandas.DataFrame) -> Iterator[tuple[str, pandas.Series[Any], int]]:
    """(heading, values by prior and σ0, digits)."""
    keys = ["label", "sigma"]
    of_cells = cells.groupby(keys, sort=False).mean(numeric_only=True)
    of_rows = rows.groupby(keys, sort=False).mean(numeric_only=True).reindex(of_cells.index)
    index = of_cells.index.to_frame()
    yield "prior", index.label, 0
    yield "σ0", index.sigma, 4
    yield "PSNR of MMSE", of_cells.mmse_psnr, 2
    yield "samples", of_rows.psnr, 2
    yield "mean", of_cells.mean_psnr, 2
    yield "hole PSNR of samples", of_rows.hole_psnr, 2
    yield "mean ", of_cells.mean_hole_psnr, 2
    yield "SSIM of samples", of_rows.ssim, 3
    yield "MSE ratio", of_cells.mse_ratio, 2
    yield "residual std/σ0", of_rows.residual_std, 3
    yield "ρ", of_rows.residual_rho, 3
    yield "p", of_rows.residual_p, 2
    yield "NFE", of_cells.nfe, 0
    yield "seconds", of_cells.seconds_sampling, 1


def text(value: Any, digits: int) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else number(float(value), digits)


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
