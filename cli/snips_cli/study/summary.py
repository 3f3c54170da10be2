"""The figures of a study in short: means over pictures, seeds and samples for every prior, task, sampler and σ0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snips_cli.options import verbose

if TYPE_CHECKING:
    import pandas

    from snips_cli.study.folder import StudyFolder

BY = ["label", "task_label", "sampler_label", "sigma"]
"""What a line of the summary is for."""

HEADINGS = {"label": "prior", "task_label": "task", "sampler_label": "sampler", "sigma": "σ0"}

SHOWN = {
    "pictures": 0,
    "mmse_psnr": 2,
    "psnr": 2,
    "mean_psnr": 2,
    "hole_psnr": 2,
    "mean_hole_psnr": 2,
    "mmse_ssim": 3,
    "ssim": 3,
    "mse_ratio": 2,
    "residual_std": 3,
    "residual_rho": 3,
    "residual_p": 2,
    "nfe": 0,
    "seconds": 1,
}
"""Columns on the terminal, and their digits. Those without a prefix are of samples; seconds are of one sample."""


def means(folder: StudyFolder) -> pandas.DataFrame:
    """One line for each of BY in the order of the study, with every figure, and `pictures`: how many cells it is over.

    Raises OutputError, MissingExtra.
    """
    from snips_cli.study.merge import KEYS, OF_A_CELL, OF_A_ROW

    cells, rows = folder.cells(), folder.rows()
    cells = cells[cells.status == "ok"]
    infrastructure = {*KEYS, *OF_A_CELL, *OF_A_ROW} - {"nfe", *BY}
    of_cells = cells.drop(columns=infrastructure & set(cells)).groupby(BY, sort=False)
    of_rows = rows.drop(columns=(infrastructure - {"seconds"}) & set(rows)).drop(columns="nfe").groupby(BY, sort=False)
    found = of_cells.mean().join(of_rows.mean())
    found.insert(0, "pictures", of_cells.size())
    return found


@click.command("table")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="Every figure but the times, as comma-separated values.")
@verbose
def table(folder: Path, as_csv: bool) -> None:
    """Print the figures of a study: means over pictures, seeds and samples.

    Without a prefix a figure is of single samples; mmse_ is of D(y, σ0), mean_ of the samples' mean.
    """
    from snips_cli.study.folder import StudyFolder

    opened = StudyFolder.open(folder)
    if as_csv:
        click.echo(means(opened).drop(columns="seconds").to_csv(float_format="%.4g"), nl=False)
    else:
        print_table(opened)


def print_table(folder: StudyFolder) -> None:
    """The figures for the terminal; what none has, and a task or sampler that all share, is left out."""
    from snips_cli.table import print_rows

    found = means(folder)
    used = {name: digits for name, digits in SHOWN.items() if name in found and found[name].notna().any()}
    given = found.index.to_frame()
    told = {name: given[name] for name in BY if name in ("label", "sigma") or given[name].nunique() > 1}
    columns = [*([in_words(value) for value in values] for values in told.values())]
    columns += [
        ["" if value != value else f"{value:.{digits}f}" for value in found[name]] for name, digits in used.items()
    ]
    print_rows(
        [*(HEADINGS[name] for name in told), *(name.replace("_", "\n") for name in used)],
        list(zip(*columns, strict=True)),
    )


def in_words(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
