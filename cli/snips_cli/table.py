"""The figures of a run, as a short table on stdout."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

FEW = 3
"""Up to so many pictures, each is a column; of more, each is a line."""

WIDE = 160
"""Characters a line at least: no figure is cut for a narrow terminal."""


def print_table(entries: Sequence[Mapping[str, Any]]) -> None:
    """What is known of every picture; figures that none has are left out."""
    cells = [columns(entry) for entry in entries]
    used = [name for name in cells[0] if any(row[name] for row in cells)]
    if len(cells) <= FEW:
        heading, *lines = [(name, *(row[name] for row in cells)) for name in used]
    else:
        heading = tuple(name.replace(" ", "\n") for name in used)
        lines = [tuple(row[name] for name in used) for row in cells]
    print_rows(heading, lines)


def print_rows(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """A table, its first column to the left and figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(heading):
        table.add_column(name, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    Console(width=max(Console().width, WIDE)).print(table)


def columns(entry: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a picture's line, empty for what is not known. Samples and tests: means over the samples."""
    residual, hole = entry["residual"], entry.get("hole") or {}
    return {
        "picture": entry["name"],
        "σ0": f"{entry['sigma']:.4g}",
        "NFE": str(entry["nfe"]),
        "seconds": f"{entry['seconds']:.1f}",
        **psnrs(entry, "PSNR of"),
        "MSE ratio": number(entry["samples"]["mse_ratio"], 2),
        "PSNR of spline": number((entry.get("spline") or {}).get("psnr"), 2),
        "hole PSNR of fill": number((hole.get("fill") or {}).get("psnr"), 2),
        **psnrs(hole, "hole PSNR of"),
        "R̂": number((entry.get("diagnostics") or {}).get("r_hat"), 2),
        "residual std/σ0": number(average(residual["std_over_sigma"]), 3),
        "max |ρ|": number(max((abs(rho) for rho in known(residual["rho"])), default=None), 3),
        "p": number(average(residual["p_value"]), 2),
    }


def psnrs(figures: Mapping[str, Any], scope: str) -> dict[str, str]:
    """PSNR in dB of the MMSE estimate, the samples, and their mean."""
    return {
        f"{scope} MMSE": number((figures.get("mmse") or {}).get("psnr"), 2),
        f"{scope} samples": number(average((figures.get("samples") or {}).get("psnr") or []), 2),
        f"{scope} mean": number((figures.get("posterior_mean") or {}).get("psnr"), 2),
    }


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def average(values: Sequence[float | None]) -> float | None:
    return statistics.fmean(known(values)) if known(values) else None


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
